"""`niah publish`: each form validates, its numbers are the run's, and nothing leaves without being told to."""

import json
import re
import resource
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pandas as pd
import pytest
import yaml

from niah.cli import main
from niah.errors import NiahError
from niah.pages import leaderboard
from niah.publish.badge import badge_svg
from niah.publish.headlines import folder_names, headlines
from niah.publish.model_card import card_table
from niah.publish.publishing import FORMS, PublishOptions, publish, results_file
from niah.publish.request import open_request
from niah.records import cell_table
from niah.records.run_directory import RunDirectory
from niah.records.summarise import summarise
from niah.system.markdown_text import plain
from tests.conftest import REPOSITORY
from tests.helpers import examples
from tests.publish import forms

RUN = REPOSITORY / "results" / "embedded"
CELLS = pd.read_csv(RUN / "cells.csv", float_precision="round_trip")
MODELS = ("ast-sin-nano", "aum-nano", "dass-nano")


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> PublishOptions:
    """Every form of the committed run, written."""
    made = PublishOptions(
        run=RUN,
        out=tmp_path_factory.mktemp("publish"),
        forms=FORMS,
        benchmark="org/audio-niah",
        organization="A laboratory",
        source="https://example.org/run",
    )
    assert publish(made, lambda: 1_790_000_000.5)
    return made


def test_eval_results_validate_and_have_the_runs_numbers(options: PublishOptions) -> None:
    tasks = set()
    for model in MODELS:
        entries = yaml.safe_load(
            (options.out / model / ".eval_results" / "audio-niah.yaml").read_text()
        )
        jsonschema.validate(entries, forms.EVAL_RESULTS)
        own = CELLS[(CELLS["model"] == model) & CELLS["mAP"].notna()]
        assert sorted(e["value"] for e in entries) == sorted(own["mAP"].round(4))
        values = {each["dataset"]["task_id"]: each["value"] for each in entries}
        assert len(values) == len(entries)
        (alone,) = own.loc[own["haystack"] == "none", "mAP"]
        assert values["clean_10s"] == pytest.approx(alone, abs=5e-5)
        (zero,) = own.loc[(own["haystack"] == "zero") & (own["length_s"] == 100), "mAP"]
        assert values["zero_100s"] == pytest.approx(zero, abs=5e-5)
        tasks |= set(values)
    benchmark = yaml.safe_load((options.out / "benchmark" / "eval.yaml").read_text())
    jsonschema.validate(benchmark, forms.BENCHMARK)
    assert {task["id"] for task in benchmark["tasks"]} == tasks


def test_every_eval_ever_records_validate_and_carry_intervals(options: PublishOptions) -> None:
    root = options.out / "every-eval-ever"
    files = sorted(file.relative_to(root).as_posix() for file in root.rglob("*.json"))
    assert len(files) == len(MODELS)
    for name in files:
        assert re.fullmatch(forms.RECORD_PATH, name)
        record = json.loads((root / name).read_text())
        jsonschema.validate(record, forms.EVERY_EVAL_EVER)
        assert record["retrieved_timestamp"] == "1790000000"
        model = record["model_info"]["name"]
        own = CELLS[CELLS["model"] == model].set_index("cell")
        assert len(record["evaluation_results"]) == own["mAP"].notna().sum()
        for result in record["evaluation_results"]:
            row, score = own.loc[result["evaluation_result_id"]], result["score_details"]
            assert score["score"] == row["mAP"]
            interval = score["uncertainty"]["confidence_interval"]
            assert (interval["lower"], interval["upper"]) == (row["mAP_lo"], row["mAP_hi"])
            assert score["uncertainty"]["num_samples"] == row["n_clips"]
            assert float(score["details"]["chance_mAP"]) == row["chance_mAP"]


def test_a_model_and_needles_of_the_hub_keep_their_names(tmp_path: Path) -> None:
    rows = [
        examples.row(
            model="hf:MIT/ast@abc",
            mAP=0.5,
            length_s=s,
            needles="hf:mteb/audioset@168a7e6/test",
            **more,
        )
        for s, more in (
            (10.0, {"haystack": "none"}),
            (50.0, {"haystack": "a b"}),
            (50.0, {"haystack": "a-b"}),
        )
    ]
    run = tmp_path / "run"
    run.mkdir()
    cell_table.table(rows).to_csv(run / "cells.csv", index=False)
    made = PublishOptions(run, tmp_path / "out", ("every-eval-ever",), organization="x")
    (file,) = publish(made)
    record = json.loads(file.read_text())
    jsonschema.validate(record, forms.EVERY_EVAL_EVER)
    assert record["model_info"]["id"] == "MIT/ast"
    assert record["evaluation_results"][0]["source_data"]["hf_repo"] == "mteb/audioset"
    names = [each["evaluation_name"] for each in record["evaluation_results"]]
    assert names == ["audio-niah.clean_10s", "audio-niah.a_b_50s", "audio-niah.a_b_50s_2"]


def test_card_and_badge_show_what_is_left(options: PublishOptions) -> None:
    row = CELLS.query("model == 'dass-nano' and haystack == 'zero' and length_s == 100").iloc[0]
    card = (options.out / "dass-nano" / "model-card.md").read_text()
    line = f"| in zero, needle at 0.5, 100 s | {row['mAP']:.3f} | {row['mAP_lo']:.3f} to {row['mAP_hi']:.3f} |"
    assert f"{line} {100 * row['relative']:.0f} % |" in card
    assert f"Random scores have mAP {row['chance_mAP']:.3f}" in card
    root = ElementTree.fromstring((options.out / "dass-nano" / "audio-niah.svg").read_text())
    least = CELLS.query("model == 'dass-nano' and length_s == 100")["relative"].min()
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "audio niah"
    assert str(texts[1]).startswith(f"{100 * least:.0f} % at 100 s in ")
    alone = headlines(cell_table.table([examples.row(mAP=0.5, haystack="none")]))
    assert badge_svg(alone) is None


def test_damaged_scores_are_not_published(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    options = PublishOptions(run.path, tmp_path / "out", ("results",))
    file = sorted((run.path / "scores").iterdir())[0]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(NiahError, match=rf"{file.name} is damaged .*, so it is not published"):
        publish(options)
    assert not options.out.exists()
    shutil.rmtree(run.path / "scores")  # a run that is published without them
    assert publish(options)


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_file_of_results_is_whole_or_not_there(tmp_path: Path) -> None:
    """On a disk that takes 4 KiB a file."""
    run = examples.make(tmp_path / "run", {"notes": ["x" * 5000]})
    publish(options := PublishOptions(run.path, tmp_path / "out", ("results",)))
    target = tmp_path / "out" / "results" / "runs" / "run"
    before = {file: file.read_bytes() for file in target.rglob("*") if file.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(NiahError, match="too large"):
            publish(options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file: file.read_bytes() for file in target.rglob("*") if file.is_file()} == before
    publish(options)


def test_the_results_folder_is_read_as_the_run_is(options: PublishOptions, tmp_path: Path) -> None:
    folder = options.out / "results"
    leaderboard.write([folder / "runs"], tmp_path / "copy")
    leaderboard.write([RUN], tmp_path / "own")
    copy, own = ((tmp_path / name / "leaderboard.md").read_text() for name in ("copy", "own"))
    assert copy == own
    workflow = yaml.safe_load((folder / ".github" / "workflows" / "results.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["check"]["steps"]]
    assert any("niah leaderboard runs --verify --out site" in step for step in steps)
    assert workflow["permissions"] == {"contents": "read"}
    again = publish(replace(options, forms=("results",), out=folder))  # into the repository itself
    assert again[0] == folder / "runs" / RUN.name
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"forms": ("cards",)}, "'cards' is none of .*Did you mean"),
        ({"forms": ()}, "give at least one of"),
        ({"benchmark": "x"}, "needs --benchmark OWNER/NAME"),
        ({"organization": " "}, "needs --organization"),
        ({"relationship": "friend"}, "must be one of first_party"),
        ({"models": ("dass-nan",)}, "has no model 'dass-nan'"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    options: PublishOptions, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NiahError, match=reason):
        publish(replace(options, out=tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_random_weights_are_not_published(tmp_path: Path) -> None:
    made = examples.make(tmp_path / "run", {"models": {"dass-nano": {"random": True}}})
    with pytest.raises(NiahError, match="dass-nano has random weights"):
        publish(PublishOptions(made.path, tmp_path / "out", ("card",), models=("dass-nano",)))
    publish(PublishOptions(made.path, tmp_path / "out", ("card",)))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"ast-sin-nano", "published.json"}


class Hub(BaseHTTPRequestHandler):
    """A hub that takes one commit as a pull request."""

    commits: list[dict[str, Any]]
    refuse = False

    def log_message(self, *_: Any) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.refuse:
            self.send_error(403)
            return
        if "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            answer: dict[str, Any] = {"files": files}
        else:
            Hub.commits.append(
                {"path": self.path, "token": self.headers["Authorization"], "body": body}
            )
            page = f"http://{self.headers['Host']}/me/model"
            answer = {
                "commitUrl": f"{page}/commit/{'c' * 40}",
                "commitOid": "c" * 40,
                "pullRequestUrl": f"{page}/discussions/7",
            }
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(
        "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}"
    )
    monkeypatch.setattr(Hub, "commits", [], raising=False)
    yield Hub
    server.shutdown()
    server.server_close()


def test_a_request_is_opened_only_with_a_token_and_when_told(
    hub: type[Hub],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["niah", "publish", str(RUN), "--to", "eval-results", "--benchmark", "org/audio-niah"]
    command += ["--model", "dass-nano", "--out", str(tmp_path)]
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    for further, status, said in (
        ([], 0, ""),
        (["--create-pr"], 2, "needs --to eval-results and --repo"),
        (["--create-pr", "--repo", "me/model"], 2, "no Hugging Face token"),
    ):
        monkeypatch.setattr(sys, "argv", [*command, *further])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code, said in capsys.readouterr().err) == (status, True)
    assert hub.commits == []
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
    file = tmp_path / "dass-nano" / ".eval_results" / "audio-niah.yaml"
    assert open_request("me/model", file, "why").endswith("/discussions/7")
    (commit,) = hub.commits
    assert commit["path"].startswith("/api/models/me/model/commit/main")
    assert "create_pr=1" in commit["path"]
    assert ".eval_results/audio-niah.yaml" in commit["body"]
    monkeypatch.setattr(Hub, "refuse", True)
    with pytest.raises(NiahError, match="the hub does not open a request for me/model"):
        open_request("me/model", file, "why")


def test_models_whose_names_make_one_folder_have_their_own(tmp_path: Path) -> None:
    names = ("a/b", "a_b", "A_B", "hf:x/y", "plain", 300 * "x" + "1", 300 * "x" + "2")
    folders = folder_names(names)
    assert folders["a_b"] == "a_b" or folders["A_B"] == "A_B"
    assert folders["plain"] == "plain"
    assert folders["hf:x/y"] == "hf_x_y"
    assert len({folder.casefold() for folder in folders.values()}) == len(names)
    run = tmp_path / "run"
    run.mkdir()
    cells = pd.concat(CELLS[CELLS["model"] == "dass-nano"].assign(model=name) for name in names)
    cells["cell"] = [f"{index:020x}" for index in range(len(cells))]
    cells.to_csv(run / "cells.csv", index=False)
    made = publish(PublishOptions(run=run, out=tmp_path / "out", forms=("card",)))
    assert len(set(made)) == len(names)
    for name, folder in folders.items():
        assert plain(name) in (tmp_path / "out" / folder / "model-card.md").read_text()


def test_natural_crops_have_no_share_of_a_clip_cut_out() -> None:
    """A crop is no longer version of the clip, which is not the same as a 10 s score at chance."""
    own = CELLS[(CELLS["model"] == "dass-nano") & (CELLS["length_s"] != 10)]
    crops = own.assign(haystack="own", snr_db=None).drop_duplicates("length_s")
    alone = CELLS[(CELLS["model"] == "dass-nano") & CELLS["haystack"].isin(["none"])]
    results = headlines(pd.concat([alone, crops]))
    assert badge_svg(results) is None
    rows = [row for row in card_table(results).rows if "own" in row[0]]
    assert rows
    assert {row[-2:] for row in rows} == {("", "")}


def test_one_that_guesses_has_no_share_to_show() -> None:
    own = CELLS[CELLS["model"] == "dass-nano"]
    at_chance = own.assign(adjusted=None)
    made = badge_svg(headlines(at_chance))
    assert made is not None
    assert "the 10 s mAP does not differ from chance" in made
    rows = card_table(headlines(at_chance)).rows
    assert {row[-1] for row in rows} == {"chance"}
    shares = [row[-1] for row in card_table(headlines(own)).rows if row[-2]]
    assert all(share.endswith(" %") for share in shares)


def test_another_run_of_the_same_name_is_not_published_over_it(tmp_path: Path) -> None:
    first = examples.make(tmp_path / "a" / "sweep")
    options = PublishOptions(first.path, tmp_path / "out", ("results",))
    target = tmp_path / "out" / "results" / "runs" / "sweep"
    publish(options)
    publish(options)  # the same again
    before = {file.name: file.read_bytes() for file in (target / "cells").iterdir()}
    with RunDirectory.create_or_open(tmp_path / "b" / "sweep", examples.IDENTITY) as fewer:
        examples.add(fewer, 3.0)
        summarise(fewer)
    with pytest.raises(NiahError, match=r"has \d+ cells that .*sweep lacks: `niah merge` both"):
        publish(replace(options, run=tmp_path / "b" / "sweep"))
    other = {**examples.IDENTITY, "ids_sha256": "1" * 64}
    with RunDirectory.create_or_open(tmp_path / "c" / "sweep", other) as clips:
        examples.add(clips, 3.0)
        summarise(clips)
    with pytest.raises(NiahError, match=r"another run of that name .*other clips"):
        publish(replace(options, run=tmp_path / "c" / "sweep"))
    assert {file.name: file.read_bytes() for file in (target / "cells").iterdir()} == before


def test_two_weights_of_one_name_are_published_side_by_side(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    own = CELLS[CELLS["model"] == "dass-nano"]
    weights = ("a" * 64, "b" * 64)
    cells = pd.concat(own.assign(checkpoint_sha256=sha) for sha in weights)
    cells["cell"] = [f"{index:020x}" for index in range(len(cells))]
    cells.to_csv(run / "cells.csv", index=False)
    forms = ("card", "every-eval-ever")
    options = PublishOptions(run, tmp_path / "out", forms, organization="us")
    cards = [file for file in publish(options) if file.name == "model-card.md"]
    folders = {file.parent for file in cards}
    assert {file.parent.name for file in cards} == {"dass-nano_aaaaaaaa", "dass-nano_bbbbbbbb"}
    assert len(folders) == 2
    with pytest.raises(NiahError, match=r"for one model, not for dass-nano \(aaaaaaaa\), dass"):
        results_file(replace(options, models=("dass-nano",)))


def test_a_publication_of_another_run_is_not_written_over(tmp_path: Path) -> None:
    """The method paragraph of the first run, and its models' cards, had become the second's."""
    mine = PublishOptions(RUN, tmp_path, ("bibtex", "card"))
    publish(mine)
    publish(mine)
    other = REPOSITORY / "results" / "gate"
    before = (tmp_path / "method.txt").read_text()
    for forms_ in (("bibtex",), ("card", "badge", "results")):
        with pytest.raises(
            NiahError, match=r"publication of another run, 'embedded': give another --out"
        ):
            publish(PublishOptions(other, tmp_path, forms_))
    assert (tmp_path / "method.txt").read_text() == before
    assert not (tmp_path / "results").exists()
    publish(PublishOptions(other, tmp_path, ("results",)))
    (tmp_path / "method.txt").unlink()
    (tmp_path / "audio-niah.bib").unlink()
    publish(PublishOptions(other, tmp_path, ("bibtex",)))
