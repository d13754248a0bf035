"""Image-text models by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from dinoclip_viz.dense.dinoiser import DinoiserHead
from dinoclip_viz.encoders import load_encoder, load_pair, load_text_encoder
from dinoclip_viz.encoders.base import EncoderError, ImageEncoder, TextEncoder, same_space
from dinoclip_viz.encoders.cache import cached, files_state, latest
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.encoders.devices import AUTO, chosen_device, chosen_dtype, is_embedded
from dinoclip_viz.encoders.errors import type_name
from dinoclip_viz.encoders.huggingface.texts import own_templates
from dinoclip_viz.models.adapted import AdaptedSettings, adapted_settings, with_classifier
from dinoclip_viz.models.model import ImageTextModel
from dinoclip_viz.models.patches import GUIDED_BY, POOLING_LEAST
from dinoclip_viz.models.texts import ProjectedTexts
from dinoclip_viz.projector import Projector

_EXAMPLE = '"playground"'
DINOISER = "dinoiser.safetensors"
TEXT_TO_DINO = PLAYGROUND / "playground-text-to-dino"


def load_model(
    name: str = "playground",
    guide: str | None = None,
    device: str | torch.device | None = AUTO,
    dtype: str | torch.dtype | None = AUTO,
    dinoiser: str | Path | None = None,
) -> ImageTextModel:
    """Load an image-text model by name.

    A model that was loaded with the same name and settings, and is still referenced, is returned again.

    Args:
        name: "playground"; catalogue name, hub id or local folder of a CLIP; or local folder of a projector or of an
            adapted model.
        guide: name of a DINO, for the methods that use its similarities and for PCA maps; by default "playground-dino"
            for "playground-clip", else none.
        device: device to compute on, as in `load_encoder`.
        dtype: floating-point type that its encoders compute in, as in `load_encoder`; "auto" is chosen for each of them
            by itself. Projectors and CLIP-DINOiser's layers compute in float32.
        dinoiser: file with CLIP-DINOiser's layers for the CLIP, trained by `dinoclip dinoiser` or the published
            last.pt; by default dinoiser.safetensors in the folder of the CLIP, if it exists.

    Raises:
        EncoderError: a part cannot be found, downloaded or read, two parts do not fit, or the device or dtype is
            unknown or unavailable.
    """
    if not isinstance(name, str):
        raise EncoderError(f"found {type_name(name)}; expected the name of a model, such as {_EXAMPLE}")
    where = chosen_device(device)
    how = _common_dtype(dtype, where, (name, guide))
    head = None if dinoiser is None else str(dinoiser)
    settings = (guide, files_state(guide), where, how, head, files_state(head))
    return cached("model", name, settings, lambda: _load_model(name, guide, where, how, dinoiser))


def as_model(model: str | ImageTextModel) -> ImageTextModel:
    """Return a loaded model unchanged, or load it by name.

    A name finds a model that was loaded earlier under it, with any settings, while that is still referenced.

    Args:
        model: loaded model or its name, as in `load_model`.

    Raises:
        EncoderError: the value is neither, or the model cannot be loaded.
    """
    if isinstance(model, str):
        return latest("model", model, lambda: load_model(model))
    if not isinstance(model, ImageTextModel):
        raise EncoderError(f"found {type_name(model)}; expected an image-text model or its name, such as {_EXAMPLE}")
    return model


def _common_dtype(
    dtype: str | torch.dtype | None, device: torch.device, names: tuple[str, str | None]
) -> torch.dtype | None:
    """The dtype of all parts of a model; None if it is chosen for each part by itself."""
    general = chosen_dtype(dtype, device)
    if dtype not in (None, AUTO) or general == torch.float32:
        return general
    return torch.float32 if all(is_embedded(name) for name in names if name) else None


def _load_model(
    name: str,
    guide: str | None,
    device: torch.device,
    dtype: torch.dtype | None,
    dinoiser: str | Path | None,
) -> ImageTextModel:
    folder = PLAYGROUND / "playground-projector" if name == "playground" else Path(name).expanduser()
    adapted = adapted_settings(folder)
    if adapted is not None:
        return _load_adapted(name, adapted, guide, device, dtype, dinoiser)
    settings = _projector_settings(folder)
    if settings is None:
        return _load_clip(name, guide, device, dtype, dinoiser)
    projector = _load_projector(folder)
    images = load_encoder(projector.image_encoder, device, dtype)
    same_space(projector.image_space, images.patch_space)
    guiding = load_encoder(guide, device, dtype) if guide else images
    clip: ImageEncoder | None = None
    texts: TextEncoder
    if name == "playground":
        clip, texts = load_pair(projector.text_encoder, device, dtype)
    else:
        texts = load_text_encoder(projector.text_encoder, device, dtype)
    same_space(projector.text_space, texts.space)
    if projector.side != "image":
        texts = ProjectedTexts(texts, projector, own_templates(folder))
    if clip is None and dinoiser is not None:
        raise EncoderError(f"{name} has no CLIP for the layers in {dinoiser}; expected the name of a CLIP")
    head = None if clip is None else _dinoiser(clip, PLAYGROUND / "playground-clip", dinoiser)
    text_map = _load_projector(TEXT_TO_DINO) if name == "playground" and TEXT_TO_DINO.is_dir() else None
    measured = _measured(folder)
    return ImageTextModel(
        name, images, texts, projector, clip, guiding, measured.none_cosine, measured.best_method, head, text_map,
        measured.guided_by, measured.pooling_least,
    )  # fmt: skip


def _load_adapted(
    name: str,
    adapted: AdaptedSettings,
    guide: str | None,
    device: torch.device,
    dtype: torch.dtype | None,
    dinoiser: str | Path | None,
) -> ImageTextModel:
    base = load_model(adapted.model, guide or adapted.guide or None, device, dtype, dinoiser)
    return replace(with_classifier(Path(name).expanduser(), adapted, base), name=name)


def _load_clip(
    name: str,
    guide: str | None,
    device: torch.device,
    dtype: torch.dtype | None,
    dinoiser: str | Path | None,
) -> ImageTextModel:
    images, texts = load_pair(name, device, dtype)
    if guide is None and images.space == "playground-clip":
        guide = "playground-dino"
    guiding = load_encoder(guide, device, dtype) if guide else None
    folder = PLAYGROUND / name if images.space.startswith("playground") else Path(name).expanduser()
    measured = _measured(folder)
    return ImageTextModel(
        name, images, texts, None, images, guiding, measured.none_cosine, measured.best_method,
        _dinoiser(images, folder, dinoiser), None, measured.guided_by, measured.pooling_least,
    )  # fmt: skip


def _dinoiser(clip: ImageEncoder, folder: Path, given: str | Path | None) -> DinoiserHead | None:
    """CLIP-DINOiser's layers in the given file or in the CLIP's folder; None without a file."""
    file = Path(given).expanduser() if given is not None else folder / DINOISER
    if given is None and not file.is_file():
        return None
    try:
        head = DinoiserHead.load(file)
    except ValueError as error:
        raise EncoderError(str(error)) from error
    if not clip.methods:
        raise EncoderError(f"{clip.name} serves no dense method, which the layers in {file} need; use another CLIP")
    if head.width != clip.patch_dimension:
        raise EncoderError(
            f"{file} is for a CLIP whose tokens have {head.width} values, but {clip.name}'s have {clip.patch_dimension}"
        )
    if head.space and head.space != clip.patch_space:
        raise EncoderError(f"{file} was trained on {head.space}, not on {clip.patch_space}; load that CLIP")
    return head


def _projector_settings(folder: Path) -> dict[str, object] | None:
    """Content of a projector's config.json; None if the folder is not a projector's."""
    file = folder / "config.json"
    if not file.is_file():
        return None
    try:
        settings = json.loads(file.read_text())
    except (OSError, ValueError):
        return None  # the loader of encoders raises an error for it
    return settings if isinstance(settings, dict) and "image_encoder" in settings else None


def _load_projector(folder: Path) -> Projector:
    return Projector.find(folder).eval().requires_grad_(False)


@dataclass(frozen=True)
class Measured:
    """Measurements of a model, from measured.json in the folder of its weights.

    Attributes:
        none_cosine: as in `ImageTextModel`.
        best_method: as in `ImageTextModel`.
        guided_by: as in `ImageTextModel`.
        pooling_least: as in `ImageTextModel`.
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
