"""A name becomes an image-text model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from dinoclip_viz.dense.dinoiser import DinoiserHead
from dinoclip_viz.encoders import load_encoder, load_pair, load_text_encoder
from dinoclip_viz.encoders.base import EncoderError, ImageEncoder, TextEncoder, same_space
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.models.model import ImageTextModel
from dinoclip_viz.models.patches import GUIDED_BY, POOLING_LEAST
from dinoclip_viz.models.texts import ProjectedTexts
from dinoclip_viz.projector import Projector

DINOISER = "dinoiser.safetensors"
TEXT_TO_DINO = PLAYGROUND / "playground-text-to-dino"


def load_model(
    name: str = "playground",
    guide: str | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    dinoiser: str | Path | None = None,
) -> ImageTextModel:
    """An image-text model by name.

    Args:
        name: "playground"; a CLIP's catalogue name, hub id or local folder; or a projector's local folder.
        guide: a DINO's name, which tells what is alike and draws PCA maps. "playground-clip" takes "playground-dino".
        device: where it computes; by default cuda, else mps, else cpu.
        dtype: how it computes; by default float32.
        dinoiser: CLIP-DINOiser's layers for the CLIP: a file that `dinoclip dinoiser` trained, or the published
            last.pt; by default dinoiser.safetensors in the CLIP's own folder, where there is one.

    Raises:
        EncoderError: a part cannot be found, fetched or read, or does not fit another; one line says what to do.
    """
    folder = PLAYGROUND / "playground-projector" if name == "playground" else Path(name).expanduser()
    settings = _projector_settings(folder)
    if settings is None:
        return _load_clip(name, guide, device, dtype, dinoiser)
    projector = _load_projector(folder)
    images = load_encoder(projector.image_encoder, device, dtype)
    same_space(projector.image_space, images.patch_space)
    beside = load_encoder(guide, device, dtype) if guide else images
    clip: ImageEncoder | None = None
    texts: TextEncoder
    if name == "playground":
        clip, texts = load_pair(projector.text_encoder, device, dtype)
    else:
        texts = load_text_encoder(projector.text_encoder, device, dtype)
    same_space(projector.text_space, texts.space)
    if projector.side == "text":
        texts = ProjectedTexts(texts, projector)
    if clip is None and dinoiser is not None:
        raise EncoderError(f"{name} has no CLIP of its own that {dinoiser} could serve; name a CLIP")
    head = None if clip is None else _dinoiser(clip, PLAYGROUND / "playground-clip", dinoiser)
    text_map = _load_projector(TEXT_TO_DINO) if name == "playground" and TEXT_TO_DINO.is_dir() else None
    measured = _measured(folder)
    return ImageTextModel(
        name, images, texts, projector, clip, beside, measured.none_cosine, measured.best_method, head, text_map,
        measured.guided_by, measured.pooling_least,
    )  # fmt: skip


def _load_clip(
    name: str,
    guide: str | None,
    device: str | torch.device | None,
    dtype: torch.dtype | None,
    dinoiser: str | Path | None,
) -> ImageTextModel:
    images, texts = load_pair(name, device, dtype)
    if guide is None and images.space == "playground-clip":
        guide = "playground-dino"
    beside = load_encoder(guide, device, dtype) if guide else None
    folder = PLAYGROUND / name if images.space.startswith("playground") else Path(name).expanduser()
    measured = _measured(folder)
    return ImageTextModel(
        name, images, texts, None, images, beside, measured.none_cosine, measured.best_method,
        _dinoiser(images, folder, dinoiser), None, measured.guided_by, measured.pooling_least,
    )  # fmt: skip


def _dinoiser(clip: ImageEncoder, folder: Path, given: str | Path | None) -> DinoiserHead | None:
    """The layers that were named, or those in the CLIP's folder; None where there are none."""
    file = Path(given).expanduser() if given is not None else folder / DINOISER
    if given is None and not file.is_file():
        return None
    try:
        head = DinoiserHead.load(file)
    except ValueError as error:
        raise EncoderError(str(error)) from error
    if not clip.methods:
        raise EncoderError(f"{clip.name} serves no dense method, so that {file} has nothing to pool")
    if head.width != clip.patch_dimension:
        raise EncoderError(
            f"{file} is for a CLIP whose tokens have {head.width} values, but {clip.name}'s have {clip.patch_dimension}"
        )
    if head.space and head.space != clip.patch_space:
        raise EncoderError(f"{file} was trained on {head.space}, not on {clip.patch_space}; load that CLIP")
    return head


def _projector_settings(folder: Path) -> dict[str, object] | None:
    """config.json of a projector's folder; None where the folder is no projector's."""
    file = folder / "config.json"
    if not file.is_file():
        return None
    try:
        settings = json.loads(file.read_text())
    except (OSError, ValueError):
        return None  # the encoders' loader says what is wrong with it
    return settings if isinstance(settings, dict) and "image_encoder" in settings else None


def _load_projector(folder: Path) -> Projector:
    return Projector.find(folder).eval().requires_grad_(False)


@dataclass(frozen=True)
class Measured:
    """What was measured on a model and stands in measured.json beside its weights.

    Attributes:
        none_cosine, best_method, guided_by, pooling_least: as in `ImageTextModel`.
    """

    none_cosine: float = 0.2
    best_method: str = ""
    guided_by: Mapping[str, str] = field(default_factory=lambda: dict(GUIDED_BY))
    pooling_least: float = POOLING_LEAST


def _measured(folder: Path) -> Measured:
    file = folder / "measured.json"
    values = json.loads(file.read_text()) if file.is_file() else {}
    guided_by = {**GUIDED_BY, **values.get("guided_by", {})}
    least = float(values.get("pooling_least", POOLING_LEAST))
    return Measured(float(values.get("none_cosine", 0.2)), str(values.get("best_method", "")), guided_by, least)
