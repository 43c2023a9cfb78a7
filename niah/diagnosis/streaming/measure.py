"""`niah stream`: a run's scenes, with the needle and without, heard hop by hop; resumed cell by cell.

Thresholds are of the needle-free scenes of the same model, fed in the same way, at the same haystack, SNR and length.
Labels that the haystack contains do not count. A sound is when the label sounds in its clip, where the set knows (the
embedded one), else the whole clip before padding; a repeated clip's lasts from its first onset to its last offset.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from niah.adapters.loading import adapter_info
from niah.adapters.streaming import STATE, WINDOWS, Streams, WindowStream, carried_stream
from niah.adapters.waveform import window_s as longest_window_s
from niah.adapters.wrappers.sliding_window import window_frames
from niah.diagnosis.controls.overlap import contained_classes, labels_in
from niah.diagnosis.run_scenes import RunScenes, too_short_note
from niah.diagnosis.streaming import rows
from niah.diagnosis.streaming.listening import Heard, listen
from niah.diagnosis.streaming.rows import CurvePoint, Place, StreamScores
from niah.diagnosis.streaming.scores import HeardScenes, Sound, curve_at, scores_at
from niah.errors import NiahError
from niah.needles.needle import TimesSounds
from niah.placement import FRAMES_PER_SECOND, NEEDLE_ALONE_S, start_frame, total_frames
from niah.records.axes import NEEDLE_FREE, OWN
from niah.records.run_directory import RunDirectory
from niah.scenes.builder import Piece
from niah.scenes.lazy import Scene
from niah.sweep.loaded_model import LoadedModel
from niah.sweep.options import check_window
from niah.sweep.plan import Cell
from niah.system.progress import progress_bar

METHODS = (STATE, WINDOWS)
HOP_S = 1.0
PER_HOUR = 10.0
MOST_REPEATS = 1000
KEY_VERSION = 2


@dataclass(frozen=True)
class StreamOptions:
    """Options of `niah stream` beside those of the scenes.

    Attributes:
        hop_s: seconds heard between two answers, whole 10 ms.
        method: "state", "windows", or "auto": state where the model carries one.
        window_s: seconds of a window; None for the model's own length, at most 10 s.
        per_hour: alarms an hour and class that thresholds allow.
        repeats: times that the clip sounds, back to back.
    """

    hop_s: float = HOP_S
    method: str = "auto"
    window_s: float | None = None
    per_hour: tuple[float, ...] = (PER_HOUR,)
    repeats: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if not 0.01 <= self.hop_s <= 3600.0 or abs(self.hop_s * 100 - self.hop) > 1e-6 * self.hop:
            raise NiahError(
                f"--hop must be 0.01 to 3600 s, whole hundredths of a second, got {self.hop_s:g}"
            )
        if self.method not in ("auto", *METHODS):
            raise NiahError(f"--method '{self.method}': must be auto, {' or '.join(METHODS)}")
        if self.window_s is not None:
            check_window(self.window_s)
        if not self.per_hour or not all(0.0 < rate <= 1e6 for rate in self.per_hour):
            raise NiahError("--false-alarms must be above 0, to a million an hour")
        # each once and in one order: they are part of a cell's key
        object.__setattr__(self, "per_hour", tuple(sorted(set(self.per_hour))))
        if not self.repeats or not all(1 <= each <= MOST_REPEATS for each in self.repeats):
            raise NiahError(f"--repeat must be 1 to {MOST_REPEATS}")

    @property
    def hop(self) -> int:
        """Return the frames of a hop."""
        return round(self.hop_s * FRAMES_PER_SECOND)


def stream(
    scenes: RunScenes, options: StreamOptions, note: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Feed the scenes of a run to its models, hop by hop, and write the tables.

    Args:
        scenes: from `niah.diagnosis.run_scenes.open_scenes`.
        options: of the streams.
        note: gets sentences for the user.

    Returns:
        The files.

    Raises:
        NiahError: a model without a state where it is wanted, or no scene that holds the clip so often.
    """
    run = scenes.setup.options.out
    for text in scenes.notes:
        note(text)
    with progress_bar() as bar:
        for model in scenes.setup.loaded():
            cells = _cells(scenes, model, options, note)
            total = sum(cell.length_s for cell, _ in cells) * len(model.prepared)
            task = bar.add_task("stream", total=total, detail=model.name)
            fed = _FedModel.of(model, options)
            for cell, repeats in cells:
                step = partial(bar.advance, task, cell.length_s)
                key = fed.key(cell, repeats)
                name = scenes.setup.haystacks[cell.haystack].name
                contained = _contained(run, model, name)
                if rows.is_stored(run, key, contained):
                    bar.advance(task, cell.length_s * len(model.prepared))
                    continue
                heard = fed.feed(cell, repeats, contained, step)
                place = fed.place(cell, repeats, name)
                _write(run, key, place, heard, options.per_hour, contained)
    return rows.write(run)


def _cells(
    scenes: RunScenes, model: LoadedModel, options: StreamOptions, note: Callable[[str], None]
) -> list[tuple[Cell, int]]:
    """List the scenes and the times that the clip sounds in them.

    Scenes that do not hold it so often, or no more than a hop, are left out, the former with a note.
    """
    needle_frames = model.adapter.frontend.needle_frames
    cells = []
    lengths_s = [each for each in scenes.lengths_s if each > options.hop_s]
    long_enough = {
        repeats: [s for s in lengths_s if repeats * needle_frames <= total_frames(s, needle_frames)]
        for repeats in dict.fromkeys(options.repeats)
    }
    for haystack, made in scenes.setup.haystacks.items():
        if made.fill == OWN or not model.scenes.plays(haystack):
            continue
        for snr_db in scenes.snrs_db if made.needs_snr else (None,):
            for length_s in lengths_s:
                for position in dict.fromkeys(scenes.positions):
                    cell = Cell(model.name, haystack, length_s, snr_db, position)
                    cells += [
                        (cell, each) for each, fitting in long_enough.items() if length_s in fitting
                    ]
    if not cells:
        raise NiahError(
            f"model '{model.name}': no scene of the run can be streamed: crops of the needles' own recordings are not, "
            "and a scene must be long enough for --repeat and longer than --hop"
        )
    short = {each: set(lengths_s) - set(fitting) for each, fitting in long_enough.items()}
    if text := too_short_note("--repeat", short):
        note(f"model '{model.name}': {text}")
    return cells


def _contained(run: Path, model: LoadedModel, haystack: str) -> frozenset[int]:
    """Return the columns of the classes that are in a haystack."""
    labels = labels_in(haystack, RunDirectory(run).run_json())
    flags = contained_classes(model.labels.ids, labels)
    return frozenset(column for column, is_in in enumerate(flags.tolist()) if is_in)


@dataclass
class _FedModel:
    """A model that is fed hop by hop, with the needle-free streams that it heard last."""

    model: LoadedModel
    options: StreamOptions
    method: str
    window_s: float | None
    stream: Streams
    free: tuple[object, list[Heard]] | None = None

    @classmethod
    def of(cls, model: LoadedModel, options: StreamOptions) -> "_FedModel":
        """Return a model with the method by which it is fed.

        Raises:
            NiahError: a state is wanted, and the model carries none.
        """
        carried = None if options.method == WINDOWS else carried_stream(model.adapter)
        if carried is not None:
            if options.window_s is not None:
                raise NiahError(
                    f"model '{model.name}' carries its state: --window is for --method windows"
                )
            return cls(model, options, STATE, None, carried)
        if options.method == STATE:
            raise NiahError(
                f"model '{model.name}' carries no state from hop to hop: use --method windows (docs/streaming.md)"
            )
        own_s = adapter_info(model.adapter).fixed_seconds or longest_window_s(model.adapter)
        window_s = options.window_s or min(NEEDLE_ALONE_S, own_s)
        fixed_s = adapter_info(model.adapter).fixed_seconds
        frames, _ = window_frames(window_s, None, model.adapter.frontend.needle_frames, fixed_s)
        return cls(model, options, WINDOWS, window_s, WindowStream(model.adapter, frames))

    def key(self, cell: Cell, repeats: int) -> str:
        """Return the key of a stored cell."""
        return self.model.key(
            cell.haystack,
            stream=KEY_VERSION,
            method=self.method,
            hop_s=self.options.hop_s,
            window_s=self.window_s,
            per_hour=" ".join(f"{rate:g}" for rate in self.options.per_hour),
            snr_db=cell.snr_db,
            length_s=cell.length_s,
            position=cell.position,
            repeats=repeats,
        )

    def place(self, cell: Cell, repeats: int, haystack: str) -> Place:
        """Return what the rows of a cell are of, at the first rate."""
        assert cell.position is not None
        return Place(
            model=self.model.name,
            checkpoint_sha256=self.model.weights_sha256,
            method=self.method,
            haystack=haystack,
            snr_db=cell.snr_db,
            length_s=cell.length_s,
            position=cell.position,
            repeats=repeats,
            hop_s=self.options.hop_s,
            window_s=self.window_s,
            per_hour=self.options.per_hour[0],
            scenes=len(self.model.prepared),
        )

    def feed(
        self, cell: Cell, repeats: int, contained: frozenset[int], advance: Callable[[], None]
    ) -> HeardScenes:
        """Listen to the scenes of a cell, and to the same without their needles."""
        needles = self.model.prepared.needles.needles
        heard, sounds = [], []
        for index in range(len(needles)):
            scene, own = self._scene(cell, repeats, index)
            heard.append(self._listen(scene))
            sounds.append([each for each in own if each.column not in contained])
            advance()
        if not any(sounds):
            raise NiahError(f"{cell}: the haystack contains every label of the clips")
        free = Cell(cell.model, cell.haystack, cell.length_s, cell.snr_db, control=NEEDLE_FREE)
        return HeardScenes(
            heard,
            self._free(free),
            sounds,
            [needle.group for needle in needles],
            self.options.hop_s,
            self.model.scenes.same_for_all(free),
        )

    def _free(self, cell: Cell) -> list[Heard]:
        """Return the needle-free streams of a kind of scene; the positions of the needle share them."""
        if self.free is None or self.free[0] != cell:
            one = range(1) if self.model.scenes.same_for_all(cell) else None
            of_cell = self.model.scenes.of_cell(cell, self.model.prepared, one)
            self.free = cell, [self._listen(scene) for scene in of_cell]
        return self.free[1]

    def _listen(self, scene: Scene) -> Heard:
        classes = len(self.model.spec.labels)
        return listen(self.stream, scene, self.options.hop, classes, self.model.columns)

    def _scene(self, cell: Cell, repeats: int, index: int) -> tuple[Scene, list[Sound]]:
        """Return a clip's scene, and when its labels sound."""
        model, position = self.model, cell.position
        assert position is not None
        features = model.prepared.features(index)
        builder = model.scenes.builder(cell.haystack, cell.level)
        needle_frames = model.adapter.frontend.needle_frames
        own = min(features.frames, needle_frames)  # without its padding
        total = total_frames(cell.length_s, needle_frames)
        if repeats == 1:
            (scene,) = model.scenes.of_cell(cell, model.prepared, range(index, index + 1))
            start = start_frame(total, needle_frames, position, builder.protocol)
        else:
            start = start_frame(total, repeats * own, position, builder.protocol)
            pieces = [Piece(features, start + own * k, 0, own) for k in range(repeats)]
            clip_id = model.prepared.needles.needles[index].id
            scene = builder.arranged(pieces, clip_id, length_s=cell.length_s, snr_db=cell.snr_db)
        later_s = (repeats - 1) * own / FRAMES_PER_SECOND
        return scene, [
            Sound(
                model.labels.index(id_),
                start / FRAMES_PER_SECOND + onset_s,
                start / FRAMES_PER_SECOND + later_s + offset_s,
            )
            for id_, onset_s, offset_s in self._sounds(index, own / FRAMES_PER_SECOND)
        ]

    def _sounds(self, index: int, clip_s: float) -> list[tuple[str, float, float]]:
        """Return when each label of a clip sounds in it: as its source knows, else all the time."""
        needle = self.model.prepared.needles.needles[index]
        times = {}
        if isinstance(needle.source, TimesSounds):
            times = {
                id_: (onset, min(offset, clip_s)) for id_, onset, offset in needle.source.sounds()
            }
        return [
            (id_, *times.get(id_, (0.0, clip_s)))
            for id_ in needle.labels
            if id_ in self.model.labels.ids
        ]


def _write(
    run: Path,
    key: str,
    place: Place,
    heard: HeardScenes,
    rates: Sequence[float],
    contained: frozenset[int],
) -> None:
    scores, curves = [], []
    for rate in rates:
        about = {**asdict(place), "per_hour": rate}
        scores.append(StreamScores(**about, **scores_at(heard, rate)))
        curves += [CurvePoint(**about, **point) for point in curve_at(heard, rate)]
    rows.write_cell(run, key, scores, curves, contained)
