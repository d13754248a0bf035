"""Frozen models of open_clip, from published weights or a local folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.errors import one_line

WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
"""File names of weights in a folder, in order of preference."""


@dataclass(frozen=True)
class Loaded:
    """A loaded model and its properties.

    Attributes:
        model: model in evaluation mode, on `device`.
        identifier: name of the model in open_clip, or local-dir:FOLDER; it selects the tokenizer.
        folder: folder of its files.
        name: name as the user wrote it.
        space: name of the space of its pooled vectors.
        device: device on which the model computes.
        dtype: floating-point type in which the model computes.
        revision: commit on the hub; None for a local folder.
    """

    model: Any
    identifier: str
    folder: Path
    name: str
    space: str
    device: torch.device
    dtype: torch.dtype
    revision: str | None = None


def repository(model: str, pretrained: str) -> str:
    """Hub id of the weights of a pair (model, pretrained) in open_clip's table.

    Raises:
        EncoderError: the pair is unknown, has no hub repository, or its parts differ in QuickGELU.
    """
    import open_clip

    configuration = open_clip.get_model_config(model)
    if configuration is None:
        raise EncoderError(f"open_clip has no model {model!r}; `dinoclip models` lists the known models")
    published = open_clip.get_pretrained_cfg(model, pretrained)
    if not published:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model))
        raise EncoderError(f"open_clip has no weights {pretrained!r} for {model}; it has: {tags}")
    if bool(published.get("quick_gelu", False)) != bool(configuration.get("quick_gelu", False)):
        other = model.removesuffix("-quickgelu") if model.endswith("-quickgelu") else f"{model}-quickgelu"
        raise EncoderError(
            f"{model} and weights {pretrained!r} differ in QuickGELU, so vectors would be wrong; use {other} instead"
        )
    hub = str(published.get("hf_hub", "")).rstrip("/")
    if not hub:
        raise EncoderError(f"open_clip's weights {pretrained!r} for {model} are not on the Hugging Face hub")
    return "/".join(hub.split("/")[:2])


def load_published(
    model: str,
    pretrained: str,
    folder: Path,
    name: str,
    space: str,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None = None,
) -> Loaded:
    """Load a model of open_clip's table with the weights in a folder.

    Raises:
        EncoderError: the weights are missing, are a pickle, or do not fit.
    """
    import open_clip

    weights = _weights(folder, name)
    preprocessing = open_clip.get_pretrained_cfg(model, pretrained)
    made = _create(name, model, str(weights), force_preprocess_cfg=preprocessing)
    return _loaded(made, model, folder, name, space, device, dtype, revision)


def load_folder(
    folder: Path, name: str, space: str, device: torch.device, dtype: torch.dtype, revision: str | None = None
) -> Loaded:
    """Load the model in a folder with open_clip_config.json.

    Raises:
        EncoderError: a file is missing or invalid, or the weights are a pickle or do not fit.
    """
    path = folder / "open_clip_config.json"
    try:
        if "model_cfg" not in json.loads(path.read_text(encoding="utf-8")):
            raise EncoderError(f"{name}: {path} has no 'model_cfg'")
    except OSError as error:
        raise EncoderError(f"{name}: {folder} has no open_clip_config.json") from error
    except ValueError as error:
        raise EncoderError(f"{name}: {path} is not valid JSON ({one_line(error)})") from error
    _weights(folder, name)
    identifier = f"local-dir:{folder}"
    return _loaded(_create(name, identifier, None), identifier, folder, name, space, device, dtype, revision)


def _weights(folder: Path, name: str) -> Path:
    for weights in WEIGHTS:
        if (folder / weights).is_file():
            return folder / weights
    others = sorted(folder.glob("*.safetensors"))
    if others:
        return others[0]
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickles:
        raise EncoderError(f"{name}: {folder} holds {pickles[0]}, a pickle that could run code; expected {WEIGHTS[0]}")
    raise EncoderError(f"{name}: {folder} has no {WEIGHTS[0]}")


def _create(name: str, identifier: str, weights: str | None, **extra: Any) -> Any:
    import open_clip
    from safetensors import SafetensorError

    try:
        return open_clip.create_model(identifier, pretrained=weights, require_pretrained=True, **extra)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{name}: open_clip cannot read the model ({one_line(error)})") from error


def _loaded(
    model: nn.Module,
    identifier: str,
    folder: Path,
    name: str,
    space: str,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None,
) -> Loaded:
    reparameterise(model)
    model.eval().requires_grad_(False).to(device, dtype)
    return Loaded(model, identifier, folder, name, space, device, dtype, revision)


def reparameterise(model: Any) -> None:
    """Merge the training branches of a convolutional image tower, such as MobileCLIP's, into single convolutions.

    The outputs are equal up to rounding, with fewer layers (Vasu et al. 2024). Other towers are unchanged.

    Args:
        model: of open_clip, in float32; changed in its position.
    """
    trunk = getattr(model.visual, "trunk", None)
    if trunk is None or not any(hasattr(module, "reparameterize") for module in trunk.modules()):
        return
    from timm.utils import reparameterize_model

    model.eval()  # branches are merged with the running statistics of their norms
    reparameterize_model(trunk, inplace=True)
