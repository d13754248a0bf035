"""Recipe of playground-upsampler: features at twice the resolution, reconstructed from those at the usual one."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.data.playground import DrawnImage
from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.playground.photographs import open_photograph
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.optimiser import Optimiser
from dinoclip_viz.tasks.upsampling.guides import guide_of
from dinoclip_viz.tasks.upsampling.learned import Upsampler, UpsamplerSettings
from dinoclip_viz.tasks.upsampling.windows import mean_of_patches
from dinoclip_viz.training.claim import claim

DINO = "playground-dino"
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "brick.png", "grass.png", "gravel.png")
"""Photographs, CC0 or in the public domain, that scikit-image includes in its folder `data`."""
FINER = 2
"""Patches of the targets along the side of a patch."""
CLIP = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UpsamplerRecipe:
    """Settings of the training.

    Attributes:
        seed: of the scenes, below 1000, and of everything random.
        scenes: number of scenes; photographs: number of crops of photographs, 0 needs no scikit-image.
        patches: along the side of an image; targets have twice as many.
        window: patches along the side of the random part of an image that a step sees.
        factors: pixels per patch at which images guide the upsampling, one of them at random per step.
        steps: number of steps; batch: images per step; rate: highest learning rate; decay: weight decay.
        channels: random projections of the features that a step compares.
        network: settings of the network.
    """

    seed: int = 15
    scenes: int = 200
    photographs: int = 50
    patches: int = 16
    window: int = 8
    factors: tuple[int, ...] = (4, 8, 8, 16)
    steps: int = 600
    batch: int = 6
    rate: float = 2e-3
    decay: float = 0.01
    channels: int = 32
    network: UpsamplerSettings = field(default_factory=UpsamplerSettings)

    def __post_init__(self) -> None:
        for name in ("scenes", "patches", "window", "steps", "batch", "rate", "channels"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a value above 0")
        if self.window > self.patches:
            raise ValueError(f"window is {self.window}; expected at most the {self.patches} patches of an image")
        if not self.factors or any(factor < FINER or factor % FINER for factor in self.factors):
            raise ValueError(f"factors are {self.factors}; expected multiples of {FINER}")


def train_upsampler(
    folder: Path, recipe: UpsamplerRecipe, encoder: str | Path | None = None, device: str = "cpu"
) -> Path:
    """Train the upsampler, resuming an earlier call, and return the folder of its weights.

    An image is encoded twice: at P x P patches, and at twice the resolution. The upsampler, which sees the image alone,
    mixes the former into means over the positions of the latter, and is trained with the cosine and the squared
    difference of random projections of both. Colours of its image are jittered, the features' are not.

    Args:
        folder: for the checkpoint, the log and the trained weights.
        recipe: settings.
        encoder: name of the encoder whose features are reconstructed, or its folder; by default playground-dino.
        device: to train on; the encoder runs there too.

    Raises:
        ValueError: the folder has a run of other settings, or scikit-image is needed and not installed.
    """
    teacher = load_encoder(str(encoder or DINO), device, "float32")
    claim(folder, {"encoder": DINO if encoder is None else teacher.space, **_settings(recipe)})
    torch.manual_seed(recipe.seed)
    model = Upsampler(recipe.network).to(device)
    loop = Loop(
        folder, {"model": model}, Optimiser(model.named_parameters(), recipe.rate, recipe.decay, CLIP), recipe.steps,
        recipe.seed,
    )  # fmt: skip
    pairs = Pairs(teacher, recipe)
    for step in loop.run():
        chance = loop.generator()
        loss, parts = _loss(model, pairs, recipe, chance, device)
        loss.backward()
        loop.update()
        if step % 50 == 0:
            loop.record(**parts)
    target = folder / "model"
    average = loop.average
    if isinstance(average, Upsampler):
        average.save(target)
    record = {"recipe": asdict(recipe), "steps": loop.step, "minutes": round(loop.seconds / 60, 1)}
    (target / "training.json").write_text(json.dumps(record, indent=1))
    return target


class Pairs:
    """Images with their features at two resolutions; each is encoded once and kept as float16.

    Args:
        encoder: of the features.
        recipe: settings.
    """

    def __init__(self, encoder: ImageEncoder, recipe: UpsamplerRecipe) -> None:
        self.encoder, self.recipe = encoder, recipe
        self._known: dict[int, tuple[Image.Image, Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return self.recipe.scenes + self.recipe.photographs

    def __getitem__(self, index: int) -> tuple[Image.Image, Tensor, Tensor]:
        """The image, and features (P, P, D) and (2 P, 2 P, D) of it."""
        if index not in self._known:
            fine = self.recipe.patches * FINER * self.encoder.patch
            image = self.image(index, fine)
            coarse = image.resize((fine // FINER, fine // FINER), Image.Resampling.BICUBIC)
            low, high = (self.encoder.encode([one], one.width, "whole").patches[0].half() for one in (coarse, image))
            self._known[index] = image, low, high
        return self._known[index]

    def image(self, index: int, side: int) -> Image.Image:
        """A scene, or a crop of a photograph, of a side in pixels; the same for the same index."""
        if index < self.recipe.scenes:
            return DrawnImage(self.recipe.seed, index, side)()
        chance = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + index)
        photograph = open_photograph(PHOTOGRAPHS[index % len(PHOTOGRAPHS)])
        shorter = min(photograph.size)
        extent = shorter * (0.5 + 0.5 * float(torch.rand(1, generator=chance)))
        left, top = (float(torch.rand(1, generator=chance)) * (longest - extent) for longest in photograph.size)
        return photograph.resize((side, side), Image.Resampling.BICUBIC, (left, top, left + extent, top + extent))


def _loss(
    model: Upsampler, pairs: Pairs, recipe: UpsamplerRecipe, chance: torch.Generator, device: str
) -> tuple[Tensor, Mapping[str, float]]:
    """The loss of one batch, and its parts."""
    factor = recipe.factors[int(torch.randint(len(recipe.factors), (1,), generator=chance))]
    rows = torch.randint(len(pairs), (recipe.batch,), generator=chance).tolist()
    guides, lows, highs = zip(*(_part(*pairs[row], recipe, factor, chance) for row in rows), strict=True)
    low, high = torch.stack(lows), torch.stack(highs)
    mean = low.mean((1, 2), keepdim=True)
    scale = (low - mean).square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-6
    width = low.shape[-1]
    chosen = torch.linalg.qr(torch.randn(width, min(recipe.channels, width), generator=chance))[0]
    low, high = (((each - mean) / scale) @ chosen for each in (low, high))  # (B, P, P, channels)
    found = mean_of_patches(model(low.to(device), torch.stack(guides).permute(0, 3, 1, 2).to(device)), factor // FINER)
    target = high.to(device)
    square = F.mse_loss(found, target)
    cosine = 1 - F.cosine_similarity(found, target, dim=-1).mean()
    return square + cosine, {"square": square.item(), "cosine": cosine.item(), "factor": float(factor)}


def _part(
    image: Image.Image, low: Tensor, high: Tensor, recipe: UpsamplerRecipe, factor: int, chance: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A random part of an image, flipped and turned: pixels (h, w, 3), features (W, W, D) and (2 W, 2 W, D)."""
    window, last = recipe.window, recipe.patches - recipe.window
    top, left = torch.randint(last + 1, (2,), generator=chance).tolist()
    patch = image.width / recipe.patches
    box = (left * patch, top * patch, (left + window) * patch, (top + window) * patch)
    guide = jittered(guide_of(image, box, (window * factor, window * factor)), chance)[0].permute(1, 2, 0)
    turn = int(torch.randint(8, (1,), generator=chance))
    coarse = low[top : top + window, left : left + window]
    fine = high[FINER * top : FINER * (top + window), FINER * left : FINER * (left + window)]
    return turned(guide, turn), turned(coarse.float(), turn), turned(fine.float(), turn)


def jittered(guide: Tensor, chance: torch.Generator) -> Tensor:
    """The image (1, 3, h, w) with other colours: channels mixed, contrast, brightness and a little noise; in [0, 1]."""
    mixing = torch.eye(3) + 0.25 * torch.randn(3, 3, generator=chance)
    if torch.rand(1, generator=chance) < 0.1:
        mixing = torch.full((3, 3), 1 / 3)
    centred = torch.einsum("dc,bchw->bdhw", mixing, guide - 0.5)
    contrast = torch.exp(0.3 * torch.randn(1, generator=chance))
    bright = 0.1 * torch.randn(1, generator=chance)
    noise = 0.02 * torch.rand(1, generator=chance) * torch.randn(guide.shape, generator=chance)
    return (0.5 + contrast * centred + bright + noise).clamp(0, 1)


def turned(grid: Tensor, which: int) -> Tensor:
    """One of the eight flips and turns, by number, of a square grid (H, W, D)."""
    found = torch.rot90(grid, which % 4, (0, 1))
    return found.flip(1) if which >= 4 else found


def _settings(recipe: UpsamplerRecipe) -> dict[str, object]:
    """The recipe as JSON reads it back."""
    found: dict[str, object] = json.loads(json.dumps(asdict(recipe)))
    return found
