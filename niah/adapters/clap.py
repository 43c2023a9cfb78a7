"""CLAP: classes by their names in a prompt, without training (Wu et al. 2023, arXiv:2211.06687).

The logit of a class is exp(logit_scale) times the cosine of the audio's embedding and that of the class's prompt, as
`ClapModel.forward` has it in logits_per_audio.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.adapters.transformers_files import TransformersFiles
from niah.adapters.transformers_length import extracted, to_device
from niah.adapters.transformers_loading import load_network, quiet
from niah.adapters.transformers_model import TransformersBase, describe
from niah.errors import NiahError
from niah.vocabularies import Vocabulary

_PROMPTS_AT_ONCE = 64


class Clap(TransformersBase):
    """A `ClapModel` of `transformers` as a waveform model.

    Args:
        files: of the model.
        labels: the classes; their display names go into the prompt.
        prompt: text with {} for a name.
        device: of the network.
        dtype: of the network.
        bare: leave the weights out; such a model has limits and no logits.

    Raises:
        NiahError: files that `transformers` cannot load, or weights that lack parameters.
    """

    def __init__(
        self,
        files: TransformersFiles,
        labels: Vocabulary,
        prompt: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        bare: bool = False,
    ) -> None:
        super().__init__(files, labels, device=device, dtype=dtype)
        if bare:
            return
        self.network = load_network(files, "ClapModel")
        self.network.eval().to(device, dtype)
        describe(self, files)
        self._texts = self._embedded(files, [prompt.replace("{}", name) for name in labels.names])
        self._limit_length(files)

    @torch.inference_mode()
    def _logits(self, waves: NDArray[np.float32]) -> Tensor:
        inputs = to_device(extracted(self.extractor, waves, self.own_rate), self)
        # the extractor of fused models marks a random clip of a batch as cut, though none is
        inputs["is_longer"] = torch.zeros(len(waves), 1, dtype=torch.bool, device=self.device)
        audio = _pooled(self.network.get_audio_features(**inputs))
        scale = self.network.logit_scale_a.exp().float()
        logits: Tensor = scale * audio.float() @ self._texts.T
        return logits

    @torch.inference_mode()
    def _embedded(self, files: TransformersFiles, prompts: list[str]) -> Tensor:
        """Embed the classes' prompts: (classes, width) float32, of length 1."""
        from transformers import AutoTokenizer

        with quiet(files, "its tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(str(files.folder), local_files_only=True)
        parts = []
        for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
            tokens = tokenizer(
                prompts[start : start + _PROMPTS_AT_ONCE], padding=True, return_tensors="pt"
            )
            longest = self.network.config.text_config.max_position_embeddings - 2
            if tokens["input_ids"].shape[1] > longest:
                raise NiahError(f"model {files.name}: a prompt is longer than its {longest} tokens")
            inputs = {
                name: tokens[name].to(self.device) for name in ("input_ids", "attention_mask")
            }
            parts.append(_pooled(self.network.get_text_features(**inputs)).float())
        return torch.cat(parts)


def _pooled(features: object) -> Tensor:
    """Return the embedding of what `get_audio_features` gives, a tensor until transformers 4."""
    pooled = getattr(features, "pooler_output", features)
    assert isinstance(pooled, Tensor)
    return pooled
