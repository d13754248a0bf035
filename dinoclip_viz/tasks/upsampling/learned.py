"""A small upsampler for any encoder: to which patches each pixel belongs, learnt from images alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dinoclip_viz.disk import replacing_in, write_json
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.tasks.upsampling import guided
from dinoclip_viz.tasks.upsampling.windows import mean_of_patches, offsets, weighted_patches

EMBEDDED = PLAYGROUND / "playground-upsampler"
"""Folder of the embedded weights."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"
HIDDEN = 32


@dataclass(frozen=True)
class UpsamplerSettings:
    """Settings of the network, saved next to its weights.

    Attributes:
        channels: of the convolutions at each resolution, each half of the one before.
        dimension: of the queries and keys.
        radius: of the window in patches.
        temperature: by which logits are divided outside training. Averaging more patches than a reconstruction needs
            removes noise from what is computed from them; 2 is the best of four values on scenes of seed 1501.
    """

    channels: tuple[int, ...] = (24, 32, 48, 64)
    dimension: int = 32
    radius: int = 2
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not self.channels or min(*self.channels, self.dimension, self.radius) < 1 or not self.temperature > 0:
            found = f"channels {self.channels}, dimension {self.dimension}, radius {self.radius}"
            raise ValueError(
                f"{found}, temperature {self.temperature:g}; expected 1 or more, and a temperature above 0"
            )


class Upsampler(nn.Module):
    """Attention from pixels to a window of patches, whose queries and keys come from the image alone.

    The values are the patches themselves, so that the output is a weighted mean of real patches, and one set of weights
    serves every encoder and number of channels, as in AnyUp (Wimmer et al. 2025). The logits are those of `guided`,
    with learnt parameters, plus products of learnt queries of pixels and keys of patches, zero before training.

    Args:
        settings: of the network.
    """

    def __init__(self, settings: UpsamplerSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or UpsamplerSettings()
        widths = settings.channels
        self.down = nn.ModuleList(_block(before, after) for before, after in zip((3, *widths), widths, strict=False))
        self.up = nn.ModuleList(nn.Conv2d(below, here, 1) for here, below in pairwise(widths))
        self.fuse = nn.ModuleList(_block(width, width) for width in widths[:-1])
        self.query = nn.Linear(widths[0], settings.dimension)
        self.key = nn.Sequential(nn.Linear(2 * widths[0], 64), nn.ReLU(), nn.Linear(64, settings.dimension))
        last = nn.Linear(HIDDEN, 1)
        self.place = nn.Sequential(nn.Linear(4, HIDDEN), nn.ReLU(), last)
        start = [guided.DISTANCE, guided.COLOUR, guided.SPREAD, guided.PURITY]
        self.prior = nn.Parameter(torch.tensor(start).log())
        for layer in (self.query, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, values: Tensor, guide: Tensor) -> Tensor:
        """(B, H k, W k, C) values of patches on the pixels of an image.

        Args:
            values: (B, H, W, C) values of patches.
            guide: (B, 3, H k, W k) the image that the patches cover, red, green and blue in [0, 1].
        """
        queries, keys, bias = self.attention(guide, guide.shape[2] // values.shape[1])
        if not self.training:
            queries, bias = queries / self.settings.temperature, bias / self.settings.temperature
        return weighted_patches(queries, keys, values, bias, self.settings.radius)

    def attention(self, guide: Tensor, factor: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H k, W k, D) of pixels, keys (B, H, W, D) of patches and bias (k k, N), without any values.

        Args:
            guide: as in `forward`.
            factor: k, pixels along the side of a patch.
        """
        distance, colour, spread, purity = self.prior.exp()
        colours = guided.colours(guide)
        likely = guided.colour_keys(mean_of_patches(colours, factor), colour, spread, purity)
        found = self.features(guide)
        mean = mean_of_patches(found, factor)
        variance = (mean_of_patches(found.square(), factor) - mean.square()).clamp_min(1e-6)
        learnt = self.key(torch.cat([mean, variance.sqrt()], dim=-1))
        away = offsets(factor, self.settings.radius).to(guide)  # (k k, N, 2)
        square = away.square().sum(-1, keepdim=True)
        scale = torch.full_like(square, factor).log()
        learnt_bias = self.place(torch.cat([away.abs(), square, scale], dim=-1))[..., 0]
        bias = square[..., 0] / (-2 * distance**2) + learnt_bias
        return torch.cat([colours, self.query(found)], dim=-1), torch.cat([likely, learnt], dim=-1), bias

    def features(self, guide: Tensor) -> Tensor:
        """(B, h, w, F) features of the pixels of an image (B, 3, h, w) in [0, 1]."""
        levels = []
        found = 4 * (guide - 0.5)
        for number, block in enumerate(self.down):
            found = block(F.avg_pool2d(found, 2, ceil_mode=True) if number else found)
            levels.append(found)
        for number in range(len(levels) - 2, -1, -1):
            above = F.interpolate(self.up[number](found), size=levels[number].shape[2:], mode="bilinear")
            found = levels[number] + self.fuse[number](levels[number] + above)
        return found.permute(0, 2, 3, 1)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write config.json and model.safetensors, in float16, to a folder."""
        tensors = {name: value.half().contiguous() for name, value in self.state_dict().items()}
        with replacing_in(folder, CONFIG) as aside:
            save_file(tensors, aside / WEIGHTS)
            write_json(aside / CONFIG, asdict(self.settings))


def load_upsampler(folder: str | PathLike[str] | None = None, device: str | torch.device = "cpu") -> Upsampler:
    """The upsampler of a folder, in float32; None is the embedded one.

    Raises:
        ValueError: the folder has no upsampler that can be read.
    """
    return _loaded(str(Path(folder or EMBEDDED).resolve()), str(device))


@lru_cache(maxsize=4)
def _loaded(folder: str, device: str) -> Upsampler:
    try:
        settings = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
        model = Upsampler(UpsamplerSettings(**{**settings, "channels": tuple(settings["channels"])}))
        model.load_state_dict({name: one.float() for name, one in load_file(Path(folder) / WEIGHTS).items()})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{folder} has no upsampler that can be read ({reason}); expected a folder of Upsampler.save; or use guided"
        ) from error
    return model.to(device).eval().requires_grad_(False)


def _block(before: int, after: int) -> nn.Sequential:
    """Two 3 x 3 convolutions with replicated borders."""
    first = nn.Conv2d(before, after, 3, padding=1, padding_mode="replicate")
    second = nn.Conv2d(after, after, 3, padding=1, padding_mode="replicate")
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
