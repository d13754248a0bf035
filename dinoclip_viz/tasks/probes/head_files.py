"""Heads that are there to be used: the package's own, those in a folder of a user's, and genuine ones of others."""

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
"""Where the package's own heads lie."""

VOC_21 = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
SALIENT = ("background", "foreground")

_NESTED = ("model_state_dict", "state_dict", "model", "decoder", "classifier", "head")
_SETTINGS = ("omegaconf.", "typing.", "collections.", "builtins.")

log = logging.getLogger(__name__)


def heads_for(space: str, folder: str | PathLike[str] | None = None) -> dict[str, PatchHead]:
    """The heads that fit an encoder, by the stem of their file: the package's, then a user's.

    A file in the user's folder that is no head is left out, with a line in the log.

    Args:
        space: the encoder's `patch_space`.
        folder: of the user's heads, *.safetensors; one of the name of the package's takes its place.

    Raises:
        EncoderError: there is no such folder.

    Examples:
        >>> heads_for("some other encoder's")
        {}
    """
    places = [HEADS]
    if folder is not None:
        own = Path(folder).expanduser()
        if not own.is_dir():
            raise EncoderError(f"there is no folder {own}; expected the folder of your heads (*.safetensors)")
        places.append(own)
    found: dict[str, PatchHead] = {}
    for file in (file for place in places for file in sorted(place.glob("*.safetensors"))):
        try:
            head = PatchHead.load(file)
        except EncoderError as error:
            log.warning("%s", error)
            continue
        if head.space_ == space:
            found[file.stem] = head
    return found


def load_linear_head(path: str | PathLike[str], space: str | None = None) -> PatchHead:
    """A 1 x 1 convolution on patch tokens that somebody published as a `.pt` or `.pth` file, as a head.

    Known are two kinds, told by their weights: 21 outputs are the classes of Pascal VOC (as JAFAR's linear heads on
    DINOv2's patch tokens), and one output is FOUND's foreground (Simeoni et al. 2023), which becomes a head of two
    classes; FOUND reads the keys of the last attention of DINO ViT-S/8, not its patch tokens. Such a file does not say
    which encoder it belongs to, only how wide that is.

    Args:
        path: of the file; nothing but weights is read from it.
        space: the encoder's `patch_space`; without it, the head refuses features until `space_` is set.

    Raises:
        EncoderError: the file is missing, holds code, or no such layer.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise EncoderError(f"there is no file {file}; expected a linear head, .pt or .pth")
    weight, bias = _layer(_weights(file), file)
    outputs, width = weight.shape
    if outputs not in (1, len(VOC_21)):
        raise EncoderError(
            f"{file} has {outputs} outputs on patches of {width} values; expected 21 (Pascal VOC) or 1 (FOUND)"
        )
    if outputs == 1:  # against nothing: the softmax of both is the sigmoid of the one
        weight, bias = (torch.cat([torch.zeros_like(layer), layer]) for layer in (weight, bias))
    head = PatchHead(names=SALIENT if outputs == 1 else VOC_21)
    head.weight_, head.bias_, head.space_ = weight, bias, space or f"an encoder of {width} values a patch"
    head.encoder_ = space or head.space_
    return head


class _Inert:
    """Stands for a class that a file names and that nothing here needs: it holds nothing and does nothing."""

    def __new__(cls, *_given: object, **_named: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_given: object, **_named: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


def _weights(file: Path) -> object:
    """What torch reads of a file as weights alone; settings objects of training scripts are passed over."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(file)
        foreign = [name for name in named if not name.startswith(_SETTINGS)]
        if foreign:
            raise EncoderError(
                f"{file} holds {foreign[0]}, which could run code and is never loaded; save weights alone"
            )
        with torch.serialization.safe_globals([(_Inert, name) for name in named]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except EncoderError:
        raise
    except Exception as error:  # torch raises a dozen kinds for files that are not what they seem
        raise EncoderError(
            f"{file} cannot be read as weights alone ({type(error).__name__}); fetch it again"
        ) from error


def _layer(found: object, file: Path) -> tuple[Tensor, Tensor]:
    """(K, D) and (K,) of the one layer in a state dict, out of the boxes that training scripts put it into."""
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
    raise EncoderError(f"{file} holds no linear layer or 1 x 1 convolution named weight and bias")
