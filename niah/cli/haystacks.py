"""`niah haystacks`."""

from niah.cli.messages import print_table


def haystacks() -> None:
    """List the haystacks that needles can be hidden in."""
    from niah.cards import haystack_cards

    print_table(
        ("name", "description", "licence"),
        [(card.name, card.description, card.licence) for card in haystack_cards()],
    )
