"""`niah publish`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.options import SEVERAL, listed, separated_models

REQUEST = "A pull request on the Hugging Face hub"


def publish(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="Forms, comma-separated: eval-results (Hugging Face), every-eval-ever, card (a table for a README), "
            "bibtex (with the method paragraph), badge (SVG), results (a folder for a repository of results).",
        ),
    ] = "card,bibtex,badge,results",
    out: Annotated[Path, typer.Option(help="Folder for what is written.")] = Path("runs/publish"),
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help=f"Publish only this model; {SEVERAL}."),
    ] = None,
    benchmark: Annotated[
        str,
        typer.Option(
            help="OWNER/NAME of the data set on the hub whose leaderboard gets the numbers (eval-results)."
        ),
    ] = "",
    source: Annotated[
        str, typer.Option(help="Address of the run or the paper, as the source (eval-results).")
    ] = "",
    organization: Annotated[str, typer.Option(help="Who made the run (every-eval-ever).")] = "",
    relationship: Annotated[
        str,
        typer.Option(
            help="Of that organisation to the models: first_party, third_party, collaborative or other."
        ),
    ] = "third_party",
    create_pr: Annotated[
        bool,
        typer.Option(
            "--create-pr",
            help="Also open a pull request with the eval-results, if a token is there.",
            rich_help_panel=REQUEST,
        ),
    ] = False,
    repo: Annotated[
        str,
        typer.Option(
            help="OWNER/NAME of the model on the hub, for --create-pr.", rich_help_panel=REQUEST
        ),
    ] = "",
) -> None:
    """Write a run's results in the forms that others read; nothing leaves this machine without --create-pr."""
    from niah.errors import NiahError
    from niah.publish.publishing import PublishOptions, results_file
    from niah.publish.publishing import publish as write_forms
    from niah.publish.request import open_request

    forms = listed(to, str, "--to")
    if create_pr and (repo.count("/") != 1 or "eval-results" not in forms):
        raise NiahError("--create-pr needs --to eval-results and --repo OWNER/NAME, the model's")
    options = PublishOptions(
        run=directory,
        out=out,
        forms=forms,
        models=separated_models(model, directory),
        benchmark=benchmark,
        source=source,
        organization=organization,
        relationship=relationship,
    )
    for path in write_forms(options):
        print(path)
    if create_pr:
        print(
            open_request(
                repo, results_file(options), f"mAP by Audio NIAH; source: {source or 'a run'}"
            )
        )
