"""The scenes of a plan as sound files; the same command again goes on, more lengths or haystacks amend.

Scenes, clips and cells are those of a run of a waveform model with the same options. Labels and cells are settled
before the first sound, so that a folder is well-formed whenever the writer is stopped.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.exchange.scene_plan import PLACE, PlannedScene, ScenePlan
from niah.exchange.scene_set import (
    ANSWERS,
    MANIFEST,
    README,
    SCENES_JSON,
    SOUNDS,
    SceneCell,
    SceneSet,
    read_answers,
    read_scene_set,
    write_answers,
)
from niah.exchange.sound import (
    SoundFormat,
    check_gain,
    largest_gain,
    peak_of,
    sha256_of,
    sound_format,
    write_sound,
)
from niah.records.identity import identity_differences, publishable_identity
from niah.records.lock import acquire_lock
from niah.records.run_parts import LOCK, refuse_links
from niah.records.schema import BASE_LENGTH_S
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.sweep.setup import EvalSetup
from niah.system import atomic, folders, spreadsheet
from niah.system.progress import track
from niah.system.text_tables import read_table

COLUMNS = ("scene", "file", "clip", *PLACE, "sha256")
_README = (
    "The sound files under sounds/ are scenes of Audio NIAH ({protocol}, {clips} clips, {rate} Hz, gain {gain:g} dB): "
    "labelled clips hidden in haystacks, listed in manifest.csv.\n"
    "A system writes its predictions as columns scene, label, score (CSV, Parquet or JSON lines; labels by id or name) "
    "without using what manifest.csv says of a scene.\n"
    "answers.parquet holds the labels and stays with whoever scores them: "
    "niah score FOLDER predictions.csv --model NAME --out RUN.\n"
)

Note = Callable[[str], None]


@dataclass(frozen=True)
class Forecast:
    """The scenes that are to be written, their seconds of sound, and the most bytes that they take."""

    scenes: int
    seconds: float
    largest_bytes: int

    def __str__(self) -> str:
        hours, gigabytes = self.seconds / 3600, self.largest_bytes / 1e9
        return f"{self.scenes} scenes, {hours:.3g} h of sound, at most {gigabytes:.3g} GB"


def write_scenes(
    options: RunOptions,
    *,
    format_name: str = "flac16",
    gain_db: float | None = None,
    dry_run: bool = False,
    yes: bool = False,
    note: Note = lambda _: None,
) -> Forecast:
    """Write the scenes that are missing in `options.out`.

    Args:
        options: from `niah.exchange.scene_plan.scene_options`.
        format_name: one of `niah.exchange.sound.FORMATS`.
        gain_db: of all samples; None: the folder's own; in a new one 0, or the largest at which no scene clips.
        dry_run: check everything, write nothing.
        yes: write even if the disk may be too small.
        note: called with each note for the user.

    Returns:
        What was missing.

    Raises:
        NiahError: anything wrong in the options, a folder of other scenes, a scene that would clip, a full disk.
    """
    format_ = sound_format(format_name)
    check_gain(gain_db)
    setup = EvalSetup(options)
    for text in setup.notes:
        note(text)
    writer = _Writer(setup, format_name, format_)
    writer.check_folder(gain_db)
    forecast = writer.forecast()
    if dry_run:
        return forecast
    folder = options.out
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    if forecast.largest_bytes > free and not yes:
        raise NiahError(
            f"{forecast}, and {folder} has {free / 1e9:.3g} GB free: take fewer --lengths, --positions or --limit, "
            "another folder, or --yes to try"
        )
    lock = acquire_lock(folder)
    try:
        writer.write(gain_db, note)
    finally:
        lock.release()
    return forecast


class _Writer:
    """One call of `write_scenes`."""

    def __init__(self, setup: EvalSetup, format_name: str, format_: SoundFormat) -> None:
        self.setup = setup
        self.folder = setup.options.out
        self.format_name, self.format = format_name, format_
        self.plan = ScenePlan(setup)
        self.cells, self.rate = self.plan.cells, self.plan.sample_rate
        self.clips = len(self.plan.prepared)
        self.stored: SceneSet | None = None

    def check_folder(self, gain_db: float | None) -> None:
        """Read what the folder holds, and refuse other scenes or files."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise NiahError(f"{self.folder} is a file: give a folder to write the scenes to")
        files = (SCENES_JSON, MANIFEST, ANSWERS, README, LOCK)
        refuse_links(self.folder, files, (SOUNDS,), "scenes")
        if not (self.folder / SCENES_JSON).is_file():
            foreign = [e.name for e in self.folder.iterdir() if e.name not in (LOCK, SOUNDS)]
            if foreign := [name for name in foreign if not atomic.is_leftover(name)]:
                raise NiahError(
                    f"{self.folder} is not empty and holds no scenes ({min(foreign)!r}): give a new folder"
                )
            return
        self.stored = read_scene_set(self.folder)
        stored_clips = self.stored.record.get("needles", {}).get("clips")
        differences = identity_differences(
            self.stored.identity, self.setup.identity(), stored_clips, self.clips
        )
        own = {"sample_rate": self.rate, "format": self.format_name}
        if gain_db is not None:
            own["gain_db"] = gain_db
        sound = self.stored.sound
        differences += [
            f"{name} is {sound.get(name)} there, {value} now"
            for name, value in own.items()
            if sound.get(name) != value
        ]
        differences += [
            f"its haystack '{each.name}' is another sound"
            for each in self.setup.haystacks.values()
            if self.stored.haystacks.get(each.name, {}).get("sha256")
            not in (None, each.fingerprint)
        ]
        if differences:
            raise NiahError(
                f"{self.folder} holds other scenes ({'; '.join(differences)}): give another folder"
            )

    def forecast(self) -> Forecast:
        """Count what is missing; noise hardly compresses, silence to next to nothing."""
        count, seconds, most = 0, 0.0, 0
        for cell, described in self.cells:
            numbers = self.plan.numbers(cell)
            missing = sum(
                not self._file(described.key, described.scene_id(n)).exists() for n in numbers
            )
            sounding = cell.length_s
            if self.format.bits is not None and not self.plan.has_noise(cell):
                sounds = cell.needles + (cell.distractors or 0)
                sounding = min(sounding, BASE_LENGTH_S * sounds + sounding / 100)
            count += missing
            seconds += missing * cell.length_s
            most += round(missing * sounding * self.rate * self.format.sample_bytes)
        return Forecast(count, seconds, most)

    def write(self, gain_db: float | None, note: Note) -> None:
        """Write scenes.json and the labels, then every scene that is missing, then the manifest."""
        atomic.remove_leftovers(self.folder)
        if gain_db is None and self.stored is not None:
            gain_db = float(self.stored.sound["gain_db"])
        gain_db = self._fitting_gain(gain_db)
        if gain_db:
            note(f"all scenes are written at a gain of {gain_db:g} dB (scenes.json has it)")
        content = self._scene_set(gain_db)
        if self.stored is None or content != self.stored:
            stored = read_answers(self.folder) if self.stored is not None else {}
            write_answers(self.folder, list(self.plan.answers(content.cells, stored)))
            content.write(self.folder)
        readme = _README.format(
            protocol=content.identity["protocol"],
            clips=self.clips,
            rate=self.rate,
            gain=gain_db,
        )
        with atomic.atomic_write(self.folder / README) as stream:
            stream.write(readme.encode())
        lines = self._manifest_lines()
        try:
            for place in self._tracked("scenes", self.cells):
                file = self._file(place.cell.key, place.id)
                listed = str(lines[place.id][-1]) if place.id in lines else ""
                if listed and file.exists():
                    if sha256_of(file) == listed:
                        continue
                    note(f"{file} was changed or damaged since it was written: it is made again")
                if listed or not file.exists():
                    with atomic.one_line_os_errors(self.folder):
                        file.parent.mkdir(parents=True, exist_ok=True)
                    write_sound(file, place.scene, self.rate, self.format, gain_db)
                lines[place.id] = self._line(place, file)
        finally:
            text = spreadsheet.text(COLUMNS, list(lines.values()))
            with atomic.atomic_write(self.folder / MANIFEST) as stream:
                stream.write(text.encode())

    def _fitting_gain(self, gain_db: float | None) -> float:
        """Return the gain, the largest that fits if it is None; cells that the folder has were measured before."""
        if self.format.bits is None:
            return gain_db or 0.0
        stored = {cell.key for cell in self.stored.cells} if self.stored else set()
        new = [each for each in self.cells if each[1].key not in stored]
        if not new:
            return gain_db or 0.0
        peak = max(peak_of(place.scene) for place in self._tracked("levels", new))
        largest = largest_gain(peak, self.format)
        if gain_db is not None and gain_db > largest:
            raise NiahError(
                f"scenes would clip at a gain of {gain_db:g} dB, their peak is {peak:.2f} of full scale: write all to "
                f"a new folder with --gain {largest:g} or less, or with --format wav-float"
            )
        return min(0.0, largest) if gain_db is None else gain_db

    def _scene_set(self, gain_db: float) -> SceneSet:
        """The content of scenes.json; cells that the folder has beside those of this plan stay."""
        record = self.setup.record()
        haystacks = {
            each.name: {"contains": list(each.contains), "sha256": each.fingerprint}
            for each in self.setup.haystacks.values()
        }
        own = {described.key: described for _, described in self.cells}
        if self.stored is not None:
            own = {cell.key: cell for cell in self.stored.cells} | own
            haystacks = {**self.stored.haystacks, **haystacks}
        names = (
            "niah_version",
            "arguments",
            "needles",
            "versions",
            "git",
            "excluded_clips",
            "notes",
        )
        entries: dict[str, Any] = folders.published_run({name: record[name] for name in names})
        return SceneSet(
            publishable_identity(self.setup.identity()),
            entries,
            haystacks,
            self.setup.labels,
            tuple(own.values()),
            {"sample_rate": self.rate, "format": self.format_name, "gain_db": gain_db},
        )

    def _tracked(
        self, what: str, cells: Sequence[tuple[Cell, SceneCell]]
    ) -> Iterator[PlannedScene]:
        total = sum(len(self.plan.numbers(cell)) for cell, _ in cells)
        return track(self.plan.planned(cells), what, total)

    def _file(self, key: str, scene: str) -> Path:
        folder = self.folder / SOUNDS / scene.rpartition("-")[0]
        assert key.startswith(folder.name)
        return folder / f"{scene}{self.format.suffix}"

    def _manifest_lines(self) -> dict[str, tuple[object, ...]]:
        file = self.folder / MANIFEST
        if not file.is_file():
            return {}
        table = read_table(file, COLUMNS)
        return {row[0]: tuple(row) for row in table.rows}

    def _line(self, place: PlannedScene, file: Path) -> tuple[object, ...]:
        clip = "" if place.number is None else f"clip{place.number:05d}"
        name = file.relative_to(self.folder).as_posix()
        values = (place.cell.columns.get(column, "") for column in PLACE)
        return (place.id, name, clip, *values, sha256_of(file))
