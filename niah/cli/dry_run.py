"""The plan of a run, printed: its cells, and what those that are not done take."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from niah.cli.messages import duration, note
from niah.system.plurals import plural

if TYPE_CHECKING:
    from niah.sweep.options import RunOptions
    from niah.sweep.share import Share


def print_plan(parts: "Sequence[RunOptions]", share: "Share", workers: int, then: str = "") -> None:
    """List the cells of the run or shard, mark those that are done, and forecast what the others take.

    Args:
        parts: the run, in one or more parts.
        share: of this process.
        workers: processes that work on what is listed.
        then: what follows the cells; "" for nothing.
    """
    from niah.sweep.dry_run import forecast, planned_cells

    listed = (each for part in parts for each in planned_cells(part, note, share, measure=True))
    cells = list(dict.fromkeys(listed))
    for each in cells:
        state = " (done)" if each.done else " (out of memory before)" if each.out_of_memory else ""
        print(f"{each.cell}{state}")
    costs = forecast(cells, share.slice_s)
    if costs.cells:
        print(f"work       {plural(costs.clips, 'scene')}, {duration(costs.audio_s)} of audio")
        by_model = ", ".join(
            f"{name} {'unknown' if seconds is None else duration(seconds)}"
            for name, seconds in costs.seconds.items()
        )
        print(f"time       about {by_model}, by short scenes on this machine")
        if workers > 1 and (seconds := costs.of_workers(workers)) is not None:
            print(f"{plural(workers, 'worker'):<10} about {duration(seconds)}, set-up left out")
        print(f"memory     about {costs.peak_bytes / 2**30:.2g} GiB at the peak")
        print(f"disk       about {costs.score_bytes / 1e6:.3g} MB of scores")
    if then:
        print(f"then       {then}")
    if share.is_shard:
        print(
            f"shard      {share} takes these cells first, then those of other shards in {parts[0].out} that nobody "
            "has claimed"
        )
    done = sum(each.done for each in cells)
    of = f" of shard {share}" if share.is_shard else ""
    print(f"{plural(len(cells), 'cell')}{of}, {done} of them done already; nothing was run")
