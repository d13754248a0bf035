"""Views of an image: the weak view is the model's own preprocessing, the strong one a random change of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.images.random_crops import random_crop

Pixels: TypeAlias = Sequence[ImageLike]
"""N images, each decoded when it is accessed."""

AREA = (0.2, 1.0)
"""Area of the crop, as a fraction of the image's."""
JITTER = (0.4, 0.4, 0.4, 0.1)
"""Reach of brightness, contrast, saturation and hue."""
JITTERED, FLIPPED, TILTED = 0.8, 0.5, 0.5
"""Probabilities of the first colour jitter, of a mirror image and of a perspective."""
TILT = 0.2
"""Reach of the perspective, as a fraction of half of each side."""
BLUR = (0.1, 2.0)
"""Standard deviation of the blur in pixels of an input of 224 pixels; other inputs scale it."""
PUBLISHED_SIZE = 224
_THREADS = 16
_ENCODED = 256  # images in memory


def strong_view(image: Image.Image, size: int, generator: np.random.Generator) -> Tensor:
    """(size, size, 3) bytes of a random view: crop, mirror, colours, perspective, colours again, blur.

    The augmentation of NoLA (Imam et al. 2024, https://arxiv.org/abs/2411.19346), as in its code, by torchvision's
    functions. The blur's deviation is in proportion to the size of the input.

    Args:
        image: RGB image.
        size: side of the model's input in pixels.
        generator: of random numbers; the same state gives the same view.
    """
    from torchvision.transforms.v2 import InterpolationMode, functional

    pixels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1)  # (3, height, width)
    top, left, height, width = random_crop(image.width, image.height, generator, AREA)
    bicubic = InterpolationMode.BICUBIC
    pixels = functional.resized_crop(pixels, top, left, height, width, [size, size], bicubic, antialias=True)
    if generator.random() < FLIPPED:
        pixels = functional.horizontal_flip(pixels)
    if generator.random() < JITTERED:
        pixels = _jittered(pixels, generator)
    if generator.random() < TILTED:
        corners = _corners(size)
        pixels = functional.perspective(pixels, corners, random_corners(size, generator), InterpolationMode.BILINEAR)
    pixels = _blurred(_jittered(pixels, generator), generator)
    return pixels.permute(1, 2, 0).contiguous()  # (size, size, 3)


def strong_views(images: Pixels, rows: Sequence[int], size: int, seed: int, epoch: int) -> Tensor:
    """(B, size, size, 3) strong views of some images; view i depends on the seed, the epoch and its row only.

    Args:
        images: all images.
        rows: of the batch.
        size: side of the model's input in pixels.
        seed, epoch: of the random numbers, 0 or more.
    """

    def view(row: int) -> Tensor:
        return strong_view(load_image(images[row]), size, np.random.default_rng([seed, epoch, row]))

    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return torch.stack(list(pool.map(view, rows)))


def batches_ahead(
    images: Pixels, batches: Sequence[Sequence[int]], size: int, seed: int, epoch: int
) -> Iterator[Tensor]:
    """The `strong_views` of each batch, in order; the next batch is prepared while one is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(strong_views, images, batches[0], size, seed, epoch)
        for number in range(len(batches)):
            ready = coming.result()
            if number + 1 < len(batches):
                coming = pool.submit(strong_views, images, batches[number + 1], size, seed, epoch)
            yield ready


def encoded(encoder: ImageEncoder, images: Pixels) -> Iterator[ImageFeatures]:
    """Features of the weak views of images, a few hundred at a time, in order.

    Args:
        encoder: image encoder; the weak view is its own preprocessing.
        images: N >= 1 images.
    """
    for start in range(0, len(images), _ENCODED):
        yield encoder.encode([load_image(images[row]) for row in range(start, min(start + _ENCODED, len(images)))])


def random_corners(size: int, generator: np.random.Generator) -> list[list[int]]:
    """Four corners (x, y) moved inwards at random, clockwise from the top left, as torchvision's RandomPerspective."""
    reach = int(TILT * (size // 2))
    inward = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    return [
        [x + right * int(generator.integers(reach + 1)), y + down * int(generator.integers(reach + 1))]
        for (x, y), (right, down) in zip(_corners(size), inward, strict=True)
    ]


def _corners(size: int) -> list[list[int]]:
    return [[0, 0], [size - 1, 0], [size - 1, size - 1], [0, size - 1]]


def _jittered(pixels: Tensor, generator: np.random.Generator) -> Tensor:
    """The pixels with random brightness, contrast, saturation and hue, in random order."""
    from torchvision.transforms.v2 import functional

    steps = (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation)
    for number in generator.permutation(4):
        if number == 3:
            pixels = functional.adjust_hue(pixels, float(generator.uniform(-JITTER[3], JITTER[3])))
        else:
            pixels = steps[number](pixels, float(generator.uniform(1 - JITTER[number], 1 + JITTER[number])))
    return pixels


def _blurred(pixels: Tensor, generator: np.random.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional

    size = pixels.shape[-1]
    deviation = float(generator.uniform(*BLUR)) * size / PUBLISHED_SIZE
    reach = min(math.ceil(3 * deviation), size - 1)  # reflected borders are narrower than the image
    blurred: Tensor = functional.gaussian_blur(pixels, [2 * reach + 1, 2 * reach + 1], [deviation, deviation])
    return blurred
