"""Text encoder of a folder in sentence-transformers' layout."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from torch import Tensor

from dinoclip_viz.encoders.errors import EncoderError, one_line
from dinoclip_viz.encoders.huggingface.texts import TOKENIZERS, own_templates
from dinoclip_viz.encoders.sentence_models.pooling import pool
from dinoclip_viz.encoders.sentence_models.weights import Loaded
from dinoclip_viz.encoders.towers.batching import BatchedTextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SCALE = 20.0
"""Factor of the cosine in sentence-transformers' contrastive losses, by default."""


def text_encoder(loaded: Loaded) -> BatchedTextEncoder:
    """Build a `TextEncoder` from a text encoder without images.

    Vectors are those of sentence-transformers: pooled, then dense layers and normalisation where the folder has them,
    in float32. Texts are stripped and truncated to the context length.

    Raises:
        EncoderError: the tokenizer cannot be read.
    """
    model, layout = loaded.model, loaded.layout
    tokenizer = _tokenizer(loaded)
    accepted = inspect.signature(model.forward).parameters
    context = _context(loaded, tokenizer)

    def token_tower(texts: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        prepared = [layout.prompt + text.strip() for text in texts]
        tokens = tokenizer(
            [text.lower() for text in prepared] if layout.lower else prepared,
            padding=True, truncation=True, max_length=context, return_tensors="pt",
        ).to(loaded.device)  # fmt: skip
        inputs = {key: values for key, values in tokens.items() if key in accepted}
        hidden: Tensor = model(**inputs).last_hidden_state.float()  # (T, L, D)
        mask: Tensor = tokens["attention_mask"]
        vectors: Tensor = loaded.after(pool(hidden, mask, layout.pooling))
        return vectors, hidden, mask

    return BatchedTextEncoder(
        name=loaded.name,
        space=loaded.space,
        dimension=loaded.dimension,
        templates=own_templates(loaded.folder) or ("{}",),
        logit_scale=SCALE,
        device=loaded.device,
        dtype=loaded.dtype,
        tower=lambda texts: token_tower(texts)[0],
        revision=loaded.revision,
        token_dimension=int(model.config.get_text_config().hidden_size),
        token_tower=token_tower,
        embedding=model.get_input_embeddings(),
    )


def _tokenizer(loaded: Loaded) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    name, folder = loaded.name, loaded.layout.transformer
    known = (*TOKENIZERS, "vocab.txt")
    if not any((folder / file).is_file() for file in known):
        raise EncoderError(f"{name}: {folder} has no tokenizer; expected one of {', '.join(known)}")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError, AttributeError, TypeError) as error:
        raise EncoderError(f"{name}: no tokenizer can be read from {folder} ({one_line(error)})") from error


def _context(loaded: Loaded, tokenizer: PreTrainedTokenizerBase) -> int:
    """Maximum number of tokens per text, the smallest that folder, tokenizer and position embeddings state."""
    positions = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    stated = [loaded.layout.context, tokenizer.model_max_length, positions]
    return min(int(number) for number in stated if number)
