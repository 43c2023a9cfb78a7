"""`niah haystacks`."""

from typing import Annotated

import typer

from niah.cli.messages import print_json, print_table


def haystacks(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the haystacks that needles can be hidden in."""
    from niah.cards import haystack_cards

    if as_json:
        names = ("name", "description", "builder", "contains", "licence", "origin")
        print_json([{name: getattr(c, name) for name in names} for c in haystack_cards()])
        return
    print_table(
        ("name", "description", "licence"),
        [(card.name, card.description, card.licence) for card in haystack_cards()],
    )
