"""Write the chosen forms of a run into one folder."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from niah.errors import NiahError, nearest
from niah.publish import badge, eval_results, every_eval_ever, model_card, ownership, results_folder
from niah.publish.headlines import Headline, by_model, folder_names, headlines
from niah.records.random_weights import random_models, table_without_accuracy
from niah.records.run_directory import RunDirectory
from niah.records.run_json import why_no_cells
from niah.system import atomic
from niah.system.folders import published_run
from niah.system.printable import content_of
from niah.tables.method import bibtex, method_paragraph, run_version

if TYPE_CHECKING:
    import pandas as pd

FORMS = ("eval-results", "every-eval-ever", "card", "bibtex", "badge", "results")


@dataclass(frozen=True)
class PublishOptions:
    """Options of `niah publish`.

    Attributes:
        run: the run directory.
        out: folder of what is written.
        forms: some of `FORMS`.
        models: names of models; empty for all.
        benchmark: OWNER/NAME of the data set on the hub that is the benchmark (`eval-results`).
        source: address of the run or paper; "" for none.
        organization: who made the run (`every-eval-ever`).
        relationship: of that organisation to the models.
    """

    run: Path
    out: Path
    forms: tuple[str, ...] = ("card", "bibtex", "badge", "results")
    models: tuple[str, ...] = ()
    benchmark: str = ""
    source: str = ""
    organization: str = ""
    relationship: str = "third_party"


def publish(options: PublishOptions, now: Callable[[], float] = time.time) -> list[Path]:
    """Write a run's results in the chosen forms.

    Args:
        options: what to write, and where.
        now: the time in seconds, of records that state it.

    Returns:
        The files and folders that were written.

    Raises:
        NiahError: a form is unknown or lacks an option, a model has random weights or no scored cell, the folder
            has files of another run or cannot be written to.
    """
    _check(options)
    run = RunDirectory(options.run)
    provenance = published_run(run.run_json())
    random = random_models(provenance)
    if chosen := sorted(set(options.models) & set(random)):
        raise NiahError(f"{chosen[0]} has random weights: its accuracy is not published")
    cells = table_without_accuracy(run.cells(), provenance)
    if cells.empty:
        raise NiahError(f"{run.path} {why_no_cells(provenance)}")
    results = headlines(cells, options.models)
    texts: dict[str, str] = {}
    if "bibtex" in options.forms:
        texts["method.txt"] = f"{method_paragraph(cells, provenance)}\n"
        texts["audio-niah.bib"] = bibtex(provenance, run_version(cells))
    if "eval-results" in options.forms:
        texts["benchmark/eval.yaml"] = eval_results.benchmark_yaml(results)
    folders, records = _folders(cells), dict[str, str]()
    for model, own in by_model(results).items():
        texts |= {f"{folders[model]}/{name}": text for name, text in _of_model(own, options)}
        if "every-eval-ever" in options.forms:
            evaluator = every_eval_ever.Evaluator(options.organization, options.relationship)
            name, text = every_eval_ever.record(own, provenance, evaluator, int(now()))
            records[f"every-eval-ever/{name}"] = text  # a name of its own
    if texts:
        ownership.take(options.out, texts, ownership.owner_of(run.path, provenance))
    written: list[Path] = []
    if "results" in options.forms:
        written += results_folder.copy_run(run.path, results_folder.folder_in(options.out))
    return written + [_write(options.out / name, text) for name, text in (texts | records).items()]


def results_file(options: PublishOptions) -> Path:
    """Return the `.eval_results` file of the one model that is published.

    Raises:
        NiahError: there are several models.
    """
    cells = RunDirectory(options.run).cells()
    models = list(by_model(headlines(cells, options.models)))
    if len(models) != 1:
        raise NiahError(f"a request is for one model, not for {', '.join(models)}: give --model")
    return options.out / _folders(cells)[models[0]] / eval_results.FOLDER / eval_results.FILE


def _folders(cells: "pd.DataFrame") -> dict[str, str]:
    """Return the folder of each model of a run, whichever of them are published; several weights have several."""
    return folder_names(by_model(headlines(cells)))


def _check(options: PublishOptions) -> None:
    for form in options.forms:
        if form not in FORMS:
            raise NiahError(f"--to: '{form}' is none of {', '.join(FORMS)}.{nearest(form, FORMS)}")
    if not options.forms:
        raise NiahError(f"--to: give at least one of {', '.join(FORMS)}")
    if "eval-results" in options.forms and options.benchmark.count("/") != 1:
        raise NiahError(
            "--to eval-results needs --benchmark OWNER/NAME, the data set on the hub whose leaderboard gets the numbers"
        )
    if "every-eval-ever" in options.forms and not options.organization.strip():
        raise NiahError("--to every-eval-ever needs --organization: who made the run")
    if options.relationship not in every_eval_ever.RELATIONSHIPS:
        known = ", ".join(every_eval_ever.RELATIONSHIPS)
        raise NiahError(f"--relationship must be one of {known} but is '{options.relationship}'")


def _of_model(own: list[Headline], options: PublishOptions) -> Iterator[tuple[str, str]]:
    """Yield names of files in the model's folder, and their texts."""
    if "eval-results" in options.forms:
        text = eval_results.eval_results_yaml(own, options.benchmark, options.source)
        yield f"{eval_results.FOLDER}/{eval_results.FILE}", text
    if "card" in options.forms:
        table = model_card.card_table(own)
        text = f"## Long audio\n\n{replace(table, caption=f'{table.caption}:').markdown()}"
        yield "model-card.md", text
    if "badge" in options.forms and (svg := badge.badge_svg(own)) is not None:
        yield "audio-niah.svg", svg


def _write(file: Path, text: str) -> Path:
    with atomic.one_line_os_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    with atomic.atomic_write(file) as stream:
        stream.write(content_of(file.name, text))
    return file
