"""Draw the labels of the synthetic clips once: niah/needles/synthetic/labels.npz, read in place of 1 to 2 ms a clip.

    python scripts/synthetic_labels.py

An array a split: bit c of an entry is set where class c sounds in the clip.
"""

import numpy as np

from niah.needles.readers.synthetic import SIZES
from niah.needles.synthetic.clips import CLASSES, LABELS_FILE, RECIPE, drawn_labels


def main() -> None:
    bits = {kind.id: 1 << bit for bit, kind in enumerate(CLASSES)}
    masks = {
        f"{RECIPE}/{split}": np.array(
            [sum(bits[id_] for id_ in drawn_labels(split, index)) for index in range(size)],
            dtype=np.uint32,
        )
        for split, size in SIZES.items()
    }
    np.savez_compressed(LABELS_FILE, **masks)  # type: ignore[arg-type]  # of its flag


if __name__ == "__main__":
    main()
