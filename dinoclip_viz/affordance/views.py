"""Views of annotated images: crops, flips, other colours and mosaics, encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from PIL import Image
from torch import Tensor

from dinoclip_viz.affordance.example import Annotated
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.layers import encode_layers

LARGEST = 448
"""Side of a view in pixels, for encoders whose published size is smaller."""
_TRIES = 20
_KEPT = 0.5  # of the annotated area, in a crop


@dataclass(frozen=True)
class ViewSettings:
    """How views are drawn.

    Attributes:
        size: side of a view in pixels; 0 for twice the encoder's published size, up to 448.
        count: views per example; the first is the whole image.
        least: smallest fraction of an image's sides in a crop.
        mosaic: probability of a view of four examples, so that objects are small and not alone.
        colour: strength of the change of colours, 0 for none.
    """

    size: int = 0
    count: int = 12
    least: float = 0.6
    mosaic: float = 0.25
    colour: float = 0.5

    def side(self, encoder: ImageEncoder) -> int:
        """Side of a view in pixels for an encoder."""
        return self.size or min(2 * encoder.size, max(LARGEST, encoder.size))


@dataclass(frozen=True)
class Views:
    """Encoded views.

    Attributes:
        patches: (K, N, H, W, D) float16, of the last N layers.
        cls: (K, D) of the last layer.
        targets: (K, V, H, W) mean of the target over each patch, in [0, 1].
        space: name of the space of the patches.
    """

    patches: Tensor
    cls: Tensor
    targets: Tensor
    space: str

    def __len__(self) -> int:
        return len(self.patches)


def encode_views(
    encoder: ImageEncoder, examples: Sequence[Annotated], settings: ViewSettings, layers: int, seed: int
) -> Views:
    """The features and targets of all views.

    Args:
        encoder: a vision transformer.
        examples: with targets for the same V verbs.
        settings: of the views.
        layers: N.
        seed: of everything random.
    """
    images, targets = draw_views(examples, settings, settings.side(encoder), seed)
    found = encode_layers(encoder, images, layers, images[0].width, "whole")
    pooled = torch.stack([F.adaptive_avg_pool2d(target, found.grid) for target in targets])
    return Views(found.patches.half(), found.cls, pooled, found.space)


def draw_views(
    examples: Sequence[Annotated], settings: ViewSettings, size: int, seed: int
) -> tuple[list[Image.Image], list[Tensor]]:
    """The images of all views, and the targets (V, size, size) of each.

    Args:
        examples: with targets for the same V verbs.
        settings: of the views.
        size: side of a view in pixels.
        seed: of everything random.
    """
    chance = np.random.default_rng(seed)
    drawn = [
        _view(examples, index, size, settings, chance, whole=number == 0)
        for number in range(settings.count)
        for index in range(len(examples))
    ]
    return [image for image, _ in drawn], [target for _, target in drawn]


def _view(
    examples: Sequence[Annotated], index: int, size: int, settings: ViewSettings, chance: Generator, whole: bool
) -> tuple[Image.Image, Tensor]:
    """Image of a side in pixels and its targets (V, size, size)."""
    if whole:
        one = examples[index]
        return _cut(one, (0, 0, one.image.width, one.image.height), (size, size))
    if chance.random() >= settings.mosaic:
        return _crop(examples[index], (size, size), settings, chance)
    across, down = (round(size * chance.uniform(0.35, 0.65)) for _ in range(2))
    others = chance.integers(len(examples), size=3)
    chosen = chance.permutation([index, *others])
    canvas, target = Image.new("RGB", (size, size)), torch.zeros(examples[index].targets.shape[0], size, size)
    boxes = ((0, 0, across, down), (across, 0, size, down), (0, down, across, size), (across, down, size, size))
    for one, (x0, y0, x1, y1) in zip(chosen, boxes, strict=True):
        image, part = _crop(examples[one], (x1 - x0, y1 - y0), settings, chance)
        canvas.paste(image, (x0, y0))
        target[:, y0:y1, x0:x1] = part
    return canvas, target


def _crop(
    example: Annotated, size: tuple[int, int], settings: ViewSettings, chance: Generator
) -> tuple[Image.Image, Tensor]:
    """A random part that holds half of the annotated area, flipped at random, in other colours."""
    width, height = example.image.size
    area = float(example.targets.sum())
    box = (0, 0, width, height)
    for _ in range(_TRIES):
        side = chance.uniform(settings.least, 1)
        x0, y0 = chance.uniform(0, width * (1 - side)), chance.uniform(0, height * (1 - side))
        found = (int(x0), int(y0), int(x0 + width * side), int(y0 + height * side))
        if found[2] <= found[0] or found[3] <= found[1]:
            continue
        if float(example.targets[:, found[1] : found[3], found[0] : found[2]].sum()) >= _KEPT * area:
            box = found
            break
    image, target = _cut(example, box, size)
    if chance.random() < 0.5:
        image, target = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), target.flip(-1)
    return _recoloured(image, settings.colour, chance), target


def _cut(example: Annotated, box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[Image.Image, Tensor]:
    """A part of an example at another size (width, height)."""
    x0, y0, x1, y1 = box
    part = example.targets[None, :, y0:y1, x0:x1]
    target = F.interpolate(part, (size[1], size[0]), mode="bilinear", antialias=True, align_corners=False)[0]
    return example.image.resize(size, Image.Resampling.BICUBIC, box), target.clamp(0, 1)


def _recoloured(image: Image.Image, strength: float, chance: Generator) -> Image.Image:
    """The image with mixed channels and another contrast and brightness."""
    if not strength:
        return image
    mixing = np.eye(3) + 0.35 * strength * chance.standard_normal((3, 3))
    mixing *= 1.2 / np.maximum(np.abs(mixing).sum(1, keepdims=True), 1.2)
    contrast, brightness = np.exp(0.25 * strength * chance.standard_normal()), 0.1 * strength * chance.standard_normal()
    pixels = (np.asarray(image, np.float32) / 255 - 0.5) @ mixing.T.astype(np.float32)
    changed = pixels * np.float32(contrast) + np.float32(0.5 + brightness)
    return Image.fromarray((changed.clip(0, 1) * 255).round().astype(np.uint8))
