"""`niah score`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import fail, note
from niah.cli.report import show_report
from niah.system.plurals import plural


def score(
    directory: Annotated[Path, typer.Argument(help="A folder of `niah scenes`.")],
    predictions: Annotated[
        Path,
        typer.Argument(
            help="CSV, Parquet or JSON lines of scene, label, score; of scene and a column a label; or of scene and "
            "label alone, for answers in words. Labels by id or name."
        ),
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="The system's name in tables.")],
    out: Annotated[
        Path, typer.Option(help="Run directory: a new one, or one of the same plan to amend.")
    ],
    scores: Annotated[
        str,
        typer.Option(help="logit, probability, or auto: probability if all lie in [0, 1]."),
    ] = "auto",
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Score the cells whose scenes all have predictions; those that lack some are errors.",
        ),
    ] = False,
) -> None:
    """Make a run of predictions for the scenes of `niah scenes`: cells, tables, figures and report.html into --out."""
    from niah.exchange.scoring import score_predictions

    result = score_predictions(
        directory, predictions, model, out, scale=scores, allow_missing=allow_missing, note=note
    )
    show_report(out)
    if result.incomplete:
        fail(f"{plural(result.incomplete, 'cell')} incomplete: see the notes above", status=1)
