"""Figures on any machine: no warning where no home can be written, and no setting of the user's own matplotlibrc."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_DRAW = (
    "from niah.plots.style import in_style\nwith in_style():\n    import matplotlib.font_manager\n"
)


@pytest.mark.parametrize("cache", ["here", "/proc/nowhere"])
def test_nothing_is_warned_of_without_a_home(tmp_path: Path, cache: str) -> None:
    cache = str(tmp_path) if cache == "here" else cache
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    env = {**kept, "HOME": "/proc/nowhere", "NIAH_CACHE": cache, "TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", _DRAW], env=env, capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    fonts = list(tmp_path.glob("matplotlib/fontlist*.json"))
    assert len(fonts) == (cache == str(tmp_path))
    assert not list(tmp_path.glob("niah-matplotlib-*"))


def test_the_users_own_folders_come_first(tmp_path: Path) -> None:
    code = f"{_DRAW}import os\nprint(os.environ.get('MPLCONFIGDIR'))\n"
    env = {**os.environ, "HOME": str(tmp_path), "NIAH_CACHE": str(tmp_path / "niah")}
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        env.pop(name, None)
    ended = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "None\n"
    assert (tmp_path / ".cache" / "matplotlib").is_dir()


def test_a_users_matplotlibrc_changes_no_figure(tmp_path: Path) -> None:
    """With `text.usetex`, as papers want it, every run ended in a traceback of LaTeX's: "50 %" is a comment there."""
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfont.family: serif\nlines.marker: x\n"
    )
    code = (
        "import matplotlib as mpl\nassert mpl.rcParams['text.usetex']\n"
        f"{_DRAW}    names = 'text.usetex', 'lines.marker', 'axes.grid'\n"
        "    print(*map(mpl.rcParams.get, names), mpl.rcParams['font.family'])\n"
        "assert mpl.rcParams['text.usetex']\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False None True ['sans-serif']\n"
