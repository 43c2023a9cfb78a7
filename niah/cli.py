"""The command line. Every wrong input is one line and exit status 2; heavy imports happen inside the commands."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from niah.errors import NiahError

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
PIPED_WIDTH = 200  # columns of a table that goes to a file or a pipe

app = typer.Typer(
    name="niah",
    help=(
        "Audio needle in a haystack: hide labelled 10 s sounds in long recordings and measure whether a tagger still "
        "names them.\n\nStart with `niah run`: it needs no data and no download. Then give it your own: "
        "`niah run --model dass-medium --needles eval.csv --lengths 10,50,300`."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The models there are: list, show, verify.", rich_markup_mode=None)
data_app = typer.Typer(
    help="Needle sets: check what is there.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(models_app, name="models")
app.add_typer(data_app, name="data")


def main() -> None:
    """Entry point of `niah`."""
    status: int | None = None
    try:
        status = app(prog_name="niah", standalone_mode=False)
    except NiahError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        status = INTERRUPTED
    except OSError as error:
        _fail(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
    except Exception as error:
        _fail_usage(error)
    if status == INTERRUPTED:  # typer turns Ctrl-C into this status, and says nothing
        _fail("interrupted; the same command goes on from the last finished cell", status=status)
    sys.exit(status or 0)


def _fail_usage(error: Exception) -> None:
    """One line for what typer refuses (an unknown option, a missing argument); anything else is a bug.

    The base class of typer's own errors is not public, and is another one in every few versions.
    """
    told: Callable[[], str] | None = getattr(error, "format_message", None)
    if told is None:
        raise error
    message = told()
    if message.lstrip().startswith("Usage:"):  # `niah` alone: the help
        print(message, file=sys.stderr)
        sys.exit(2)
    context = getattr(error, "ctx", None)
    see = f" (see `{context.command_path} --help`)" if context else ""
    _fail(message.rstrip(".") + see)


def _fail(message: str, status: int = 2) -> None:
    print(f"niah: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def _note(message: str) -> None:
    print(f"note: {message}", file=sys.stderr)


def _listed(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Parser of comma-separated values; the list is kept as the text's own parts."""

    def parse(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
        except ValueError:
            raise typer.BadParameter(f"'{text}' must be numbers, separated by commas") from None

    return parse


_numbers = _listed(float)

BABBLE_HELP = (
    "Babble to hide in: a file (used as it is, tiled) or a folder of voices (30 are mixed). "
    "Without it: synthetic talkers."
)
NEEDLES_HELP = (
    "Labelled clips: 'synthetic' (embedded), an AST/DASS .json, a .csv (path,labels; Google segments; ESC-50's), "
    ".parquet shards, or the folder of ESC-50, FSD50K or AudioSet parquet. Columns filter: 'meta.csv?fold=4'."
)


@app.command()
def run(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Model name or card.toml; repeat for several. NAME:v2 for other weights. "
            "[default: dass-nano, ast-sin-nano]",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Weights file for the model (.safetensors, .pth), or 'random' (speed only)."
        ),
    ] = None,
    needles: Annotated[str, typer.Option(help=NEEDLES_HELP)] = "synthetic",
    audio_root: Annotated[
        Path | None, typer.Option(help="Folder of the clips that a Google segment CSV names.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Use N clips: a fixed, stratified choice. [default: all; 100 of the synthetic]"
        ),
    ] = None,
    broader: Annotated[
        bool,
        typer.Option(help="Also use labels that cover other sounds besides (ESC-50 to AudioSet)."),
    ] = False,
    haystack: Annotated[
        list[str] | None,
        typer.Option(
            "--haystack",
            help="zero, silence, gaussian, babble, babble-official, a card, a recording or a folder; "
            "repeat for several. [default: zero, gaussian, babble]",
        ),
    ] = None,
    babble: Annotated[Path | None, typer.Option(help=BABBLE_HELP)] = None,
    snr: Annotated[str, typer.Option(help="Needle over noise in dB, comma-separated.")] = "10",
    positions: Annotated[
        str, typer.Option(help="Where the needle starts, 0 to 1, comma-separated.")
    ] = "0.5",
    lengths: Annotated[
        str, typer.Option(help="Seconds in all, comma-separated; 10 is the needle alone.")
    ] = "10,20,50,100",
    protocol: Annotated[
        str, typer.Option(help="dass-v1 (the paper's released harness) or niah-v2.")
    ] = "dass-v1",
    level: Annotated[
        str, typer.Option(help="surround, or mix: noise under the needle too (niah-v2).")
    ] = "surround",
    window: Annotated[
        float | None,
        typer.Option(
            help="Sliding-window baseline: score windows of so many seconds, take the maximum."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    batch_size: Annotated[
        str, typer.Option(help="auto (1 on a CPU; probed at the longest length on a GPU) or N.")
    ] = "auto",
    seed: Annotated[
        int, typer.Option(help="Of noise, of the choice of clips, of random weights.")
    ] = 0,
    out: Annotated[
        Path,
        typer.Option(
            help="Run directory. The same command again resumes; more lengths or models amend."
        ),
    ] = Path("runs/default"),
    strict: Annotated[
        bool, typer.Option(help="Stop at the first bad clip instead of leaving it out.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and stop.")] = False,
) -> None:
    """Sweep models over lengths, haystacks and positions; tables, figures and report.html in --out."""
    from niah.plan import DEFAULT_HAYSTACKS, DEFAULT_MODELS, RunOptions, model_cards_of, plan

    options = RunOptions(
        models=tuple(model or DEFAULT_MODELS),
        checkpoint=checkpoint,
        needles=needles,
        audio_root=audio_root,
        limit=limit,
        broader=broader,
        haystacks=tuple(haystack or DEFAULT_HAYSTACKS),
        babble=babble,
        snrs_db=_numbers(snr),
        positions=_numbers(positions),
        lengths_s=_numbers(lengths),
        protocol=protocol,
        level=level,
        window_s=window,
        device=device,
        dtype=dtype,
        batch_size=_batch_size(batch_size),
        seed=seed,
        out=out,
        strict=strict,
    )
    if dry_run:
        cells = plan(options, list(model_cards_of(options)))
        for cell in cells:
            print(cell)
        print(f"{len(cells)} cells a run of the whole plan; nothing was run")
        return
    from niah.sweep import sweep

    table = sweep(options, _note)
    _show_report(out)
    failed = int((table["status"] == "error").sum())
    if failed:
        _fail(
            f"{failed} cells failed, see the notes above and cells.csv",
            status=1,
        )


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit():
        raise NiahError(f"--batch-size must be 'auto' or a whole number, got '{text}'")
    return int(text)


def _show_report(directory: Path) -> None:
    """Write tables, figures and report.html, and print the summary table with the paths."""
    from rich.console import Console

    from niah.records import RunDirectory
    from niah.report import write
    from niah.tables import summary

    page = write(directory)
    Console().print(summary(RunDirectory(directory).cells()))
    print(f"tables   {directory / 'tables.md'}")
    print(f"figures  {directory / 'figures'}")
    print(f"report   {page}")


@app.command()
def preview(
    needle: Annotated[Path, typer.Option(help="The sound to hide.")],
    out: Annotated[
        Path, typer.Option(help="Folder for features.npy, spectrogram.png and scene.wav.")
    ],
    haystack: Annotated[str, typer.Option(help="As in `niah run`.")] = "zero",
    babble: Annotated[Path | None, typer.Option(help=BABBLE_HELP)] = None,
    snr: Annotated[float, typer.Option(help="Needle over noise in dB.")] = 10.0,
    length: Annotated[float, typer.Option(help="Seconds in all; 10 is the needle alone.")] = 50.0,
    position: Annotated[float, typer.Option(help="Where the needle starts, 0 to 1.")] = 0.5,
    protocol: Annotated[str, typer.Option(help="dass-v1 or niah-v2.")] = "dass-v1",
    level: Annotated[str, typer.Option(help="surround or mix.")] = "surround",
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
) -> None:
    """One scene to see and to hear, as the model gets it."""
    from niah.preview import preview as write_preview

    written = write_preview(
        needle,
        haystack,
        snr_db=snr,
        length_s=length,
        position=position,
        out=out,
        protocol=protocol,
        babble=babble,
        seed=seed,
        level=level,  # type: ignore[arg-type]  # checked there
    )
    for path in written:
        print(path)


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Tables, figures and report.html of a run again, from its stored scores."""
    _show_report(directory)


@app.command()
def check(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    against: Annotated[
        str,
        typer.Option(
            help="'published' (the paper's numbers), or another run's directory or cells.csv."
        ),
    ] = "published",
) -> None:
    """Regression gate: every cell against a reference within its tolerance. Exit status 1 when any is off."""
    from niah.check import check as run_check

    result = run_check(directory, against if against == "published" else Path(against))
    print(result.markdown())
    if not result.ok:
        sys.exit(1)


@app.command()
def haystacks() -> None:
    """What needles can be hidden in."""
    from niah.cards import haystack_cards

    _print_table(
        ("name", "what", "licence"),
        [(card.name, card.description, card.licence) for card in haystack_cards()],
    )


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name (models/recipes) or a .toml of your own.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the log, the checkpoint and the trained weights; the same command resumes."
        ),
    ],
    train_needles: Annotated[
        str | None, typer.Option("--train", help="Training clips instead of the recipe's.")
    ] = None,
    evaluation: Annotated[
        str | None, typer.Option("--eval", help="Validation clips instead of the recipe's.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over the recipe; repeat for several."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Train or distil; writes weights that `niah run --checkpoint` takes."""
    from niah.training.command import train_recipe

    weights = train_recipe(
        recipe,
        out,
        train=train_needles,
        validation=evaluation,
        settings=settings or [],
        device=device,
    )
    print(weights)


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """All model cards: parameters, trained-on seconds, published mAP, licence, weights."""
    if context.invoked_subcommand is not None:
        return
    from niah.cards import model_cards

    rows = []
    for card in model_cards():
        published = ", ".join(f"{value:g}" for value in card.published.values())
        rows.append(
            (
                card.name,
                card.family,
                f"{card.parameters / 1e6:.1f} M",
                f"{card.trained_on_s:g} s",
                card.labels,
                published or "-",
                card.licence,
                _weights_told(card),
            )
        )
    _print_table(
        ("name", "family", "size", "trained on", "labels", "published mAP", "licence", "weights"),
        rows,
    )


@models_app.command("show")
def models_show(name: Annotated[str, typer.Argument(help="A model's name or card.")]) -> None:
    """Everything on one card."""
    from niah.cards import find_model

    card, _ = find_model(name)
    print(card.path.read_text().rstrip())
    print(f"\n# weights here: {_weights_told(card)}")


@models_app.command("verify")
def models_verify(
    name: Annotated[str, typer.Argument(help="A model's name or card.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Weights file; without it the card's own.")
    ] = None,
    lengths: Annotated[str, typer.Option(help="Seconds to run, comma-separated.")] = "10,50,300",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Load strictly and run at several lengths; says what it found."""
    from niah.verify import verify

    for line in verify(name, checkpoint, _numbers(lengths), device):
        print(line)


@data_app.command("verify")
def data_verify(
    needles: Annotated[str, typer.Argument(help=NEEDLES_HELP)],
    labels: Annotated[
        str,
        typer.Option(help="Label vocabulary: audioset-527, esc-50, esc-10, synthetic, or a CSV."),
    ] = "audioset-527",
    audio_root: Annotated[
        Path | None, typer.Option(help="Folder of the clips that a Google segment CSV names.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Check N clips only.")] = None,
    broader: Annotated[
        bool, typer.Option(help="Also labels that cover other sounds besides.")
    ] = False,
) -> None:
    """Check a needle set: ids, labels, sample rates, unreadable files, feature mean and deviation, licence."""
    from niah.data_check import verify
    from niah.features import KaldiFrontend
    from niah.needles import load_needles
    from niah.vocabularies import vocabulary

    frontend = KaldiFrontend()
    found = load_needles(
        needles, vocabulary=vocabulary(labels), limit=limit, broader=broader, audio_root=audio_root
    )
    print(verify(found, frontend.sample_rate, frontend).markdown())


def _weights_told(card: Any) -> str:
    from niah.weights import is_cached

    if not card.weights:
        return "none released"
    return ", ".join(
        f"{name} ({'here' if is_cached(card, name) else 'to fetch'})" for name in card.weights
    )


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, no_wrap=name in ("name", "family", "size"))
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)
