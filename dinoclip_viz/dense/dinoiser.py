"""CLIP-DINOiser's two convolutions, which predict a DINO's similarities and objects from CLIP's tokens."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dinoclip_viz.disk import replacing

CORRELATION = 256
"""Number of channels of the published correlation layer."""


class DinoiserHead(nn.Module):
    """The trained layers of CLIP-DINOiser (Wysoczańska et al., ECCV 2024), with the names of its checkpoint.

    Args:
        width: dimension of the CLIP's tokens.
        channels: number of channels of the correlation layer.
        space: name of the space of the CLIP's patches that it was trained on; "" if unknown.
        least: cosine similarity below which two patches are not pooled, -1 to 1.

    Attributes:
        obj_proj: 3 x 3 convolution from width to channels, with replicated borders.
        bkg_decoder: 1 x 1 convolution from width to 1, the logit of a patch being part of an object.
        space: as in the arguments.
        least: as in the arguments.
    """

    def __init__(self, width: int, channels: int = CORRELATION, space: str = "", least: float = 0.2) -> None:
        super().__init__()
        self.obj_proj = nn.Conv2d(width, channels, 3, padding=1, padding_mode="replicate")
        self.bkg_decoder = nn.Conv2d(width, 1, 1)
        self.space, self.least = space, least

    @property
    def width(self) -> int:
        """Dimension of the CLIP's tokens."""
        return self.obj_proj.in_channels

    def correlation(self, middle: Tensor) -> Tensor:
        """(B, H, W, channels) unit vectors whose cosine similarities approximate those of a DINO.

        Args:
            middle: (B, H, W, width) tokens of the third-last block, after its second norm.
        """
        return F.normalize(self.obj_proj(middle.permute(0, 3, 1, 2)), dim=1).permute(0, 2, 3, 1)

    def objects(self, middle: Tensor) -> Tensor:
        """(B, H, W) logit of each patch being part of an object; 0 and below is background."""
        logits: Tensor = self.bkg_decoder(F.normalize(middle.permute(0, 3, 1, 2), dim=1))[:, 0]
        return logits

    def forward(self, patches: Tensor, middle: Tensor) -> Tensor:
        """(B, H, W, D) CLIP's patches, pooled over the patches that the correlation layer predicts to be similar.

        Args:
            patches: (B, H, W, D) patches by MaskCLIP.
            middle: (B, H, W, width) tokens of the same pass, as in `correlation`.
        """
        from dinoclip_viz.dense.pooling import guided_pooling

        return guided_pooling(patches, self.correlation(middle), self.least)

    def save(self, path: str | PathLike[str]) -> None:
        """Save the layers as one safetensors file."""
        settings = {"width": self.width, "channels": self.obj_proj.out_channels, "space": self.space}
        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        with replacing(Path(path)) as aside:
            save_file(tensors, aside, {"dinoiser": json.dumps({**settings, "least": self.least})})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> DinoiserHead:
        """Load layers from a file of `save` or from CLIP-DINOiser's published checkpoint; only tensors are read.

        Raises:
            ValueError: the file is missing or has another content.
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
            raise ValueError(f"{file} is not a CLIP-DINOiser head; expected the tensors {expected}") from error
        return head.eval().requires_grad_(False)


def _saved(file: Path) -> tuple[dict[str, object], dict[str, Tensor]]:
    try:
        with safe_open(file, "pt") as opened:
            settings = json.loads((opened.metadata() or {}).get("dinoiser", "{}"))
            if not isinstance(settings, dict):
                raise ValueError("its settings are not a JSON object")
            return settings, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as safetensors; save the head again") from error


def _published(file: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint, at its top level or under a usual name; nothing else is read."""
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises exceptions of any type
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{file} cannot be read as tensors only ({reason}); expected CLIP-DINOiser's last.pt"
        ) from error
    for name in ("model_state_dict", "state_dict", "model"):
        if isinstance(held, dict) and isinstance(held.get(name), dict):
            held = held[name]
    wanted = ("obj_proj.", "bkg_decoder.")
    tensors = held.items() if isinstance(held, dict) else ()
    named = {name: value for name, value in tensors if isinstance(name, str) and isinstance(value, Tensor)}
    return {name: value for name, value in named.items() if name.startswith(wanted)}
