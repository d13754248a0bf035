"""Text encoder of a model of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.errors import one_line
from dinoclip_viz.encoders.huggingface.architectures import ARCHITECTURES
from dinoclip_viz.encoders.huggingface.images import as_tensor
from dinoclip_viz.encoders.huggingface.weights import Loaded, dimension_of
from dinoclip_viz.encoders.towers.batching import BatchedTextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


# without any of these files, transformers silently creates an empty tokenizer
TOKENIZERS = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
"""Files of tokenizers, of which a folder has one or more."""


def text_encoder(loaded: Loaded) -> BatchedTextEncoder:
    """Build a `TextEncoder` from the text side of a model.

    Raises:
        EncoderError: there is no text side, or the tokenizer cannot be read or does not match it.
    """
    from transformers import AutoTokenizer

    model, architecture, name = loaded.model, loaded.architecture, loaded.name
    if not architecture.joint:
        joint = ", ".join(kind for kind, known in ARCHITECTURES.items() if known.joint)
        raise EncoderError(
            f"{name} is a vision model ({model.config.model_type}) and reads no text; kinds that do: {joint}"
        )
    if not any((loaded.folder / file).is_file() for file in TOKENIZERS):
        raise EncoderError(f"{name}: {loaded.folder} has no tokenizer; expected one of {', '.join(TOKENIZERS)}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(loaded.folder, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, TypeError) as error:
        raise EncoderError(f"{name}: no tokenizer can be read from {loaded.folder} ({one_line(error)})") from error
    config = model.config.text_config
    if architecture.block == "clip":
        largest = max(tokenizer.get_vocab().values()) if model.config.model_type == "clip" else None
        _check_end_of_text(name, config.eos_token_id, tokenizer.eos_token_id, largest)
    keep = ("input_ids",) if architecture.templates == "siglip" else ("input_ids", "attention_mask")

    def inputs_of(texts: list[str]) -> tuple[dict[str, Tensor], Tensor]:
        padding = True if architecture.padding == "longest" else "max_length"
        tokens = tokenizer(
            texts, padding=padding, truncation=True, max_length=config.max_position_embeddings, return_tensors="pt"
        )
        # SigLIP was trained to attend to its padding, so it gets no mask
        inputs = {key: tokens[key].to(loaded.device) for key in keep if key in tokens}
        return inputs, inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))

    def tower(texts: list[str]) -> Tensor:
        return as_tensor(model.get_text_features(**inputs_of(texts)[0]).pooler_output)

    def token_tower(texts: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        inputs, mask = inputs_of(texts)
        output = model.get_text_features(**inputs)
        return as_tensor(output.pooler_output), as_tensor(output.last_hidden_state), mask

    return BatchedTextEncoder(
        name=name,
        space=loaded.space,
        dimension=dimension_of(loaded),
        templates=_templates(loaded),
        logit_scale=_logit_scale(model),
        device=loaded.device,
        dtype=loaded.dtype,
        tower=tower,
        revision=loaded.revision,
        token_dimension=int(config.hidden_size),
        token_tower=token_tower,
        embedding=model.text_model.get_input_embeddings(),
    )


def _check_end_of_text(name: str, expected: int, actual: int | None, largest: int | None) -> None:
    """Check the end-of-text token, at which CLIP pools: without it, all texts would have the same vector.

    In a CLIP (`largest` is given) an id of 2 is a historic default that transformers reads as "the largest id".
    """
    if expected != actual and not (expected == 2 and largest is not None and actual == largest):
        raise EncoderError(
            f"{name}: the tokenizer ends a text with token {actual}, but text_config.eos_token_id is {expected}, so "
            "every text would get the same vector; write the tokenizer's id into config.json"
        )


def _templates(loaded: Loaded) -> tuple[str, ...]:
    own = own_templates(loaded.folder)
    if own:
        return own
    if loaded.architecture.templates == "siglip":
        return ("This is a photo of {}.",)
    if loaded.name.startswith("playground"):
        return ("a photo of a {}.",)
    return openai_templates()


def own_templates(folder: Path) -> tuple[str, ...]:
    """Prompt templates in a folder's templates.json, a list of strings with {} in each; empty without that file.

    Raises:
        EncoderError: the file has another content.
    """
    path = folder / "templates.json"
    if not path.is_file():
        return ()
    try:
        templates = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EncoderError(f"{path} is not valid JSON ({one_line(error)})") from error
    if (
        not isinstance(templates, list)
        or not templates
        or not all(isinstance(one, str) and "{}" in one for one in templates)
    ):
        raise EncoderError(f"{path} has another content; expected a list of prompts with {{}} in each")
    return tuple(templates)


def openai_templates() -> tuple[str, ...]:
    """The 80 prompt templates of CLIP's zero-shot ImageNet evaluation (Radford et al., 2021)."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)


def _logit_scale(model: PreTrainedModel) -> float:
    if hasattr(model, "temperature"):
        return 1.0 / float(model.temperature)
    return float(model.logit_scale.float().exp())
