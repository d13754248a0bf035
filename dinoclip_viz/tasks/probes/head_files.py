"""Available heads: those of the package, those in a user's folder, and published linear heads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.tasks.probes.patch_head import PatchHead

HEADS = PLAYGROUND / "heads"
"""Folder of the package's heads."""

VOC_21 = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
SALIENT = ("background", "foreground")

_NESTED = ("model_state_dict", "state_dict", "model", "decoder", "classifier", "head")
_SETTINGS = ("omegaconf.", "typing.", "collections.", "builtins.")

log = logging.getLogger(__name__)


def heads_for(space: str, folder: str | PathLike[str] | None = None) -> dict[str, PatchHead]:
    """The heads of an encoder, by the stem of their file: the package's, then a user's.

    Files in the user's folder that are not heads are skipped, with a warning in the log.

    Args:
        space: the encoder's `patch_space`.
        folder: of the user's heads, *.safetensors; a head replaces one of the same name in the package.

    Raises:
        EncoderError: no such folder.

    Examples:
        >>> heads_for("some other encoder's")
        {}
    """
    folders = [HEADS]
    if folder is not None:
        own = Path(folder).expanduser()
        if not own.is_dir():
            raise EncoderError(f"found no folder {own}; expected a folder of heads (*.safetensors)")
        folders.append(own)
    found: dict[str, PatchHead] = {}
    for file in (file for each in folders for file in sorted(each.glob("*.safetensors"))):
        try:
            head = PatchHead.load(file)
        except EncoderError as error:
            log.warning("%s", error)
            continue
        if head.space_ == space:
            found[file.stem] = head
    return found


def load_linear_head(path: str | PathLike[str], space: str | None = None) -> PatchHead:
    """A head from a published 1 x 1 convolution on patch tokens, a `.pt` or `.pth` file.

    Two kinds are supported, identified by their weights: 21 outputs for the classes of Pascal VOC (as JAFAR's linear
    heads on DINOv2's patch tokens), and one output for FOUND's foreground (Simeoni et al. 2023), which becomes a head
    of two classes; FOUND reads the keys of the last attention of DINO ViT-S/8, not its patch tokens. Such files do not
    name their encoder, only its width.

    Args:
        path: of the file; only weights are read from it.
        space: the encoder's `patch_space`; without it, the head rejects features until `space_` is set.

    Raises:
        EncoderError: the file is missing, contains code, or has no such layer.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise EncoderError(f"found no file {file}; expected a linear head, .pt or .pth")
    weight, bias = _layer(_weights(file), file)
    outputs, width = weight.shape
    if outputs not in (1, len(VOC_21)):
        raise EncoderError(
            f"{file} has {outputs} outputs on patches of {width} values; expected 21 (Pascal VOC) or 1 (FOUND)"
        )
    if outputs == 1:  # with a second logit of 0, the softmax equals the sigmoid
        weight, bias = (torch.cat([torch.zeros_like(layer), layer]) for layer in (weight, bias))
    head = PatchHead(names=SALIENT if outputs == 1 else VOC_21)
    head.weight_, head.bias_, head.space_ = weight, bias, space or f"an encoder of {width} values per patch"
    head.encoder_ = space or head.space_
    return head


class _Inert:
    """An empty replacement for classes that a file refers to and that are not needed."""

    def __new__(cls, *_given: object, **_named: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_given: object, **_named: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


def _weights(file: Path) -> object:
    """The weights of a file, read by torch without running code; settings of training scripts are ignored."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(file)
        foreign = [name for name in named if not name.startswith(_SETTINGS)]
        if foreign:
            raise EncoderError(
                f"{file} contains {foreign[0]}, which could run code; expected weights alone: save the state dict"
            )
        with torch.serialization.safe_globals([(_Inert, name) for name in named]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except EncoderError:
        raise
    except Exception as error:  # torch raises many types for invalid files
        raise EncoderError(
            f"{file} cannot be read as weights alone ({type(error).__name__}); download again"
        ) from error


def _layer(found: object, file: Path) -> tuple[Tensor, Tensor]:
    """(K, D) weights and (K,) biases of the one layer in a state dict, which may be nested."""
    while isinstance(found, Mapping) and not isinstance(found.get("weight"), Tensor):
        inner = next((found[name] for name in _NESTED if isinstance(found.get(name), Mapping)), None)
        if inner is None:
            flat = {str(name).rsplit(".", 1)[-1]: value for name, value in found.items() if isinstance(value, Tensor)}
            if set(flat) != {"weight", "bias"} or len(found) != 2:
                break
            inner = flat
        found = inner
    if isinstance(found, Mapping) and isinstance(found.get("weight"), Tensor):
        weight, bias = found["weight"].float(), found.get("bias")
        if weight.ndim == 2 or (weight.ndim == 4 and weight.shape[2:] == (1, 1)):
            weight = weight.flatten(1)
            return weight, bias.float() if isinstance(bias, Tensor) else torch.zeros(len(weight))
    raise EncoderError(f"{file} has no such layer; expected a linear layer or 1 x 1 convolution named weight and bias")
