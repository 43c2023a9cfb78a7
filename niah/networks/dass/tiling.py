"""Sizes of the tiles that DASS is computed in (`niah.networks.dass.tiled`), and the largest tensor that they leave."""

from dataclasses import dataclass

from niah.networks.dass.network import DassConfig
from niah.system.memory_limit import usable_bytes


@dataclass(frozen=True)
class Tiling:
    """Sizes in positions (columns x mel rows) or elements. They change the result by rounding only."""

    chunk: int = 4096  # of a job on a CPU, and of a summary of the scans
    tile: int = 512  # at least, of a matrix product on a CPU
    # elements of a tile's hidden layer, half of a second-level cache; a narrow network then has more positions in
    # a tile than `tile`, as call overhead would dominate
    hidden: int = 1 << 17
    job: int = 1 << 14  # least elements (positions x channels) of a thread's job
    slab: int = 1 << 16  # of a matrix product on other devices
    short: int = 2500  # columns up to which a map is scanned in one pass
    second: int = 1 << 26  # elements that a second map may take beside x on a CPU
    window: int = 1 << 18  # elements of a halving's input or output where x is larger than that
    first: int = (
        usable_bytes() // 8
    )  # elements of float32 of a first map that is whole: half of the memory


DEFAULT = Tiling()


def largest_tensor(config: DassConfig, batch: int, frames: int, mels: int) -> int:
    """Count the elements of the largest tensor of `feature_map`: a map, or the hidden layer of a slab.

    Args:
        config: of the network.
        batch: number of clips.
        frames: of each clip.
        mels: of the features.

    Returns:
        The number of elements.
    """
    columns, rows = frames, mels
    largest = batch * columns * rows
    halvings = 0 if config.patch else len(config.stem)
    for _ in range(halvings):
        columns, rows = -(-columns // 2), -(-rows // 2)
    if config.patch:
        columns, rows = columns // config.patch, rows // config.patch
    for channels in config.dims:
        positions = max(DEFAULT.slab, batch * rows)
        hidden = int(channels * config.mlp_ratio)
        largest = max(largest, batch * columns * rows * channels)
        largest = max(largest, min(positions, batch * columns * rows) * hidden)
        columns, rows = -(-columns // 2), -(-rows // 2)
    return largest
