"""Frozen models of timm, from weights on the hub, a local folder, or with random weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dinoclip_viz.encoders.errors import EncoderError, one_line

WEIGHTS = "model.safetensors"
_SEED = 0
_NAMED = 4  # near names in a message


@dataclass(frozen=True)
class Loaded:
    """A loaded model and its properties.

    Attributes:
        model: model in evaluation mode without its classifier, on `device`.
        name: name as the user wrote it.
        space: name of the space of its vectors.
        device: device on which the model computes.
        dtype: floating-point type in which the model computes.
        revision: commit on the hub; None for a local folder.
    """

    model: Any
    name: str
    space: str
    device: torch.device
    dtype: torch.dtype
    revision: str | None = None


def repository(model: str) -> str:
    """Hub id of the published weights of a model of timm, such as vit_small_patch14_dinov2.lvd142m.

    Raises:
        EncoderError: timm has no such model, or no weights for it on the hub.
    """
    import timm

    _check_known(model)
    known = model in timm.list_pretrained()
    published = timm.get_pretrained_cfg(model) if known or "." not in model else None
    hub = published.hf_hub_id if published else None
    if published is None or not hub:
        architecture = model.split(".", maxsplit=1)[0]
        tags = ", ".join(timm.list_pretrained(f"{architecture}.*")[:_NAMED]) or "none"
        raise EncoderError(
            f"timm has no weights {model!r} on the Hugging Face hub; for this architecture it has: {tags}"
        )
    if not hub.endswith("/"):
        return str(hub)
    architecture = published.architecture or model.split(".", maxsplit=1)[0]
    return f"{hub}{architecture}.{published.tag}" if published.tag else f"{hub}{architecture}"


def is_timm_folder(folder: Path) -> bool:
    """Whether a folder is in timm's hub format: its config.json names an architecture and no model type."""
    return "architecture" in _settings(folder)


def load(
    folder: Path,
    name: str,
    space: str,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None = None,
    random: bool = False,
) -> Loaded:
    """Load a model from a folder in timm's hub format; only safetensors are read.

    Args:
        folder: folder of its files.
        name: name as the user wrote it.
        space: name of the space of its vectors.
        device: device to compute on.
        dtype: floating-point type to compute in.
        revision: commit on the hub; None for a local folder.
        random: whether to initialise the weights randomly, from a fixed seed, instead of reading them.

    Raises:
        EncoderError: a file is missing or invalid, or the weights do not fit.
    """
    settings = _settings(folder)
    if "architecture" not in settings:
        raise EncoderError(
            f"{name}: {folder} has no config.json with timm's 'architecture'; expected timm's hub format"
        )
    architecture, published = str(settings["architecture"]), dict(settings.get("pretrained_cfg") or {})
    _check_known(architecture)
    extra = dict(settings.get("model_args") or {})
    overlay = {**published, "file": str(folder / WEIGHTS), "url": "", "hf_hub_id": None, "custom_load": False}
    if random:
        return _loaded(_randomly(name, architecture, overlay, extra), name, space, device, dtype, revision)
    if not (folder / WEIGHTS).is_file():
        raise EncoderError(f"{name}: {folder} has no {WEIGHTS}, and a pickle is never loaded; save it again with timm")
    # with another number of classes than in the file, timm would leave missing tensors random without a word
    classes = int(settings.get("num_classes", published.get("num_classes")) or 0)
    model = _created(name, architecture, True, {**overlay, "num_classes": classes}, {**extra, "num_classes": classes})
    model.reset_classifier(0)
    return _loaded(model, name, space, device, dtype, revision)


def random_model(architecture: str, name: str, space: str, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Load an architecture of timm with random weights from a fixed seed.

    Raises:
        EncoderError: timm has no such model.
    """
    _check_known(architecture)
    return _loaded(_randomly(name, architecture, {}, {}), name, space, device, dtype, None)


def _randomly(name: str, architecture: str, overlay: dict[str, Any], extra: dict[str, Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return _created(name, architecture, False, overlay, {**extra, "num_classes": 0})


def _settings(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and "model_type" not in found else {}


def _check_known(model: str) -> None:
    import timm

    if timm.is_model(model.split(".", maxsplit=1)[0]):
        return
    near = timm.list_models(f"*{model.split('.', maxsplit=1)[0].removesuffix('*')[:16]}*")[:_NAMED]
    hint = f"; similar names: {', '.join(near)}" if near else ""
    raise EncoderError(f"timm has no model {model!r}{hint}; its names: timm.list_models()")


def _created(name: str, architecture: str, pretrained: bool, overlay: dict[str, Any], extra: dict[str, Any]) -> Any:
    import timm
    from safetensors import SafetensorError

    try:
        return timm.create_model(architecture, pretrained=pretrained, pretrained_cfg_overlay=overlay, **extra)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise EncoderError(f"{name}: timm cannot read the model ({one_line(error)})") from error


def _loaded(
    model: Any, name: str, space: str, device: torch.device, dtype: torch.dtype, revision: str | None
) -> Loaded:
    model.eval().requires_grad_(False).to(device, dtype)
    return Loaded(model, name, space, device, dtype, revision)
