"""The method paragraph of a run, for a paper, and the BibTeX entries that belong to it."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.records.naming import NO_HAYSTACK, length_name, scene_name
from niah.records.random_weights import random_models
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import chance, length_curves
from niah.toml_tables import read_toml
from niah.version import __version__

if TYPE_CHECKING:
    import pandas as pd

SHOWN_DIGITS = 12  # of a SHA-256
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
PREDICTIONS = "predictions"  # in the place of a kernel: of `niah score`
DASS = "2407.04082"
SOFTWARE = """@misc{{audio-niah,
  title = {{Audio NIAH: Audio Needle in a Haystack}},
  author = {{{{The Audio NIAH developers}}}},
  howpublished = {{Software, version {version}}},
}}
"""
TASK = """@article{dass,
  title = {{DASS}: Distilled Audio State Space Models Are Stronger and More Duration-Scalable Learners},
  author = {Bhati, Saurabhchand and Gong, Yuan and Karlinsky, Leonid and Kuehne, Hilde and Feris, Rogerio and Glass, James},
  journal = {arXiv preprint arXiv:2407.04082},
  year = {2024},
}
"""  # noqa: E501 - an entry's author list is one line
PAPER = """@misc{{{key},
{about}
  eprint = {{{number}}},
  archivePrefix = {{arXiv}},
  url = {{https://arxiv.org/abs/{number}}},
  note = {{{note}}},
}}
"""
PAPERS_FILE = Path(__file__).with_name("papers.toml")


def method_paragraph(cells: "pd.DataFrame", provenance: Mapping[str, Any]) -> str:
    """Describe clips, protocol, scenes, models, statistics and software of a run in full sentences.

    Args:
        cells: rows of one protocol and one list of clips.
        provenance: run.json; what it does not state is left out.

    Returns:
        One paragraph of plain text.
    """
    sentences = [
        _clips(cells, provenance),
        _scenes(cells),
        _models(cells, provenance),
        _statistics(cells),
        _software(cells, provenance),
    ]
    return " ".join(filter(None, sentences))


def bibtex(provenance: Mapping[str, Any] | None = None, version: str = __version__) -> str:
    """Return BibTeX entries of this software, of the paper of the task, and of the models' papers by arXiv number.

    Args:
        provenance: run.json, whose models state their papers.
        version: of niah, that made the run.
    """
    numbers: dict[str, list[str]] = {}
    for name, model in (provenance or {}).get("models", {}).items():
        for number in _ARXIV.findall(str(model.get("paper", ""))):
            numbers.setdefault(number, []).append(name)
    numbers.pop(DASS, None)  # has an entry with its title
    entries = [SOFTWARE.format(version=version), TASK]
    for number, names in numbers.items():
        note = ", ".join(re.sub(r"[^\w .:@/-]", "", name) for name in names)
        key, about = f"arxiv-{number}", _about(number)
        entries.append(PAPER.format(key=key, about=about, number=number, note=f"paper of {note}"))
    return "\n".join(entries)


def _about(number: str) -> str:
    """Return title, authors and year of a paper as lines of BibTeX; its number where it is not listed."""
    paper = read_toml(PAPERS_FILE, "list of papers").get(number)
    if paper is None:
        return f"  title = {{{{arXiv}}:{number}}},\n  key = {{arXiv:{number}}},"
    lines = (f"title = {{{{{paper['title']}}}}}", f"author = {{{paper['authors']}}}")
    return "\n".join(f"  {line}," for line in (*lines, f"year = {{{paper['year']}}}"))


def run_version(cells: "pd.DataFrame") -> str:
    """Return the version of niah that scored the cells, the latest of several."""
    versions = [str(value) for value in cells["niah_version"].dropna()]
    return max(versions, default=__version__)


def _clips(cells: "pd.DataFrame", provenance: Mapping[str, Any]) -> str:
    first = cells.iloc[0]
    needles = provenance.get("needles", {})
    content = provenance.get("identity", {}).get("ids_sha256")
    about = [f"SHA-256 of the clip list {str(content)[:SHOWN_DIGITS]}"] if content else []
    if licence := needles.get("licence"):
        about.append(f"licence: {licence}")
    known = f" ({'; '.join(about)})" if about else ""
    return (
        f"{first['n_clips']} labelled clips of {first['needles']}{known} were each hidden in longer sound by protocol "
        f"{first['protocol']} of Audio NIAH."
    )


def _scenes(cells: "pd.DataFrame") -> str:
    curves = length_curves(cells)
    names = (scene_name(c.haystack, c.snr_db) for c in curves if c.haystack != NO_HAYSTACK)
    scenes = dict.fromkeys(name.replace(", ", " at ") for name in names)
    lengths = sorted({float(s) for s in cells["length_s"]})
    positions = sorted({c.position for c in curves if c.position is not None})
    seeds = sorted({int(seed) for seed in cells["seed"]})
    noise = sorted({int(s) for s in cells["noise_seed"].dropna()}) if "noise_seed" in cells else []
    text = f"Scenes are {_listed(map(length_name, lengths))} long"
    if scenes:
        what = "haystacks are" if len(scenes) > 1 else "haystack is"
        text += f"; the {what} {_listed(scenes)}"
    if positions:
        text += f"; the needle lies at {_listed(f'{p:g}' for p in positions)} of the free room"
    text += f"; the seed is {_listed(map(str, seeds))}"
    return text + (f", that of the noise {_listed(map(str, noise))}." if noise else ".")


def _models(cells: "pd.DataFrame", provenance: Mapping[str, Any]) -> str:
    weights: dict[str, dict[str, None]] = {}  # checksums of each model, in their order
    for name, sha in zip(cells["model"], cells["checkpoint_sha256"], strict=True):
        own = weights.setdefault(str(name), {})
        if isinstance(sha, str) and sha:
            own[sha[:SHOWN_DIGITS]] = None
    texts = [f"{name} (weights {_listed(own)})" if own else name for name, own in weights.items()]
    text = f"Models: {_listed(texts)}"
    windows = sorted({float(w) for w in cells["window_s"].dropna()})
    if windows:
        how = "also " if cells["window_s"].isna().any() else ""
        text += f", {how}over sliding windows of {_listed(f'{w:g} s' for w in windows)}"
    known = cells[cells["dtype"].notna()]
    dtypes = dict.fromkeys(str(d) for d in known["dtype"])
    foreign = dict.fromkeys(map(str, cells["model"][cells["kernel"] == PREDICTIONS]))
    own = dict.fromkeys(map(str, known["model"]))
    whose = f" ({_listed(own)})" if foreign and own else ""
    text += f", computed in {_listed(dtypes)}{whose}" if dtypes else ""
    if foreign:
        text += f"; predictions that were made outside, in a precision that is not known: {_listed(foreign)}"
    random = random_models(provenance)
    return f"{text}." + (f" {_listed(random)} had random weights." if random else "")


def _statistics(cells: "pd.DataFrame") -> str:
    level = chance(length_curves(cells))
    scored = cells["classes_scored"].dropna()
    classes = f" over {int(scored.max())} classes" if len(scored) else ""
    text = (
        f"The score is mAP (mean{classes} of average precision), and a drop is relative to the same model's score on "
        f"the clips alone ({BASE_LENGTH_S:g} s). Intervals are 95 %, paired over the clips, which are resampled by "
        "recording (bootstrap and jackknife, Student's t)."
    )
    return text if level is None else f"{text} Random scores have mAP {level:.3f}."


def _software(cells: "pd.DataFrame", provenance: Mapping[str, Any]) -> str:
    git = provenance.get("git", {})
    commit = str(git.get("commit") or "")[:SHOWN_DIGITS]
    text = f"Audio NIAH {run_version(cells)}"
    if commit:
        text += f" (commit {commit}{', with changes' if git.get('dirty') else ''})"
    versions = provenance.get("versions", {})
    others = [f"{name} {versions[name]}" for name in ("torch", "numpy") if name in versions]
    return f"{text}{''.join(f', {other}' for other in others)}."


def _listed(texts: Iterable[str]) -> str:
    """Return "a, b and c"."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
