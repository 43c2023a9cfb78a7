"""Models of `transformers` of a few thousand random parameters, each a folder of `save_pretrained`."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

WIDTH, HEADS, DEPTH = 32, 2, 2


def ast(folder: Path, labels: Sequence[str], **config: Any) -> Path:
    """Write an AST of 1024 frames."""
    import transformers

    with warnings.catch_warnings(action="ignore"):  # of its empty mel filters
        extractor = transformers.ASTFeatureExtractor()
    return _saved(
        transformers.ASTForAudioClassification(
            transformers.ASTConfig(
                hidden_size=WIDTH,
                num_attention_heads=HEADS,
                num_hidden_layers=DEPTH,
                intermediate_size=4 * WIDTH,
                **_of(labels),
                **config,
            )
        ),
        extractor,
        folder,
    )


def wav2vec2(folder: Path, labels: Sequence[str], kind: str = "", **config: Any) -> Path:
    """Write a Wav2Vec2 of any length, in several files; `kind` is the class to save, without a head for example."""
    import transformers

    made = getattr(transformers, kind or "Wav2Vec2ForSequenceClassification")(
        transformers.Wav2Vec2Config(
            hidden_size=WIDTH,
            num_attention_heads=HEADS,
            num_hidden_layers=1,
            intermediate_size=WIDTH,
            conv_dim=(16, 16),
            conv_kernel=(40, 8),
            conv_stride=(40, 32),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
            classifier_proj_size=8,
            vocab_size=8,
            **_of(labels),
            **config,
        )
    )
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    return _saved(made, extractor, folder, shard="10KB")


def clap(folder: Path, *, fusion: bool = False) -> Path:
    """Write a CLAP, with a tokenizer of single letters."""
    import transformers

    text = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": 1}
    audio = {
        "patch_embeds_hidden_size": 8,
        "hidden_size": WIDTH // 2,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "enable_fusion": fusion,
        "projection_hidden_act": "relu",
    }
    config = transformers.ClapConfig(
        text_config={**text, "intermediate_size": WIDTH, "vocab_size": 80},
        audio_config={**audio, "spec_size": 256, "window_size": 8, "patch_size": 4},
        projection_dim=16,
    )
    extractor = transformers.ClapFeatureExtractor(
        truncation="fusion" if fusion else "rand_trunc", padding="repeatpad"
    )
    _letters().save_pretrained(folder)
    return _saved(transformers.ClapModel(config), extractor, folder)


def edit(folder: Path, name: str = "config.json", **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    content = json.loads((folder / name).read_text()) | changes
    content = {key: value for key, value in content.items() if value is not None}
    (folder / name).write_text(json.dumps(content))


def _of(labels: Sequence[str]) -> dict[str, Any]:
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _saved(model: Any, extractor: Any, folder: Path, shard: str = "1GB") -> Path:
    """Save a model with parameters that are not tiny, so that clips differ."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2, generator=generator)
    model.save_pretrained(folder, max_shard_size=shard)
    extractor.save_pretrained(folder)
    return folder


def _letters() -> Any:
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = [chr(code) for code in range(32, 91 + 17)]
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    for letter in letters[: 80 - len(vocabulary)]:
        vocabulary[letter] = len(vocabulary)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
    )
