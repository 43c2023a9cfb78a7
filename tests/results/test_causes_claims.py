"""results/embedded-causes: what its page says of the remedies is what its table carries after correction."""

from statistics import NormalDist

import pandas as pd
import pytest

from niah.metrics.multiple_testing import adjusted
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "results" / "embedded-causes"


def p_values(rows: pd.DataFrame) -> list[float]:
    """Two-sided p of effects, from their 95 % intervals (normal: a little below Student's)."""
    errors = (rows["effect_hi"] - rows["effect_lo"]) / (2 * NormalDist().inv_cdf(0.975))
    return [2 * NormalDist().cdf(-float(z)) for z in (rows["effect"].abs() / errors)]


def test_no_remedy_is_shown_once_nine_are_counted() -> None:
    """Max and top-k pooling give back 7 and 5 % at 100 s, p .013 and .015; Holm's p is .12 for both."""
    cells = pd.read_csv(FOLDER / "causes.csv")
    rows = cells[(cells["model"] == "dass-nano") & (cells["kind"] == "remedy")]
    rows = rows[rows["length_s"] == 100]
    assert list(rows["variant"][:2]) == ["max pooling", "top-k pooling"]
    assert len(rows) == 9
    alone = p_values(rows)
    assert alone[:2] == pytest.approx([0.013, 0.015], abs=0.002)
    assert list(adjusted(alone)[:2]) == pytest.approx([0.12, 0.12], abs=0.015)
    assert min(adjusted(alone)) > 0.05
    page = " ".join((FOLDER / "README.md").read_text().split())
    assert (
        "(p = 0.013 and 0.015; over the nine changes tried at 100 s, Holm's p is 0.12 for both"
        in page
    )


def test_holm_over_the_nine_remedies_of_the_first_measurement() -> None:
    alone = [0.01277, 0.01525, 0.846, 0.647, 0.137, 0.249, 0.139, 0.528, 0.938]
    assert list(adjusted(alone)[:2]) == pytest.approx([0.115, 0.122], abs=5e-4)
