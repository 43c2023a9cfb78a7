"""`niah bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from niah.cli.messages import fail, note, print_table
from niah.cli.options import (
    MODEL_HELP,
    OWN_LABELS_HELP,
    PROMPT_HELP,
    SAMPLE_RATE_HELP,
    SEVERAL,
    TRUST_HELP,
    numbers,
    separated,
)
from niah.errors import NiahError
from niah.system.plurals import plural

if TYPE_CHECKING:
    from niah.adapters.model_source import ModelRequest

MOST = 1_000_000


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help=f"{MODEL_HELP}; {SEVERAL}. [default: dass-nano, ast-sin-nano, aum-nano]",
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="Seconds, comma-separated; 9000 is 2.5 h.")
    ] = "10,50,300",
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Weights file, 'random', or '' for the model's own weights. "
            "[default: random, where a model does not come with its weights]"
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=MOST, help="Clips in a forward pass.")] = 1,
    repeats: Annotated[
        int, typer.Option(min=1, max=MOST, help="Timed passes; the median counts.")
    ] = 5,
    warmup: Annotated[int, typer.Option(min=0, max=MOST, help="Passes before the timed ones.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    kernel: Annotated[
        str,
        typer.Option(
            help="Scan: auto, cpu, triton, chunked, reference or mamba_ssm (where it is installed)."
        ),
    ] = "auto",
    window: Annotated[
        float | None, typer.Option(help="Run sliding windows of N seconds instead of whole inputs.")
    ] = None,
    labels: Annotated[str, typer.Option(help=OWN_LABELS_HELP)] = "",
    sample_rate: Annotated[int | None, typer.Option(help=SAMPLE_RATE_HELP)] = None,
    prompt: Annotated[str, typer.Option(help=PROMPT_HELP)] = "",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help=TRUST_HELP)
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(
            help="claims: the papers' efficiency claims, in their settings and in fair ones."
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of bench.csv, bench.md, machine.json and the figure. The same command again resumes, and "
            "measures an edited model anew."
        ),
    ] = Path("runs/bench"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the points and stop.")] = False,
) -> None:
    """Measure latency, real-time factor and peak memory against length, beside the machine's roofline."""
    from niah.adapters.model_source import ModelRequest
    from niah.bench import claims as papers
    from niah.bench import report
    from niah.bench.bench import bench as measure
    from niah.bench.bench import frame, read
    from niah.bench.point import BenchPoint
    from niah.sweep.options import DEFAULT_MODELS

    if preset not in (None, "claims"):
        raise NiahError(f"--preset '{preset}': unknown; the only one is 'claims'")
    claims = papers.claims(_is_cpu(device)) if preset else ()
    points = papers.points_of(claims, device, dtype, repeats)
    if not preset:
        names = separated(model) or DEFAULT_MODELS
        request = ModelRequest(labels, sample_rate, prompt, trust_remote_code)
        weights = {name: _weights(name, checkpoint, request) for name in names}
        points = [
            BenchPoint(
                name,
                length_s,
                checkpoint=weights[name],
                batch_size=batch_size,
                repeats=repeats,
                warmup=warmup,
                device=device,
                dtype=dtype,
                kernel=kernel,
                window_s=window,
                labels=labels,
                sample_rate=sample_rate,
                prompt=prompt,
                trust_remote_code=trust_remote_code,
            )
            for name in names
            for length_s in numbers(lengths, "--lengths")
        ]
    if not points:
        raise NiahError("--lengths: give at least one length")
    if dry_run:
        for point in points:
            print(point.name)
        return
    rows = report.rows_of(measure(points, out, note))
    tables: list[report.Table] = [(report.HEADER, report.lines(rows))]
    if claims:
        tables.append(papers.table(claims, rows))
    for header, body in tables:
        print_table(header, body)
    # bench.md shows all rows of the folder, also those of earlier commands
    everything = report.rows_of(frame(read(out / "bench.csv")))
    tables[0] = (report.HEADER, report.lines(everything))
    _write(out, tables, report.draw(everything, out))
    failed = sum(row["status"] == "error" for row in rows)
    if failed:
        fail(f"{plural(failed, 'point')} failed, see {out / 'bench.csv'}", status=1)


def _weights(model: str, checkpoint: str | None, request: "ModelRequest") -> str:
    """Return the weights of a model: those that are asked for, else random ones where it takes them."""
    from niah.adapters.loading import takes_random_weights
    from niah.adapters.sources import find_source
    from niah.cards import RANDOM

    if checkpoint is not None:
        return checkpoint
    return RANDOM if takes_random_weights(find_source(model, request)) else ""


def _is_cpu(device: str) -> bool:
    from niah.adapters.loading import choose_device

    return choose_device(device).type == "cpu"


def _write(
    out: Path,
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]],
    figure: Path | None,
) -> None:
    from niah.bench.report import markdown
    from niah.system import atomic

    titles = (
        "Latency is the median a clip; the machine is in machine.json.",
        "The papers' claims.",
    )
    parts = [markdown(title, *table) for title, table in zip(titles, tables, strict=False)]
    if figure is not None:
        parts.append(f"![latency and peak memory against length]({figure.name})\n")
    with atomic.atomic_write(out / "bench.md") as stream:
        stream.write("\n".join(parts).encode())
