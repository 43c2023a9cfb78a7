"""Write how the LSTM's state of Silero VAD grows in white noise: results/silero-speech/state.csv.

    python scripts/silero/state.py OUT.csv

The noise is Gaussian, one seed; -80 dBFS stands for a quiet line, and 0 dBFS is an RMS of 1.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from silero_tagger import SileroVad

from niah.adapters.weights import resolve
from niah.cards import find_model

LEVELS_DBFS = (-80, -50, -30, -20)
SECONDS = (1, 10, 50, 300, 1000, 9000)
BLOCK_S = 50


def main(out: str) -> None:
    card, weights = find_model(str(Path(__file__).with_name("silero.toml")))
    model = SileroVad(card)
    model.load_checkpoint(resolve(card, weights))
    with Path(out).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("noise_dbfs", "seconds", "largest_cell"))
        for level in LEVELS_DBFS:
            random, state, heard = np.random.default_rng(0), model.start(), 0
            for seconds in SECONDS:
                while heard < seconds:
                    more = min(BLOCK_S, seconds - heard)
                    noise = random.standard_normal(more * model.sample_rate, np.float32)
                    wave = torch.from_numpy(noise[None] * np.float32(10 ** (level / 20)))
                    state, _ = model.step(state, wave)
                    heard += more
                table.writerow((level, seconds, f"{np.abs(state.cell).max():.1f}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
