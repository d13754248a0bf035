"""Published models of transformers for depth and segmentation, by name: DPT, Depth Anything and TIPSv2.

They predict at the image's own size. Weights are safetensors from a local folder or the hub; no code is run from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders import huggingface
from dinoclip_viz.encoders.devices import AUTO, chosen_device, chosen_dtype
from dinoclip_viz.encoders.errors import EncoderError
from dinoclip_viz.encoders.hub import fetch
from dinoclip_viz.encoders.loading import HUB_ID
from dinoclip_viz.images import MAXIMUM_SIDE, ImageLike, load_image

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Task = Literal["depth", "segmentation"]

DEPTH_MODELS: Mapping[str, str] = {
    "dpt": "DPTForDepthEstimation",
    "depth_anything": "DepthAnythingForDepthEstimation",
    "tipsv2_dpt": "Tipsv2DptForDepthEstimation",
}
"""Model type in config.json -> class in transformers."""

SEGMENTATION_MODELS: Mapping[str, str] = {
    "dpt": "DPTForSemanticSegmentation",
    "tipsv2_dpt": "Tipsv2DptForSemanticSegmentation",
}

EXAMPLES = {
    "depth": "facebook/dpt-dinov2-small-nyu, depth-anything/Depth-Anything-V2-Small-hf, google/tipsv2-b14-dpt",
    "segmentation": "Intel/dpt-large-ade, google/tipsv2-b14-dpt",
}
_METRIC_BACKBONES = ("dinov2", "dinov2_with_registers")


@dataclass(frozen=True, eq=False)
class DepthModel:
    """Model of the depth of each pixel.

    Attributes:
        name: hub id or folder.
        metric: whether the depth is in metres; if not, higher values are nearer, up to an unknown scale and shift.
        device: device on which the model computes.
        dtype: floating-point type in which the model computes; results are float32.
        revision: commit on the hub; None for a local folder.
    """

    name: str
    metric: bool
    device: torch.device
    dtype: torch.dtype
    revision: str | None
    _model: PreTrainedModel = field(repr=False)
    _processor: object = field(repr=False)

    def __call__(self, image: ImageLike) -> Tensor:
        """(height, width) float32 depth at the image's size, in metres if `metric`, else relative inverse depth.

        Args:
            image: image of a kind that `load_image` accepts; sides above 1024 pixels are scaled down first.

        Raises:
            ImageError: the image cannot be read.
        """
        image = load_image(image)
        depth = _answer(self._model, self._processor, image, "predicted_depth")
        return _at_size(depth[None], image)[0]


@dataclass(frozen=True, eq=False)
class SegmentationModel:
    """Model of the class of each pixel.

    Attributes:
        name: hub id or folder.
        names: names of the classes, in the order of the labels.
        device: device on which the model computes.
        dtype: floating-point type in which the model computes; results are float32.
        revision: commit on the hub; None for a local folder.
    """

    name: str
    names: tuple[str, ...]
    device: torch.device
    dtype: torch.dtype
    revision: str | None
    _model: PreTrainedModel = field(repr=False)
    _processor: object = field(repr=False)

    def __call__(self, image: ImageLike) -> Tensor:
        """(height, width) int64 labels at the image's size, from bilinearly interpolated logits.

        Args:
            image: image of a kind that `load_image` accepts; sides above 1024 pixels are scaled down first.

        Raises:
            ImageError: the image cannot be read.
        """
        image = load_image(image)
        logits = _answer(self._model, self._processor, image, "logits")
        return _at_size(logits, image).argmax(0)


def load_depth_model(
    name: str, device: str | torch.device | None = AUTO, dtype: str | torch.dtype | None = AUTO
) -> DepthModel:
    """Load a depth model from a local folder or the hub.

    DPT on DINOv2 (NYU, KITTI), TIPSv2 and the metric versions of Depth Anything predict metres; the others predict
    relative inverse depth.

    Args:
        name: hub id, such as facebook/dpt-dinov2-small-nyu, or a folder written by `save_pretrained`.
        device: device to compute on, as in `load_encoder`.
        dtype: floating-point type to compute in, as in `load_encoder`.

    Raises:
        EncoderError: the model cannot be found, downloaded or read, or is not a depth model of a known type, or the
            device or dtype is unknown or unavailable.
    """
    where = chosen_device(device)
    how = chosen_dtype(dtype, where, name)
    model, processor, revision = _load(name, "depth", DEPTH_MODELS, where, how)
    config = model.config
    backbone = getattr(getattr(config, "backbone_config", None), "model_type", "")
    metric = {
        "dpt": backbone in _METRIC_BACKBONES,
        "depth_anything": getattr(config, "depth_estimation_type", "") == "metric",
        "tipsv2_dpt": True,
    }[config.model_type]
    return DepthModel(name, metric, where, how, revision, model, processor)


def load_segmentation_model(
    name: str, device: str | torch.device | None = AUTO, dtype: str | torch.dtype | None = AUTO
) -> SegmentationModel:
    """Load a segmentation model from a local folder or the hub; arguments and errors as in `load_depth_model`."""
    where = chosen_device(device)
    how = chosen_dtype(dtype, where, name)
    model, processor, revision = _load(name, "segmentation", SEGMENTATION_MODELS, where, how)
    listed = model.config.id2label
    names = tuple(str(listed[index]) for index in sorted(listed))
    return SegmentationModel(name, names, where, how, revision, model, processor)


def _load(
    name: str, task: Task, known: Mapping[str, str], device: torch.device, dtype: torch.dtype
) -> tuple[PreTrainedModel, object, str | None]:
    import transformers
    from safetensors import SafetensorError

    folder, revision = _folder(name, task)
    kind = huggingface.model_type(folder, name)
    if kind is None or kind not in known:
        raise EncoderError(
            f"{name}: model type {kind!r} is no {task} model of a known type; expected {', '.join(known)}, such as "
            f"{EXAMPLES[task]}"
        )
    if not any(folder.glob("*.safetensors")):
        raise EncoderError(f"{name}: {folder} has no model.safetensors, and a pickle is never loaded; save it again")
    try:
        model, report = getattr(transformers, known[kind]).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        line = " ".join(str(error).split())[:160]
        raise EncoderError(f"{name}: {folder} cannot be read as a {task} model ({line}); download it again") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise EncoderError(
            f"{name}: the weights in {folder} lack {len(missing)} tensors of {known[kind]}, {missing[0]} first; "
            f"expected a complete {task} model"
        )
    return model.eval().requires_grad_(False).to(device), processor, revision


def _folder(name: str, task: Task) -> tuple[Path, str | None]:
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(f"{name}: {folder} has no config.json; expected a folder written by save_pretrained")
        return folder, None
    if name.startswith((".", "/", "~", "\\")) or not HUB_ID.fullmatch(name):
        raise EncoderError(f"there is no folder {name}; expected one, or a hub id such as {EXAMPLES[task]}")
    return fetch(name, name, "transformers")


@torch.no_grad()
def _answer(model: PreTrainedModel, processor: object, image: Image.Image, key: str) -> Tensor:
    """(h, w) or (K, h, w) output of the model for an image, without the borders that its processor padded."""
    if not callable(processor):
        raise EncoderError(f"found {type(processor).__name__}; expected an image processor")
    small = image.convert("RGB")
    small.thumbnail((MAXIMUM_SIDE, MAXIMUM_SIDE), Image.Resampling.BICUBIC)
    pixels: Tensor = processor(images=small, return_tensors="pt")["pixel_values"]
    height, width = pixels.shape[-2:]
    inside = height, width
    if getattr(processor, "do_pad", False):
        inside = processor(images=small, return_tensors="pt", do_pad=False)["pixel_values"].shape[-2:]
    found: Tensor = getattr(model(pixels.to(model.device, model.dtype)), key)[0].float().cpu()
    if inside == (height, width):
        return found
    whole = F.interpolate(found.reshape(1, -1, *found.shape[-2:]), (height, width), mode="bilinear")[0]
    top, left = (height - inside[0]) // 2, (width - inside[1]) // 2
    cut = whole[:, top : top + inside[0], left : left + inside[1]]
    return cut[0] if found.ndim == 2 else cut


def _at_size(maps: Tensor, image: Image.Image) -> Tensor:
    """(K, height, width) maps at the image's size, bilinearly interpolated from (K, h, w)."""
    return F.interpolate(maps[None], size=(image.height, image.width), mode="bilinear", align_corners=False)[0]
