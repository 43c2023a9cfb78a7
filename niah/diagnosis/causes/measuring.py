"""`niah causes`: the loss of a model with length split into its causes, by one change at a time on the same scenes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.sources import may_be_own_network
from niah.cards import RANDOM
from niah.diagnosis.causes import interventions as change
from niah.diagnosis.causes.outputs import write
from niah.diagnosis.causes.passes import Pass, no_causes, passes_of
from niah.errors import NiahError
from niah.placement import CURRENT_NIAH, check_position, start_frame, total_frames
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.sweep.loaded_model import LoadedModel
from niah.sweep.options import RunOptions
from niah.sweep.setup import EvalSetup
from niah.system.progress import progress_bar

VERSION = 1  # of what a variant does: part of the key of its scores


@dataclass(frozen=True)
class CauseOptions:
    """The options of `niah causes`."""

    models: tuple[str, ...]
    lengths_s: tuple[float, ...]
    out: Path
    needles: str = ""
    limit: int | None = 100
    haystack: str = "zero"
    snr_db: float = 10.0
    position: float = 0.5
    protocol: str = CURRENT_NIAH
    checkpoint: str | None = None
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_position(self.position)
        for length_s in self.lengths_s:
            total_frames(length_s)
        if not any(length_s != BASE_LENGTH_S for length_s in self.lengths_s):
            raise NiahError("--lengths must name at least one length beyond 10 s")
        if self.checkpoint == RANDOM:
            raise NiahError("random weights have no accuracy: give trained ones")

    def run_options(self) -> RunOptions:
        """Return the same as options of a run, for its set-up and run.json."""
        return RunOptions(
            models=self.models,
            checkpoint=self.checkpoint,
            needles=self.needles,
            limit=self.limit,
            haystacks=(self.haystack,),
            snrs_db=(self.snr_db,),
            positions=(self.position,),
            lengths_s=self.lengths_s,
            protocol=self.protocol,
            device=self.device,
            seed=self.seed,
            out=self.out,
        )


def causes(options: CauseOptions) -> list[Path]:
    """Measure every variant that is not stored yet; write causes.csv, causes.md and the figure.

    Returns:
        The files.

    Raises:
        NiahError: a model of a family without such changes, or a wrong option.
    """
    for spec in options.models:  # before they ask for labels and rates, or clips are fetched
        if not may_be_own_network(spec):
            raise no_causes(spec)
    setup = EvalSetup(options.run_options())
    haystack = setup.haystacks[options.haystack]
    snr_db = options.snr_db if haystack.needs_snr else None
    scene = {"haystack": haystack.name, "snr_db": snr_db, "position": options.position}
    identity = {**setup.identity(), "measures": "causes", **scene}
    with RunDirectory.create_or_open(options.out, identity, len(setup.clips)) as run:
        run.write_run_json(setup.record())
        stored = _Measuring(options, setup, run, snr_db).all_models()
        known = run.run_json().get("variants", {})
        run.write_run_json({"variants": {**known, **stored}})
        return write(run)


@dataclass
class _Measuring:
    """The state of one call of `causes`."""

    options: CauseOptions
    setup: EvalSetup
    run: RunDirectory
    snr_db: float | None

    def all_models(self) -> dict[str, dict[str, Any]]:
        """Measure variants that are not stored; return name, model and length of every stored result, by key."""
        lengths_s = sorted({BASE_LENGTH_S, *self.options.lengths_s})
        results: dict[str, dict[str, Any]] = {}
        with progress_bar() as bar:
            task = bar.add_task("causes", total=None, detail="")
            for model in self.setup.loaded():
                todo = [(each, s) for s in lengths_s for each in passes_of(model)]
                todo = [(each, s) for each, s in todo if s != BASE_LENGTH_S or each.has_base]
                seconds = sum(self._seconds(*each) for each in todo) * len(model.prepared)
                bar.reset(task, total=seconds)
                for each, length_s in todo:
                    names = ", ".join(variant.name for variant in each.variants.values())
                    bar.update(task, detail=f"{model.name}, {names}, {length_s:g} s")
                    keys = self._keys(model, each, length_s)
                    clips = len(model.prepared)
                    if not all(self.run.has_scores(key, clips) for key in keys.values()):
                        advance = partial(bar.advance, task, self._seconds(each, length_s))
                        self._measure(model, each, length_s, keys, advance)
                    for reading, key in keys.items():
                        results[key] = {
                            "model": model.name,
                            "checkpoint_sha256": model.weights_sha256,
                            "length_s": length_s,
                            **vars(each.variants[reading]),
                        }
        return results

    def _seconds(self, each: Pass, length_s: float) -> float:
        return BASE_LENGTH_S if each.alone else length_s

    def _keys(self, model: LoadedModel, each: Pass, length_s: float) -> dict[str, str]:
        """Return keys by reading, of the variants that are defined at this length."""
        base = length_s == BASE_LENGTH_S
        haystack = None if base or each.alone else self.options.haystack
        return {
            reading: model.key(
                haystack,
                measures="causes",
                version=VERSION,
                variant=variant.name,
                length_s=length_s,
                snr_db=None if haystack is None else self.snr_db,
                position=None if haystack is None else self.options.position,
            )
            for reading, variant in each.variants.items()
            if not (base and variant.kind == "part")
        }

    def _measure(
        self,
        model: LoadedModel,
        each: Pass,
        length_s: float,
        keys: dict[str, str],
        advance: Callable[[], None],
    ) -> None:
        assert isinstance(model.adapter, NetworkAdapter)
        changed = each.change(model.adapter, length_s, self._start(model, length_s))
        logits: dict[str, list[NDArray[np.float32]]] = {reading: [] for reading in keys}
        scene_s = self._seconds(each, length_s)
        for features, start in self._scenes(model, scene_s):
            with torch.inference_mode():
                if "" in keys:
                    read = {"": changed.logits(features[None])[0]}
                else:
                    read = change.pooled(changed, features, start)
            for reading, rows in logits.items():
                rows.append(read[reading].float().cpu().numpy())
            advance()
        needles = model.prepared.needles.needles
        for reading, key in keys.items():
            self.run.write_scores(
                key,
                [needle.id for needle in needles],
                [needle.labels for needle in needles],
                model.counted(np.stack(logits[reading])),
                classes=model.labels.ids,
                groups=[needle.group for needle in needles],
            )

    def _start(self, model: LoadedModel, length_s: float) -> int:
        """Return the needle's first frame."""
        frames, options = model.adapter.frontend.needle_frames, self.options
        total = total_frames(length_s, frames)
        return start_frame(total, frames, options.position, options.protocol)

    def _scenes(self, model: LoadedModel, length_s: float) -> Iterator[tuple[torch.Tensor, int]]:
        """Yield each clip's scene (T0, M) with the needle's first frame."""
        builder, position = model.scenes.builder(self.options.haystack), self.options.position
        start = self._start(model, length_s)
        for index, needle in enumerate(model.prepared.needles.needles):
            features = model.prepared.features(index)
            yield (
                builder.scene(
                    features,
                    needle.id,
                    length_s=length_s,
                    position=position,
                    snr_db=self.snr_db,
                ),
                start,
            )
