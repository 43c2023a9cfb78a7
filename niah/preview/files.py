"""`niah preview`: the files of one scene.

`features.npy` is the adapter's exact input. `scene.wav` is the same scene as sound: the clip spliced
into (or mixed with) the scaled noise; a `zero` haystack, which is no sound, plays as silence. With a
model, `curve.csv` and a panel below the picture show where in the scene it heard the classes that it
scores highest (`niah.diagnosis.localisation.evidence`).
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from niah import audio
from niah.diagnosis.localisation.evidence import METHODS
from niah.errors import NiahError, nearest
from niah.frontends import Frontend
from niah.frontends.kaldi import AST
from niah.haystacks import Haystack, load_haystack
from niah.needles.prepared import length_note
from niah.placement import (
    CURRENT_NIAH,
    check_snr,
    current_protocol,
    start_frame,
    total_frames,
)
from niah.plots.medium import COLUMN, PAGE, drawn_for
from niah.plots.style import write_as
from niah.preview.heard import evidence_in
from niah.preview.picture import draw
from niah.preview.scene import PreviewScene, drawn_as
from niah.preview.sound import play
from niah.randomness import check_seed
from niah.scenes.builder import SceneBuilder
from niah.scenes.levels import LEVELS
from niah.system import spreadsheet
from niah.system.atomic import atomic_write, one_line_os_errors
from niah.system.figure_files import wants_columns

if TYPE_CHECKING:
    from niah.adapters.model_source import ModelSource
    from niah.adapters.protocol import Adapter

FEATURES, PICTURE, SOUND = "features.npy", "spectrogram.png", "scene.wav"
CURVE = "curve.csv"


def _check_target(out: Path, needle: Path) -> None:
    """Refuse to write over files that no preview has made: those of a preview are all there.

    Raises:
        NiahError: there is one, or the needle itself.
    """
    target = out / SOUND
    if target.is_file() and target.samefile(needle):
        raise NiahError(f"{target} is the needle itself, which would be lost: give another --out")
    names = (FEATURES, SOUND, PICTURE)
    there = [out / name for name in (*names, CURVE) if (out / name).is_file()]
    if there and not all((out / name).exists() for name in names):
        raise NiahError(f"{there[0]} is no preview's and would be lost: give another --out")


def preview(
    needle: Path,
    haystack: str | Path | Haystack,
    *,
    snr_db: float | None,
    length_s: float,
    position: float,
    out: Path,
    protocol: str = CURRENT_NIAH,
    babble: Path | None = None,
    seed: int = 0,
    level: str | None = None,
    frontend: Frontend = AST,
    adapter: "Adapter | None" = None,
    method: str = "auto",
) -> list[Path]:
    """Write `features.npy`, `spectrogram.png` (.svg, .pdf) and `scene.wav` for one needle into `out`.

    The array is (frames, mels) float32, normalised. The sound is 16-bit at the front end's rate,
    scaled down as a whole if it would clip. The clip id that picks the noise is the file's stem.
    All files are written, or none.

    Args:
        needle: the sound file to hide.
        haystack: as in `niah run`, or a loaded one.
        snr_db: needle over noise in dB; constants need none.
        length_s: seconds of the whole scene.
        position: of the needle, in [0, 1].
        out: the folder of the files.
        protocol: one of `niah.placement.PROTOCOLS`; `niah-v2` is its current version.
        babble: a file or a folder of voices for the haystack `babble`.
        seed: of the noise.
        level: `surround` or `mix`; None for the protocol's own.
        frontend: the front end of the features.
        adapter: (with its own front end as `frontend`) a model whose evidence along time is drawn
            too, and written as `curve.csv`.
        method: of the curve: `positions`, `occlusion`, or `auto`: positions where the model has
            them.

    Returns:
        The files; of the picture, the PNG.

    Raises:
        NiahError: a bad needle, haystack, length, position or SNR, a method that the model does not
            have, or a folder that cannot be written.
    """
    protocol = current_protocol(protocol)
    total = total_frames(length_s, frontend.needle_frames)
    start = start_frame(total, frontend.needle_frames, position, protocol)
    check_seed(seed)
    drawn_as(frontend)
    if level is not None and level not in LEVELS:
        raise NiahError(f"--level '{level}': unknown.{nearest(level, LEVELS)}")
    if method not in ("auto", *METHODS):
        raise NiahError(f"--method '{method}': must be auto, {' or '.join(METHODS)}")
    if snr_db is not None:
        check_snr(snr_db)
    _check_target(out, needle)
    wave = audio.load(needle, frontend.sample_rate).samples
    if not isinstance(haystack, Haystack):
        haystack = load_haystack(haystack, babble=babble, seed=seed)
    builder = SceneBuilder(frontend, protocol, haystack, seed, level)
    snr_db = snr_db if haystack.needs_snr else None
    length = length_note(len(wave), frontend)
    part = f" ({length})" if length.startswith("longer") else ""
    place = haystack.name + (f" at {snr_db:g} dB SNR" if snr_db is not None else "")
    scene = PreviewScene(
        title=f"{needle.name}{part} in {place}: {length_s:g} s, position {position:g}, {protocol}",
        frontend=frontend,
        builder=builder,
        clip_id=needle.stem,
        wave=wave,
        needle=builder.needle(wave),
        length_s=length_s,
        total=total,
        start=start,
        snr_db=snr_db,
    )
    features = builder.scene(
        scene.needle, scene.clip_id, length_s=length_s, position=position, snr_db=snr_db
    ).numpy()
    evidence = None if adapter is None else evidence_in(adapter, scene, features, method)
    with one_line_os_errors(out):
        if out.exists() and not out.is_dir():
            raise NiahError(f"{out}: is a file; --out must be a folder")
        out.mkdir(parents=True, exist_ok=True)
    media = (PAGE, COLUMN) if wants_columns() else (PAGE,)
    names = [FEATURES, PICTURE, SOUND, *([CURVE] if evidence else [])]
    paths = [out / name for name in names]
    with ExitStack() as stack:
        array, picture, sound, *curve = (stack.enter_context(atomic_write(path)) for path in paths)
        np.save(array, features)
        for each in media:
            with drawn_for(each):
                figure = draw(scene, features, evidence)
            for kind in each.formats:
                file = out / PICTURE.replace("png", kind)
                stream = picture if kind == "png" else stack.enter_context(atomic_write(file))
                write_as(figure, stream, kind)
        play(sound, scene)
        if evidence:
            header, *rows = evidence.rows()
            curve[0].write(spreadsheet.text(header, rows).encode())
    if not evidence:
        (out / CURVE).unlink(missing_ok=True)  # of the scene that was here before
    return paths


def frontend_of(source: "ModelSource | None") -> Frontend:
    """Return the front end of a model, AST's of None; no weights are loaded.

    Raises:
        NiahError: an adapter that cannot be made.
    """
    if source is None:
        return AST
    from niah.adapters.loading import load_source, make_adapter

    adapter = make_adapter(source.card) if source.make is None else load_source(source, bare=True)
    frontend: Frontend = adapter.frontend
    return frontend


def weights_at_hand(source: "ModelSource", checkpoint: Path | None) -> bool:
    """Return whether a model can be loaded without a download: a preview is not worth a long one."""
    from niah.adapters.importing import import_adapter
    from niah.adapters.network_adapter import NetworkAdapter
    from niah.adapters.weights import is_cached

    if checkpoint is not None:
        return True
    if source.make is not None:
        return source.is_here is None or source.is_here()
    if source.weights:
        return is_cached(source.card, source.weights)
    adapter = import_adapter(source.card)  # one of the user's own may need no file
    is_network = isinstance(adapter, type) and issubclass(adapter, NetworkAdapter)
    return not is_network and not hasattr(adapter, "load_checkpoint")
