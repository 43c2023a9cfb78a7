"""Measure a day of streaming: results/embedded-streaming/day.csv, a row an hour.

    python scripts/stream_day.py [--model NAME] [--hours N] [--hop SECONDS]

A model that carries its state is fed an hour of babble again and again, hop by hop, in one process. Of every hour: the
median processor milliseconds of a hop, the bytes of its state, and the memory of the process above that of the first
minute. The hour is rendered before: its bank grows until it has gone round.
"""

import os
import sys
import time
from pathlib import Path
from statistics import median

import torch

from niah.adapters.loading import load_model
from niah.adapters.streaming import carried_stream, next_logits, state_bytes
from niah.haystacks import load_haystack
from niah.placement import CURRENT_NIAH, FRAMES_PER_SECOND
from niah.scenes.builder import SceneBuilder

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "results" / "embedded-streaming" / "day.csv"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def main(arguments: list[str]) -> None:
    """Stream, and write the CSV."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    hours, hop_s = int(options.get("--hours", "24")), float(options.get("--hop", "1"))
    torch.set_num_threads(1)
    adapter = load_model(options.get("--model", "aum-stream-nano"))
    stream = carried_stream(adapter)
    if stream is None:
        raise SystemExit(f"{adapter.name} carries no state")
    builder = SceneBuilder(adapter.frontend, CURRENT_NIAH, load_haystack("babble"))
    scene = builder.laid_out(None, "day", length_s=3600.0, position=0.0, snr_db=10.0).whole()
    hop, state = round(hop_s * FRAMES_PER_SECOND), stream.start()
    lines, minute, seconds = ["hour,hop_s,compute_ms,state_bytes,grown_bytes"], 0, []
    for start in range(0, hours * len(scene), hop):
        first = start % len(scene)
        piece = scene[first : first + hop].unsqueeze(0).clone()
        begin = time.process_time()
        state, _ = next_logits(stream, state, piece, len(adapter.labels))
        seconds.append(time.process_time() - begin)
        heard_s = (start + hop) / FRAMES_PER_SECOND
        if heard_s <= 60.0:
            minute = resident_bytes()
        if heard_s % 3600.0 == 0.0:
            grown = resident_bytes() - minute
            row = f"{heard_s / 3600:.0f},{hop_s:g},{1000 * median(seconds):.3f},{state_bytes(state)},{grown}"
            print(row, flush=True)
            lines.append(row)
            seconds = []
    CSV.parent.mkdir(parents=True, exist_ok=True)
    CSV.write_text("\n".join(lines) + "\n")


def resident_bytes() -> int:
    """Return the memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


if __name__ == "__main__":
    main(sys.argv[1:])
