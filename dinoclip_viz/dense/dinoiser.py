"""CLIP-DINOiser's two light convolutions: what a DINO finds alike, and where things are, read from CLIP alone."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

CORRELATION = 256
"""Channels of the published correlation layer."""


class DinoiserHead(nn.Module):
    """The layers that CLIP-DINOiser trains (Wysoczańska et al., ECCV 2024), under the names of its checkpoint.

    Args:
        width: of the CLIP's tokens.
        channels: of the correlation layer.

    Attributes:
        obj_proj: 3 x 3 convolution, width to channels, borders replicated.
        bkg_decoder: 1 x 1 convolution, width to 1: how much a patch belongs to an object, as a logit.
        space: of the CLIP's patches that it was trained on; "" if that is not known.
        least: similarity below which two patches do not mix.
    """

    def __init__(self, width: int, channels: int = CORRELATION, space: str = "", least: float = 0.2) -> None:
        super().__init__()
        self.obj_proj = nn.Conv2d(width, channels, 3, padding=1, padding_mode="replicate")
        self.bkg_decoder = nn.Conv2d(width, 1, 1)
        self.space, self.least = space, least

    @property
    def width(self) -> int:
        """Of the CLIP's tokens."""
        return self.obj_proj.in_channels

    def alike(self, middle: Tensor) -> Tensor:
        """(B, H, W, channels) unit vectors whose cosines follow a DINO's.

        Args:
            middle: (B, H, W, width) tokens of the third-last block after its second norm.
        """
        return F.normalize(self.obj_proj(middle.permute(0, 3, 1, 2)), dim=1).permute(0, 2, 3, 1)

    def objects(self, middle: Tensor) -> Tensor:
        """(B, H, W) logit of each patch being part of an object; at or below 0 it is background."""
        logits: Tensor = self.bkg_decoder(F.normalize(middle.permute(0, 3, 1, 2), dim=1))[:, 0]
        return logits

    def forward(self, patches: Tensor, middle: Tensor) -> Tensor:
        """(B, H, W, D) CLIP's patches pooled over those that the layer finds alike.

        Args:
            patches: (B, H, W, D) by MaskCLIP's path.
            middle: (B, H, W, width) of the same pass.
        """
        from dinoclip_viz.dense.pooling import guided_pooling

        return guided_pooling(patches, self.alike(middle), self.least)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the layers as one safetensors file."""
        settings = {"width": self.width, "channels": self.obj_proj.out_channels, "space": self.space}
        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_file(tensors, Path(path), {"dinoiser": json.dumps({**settings, "least": self.least})})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> DinoiserHead:
        """The layers in a file: written by `save`, or CLIP-DINOiser's published checkpoint (tensors alone are read).

        Raises:
            ValueError: the file is missing, or holds something else.
        """
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"there is no file {file}; expected one written by DinoiserHead.save, or last.pt")
        settings, tensors = _saved(file) if file.suffix.lower() == ".safetensors" else ({}, _published(file))
        try:
            weight = tensors["obj_proj.weight"]
            least = settings.get("least", 0.2)
            head = cls(weight.shape[1], weight.shape[0], str(settings.get("space", "")), float(str(least)))
            head.load_state_dict({name: value.float() for name, value in tensors.items()})
        except (KeyError, RuntimeError, IndexError, TypeError, ValueError) as error:
            expected = "obj_proj.weight, obj_proj.bias, bkg_decoder.weight, bkg_decoder.bias"
            raise ValueError(f"{file} is no CLIP-DINOiser head; expected the tensors {expected}") from error
        return head.eval().requires_grad_(False)


def _saved(file: Path) -> tuple[dict[str, object], dict[str, Tensor]]:
    try:
        with safe_open(file, "pt") as opened:
            settings = json.loads((opened.metadata() or {}).get("dinoiser", "{}"))
            if not isinstance(settings, dict):
                raise ValueError("its settings are no JSON object")
            return settings, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as safetensors; save the head again") from error


def _published(file: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, whether they lie in it directly or under a name; nothing else is read."""
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # unpicklers raise whatever they like
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{file} cannot be read as tensors alone ({reason}); expected CLIP-DINOiser's last.pt"
        ) from error
    for name in ("model_state_dict", "state_dict", "model"):
        if isinstance(held, dict) and isinstance(held.get(name), dict):
            held = held[name]
    wanted = ("obj_proj.", "bkg_decoder.")
    tensors = held.items() if isinstance(held, dict) else ()
    named = {name: value for name, value in tensors if isinstance(name, str) and isinstance(value, Tensor)}
    return {name: value for name, value in named.items() if name.startswith(wanted)}
