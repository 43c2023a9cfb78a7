"""The set-up of an evaluation: models, needles, haystacks and scene builders, all checked before anything is measured.

`niah run`, `niah locate` and `niah causes` ask different questions of the same scenes. They share this: one list of
needles for all models, scene builders by haystack and front end, and the key of all that determines a stored result.
"""

from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from niah.adapters.importing import import_adapter
from niah.adapters.loading import adapter_info, choose_device, load_source, make_adapter
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import Adapter
from niah.adapters.scan_choice import use_scan
from niah.adapters.weights import is_cached, origin, resolve
from niah.adapters.wrappers.pooled import position_logits_of
from niah.cards import RANDOM
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.needles import NeedleSet, load_needles
from niah.needles.defaults import EMBEDDED, WHAT_TO_GIVE, default_needles, how_to_fetch
from niah.needles.feature_cache import FeatureCache
from niah.needles.needle_part import FIRST, with_part
from niah.needles.needle_set import ids_sha256
from niah.needles.prepared import prepare_alike
from niah.placement import CURRENT_NIAH
from niah.records.schema import BASE_LENGTH_S
from niah.scan.availability import check_available, other_than_auto
from niah.scenes.levels import check_playable, needs_waveforms
from niah.scenes.own import OwnRecordings
from niah.sweep.cell_scenes import Scenes
from niah.sweep.haystacks import named_haystacks
from niah.sweep.loaded_model import LoadedModel
from niah.sweep.models import ModelSpec, models_of, notes_on_labels, shared_labels
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell, left_out, long_windows, plan
from niah.sweep.provenance import git, hardware, versions
from niah.system.download import cache_folder
from niah.version import __version__

SMALL = 1 << 22  # parameters, 16 MB: such a model stays in memory until it is run
KNOWN_EARLY = ("protocol", "level", "seed", "noise_seed", "needle_part")  # of a run's identity


class EvalSetup:
    """Everything that `options` name, checked and made ready.

    Every model is loaded once here: a checkpoint that does not fit the third model must not be noticed after hours with
    the first two. Every clip is read once, so that the list of clips is settled before the first result.

    Raises:
        NiahError: anything wrong with a model, a needle set or a haystack. A model whose front end cannot play one of
            the haystacks is noted instead, as long as there is another haystack to play.
    """

    def __init__(
        self,
        options: RunOptions,
        *,
        fetch: bool = True,
        first: int | None = None,
        without: Collection[str] = (),
    ) -> None:
        """Check and prepare everything.

        Args:
            options: that name it.
            fetch: load weights that are not on this machine.
            first: number of clips, the first that `options` take; None for all.
            without: ids of clips that are left out.
        """
        self.options = options
        self.fetch = fetch
        self.models = models_of(options)
        if options.prompt and not any("prompt" in model.source.record for model in self.models):
            raise NiahError("--prompt is of text models, and there is none")
        self.labels = shared_labels(self.models, options.labels)
        self._is_random = options.checkpoint == RANDOM or all(m.source.random for m in self.models)
        spec = options.needles or default_needles(self.labels, random=self._is_random)
        self.options = replace(options, needles=spec)
        needles = self._needles(is_default=not options.needles)
        self.haystacks, self._of_haystacks = named_haystacks(self.options)
        if any(haystack.fill == "own" for haystack in self.haystacks.values()):
            longest_s = max(BASE_LENGTH_S, *self.options.lengths_s)
            needles = OwnRecordings(needles).long_enough(longest_s)
        if without:
            wanted = (needle for needle in needles.needles if needle.id not in without)
            needles = replace(needles, needles=tuple(islice(wanted, first)))
        elif first is not None:
            needles = replace(needles, needles=needles.needles[:first])
        self.device = choose_device(options.device)
        check_available(options.kernel, self.device)
        self._scenes = self._checked_scenes()
        self._cache = FeatureCache(cache_folder() / "features")
        self._prepared = prepare_alike(
            needles,
            {fingerprint: scenes.frontend for fingerprint, scenes in self._scenes.items()},
            self._cache,
            keep_waveform=needs_waveforms(options.protocol, options.levels),
            strict=options.strict,
        )

    @property
    def clips(self) -> NeedleSet:
        """The clips that every front end can use, in the order of all results."""
        return next(iter(self._prepared.values())).needles

    def unmarked(self, marks: str) -> list[str]:
        """Return the ids of clips that are not those of a run's marks (`niah.needles.prepared`)."""
        return next(iter(self._prepared.values())).unmarked(marks)

    @cached_property
    def notes(self) -> list[str]:
        """Sentences for the user: clips and cells that are left out, haystacks that a model cannot play."""
        of_clips = [note for each in self._prepared.values() for note in each.notes]
        is_noisy = any(haystack.needs_snr for haystack in self.haystacks.values())
        if self.options.protocol != CURRENT_NIAH and is_noisy and any(map(_is_cut, of_clips)):
            of_clips.append(
                f"{self.options.protocol} takes the SNR of clips longer than 10 s over the whole clip; --needle-part "
                f"loudest or centre, and {CURRENT_NIAH}, take it over what is hidden"
            )
        absent = (
            f"the weights of '{model.name}' are not on this machine: the run fetches them"
            for model in self.models
            if self._is_absent(model)
        )
        of_cells = [*left_out(self.options), *long_windows(self.options)]
        described = (note for model in self.models for note in model.source.notes)
        of_labels = notes_on_labels(self.models, self.labels)
        of_models = [*described, *of_labels, *self.unplayable, *self._windowed, *absent]
        of_set = [*self.clips.notes, *self._cache_notes()]
        return list(dict.fromkeys([*of_set, *of_clips, *self._of_haystacks, *of_cells, *of_models]))

    def _cache_notes(self) -> list[str]:
        if not self._cache.problem:
            return []
        return [f"{self._cache.problem}: clips are read again for every cell, which is slower"]

    def cells(self) -> list[Cell]:
        """List the run's cells, model by model; what a haystack is follows from its card, not from its name."""
        without_snr = [spec for spec, made in self.haystacks.items() if not made.needs_snr]
        return plan(self.options, [model.name for model in self.models], without_snr)

    def loaded(self) -> Iterator[LoadedModel]:
        """Load one model after another, so that only one is in memory."""
        for spec in self.models:
            yield self.load(spec)

    def load(self, spec: ModelSpec) -> LoadedModel:
        """Load one of the models, unless it is small and still in memory."""
        adapter = self._small.pop(spec.name, None) or self._load(spec)
        key = adapter.frontend.fingerprint
        scenes, prepared = self._scenes[key], self._prepared[key]
        part, dtype = self.options.needle_part, self.options.dtype
        return LoadedModel(spec, adapter, scenes, prepared, self.labels, part, dtype)

    def leaves_out(self, cell: Cell) -> bool:
        """Return whether a planned cell means nothing for its kind of model; the notes say why."""
        return not cell.is_base and self._scenes_of[cell.model].has_no(cell.haystack)

    def identity(self) -> dict[str, object]:
        """Return what all results in one run directory share."""
        identity = identity_of_options(self.options) | {
            "needles": self.clips.name,
            "ids_sha256": self.clips.ids_sha256,
            "labels": self.labels.name,
            "classes_sha256": ids_sha256(self.labels.ids),
        }
        identity["groups_sha256"] = self.clips.groups_sha256
        identity["content_sha256"] = next(iter(self._prepared.values())).content_sha256
        if kernel := other_than_auto(self.options.kernel, self.device):
            identity["kernel"] = kernel
        return identity

    def record(self) -> dict[str, Any]:
        """Return the content of run.json on code, machine, models and clips."""
        arguments = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(self.options).items()
            if name != "objects"
        }
        arguments["needles"] = self.clips.pinned or arguments["needles"]
        excluded = {clip.id: clip for each in self._prepared.values() for clip in each.excluded}
        clips, prepared = self.clips, next(iter(self._prepared.values()))
        recordings = len({needle.group for needle in clips.needles})
        return {
            "niah_version": __version__,
            "arguments": arguments,
            "needles": {
                "name": clips.name,
                "licence": clips.licence,
                "clips": len(clips),
                **({"recordings": recordings} if recordings < len(clips) else {}),
                "clips_sha256": clips.clips_sha256,
                "content_sha256": prepared.content_sha256,
                **({"marks": marks} if (marks := prepared.marks()) else {}),
                **({"pinned": self.clips.pinned} if self.clips.pinned else {}),
            },
            "hardware": hardware(self.device),
            "versions": versions(),
            "git": git(),
            "excluded_clips": [asdict(clip) for clip in excluded.values()],
            "notes": self.notes,
        }

    def _needles(self, *, is_default: bool) -> NeedleSet:
        options = self.options
        if is_default and options.needles != EMBEDDED:
            self._check_weights()
        try:
            needles = load_needles(
                options.needles,
                vocabulary=self.labels,
                limit=options.clips_limit,
                seed=options.seed,
                broader=options.broader,
                audio_root=options.audio_root,
                strict=options.strict,
                stand_in=self._is_random,
            )
        except NiahError as error:
            if not is_default:
                raise
            raise NiahError(f"{error}. {self._what_is_missing()}") from error
        return with_part(needles, options.needle_part)

    def _what_is_missing(self) -> str:
        """Return what a run by default needs from the network, and what to give in its place."""
        absent = [model for model in self.models if self._lacks_weights(model)]
        names = ", ".join(f"'{model.name}'" for model in absent)
        weights = f", and the weights of {names} are not here either" if absent else ""
        hubs = [model.card.weights[model.weights].hub for model in absent if model.weights]
        fetches = [
            how_to_fetch(self.options.needles),
            *(f"`hf download {hub}`" for hub in hubs if hub),
        ]
        return (
            f"They are the default needles for '{self.labels.name}'{weights}. {WHAT_TO_GIVE}; or fetch them where "
            f"there is a network: {', '.join(fetches)}"
        )

    def _check_weights(self) -> None:
        """Refuse models whose weights no program can fetch, before hundreds of megabytes of needles are fetched."""
        for model in self.models:
            if self.options.checkpoint is not None or model.source.make is not None:
                continue
            if model.weights:
                weights = model.card.weights[model.weights]
                is_absent = self._lacks_weights(model) and origin(weights) == "by hand"
            else:
                adapter = import_adapter(model.card)
                is_absent = isinstance(adapter, type) and issubclass(adapter, NetworkAdapter)
            if is_absent and self.fetch:
                resolve(model.card, model.weights)

    def _load(self, model: ModelSpec) -> Adapter:
        options = self.options
        is_absent = self._is_absent(model)
        if is_absent and model.source.make is None:
            bare: Adapter = make_adapter(model.card, device=str(self.device), dtype=options.dtype)
            return bare
        adapter = load_source(
            model.source,
            options.checkpoint,
            device=str(self.device),
            dtype=options.dtype,
            seed=options.seed,
            bare=is_absent,
        )
        use_scan(adapter, options.kernel)
        return adapter

    def _is_absent(self, model: ModelSpec) -> bool:
        return not self.fetch and self._lacks_weights(model)

    def _lacks_weights(self, model: ModelSpec) -> bool:
        if model.source.is_here is not None:
            return not model.source.is_here()
        own = self.options.checkpoint is None and bool(model.weights)
        return own and not is_cached(model.card, model.weights)

    def _checked_scenes(self) -> dict[str, Scenes]:
        """The scenes of each front end, by its fingerprint; all builders made, to be refused early."""
        self._windowed: list[str] = []
        self._small: dict[str, Adapter] = {}
        self._scenes_of: dict[str, Scenes] = {}
        scenes: dict[str, Scenes] = {}
        problems: dict[tuple[str, str], str] = {}
        for model in self.models:
            adapter = self._load(model)
            is_small = 0 < adapter_info(adapter).parameters <= SMALL
            if is_small and self.device.type == "cpu":
                self._small[model.name] = adapter
            if self.options.poolings:
                position_logits_of(adapter)
            fixed_s = adapter_info(adapter).fixed_seconds
            if fixed_s is not None and self.options.window_s is None:
                self._windowed.append(
                    f"model '{model.name}' takes {fixed_s:g} s at a time: it is scored over windows of {fixed_s:g} s"
                )
            frontend: Frontend = adapter.frontend
            check_playable(self.options.protocol, frontend)
            mine = scenes.setdefault(
                frontend.fingerprint, Scenes(self.options, self.haystacks, frontend, users=0)
            )
            mine.users += 1
            self._scenes_of[model.name] = mine
            for haystack in self.haystacks:
                try:
                    mine.builders(haystack)
                except NiahError as error:
                    if mine.can_play(haystack):  # wrong for every model: no use to go on
                        raise
                    problems[model.name, haystack] = f"model '{model.name}': {error}"
        self.unplayable = list(problems.values())
        if len(problems) == len(self.models) * len(self.haystacks):
            raise NiahError(self.unplayable[0])
        return scenes


def identity_of_options(options: RunOptions) -> dict[str, object]:
    """Return the parts of a run's identity that are known before anything is loaded (`KNOWN_EARLY`)."""
    identity: dict[str, object] = {
        "protocol": options.protocol,
        "level": options.own_level,
        "seed": options.seed,
    }
    if options.seed_of_noise != options.seed:
        identity["noise_seed"] = options.seed_of_noise
    if options.needle_part != FIRST:
        identity["needle_part"] = options.needle_part
    return identity


def _is_cut(note: str) -> bool:
    return "the first 10 s are hidden" in note
