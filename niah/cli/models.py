"""`niah models`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from niah.cli.messages import fail, print_json, print_table
from niah.cli.options import (
    MODEL_HELP,
    OWN_LABELS_HELP,
    PROMPT_HELP,
    SAMPLE_RATE_HELP,
    TRUST_HELP,
    numbers,
)
from niah.errors import NiahError
from niah.system.plurals import plural

if TYPE_CHECKING:
    from niah.adapters.model_source import ModelSource
    from niah.cards import ModelCard

app = typer.Typer(help="List, show and verify models.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List all models: parameters, seconds of training clips, published mAP, licence, weights."""
    if context.invoked_subcommand is None:
        models_list(as_json)


@app.command("list")
def models_list(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List all models, as `niah models` alone does."""
    from niah.cards import model_cards

    if as_json:
        print_json([_facts(card) for card in model_cards()])
        return
    rows = []
    for card in model_cards():
        published = ", ".join(map(_score_text, card.published.items()))
        rows.append(
            (
                card.name,
                card.family,
                f"{card.parameters / 1e6:.1f} M",
                f"{card.trained_on_s:g} s",
                card.labels,
                published or "-",
                card.licence,
                weights_text(card),
            )
        )
    print_table(
        ("name", "family", "size", "trained on", "labels", "published mAP", "licence", "weights"),
        rows,
        "`niah models show NAME` has them, and a pipe or --json.",
    )


def _facts(card: "ModelCard") -> dict[str, object]:
    """Return a card and the state of its weights on this machine, for JSON."""
    from niah.adapters.weights import is_cached, origin

    names = (
        *("name", "family", "title", "adapter", "labels", "parameters", "trained_on"),
        *("trained_on_s", "published", "paper", "licence", "aliases", "note"),
    )
    weights = [
        {"name": name, "source": origin(each), "here": is_cached(card, name)}
        for name, each in card.weights.items()
    ]
    return {**{name: getattr(card, name) for name in names}, "weights": weights}


@app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help=f"{MODEL_HELP}.")],
    labels: Annotated[str, typer.Option(help=OWN_LABELS_HELP)] = "",
    sample_rate: Annotated[int | None, typer.Option(help=SAMPLE_RATE_HELP)] = None,
    prompt: Annotated[str, typer.Option(help=PROMPT_HELP)] = "",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help=TRUST_HELP)
    ] = False,
) -> None:
    """Print one card; of a model without one, what is known of it, and how its labels are mapped."""
    from niah.adapters.model_source import ModelRequest
    from niah.adapters.sources import find_source

    request = ModelRequest(labels, sample_rate, prompt, trust_remote_code)
    source = find_source(name, request)
    if source.card.path.suffix == ".toml":
        print(source.card.path.read_text().rstrip())
        print("\n# weights:")
        for line in weights_lines(source.card):
            print(f"# {line}")
        return
    for line in source_lines(source):
        print(line)


@app.command("verify")
def models_verify(
    name: Annotated[str, typer.Argument(help=f"{MODEL_HELP}.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Weights file. [default: the card's own]")
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="Lengths to run in seconds, comma-separated.")
    ] = "10,50,300",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    labels: Annotated[str, typer.Option(help=OWN_LABELS_HELP)] = "",
    sample_rate: Annotated[int | None, typer.Option(help=SAMPLE_RATE_HELP)] = None,
    prompt: Annotated[str, typer.Option(help=PROMPT_HELP)] = "",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help=TRUST_HELP)
    ] = False,
) -> None:
    """Load strictly, check the adapter protocol and run at several lengths; exit status 2 if it is not met."""
    from niah.adapters.model_source import ModelRequest
    from niah.adapters.verify import verify

    lengths_s = numbers(lengths, "--lengths")
    if not lengths_s:
        raise NiahError("--lengths: give at least one length")
    unmet = 0
    request = ModelRequest(labels, sample_rate, prompt, trust_remote_code)
    for finding in verify(name, checkpoint, lengths_s, device, request):
        print(finding, flush=True)
        unmet += not finding.met
    if unmet:
        fail(
            f"{name}: not met: {plural(unmet, 'point')} of the adapter protocol (docs/your-model.md)"
        )


def source_lines(source: "ModelSource") -> list[str]:
    """Return what is known of a model without a card, in the words of cards, and the notes of its source."""
    card = source.card
    facts = {
        "name": card.name,
        "adapter": card.adapter,
        "licence": card.licence,
        "revision": source.revision,
        "labels": source.labels.name,
        "classes": len(source.labels),
        "parameters": card.parameters,
        "custom_code": source.custom_code,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in facts.items() if value]
    for name, value in source.record.items():
        if name != "labels_mapping":  # the notes say it
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return [*lines, *(f"# {note}" for note in source.notes)]


def _score_text(published: tuple[str, float]) -> str:
    """Return AudioSet's mAP as a number, another score with its metric."""
    name, value = published
    of = name.removesuffix("_mAP")
    return f"{value:g}" if of == "audioset" else f"{value:g} ({of})"


def weights_text(card: "ModelCard") -> str:
    """Return the names of a card's weights, their sources, and whether they are on this machine."""
    from niah.adapters.weights import is_cached, origin

    descriptions = []
    for name, weights in card.weights.items():
        kind = origin(weights)
        here = is_cached(card, name)
        state = "here" if here else "to fetch" if kind in ("hub", "address") else "not here"
        descriptions.append(f"{name} ({kind}, {state})")
    return ", ".join(descriptions) or "none released"


def weights_lines(card: "ModelCard") -> list[str]:
    """Return a line for each of a card's weights: source, address, and path on this machine."""
    from niah.adapters.packaged import installation
    from niah.adapters.weights import by_hand, is_cached, local_path, origin

    lines = []
    for name, weights in card.weights.items():
        kind, here = origin(weights), is_cached(card, name)
        if kind == "hub":
            pinned = f"revision {weights.revision}" if weights.revision else "revision not pinned"
            where = f"huggingface.co/{weights.hub}, {weights.hub_file}, {pinned}"
        elif kind == "package":
            where = f"{weights.package_file} of {weights.package} {weights.package_version}".strip()
        else:
            where = weights.url or weights.file
        state = "here" if here else "fetched when first used"
        if kind == "package" and not here:
            state = installation(weights)
        if kind == "by hand":
            state = str(local_path(card, weights)) if here else by_hand(card, name)
        lines.append(f"{name}: {kind}, {f'{where}; ' if where else ''}{state}")
    return lines or ["none released: give --checkpoint FILE, or --checkpoint random"]
