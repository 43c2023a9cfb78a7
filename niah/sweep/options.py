"""Options of a run, checked without torch and without reading files."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from niah.cards import RANDOM
from niah.errors import NiahError, nearest
from niah.needles.defaults import EMBEDDED, default_limit
from niah.needles.needle_part import FIRST, check_part
from niah.placement import (
    CURRENT_NIAH,
    FRAMES_PER_SECOND,
    LONGEST_S,
    check_position,
    check_protocol,
    check_snr,
    scene_frames,
)
from niah.randomness import check_seed
from niah.records.axes import ARRANGING_AXES, AXES, NEEDLE_FREE, OWN, SHAM, Axis
from niah.records.schema import BASE_LENGTH_S
from niah.system.devices import check_device_name, check_dtype_name

DEFAULT_MODELS = ("dass-nano", "ast-sin-nano", "aum-nano")
DEFAULT_LENGTHS_S = (10.0, 20.0, 50.0, 100.0)
DEFAULT_HAYSTACKS = ("zero", "gaussian", "babble")
DEFAULT_SNRS_DB = (10.0,)
DEFAULT_POSITIONS = (0.5,)
CONSTANT_HAYSTACKS = ("zero", "silence")
WINDOW_POOLS = ("max", "mean", "noisy-or")  # `niah.adapters.wrappers.sliding_window`
FRAME_S = 1 / FRAMES_PER_SECOND
MOST_CLIPS = 10_000_000  # AudioSet has 2 million
LARGEST_BATCH = 1_000_000
LEAST_RATE = 1e-6  # false alarms an hour
KERNELS = ("auto", "reference", "chunked", "cpu", "triton", "mamba_ssm")  # `niah.scan.Backend`
SCENE_OPTIONS = (
    *("models", "checkpoint", "labels", "sample_rate", "prompt", "trust_remote_code"),
    *("needles", "limit", "audio_root"),
    *("broader", "haystacks", "babble"),
    *("protocol", "level", "device", "dtype", "seed", "noise_seed", "strict", "needle_part"),
)


def check_limit(limit: int | None) -> int | None:
    """Return the number of clips to use, None for all.

    Raises:
        NiahError: below 1, or more than any set has.
    """
    if limit is not None and not 1 <= limit <= MOST_CLIPS:
        raise NiahError(f"--limit must be 1 to {MOST_CLIPS}, got {limit}")
    return limit


def check_window(window_s: float) -> float:
    """Return the length of sliding windows, in seconds.

    Raises:
        NiahError: shorter than a frame, or longer than any scene.
    """
    if not FRAME_S <= window_s <= LONGEST_S:
        raise NiahError(f"--window must be 0.01 s (a frame) to {LONGEST_S:g} s, got {window_s:g}")
    return window_s


def check_hop(hop_s: float, window_s: float) -> float:
    """Return the seconds from a sliding window to the next.

    Raises:
        NiahError: less than a frame, or more than the window, so that sounds lie between windows.
    """
    if not FRAME_S <= hop_s <= window_s:
        raise NiahError(
            f"--hop must be 0.01 s (a frame) to the window's {window_s:g} s, or sounds lie between windows; "
            f"got {hop_s:g}"
        )
    return hop_s


def check_rate(per_hour: float) -> float:
    """Return a number of false alarms an hour.

    Raises:
        NiahError: none that scenes could show, from one in a million hours to one a frame.
    """
    least, most = LEAST_RATE, 3600 / FRAME_S
    if not least <= per_hour <= most:
        raise NiahError(f"--false-alarms must be {least:g} to {most:g} an hour, got {per_hour:g}")
    return per_hour


def check_batch_size(batch_size: int) -> int:
    """Return the number of clips in one forward pass.

    Raises:
        NiahError: below 1, or more than any memory holds.
    """
    if not 1 <= batch_size <= LARGEST_BATCH:
        raise NiahError(f"--batch-size must be 'auto' or 1 to {LARGEST_BATCH}, got {batch_size}")
    return batch_size


def check_kernel(kernel: str) -> str:
    """Return the name of a scan kernel.

    Raises:
        NiahError: unknown; the message has the nearest.
    """
    if kernel not in KERNELS:
        raise NiahError(f"--kernel '{kernel}': unknown.{nearest(kernel, KERNELS)}")
    return kernel


def default_level(protocol: str) -> str:
    """Return a protocol's default level: "mix" (noise under the needle too) or, in older ones, "surround"."""
    return "mix" if protocol == CURRENT_NIAH else "surround"


@dataclass(frozen=True)
class RunOptions:
    """Options of `niah run`, checked."""

    models: tuple[str, ...] = DEFAULT_MODELS
    checkpoint: str | None = None
    labels: str = ""  # of models without a card, and all that count: a vocabulary, a file, or "model" for their own
    sample_rate: int | None = None  # in Hz, of functions of waveforms
    prompt: str = ""  # of text models, with {} for a class's name; "" is theirs
    trust_remote_code: bool = False  # run the Python files of a hub's repository
    objects: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Python objects among the models, by their names in `models`."""
    needles: str = ""  # "": those of the models' labels (`niah.needles.defaults`)
    limit: int | None = None
    audio_root: Path | None = None  # folder of the clips of an AudioSet segment list
    broader: bool = False  # also take labels that only cover the sound
    haystacks: tuple[str, ...] = DEFAULT_HAYSTACKS
    babble: Path | None = None
    snrs_db: tuple[float, ...] = DEFAULT_SNRS_DB
    positions: tuple[float, ...] = DEFAULT_POSITIONS
    lengths_s: tuple[float, ...] = DEFAULT_LENGTHS_S
    protocol: str = CURRENT_NIAH
    level: str = ""  # surround, mix or surround,mix; "" is the protocol's own (`default_level`)
    poolings: tuple[str, ...] = ()  # none: the model's own
    controls: tuple[str, ...] = ()
    false_alarms: tuple[
        float, ...
    ] = ()  # an hour and class, at which recall is reported; none: not at all
    needle_s: tuple[float, ...] = (BASE_LENGTH_S,)  # 10 is the whole clip
    needle_counts: tuple[int, ...] = (1,)
    distractors: tuple[int, ...] = (0,)
    needles_per_scene: tuple[int, ...] = (1,)
    window_s: float | None = None
    hop_s: float | None = None  # None is half the window
    window_pool: str = "max"
    reuse: bool = (
        True  # score windows (and patches) of equal content once; the scores are the same bits
    )
    device: str = "auto"
    dtype: str = "float32"
    kernel: str = "auto"  # of the scans; auto chooses by the device
    batch_size: int | None = None  # None is auto
    seed: int = 0  # of the choice and order of clips, and of random weights
    noise_seed: int | None = None  # of haystacks; None is `seed`
    out: Path = Path("runs/default")
    strict: bool = False
    needle_part: str = FIRST  # which 10 s of a longer clip are hidden
    preset: str | None = (
        None  # name of the preset that set the rest (`niah.sweep.presets`); recorded in run.json
    )

    def __post_init__(self) -> None:
        check_protocol(self.protocol)
        if not self.level:
            object.__setattr__(self, "level", default_level(self.protocol))
        for name in ("models", "haystacks", "snrs_db", "positions", "lengths_s"):
            if not getattr(self, name):
                raise NiahError(f"give at least one of {name}")
        check_part(self.needle_part)
        if set(self.haystacks) == {OWN}:
            self._check_own()
        if OWN in self.haystacks and self.protocol == "dass-v1":
            raise NiahError("haystack 'own' is not part of dass-v1: add --protocol niah-v2")
        for position in self.positions:
            check_position(position)
        for length in self.lengths_s:
            scene_frames(length)
            if length < BASE_LENGTH_S and self.protocol == "dass-v1":
                raise NiahError(
                    f"length {length:g} s: below 10 s, the needle's loudest stretch, is not part of dass-v1: "
                    "add --protocol niah-v2, or did you give minutes?"
                )
            if length < BASE_LENGTH_S and OWN in self.haystacks:
                raise NiahError(f"length {length:g} s: crops for --haystack own begin at 10 s")
        for snr_db in self.snrs_db:
            check_snr(snr_db)
        for per_hour in self.false_alarms:
            check_rate(per_hour)
        check_limit(self.limit)
        check_seed(self.seed)
        check_seed(self.seed_of_noise, "--noise-seed")
        self._check_running()
        self._check_window()
        self._check_axes()
        self._check_alike()
        if self.checkpoint not in (None, RANDOM) and len(self.models) > 1:
            raise NiahError(
                f"--checkpoint {self.checkpoint} is one file, and there are {len(self.models)} models"
            )

    def _check_own(self) -> None:
        """Refuse what no crop has: its events lie where they lie, at the level of the recording."""
        hidden = [AXES[name] for name in ARRANGING_AXES]
        for axis in hidden:
            if set(self.values_of(axis)) - {axis.plain}:
                raise NiahError(
                    f"{axis.option} is of hidden needles, and --haystack own hides none: leave it out"
                )
        if SHAM in self.controls:
            raise NiahError("--control sham is of hidden needles, and --haystack own hides none")

    def _check_running(self) -> None:
        if self.batch_size is not None:
            check_batch_size(self.batch_size)
        check_kernel(self.kernel)
        check_dtype_name(self.dtype)
        check_device_name(self.device)

    def _check_window(self) -> None:
        if self.window_s is not None:
            check_window(self.window_s)
        if self.window_pool not in WINDOW_POOLS:
            hint = nearest(self.window_pool, WINDOW_POOLS)
            raise NiahError(f"--window-pool '{self.window_pool}': unknown.{hint}")
        if self.window_s is None and (self.hop_s is not None or self.window_pool != "max"):
            raise NiahError("--hop and --window-pool are of sliding windows: add --window 10")
        if self.hop_s is not None:
            check_hop(self.hop_s, self.window_s or 0.0)

    def _check_axes(self) -> None:
        if not self.levels or len(set(self.levels)) != len(self.levels):
            raise NiahError(f"--level must be surround, mix or surround,mix; got '{self.level}'")
        for axis in AXES.values():
            values = self.values_of(axis)
            if not values and axis.plain is not None:
                raise NiahError(f"give at least one of {axis.option}")
            for value in values:
                if axis.choices and value not in axis.choices:
                    hint = nearest(str(value), axis.choices)
                    raise NiahError(f"{axis.option} '{value}': unknown.{hint}")
                if problem := axis.problem(value):
                    raise NiahError(f"{axis.option} {problem}; got {value:g}")
            if self.protocol in axis.absent_from and set(values) - {axis.plain}:
                raise NiahError(
                    f"{axis.option} is not part of {self.protocol}: add --protocol niah-v2"
                )
        if self.poolings and self.window_s is not None:
            raise NiahError("--pooling is of positions in whole scenes: leave --window out")

    def _check_alike(self) -> None:
        """Refuse numbers that tables and figures could not tell apart: they print six digits."""
        axes = {axis.option: self.values_of(axis) for axis in AXES.values()}
        lists = {"--lengths": self.lengths_s, "--snr": self.snrs_db, "--positions": self.positions}
        for option, values in (lists | axes).items():
            printed: dict[str, float] = {}
            for value in (each for each in values if isinstance(each, int | float)):
                if printed.setdefault(f"{value:g}", value) != value:
                    raise NiahError(
                        f"{option} {printed[f'{value:g}']!r} and {value!r} both print as {value:g}: give one of them"
                    )

    def values_of(self, axis: Axis) -> tuple[Any, ...]:
        """Return the run's values on an axis; () stands for the plain one alone."""
        return self.levels if axis.values == "level" else getattr(self, axis.values)

    @classmethod
    def of_scenes(cls, arguments: Mapping[str, Any], **changes: Any) -> Self:
        """Make options for further questions about the scenes of a run.

        Models, needles, haystacks and level are the run's (of two levels, its own). Windows, poolings, controls and
        further axes stay at their defaults.

        Args:
            arguments: entry of its run.json.
            **changes: fields that replace the run's; None leaves one.
        """
        values = {name: arguments[name] for name in SCENE_OPTIONS if name in arguments}
        values |= {name: value for name, value in changes.items() if value is not None}
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(value)
            elif name in ("babble", "audio_root", "out") and value is not None:
                values[name] = Path(value)
        options = cls(**values)
        return replace(options, level=options.own_level)

    @property
    def has_needle_free(self) -> bool:
        """Return whether scenes without a needle are scored: for their own sake, or for false alarms."""
        return NEEDLE_FREE in self.controls or bool(self.false_alarms)

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that `level` lists, in order."""
        return tuple(level.strip() for level in self.level.split(",") if level.strip())

    @property
    def own_level(self) -> str:
        """The level of the run's identity, and of rows without another."""
        return "surround" if "surround" in self.levels else self.levels[0]

    @property
    def seed_of_noise(self) -> int:
        """The seed of haystacks and of each clip's part of them."""
        return self.seed if self.noise_seed is None else self.noise_seed

    @property
    def clips_limit(self) -> int | None:
        """Number of clips: `limit`, or the default of the set."""
        return default_limit(self.needles or EMBEDDED) if self.limit is None else self.limit
