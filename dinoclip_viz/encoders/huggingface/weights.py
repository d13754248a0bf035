"""Frozen models of transformers from a local folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.errors import one_line
from dinoclip_viz.encoders.huggingface.architectures import ARCHITECTURES, Architecture

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


RANDOM_SEED = 0
"""Seed of the weights of a random model."""


@dataclass(frozen=True)
class Loaded:
    """A loaded model and its properties.

    Attributes:
        model: model in evaluation mode, on `device`.
        architecture: properties of its model type.
        folder: folder of its files.
        name: name as the user wrote it.
        space: name of the space of its pooled vectors.
        device: device on which the model computes.
        dtype: floating-point type in which the model computes.
        revision: commit on the hub; None for a local folder.
    """

    model: PreTrainedModel
    architecture: Architecture
    folder: Path
    name: str
    space: str
    device: torch.device
    dtype: torch.dtype
    revision: str | None = None


def load(
    folder: Path,
    name: str,
    space: str,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None = None,
    random: bool = False,
) -> Loaded:
    """Load the model in a local folder; only safetensors are read and no code from the folder is run.

    Args:
        folder: folder of its files.
        name: name as the user wrote it.
        space: name of the space of its pooled vectors.
        device: device to compute on.
        dtype: floating-point type to compute in.
        revision: commit on the hub; None for a local folder.
        random: whether to initialise the weights randomly, from a fixed seed, instead of reading them.

    Raises:
        EncoderError: the architecture is not supported, a file is missing, or the weights do not fit.
    """
    import transformers

    config = _config(folder, name)
    architecture = ARCHITECTURES[config.model_type]
    model_class = getattr(transformers, architecture.model)
    extra = {"add_pooling_layer": False} if config.model_type == "vit" else {}
    if random:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            model = model_class(config, **extra).to(dtype)
        return Loaded(_frozen(model, device), architecture, folder, name, space, device, dtype, revision)
    model = read_model(model_class, folder, name, config, dtype, extra=extra)
    return Loaded(_frozen(model, device), architecture, folder, name, space, device, dtype, revision)


def read_model(
    reader: Any, folder: Path, name: str, config: PreTrainedConfig, dtype: torch.dtype, unused: tuple[str, ...] = (),
    extra: Mapping[str, bool] | None = None,
) -> PreTrainedModel:  # fmt: skip
    """A model of transformers from a folder, complete, from safetensors alone.

    Args:
        reader: the model's class, or one of transformers' AutoModel classes.
        folder: of its files.
        name: as the user wrote it.
        config: of the model.
        dtype: of the weights.
        unused: beginnings of the names of tensors that may be missing.
        extra: further arguments of the class; None for none.

    Raises:
        EncoderError: the weights are pickled, cannot be read, or some are missing.
    """
    from safetensors import SafetensorError

    refuse_pickles(folder, name)
    try:
        model, report = reader.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **(extra or {}),
        )
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise EncoderError(
            f"{name}: the weights in {folder} cannot be read ({one_line(error)}); download them again"
        ) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(unused))
    if missing:
        raise EncoderError(
            f"{name}: the weights in {folder} lack {len(missing)} tensors of a {config.model_type} model, "
            f"{missing[0]} first; expected a complete model of this type"
        )
    found: PreTrainedModel = model
    return found


def _frozen(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    return model.eval().requires_grad_(False).to(device)


def drop_text(loaded: Loaded) -> None:
    """Free the memory of a text tower that is not used."""
    if loaded.architecture.joint:
        loaded.model.text_model = None


def model_type(folder: Path, name: str) -> str | None:
    """Model type in a folder's config.json, supported or not; None if the file names none.

    Raises:
        EncoderError: the file is missing or is not JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise EncoderError(f"{name}: {folder} has no config.json; expected a folder written by save_pretrained")
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise EncoderError(f"{name}: {path} is not a JSON object ({one_line(error)})") from error
    return str(kind) if kind is not None else None


def _config(folder: Path, name: str) -> PreTrainedConfig:
    from transformers import AutoConfig

    kind = model_type(folder, name)
    if kind not in ARCHITECTURES:
        hint = "; use a fixed-resolution SigLIP 2 such as google/siglip2-base-patch16-224" if kind == "siglip2" else ""
        raise EncoderError(f"{name}: model type {kind!r} is not supported{hint}; supported: {', '.join(ARCHITECTURES)}")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EncoderError(f"{name}: {folder / 'config.json'} cannot be read ({one_line(error)})") from error


def refuse_pickles(folder: Path, name: str) -> None:
    """Check that a folder has safetensors.

    Raises:
        EncoderError: it has none; the message names a pickle, if there is one.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickles:
        raise EncoderError(
            f"{name}: {folder} holds {pickles[0]}, a pickle that could run code; expected model.safetensors; "
            "convert it with save_pretrained(..., safe_serialization=True)"
        )
    raise EncoderError(f"{name}: {folder} has no model.safetensors")


def width_of(config: PreTrainedConfig) -> int:
    """Dimension D' of the patches of a vision model."""
    return int(config.hidden_sizes[-1] if hasattr(config, "hidden_sizes") else config.hidden_size)


def dimension_of(loaded: Loaded) -> int:
    """Dimension D of the pooled vectors."""
    config = loaded.model.config
    if not loaded.architecture.joint:
        return width_of(config)
    if hasattr(loaded.model, "visual_projection"):
        return int(config.projection_dim)
    return int(config.vision_config.hidden_size)
