"""Text encoder of a model of open_clip."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.errors import one_line
from dinoclip_viz.encoders.hub import fetch
from dinoclip_viz.encoders.openclip.weights import Loaded
from dinoclip_viz.encoders.towers.batching import BatchedTextEncoder


def text_encoder(loaded: Loaded) -> BatchedTextEncoder:
    """Build a `TextEncoder` from the text side of a model.

    Raises:
        EncoderError: the tokenizer cannot be read.
    """
    from dinoclip_viz.encoders.huggingface.texts import openai_templates, own_templates

    model, name = loaded.model, loaded.name
    try:
        tokenizer = _tokenizer(loaded)
    except EncoderError:
        raise
    except (OSError, ValueError, ImportError, AttributeError, TypeError) as error:
        raise EncoderError(f"{name}: its tokenizer cannot be read ({one_line(error)})") from error

    def tower(texts: list[str]) -> Tensor:
        vectors: Tensor = model.encode_text(tokenizer(texts).to(loaded.device))
        return vectors

    with torch.no_grad():
        dimension = tower(["a"]).shape[-1]
    return BatchedTextEncoder(
        name=name,
        space=loaded.space,
        dimension=dimension,
        templates=own_templates(loaded.folder) or openai_templates(),
        logit_scale=float(model.logit_scale.float().exp()),
        device=loaded.device,
        dtype=loaded.dtype,
        tower=tower,
        revision=loaded.revision,
        embedding=_embedding(model),
    )


def _tokenizer(loaded: Loaded) -> Any:
    """The tokenizer of a model, from its own folder where that has one of transformers.

    open_clip itself asks the hub for a published model's tokenizer again, without a time limit.
    """
    import open_clip

    from dinoclip_viz.encoders.huggingface.texts import TOKENIZERS

    length = loaded.model.context_length
    settings = (open_clip.get_model_config(loaded.identifier) or {}).get("text_cfg", {})
    repository = settings.get("hf_tokenizer_name")
    if not repository or loaded.identifier.startswith("local-dir:"):
        return open_clip.get_tokenizer(loaded.identifier, context_length=length)
    folder = loaded.folder
    if not any((folder / file).is_file() for file in TOKENIZERS):
        folder, _ = fetch(loaded.name, str(repository), "tokenizer")
    return open_clip.tokenizer.HFTokenizer(
        str(folder),
        context_length=length,
        tokenizer_mode=settings.get("tokenizer_mode"),
        **settings.get("tokenizer_kwargs", {}),
    )


def _embedding(model: Any) -> nn.Module | None:
    """The layer of token vectors, of open_clip's own text tower or of one of transformers."""
    texts = getattr(model, "text", model)
    own = getattr(texts, "token_embedding", None)
    tower: Any = getattr(texts, "transformer", None)
    found = tower.get_input_embeddings() if own is None and hasattr(tower, "get_input_embeddings") else own
    return found if isinstance(found, nn.Module) else None
