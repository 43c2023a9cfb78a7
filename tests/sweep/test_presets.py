"""Presets: every file is a plan, what the user gives goes first, and the paper's curves stand beside the run's."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from niah.errors import NiahError
from niah.pages import run_report as report
from niah.records.run_directory import RunDirectory
from niah.sweep.models import resolve_models
from niah.sweep.plan import plan
from niah.sweep.presets import (
    find_preset,
    notes_on_absent,
    options_of,
    presets,
    read_preset,
    without_weights,
)
from niah.tables.published import curves_of, statements
from tests.helpers import examples, planted, tiny
from tests.helpers.command_line import Niah

NAMES = ["fig1c", "fig3", "fig4", "fig5", "fig6"]


def test_there_is_one_for_each_figure_of_the_paper() -> None:
    assert [preset.name for preset in presets()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_can_be_planned(name: str) -> None:
    preset = find_preset(name)
    assert preset.states
    for options in options_of({"preset": name}):
        assert options.protocol == "dass-v1"
        assert options.out == Path("runs") / name
        assert (
            len(
                plan(
                    options,
                    [model.name for model in resolve_models(options.models, options.checkpoint)],
                )
            )
            > 1
        )


def test_figure_3_pools_at_every_position() -> None:
    (options,) = options_of({"preset": "fig3"})
    cells = plan(options, ["dass-small"])
    at_50 = {(cell.pooling, cell.position) for cell in cells if cell.length_s == 50}
    assert len(at_50) == 6 * 5
    assert sum(cell.is_base for cell in cells) == 6


def test_what_is_given_goes_first_in_every_part() -> None:
    result = options_of({"preset": "fig6", "models": ("dass-nano",), "lengths_s": (10.0, 20.0)})
    assert len(result) == 2
    for options in result:
        assert options.models == ("dass-nano",)
        assert options.lengths_s == (10.0, 20.0)
        assert options.preset == "fig6"
    assert [options.haystacks for options in result] == [("zero",), ("gaussian", "babble")]


def test_models_without_weights_are_left_out_and_named() -> None:
    assert without_weights({"preset": "fig1c"}) == ["ast-sin-small"]
    (note,) = notes_on_absent({"preset": "fig1c"})
    assert note.startswith("ast-sin-small is left out")
    assert [options.models for options in options_of({"preset": "fig1c"})] == [("dass-small",)]
    arguments = {"preset": "fig1c", "models": ("ast-sin-small",), "checkpoint": "mine.pth"}
    assert without_weights(arguments) == []
    assert len(options_of(arguments)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\ntitle = "x"\nsource = "x"', "no \\[\\[parts\\]\\]"),
        ('name = "x"\ncolour = 1\n[[parts]]\nmodels = ["a"]', "missing"),
        (
            'name = "x"\ntitle = ""\nsource = ""\n[[parts]]\nmodels = ["a"]\nhaystack = ["zero"]',
            "Did you mean 'haystacks'",
        ),
        ("name = ", "is not valid TOML"),
        (
            'name = "x"\ntitle = ""\nsource = ""\n[[parts]]\nmodels = ["a"]\nhaystacks = ["zero"]\n'
            f"positions = [0.5]\nlengths_s = [10, 1{'0' * 400}]",
            "lengths_s' is too large",
        ),
    ],
)
def test_what_is_no_preset_is_told(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(NiahError, match=message):
        read_preset(file)


def test_an_unknown_preset_is_told() -> None:
    with pytest.raises(NiahError, match=r"fig2.*Did you mean"):
        options_of({"preset": "fig2"})


def test_the_published_curves_are_shares_of_their_own_ten_seconds() -> None:
    dass, ast = curves_of(find_preset("fig1c"))
    assert (dass.model, dass.position, ast.model, ast.position) == (
        *("dass-small", 0.5),
        *("ast-sin-small", 0.0),
    )
    assert dass.shares[10.0] == 1
    assert dass.shares[9000.0] == pytest.approx(24.0 / 47.2)
    assert ast.shares[30.0] == 0.20  # the text's own figure goes before the digitised one
    medium = curves_of(find_preset("fig4"))[0]
    assert medium.shares == {10.0: 1.0, 50.0: 0.96, 9000.0: 0.62}
    assert curves_of(find_preset("fig5")) == []


def test_the_report_shows_what_the_paper_says(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run", {"presets": ["fig1c", "fig5"]})
    page = report.write(run.path).read_text()
    assert "Both noises are worse than zeros." in page
    assert (run.path / "figures" / "preset-fig1c.png").is_file()
    assert not (run.path / "figures" / "preset-fig5.png").exists()  # nothing in numbers
    assert "published: dass-small, zero, at 0.5: 1.00 at 10 s" in page
    (table,) = statements(["fig1c"])
    assert table.rows[0][0] == "the paper says"


def test_the_command_line_knows_presets_and_axes(
    niah: Niah, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def printed(text: str) -> str:
        answer = niah(*text.split())
        assert answer.status == 0, answer
        return answer.stdout + answer.stderr

    monkeypatch.setenv("COLUMNS", "200")
    shown = printed("run --help")
    assert all(name in shown for name in NAMES)
    assert "needle-free" in shown
    axes = "--needle-s 10,2.5 --needle-count 1,2 --distractors 0,1 --level surround,mix"
    planned = printed(
        f"run -m dass-nano --dry-run --protocol niah-v2 --haystack gaussian --lengths 50 {axes} "
        "--control needle-free,sham --pooling max,top-k",
    )
    assert f"{2 * (1 + 1 + 2 * 8 + 2 * 2)} cells" in planned
    assert (
        "gaussian 10 dB, 50 s, position 0.5, mix, needle 2.5 s, 2 needles, 1 distractor" in planned
    )
    sound = tmp_path / "dog.wav"
    soundfile.write(sound, np.random.default_rng(0).standard_normal(16000) / 10, 16000)
    (tmp_path / "needles.csv").write_text(f"path,labels\n{sound},/m/0bt9lr\n")
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    planned = printed(
        f"run --preset fig1c --lengths 10,300 --dry-run --needles {tmp_path}/needles.csv --out {tmp_path}/out",
    )
    assert "ast-sin-small is left out" in planned
    assert "weights of 'dass-small' are not on this machine" in planned
    assert "2 cells" in planned


def test_a_preset_runs_with_another_model(niah: Niah, tmp_path: Path) -> None:
    """`niah run --preset fig6 --model ..`: both parts in one run directory; the user's lengths, the paper's SNR."""
    card = planted.card(tmp_path / "card")
    command = ["run", "--preset", "fig6", "--model", str(card), "--lengths", "10,20"]
    command += ["--checkpoint", str(planted.checkpoint(tmp_path)), "--device", "cpu"]
    command += ["--needles", str(tiny.manifest(tmp_path / "clips")), "--out", str(tmp_path / "run")]
    command += ["--haystack", "zero", "--haystack", "gaussian"]
    answer = niah(*command)
    assert answer.status == 0, answer.stderr
    run = RunDirectory(tmp_path / "run")
    cells = run.cells()
    assert set(cells["snr_db"].dropna()) == {0.0, 10.0}  # the first part says none: the default
    assert set(cells["length_s"]) == {10.0, 20.0}
    assert run.run_json()["presets"] == ["fig6"]
    assert "DASS at 300 s in noise" in (run.path / "report.html").read_text()
