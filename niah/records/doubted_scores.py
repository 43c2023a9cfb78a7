"""Models whose logits look like probabilities: their order is right, and what is averaged of them is not."""

import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from niah.placement import FRAMES_PER_SECOND
from niah.probabilities import are_probabilities
from niah.records.schema import Row
from niah.records.scores import Logits

if TYPE_CHECKING:
    from niah.records.run_directory import RunDirectory

_FEWEST = 20  # scores of a cell that do not lie in [0, 1] by chance
_NOISY_OR = re.compile(r"noisy-or(, hop (?P<hop_s>[0-9.e+-]+) s)?")


def probability_warnings(run: "RunDirectory", scored: Iterable[Row]) -> Iterator[str]:
    """Warn of models whose logits look like probabilities, by one cell of each.

    Args:
        run: the scores.
        scored: rows of cells that have scores.

    Yields:
        A sentence for each such model.
    """
    by_length = sorted(scored, key=lambda row: float(row["length_s"] or 0), reverse=True)
    one_of_each = {str(row["model"]): row for row in by_length}  # the shortest scene: few windows
    for name, row in one_of_each.items():
        logits = run.read_scores(str(row["cell"])).logits
        if logits.size < _FEWEST or logits.min() == logits.max():
            continue
        pooled = _are_pooled(logits, row)
        if pooled or are_probabilities(logits):
            of_windows = " in each window" if pooled else ""
            yield (
                f"model '{name}': all of its scores lie in [0, 1]{of_windows}, as probabilities p do, and are taken as "
                "logits: their order is right, their calibration and what windows or a pooling average are not. Give "
                "log(p / (1 - p))"
            )


def _are_pooled(logits: Logits, row: Row) -> bool:
    """Return whether all scores of a cell are such as noisy-or makes of windows' scores in [0, 1].

    With x in [0, 1] in each of n windows, prod_w (1 - sigmoid(x_w)) = q lies in [(1 + e)^-n, 2^-n], and the score is
    ln(1 - q) - ln q. The count of windows is right to one: a needle's length in frames differs between front ends.
    """
    match = _NOISY_OR.fullmatch(str(row.get("window_pool") or ""))
    if match is None:
        return False
    window = round(float(row["window_s"] or 0) * FRAMES_PER_SECOND)
    hop = round(float(match["hop_s"]) * FRAMES_PER_SECOND) if match["hop_s"] else window // 2
    count = 1 + math.ceil(max(0, int(row["frames"] or 0) - window) / max(1, hop))
    low, high = (_log_odds(max(1, count - 1), 2.0), _log_odds(count + 1, 1.0 + math.e))
    return bool(((logits >= low) & (logits <= high)).all())


def _log_odds(count: int, base: float) -> float:
    """Return ln(1 - q) - ln q of q = base^-count."""
    return count * math.log(base) + math.log1p(-(base**-count))
