"""Preprocessing of images: the published centre crop, bit for bit, or the whole image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.images.crops import Crop, Fit, Plan

Squares = Callable[[Sequence[Image.Image], int], Tensor]
"""Images and a side in pixels -> (B, 3, side, side) by a library's own preprocessing, if PIL cannot reproduce it."""


class Recipe(Protocol):
    """From an image to an array: the part of preprocessing that runs before images are batched."""

    def plan(self, image: tuple[int, int]) -> Plan:
        """Preprocessing steps of an image of a width and height in pixels."""
        ...

    def pixels(self, image: Image.Image, plan: Plan) -> NDArray[np.uint8] | NDArray[np.float32]:
        """(height, width, 3) bytes, or (3, height, width) normalised values."""
        ...


@dataclass(frozen=True)
class LibraryCrop:
    """The published crop by a library's own preprocessing; it cannot be pickled.

    Attributes:
        crop: the same crop by PIL, for its plan.
        squares: the library's preprocessing.
    """

    crop: Crop
    squares: Squares

    def plan(self, image: tuple[int, int]) -> Plan:
        """Preprocessing steps of an image; errors as in `Crop.plan`."""
        return self.crop.plan(image)

    def pixels(self, image: Image.Image, plan: Plan) -> NDArray[np.float32]:
        """(3, height, width) normalised values."""
        width, height = plan.shape
        whole = self.squares([image if image.mode == "RGB" else image.convert("RGB")], plan.crop or width)
        values: NDArray[np.float32] = whole[0, :, :height, :width].contiguous().numpy()
        return values


def normalisation_table(mean: Sequence[float], deviation: Sequence[float]) -> NDArray[np.float32]:
    """(3, 256) value of each byte in each channel by torchvision's ToTensor and Normalize."""
    values = torch.arange(256, dtype=torch.uint8).float().div(255).expand(3, 256)
    shift, scale = (torch.tensor(each, dtype=torch.float32).expand(3)[:, None] for each in (mean, deviation))
    table: NDArray[np.float32] = ((values - shift) / scale).numpy()
    return table


@dataclass(frozen=True)
class Preprocessing:
    """Published preprocessing of a model.

    Attributes:
        size: side of the published square input in pixels.
        short_side: length of the shorter side before the centre crop in pixels; None if both sides are resized to
            `size`.
        resample: PIL's filter of the published resize.
        table: (3, 256) float32 normalised value of each byte in each channel, by the library's own function.
        squares: the library's own crop, if it does not resize with PIL.
    """

    size: int
    short_side: int | None
    resample: Image.Resampling
    table: NDArray[np.float32] = field(repr=False)
    squares: Squares | None = field(default=None, repr=False)
    _tables: dict[tuple[torch.device, torch.dtype], Tensor] = field(default_factory=dict, repr=False, compare=False)

    def recipe(self, patch: int, size: int | None, fit: Fit) -> Recipe:
        """The part that runs before images are batched.

        Args:
            patch: side of a patch in pixels.
            size: as in `ImageEncoder.encode`.
            fit: as in `ImageEncoder.encode`.
        """
        crop = Crop(patch, self.size, self.short_side, self.resample, size, fit)
        return LibraryCrop(crop, self.squares) if self.squares is not None and fit == "crop" else crop

    def plan(self, image: tuple[int, int], patch: int, size: int | None, fit: Fit) -> Plan:
        """Preprocessing steps of an image of a width and height in pixels; other arguments as in `recipe`.

        Raises:
            ValueError: `size` is out of range, or `fit` is unknown.
        """
        return self.recipe(patch, size, fit).plan(image)

    def pixels(self, images: Sequence[Image.Image], plans: Sequence[Plan]) -> Tensor:
        """(B, 3, height, width) normalised pixels of images whose plans have the same shape."""
        recipe = self.recipe(1, None, "whole" if plans[0].crop is None else "crop")
        arrays = [recipe.pixels(image, plan) for image, plan in zip(images, plans, strict=True)]
        return self.normalised(torch.from_numpy(np.stack(arrays)))

    def normalised(self, inputs: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """(B, 3, height, width) normalised values on the device of the inputs.

        Args:
            inputs: (B, height, width, 3) bytes; or (B, 3, height, width) normalised values, which are only converted.
            dtype: of the result.
        """
        if inputs.dtype != torch.uint8:
            return inputs.to(dtype)
        if inputs.device.type == "cpu":
            return self._normalised_on_cpu(inputs).to(dtype)
        key = inputs.device, dtype
        if key not in self._tables:
            self._tables[key] = torch.from_numpy(self.table).to(inputs.device, dtype)
        rows = zip(self._tables[key], inputs.permute(3, 0, 1, 2), strict=True)
        return torch.stack([row[values.int()] for row, values in rows], dim=1)

    def _normalised_on_cpu(self, inputs: Tensor) -> Tensor:
        count, height, width, _ = inputs.shape
        pixels = np.empty((count, 3, height, width), dtype=np.float32)
        for rows, values in zip(pixels, inputs.numpy(), strict=True):
            for channel in range(3):
                np.take(self.table[channel], values[..., channel], out=rows[channel], mode="clip")
        return torch.from_numpy(pixels)
