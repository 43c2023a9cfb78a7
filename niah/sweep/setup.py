"""Clips, haystacks and models of a measurement beside the sweep: the same scenes, by the same keys.

`niah locate` and `niah causes` ask other questions of the scenes that `niah run` scores. They share this: needles of
one list for all models, a scene builder a haystack and front end, and what of it all determines a stored result.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from niah.adapters.loading import adapter_info, choose_device, load_model
from niah.adapters.protocol import Adapter
from niah.cards import RANDOM, ModelCard, find_model
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.haystacks import load_haystack
from niah.needles import load_needles
from niah.needles.feature_cache import FeatureCache
from niah.needles.prepared import PreparedNeedles, prepare_alike
from niah.records.schema import cell_key
from niah.scenes.builder import SceneBuilder
from niah.system.download import cache_folder
from niah.vocabularies import Vocabulary, vocabulary


@dataclass(frozen=True)
class Hidden:
    """What is hidden in what, for which models; names and meanings as in `niah.sweep.options.RunOptions`."""

    models: tuple[str, ...]
    checkpoint: str | None = None
    needles: str = "synthetic"
    limit: int | None = None
    audio_root: Path | None = None
    broader: bool = False
    haystacks: tuple[str, ...] = ("zero",)
    babble: Path | None = None
    protocol: str = "dass-v1"
    level: str = "surround"
    device: str = "auto"
    dtype: str = "float32"
    seed: int = 0

    @classmethod
    def of_run(cls, arguments: Mapping[str, Any], **given: Any) -> "Hidden":
        """What a run's run.json says it was asked, with what is given (and not None) in its place.

        Of two levels surround is taken; further axes (needle duration, count, distractors) stay at their defaults.
        """
        known = {each.name for each in fields(cls)}
        asked = {name: value for name, value in arguments.items() if name in known}
        asked.update({name: value for name, value in given.items() if value is not None})
        levels = [level.strip() for level in str(asked.get("level", "surround")).split(",")]
        asked["level"] = "surround" if "surround" in levels else levels[0]
        for name in ("models", "haystacks"):
            asked[name] = tuple(asked[name])
        levels = str(asked.get("level", "surround")).split(",")  # of several, the run's own
        asked["level"] = "surround" if "surround" in levels else levels[0]
        for name in ("babble", "audio_root"):
            asked[name] = Path(asked[name]) if asked.get(name) else None
        return cls(**asked)


@dataclass
class Loaded:
    """One model with its scenes' builders, by haystack as asked for, and its clips."""

    name: str
    card: ModelCard
    adapter: Adapter
    builders: dict[str, SceneBuilder]
    prepared: PreparedNeedles

    @property
    def weights_sha256(self) -> str:
        return adapter_info(self.adapter).weights_sha256

    def key(self, haystack: str | None, **determinants: str | float | None) -> str:
        """Hash of all that determines a result of this model in this haystack (None: needle alone)."""
        builder = self.builders[haystack] if haystack else next(iter(self.builders.values()))
        return cell_key(
            {
                "model": self.card.fingerprint,
                "weights": self.weights_sha256,
                "frontend": self.adapter.frontend.fingerprint,
                "scenes": builder.fingerprint if haystack else builder.protocol,
                "clips": self.prepared.needles.ids_sha256,
                **determinants,
            }
        )


@dataclass
class Hiding:
    """Everything that was asked, checked and made ready before anything is measured.

    Raises:
        NiahError: anything wrong with a model, needle set or haystack; random weights, which hear nothing.
    """

    options: Hidden
    labels: Vocabulary = field(init=False)
    device: torch.device = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        if options.checkpoint == RANDOM:
            raise NiahError("random weights hear nothing: give trained ones")
        self.device = choose_device(options.device)
        self._cards = {model: find_model(model)[0] for model in options.models}
        sets = {str(card.labels_source) for card in self._cards.values()}
        if len(sets) != 1:
            raise NiahError(
                f"models {', '.join(options.models) or '(none)'} have {len(sets)} label sets: give those of one"
            )
        self.labels = vocabulary(next(iter(self._cards.values())).labels_source)
        self._haystacks = {
            spec: load_haystack(spec, babble=options.babble, seed=options.seed)
            for spec in options.haystacks
        }
        frontends: dict[str, Frontend] = {}
        for model in options.models:  # a checkpoint that does not fit is told before hours of work
            frontend = self._load(model).frontend
            frontends.setdefault(frontend.fingerprint, frontend)
        self._builders = {key: self._builders_of(each) for key, each in frontends.items()}
        self._prepared = prepare_alike(
            self._needles(),
            frontends,
            FeatureCache(cache_folder() / "features"),
            keep_waveform=options.level == "mix",
        )

    @property
    def prepared(self) -> PreparedNeedles:
        """The clips; the same list for every front end."""
        return next(iter(self._prepared.values()))

    def haystack_name(self, spec: str) -> str:
        """What tables call it."""
        return self._haystacks[spec].name

    def needs_snr(self, spec: str) -> bool:
        return self._haystacks[spec].needs_snr

    def models(self) -> Iterator[Loaded]:
        """One model after another, so that only one is in memory."""
        for model in self.options.models:
            adapter = self._load(model)
            key = adapter.frontend.fingerprint
            name = self._cards[model].name
            yield Loaded(
                name, self._cards[model], adapter, self._builders[key], self._prepared[key]
            )

    def identity(self) -> dict[str, object]:
        """What all results in one folder share, as a run directory's."""
        return {
            "protocol": self.options.protocol,
            "level": self.options.level,
            "needles": self.prepared.needles.name,
            "ids_sha256": self.prepared.needles.ids_sha256,
            "seed": self.options.seed,
            "labels": self.labels.name,
        }

    def arguments(self) -> dict[str, Any]:
        """For run.json."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self.options).items()
        }

    def _load(self, model: str) -> Adapter:
        options = self.options
        return load_model(model, options.checkpoint, device=str(self.device), dtype=options.dtype)

    def _builders_of(self, frontend: Frontend) -> dict[str, SceneBuilder]:
        options = self.options
        return {
            spec: SceneBuilder(frontend, options.protocol, haystack, options.seed, options.level)  # type: ignore[arg-type]  # checked there
            for spec, haystack in self._haystacks.items()
        }

    def _needles(self) -> Any:
        options = self.options
        return load_needles(
            options.needles,
            vocabulary=self.labels,
            limit=options.limit,
            seed=options.seed,
            broader=options.broader,
            audio_root=options.audio_root,
        )
