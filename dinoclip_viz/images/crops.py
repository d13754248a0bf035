"""From an image to the bytes of a model's input: the published centre crop, or the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.images.errors import MAXIMUM_SIDE
from dinoclip_viz.images.sizes import default_longer, whole_size

Fit = Literal["crop", "whole"]
"""Preprocessing: the published centre crop, or the whole image with its sides rounded to whole patches."""


@dataclass(frozen=True)
class Plan:
    """Preprocessing steps of one image; images with the same `shape` can be batched.

    Attributes:
        resized: width and height of the resized image in pixels.
        corner: left and top of the crop within the resized image.
        crop: side of the square crop before it is cut to whole patches; None if the whole image is kept.
        shape: width and height of the model's input in pixels, whole patches.
        box: region of the image that the input covers, (x0, y0, x1, y1) in the image's pixels.
    """

    resized: tuple[int, int]
    corner: tuple[int, int]
    crop: int | None
    shape: tuple[int, int]
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Crop:
    """Resize and crop of a model's input; equal ones give equal bytes, and they can be pickled.

    Attributes:
        patch: side of a patch in pixels.
        published: side of the published square input in pixels.
        short_side: length of the shorter side before the centre crop at the published size in pixels; None if both
            sides are resized to the square.
        resample: PIL's filter of the published resize.
        size: side of the crop, or longer side of the whole image, in pixels; None for the default.
        fit: "crop" or "whole".

    Examples:
        >>> crop = Crop(14, 224, 256, Image.Resampling.BICUBIC, None, "crop")
        >>> plan = crop.plan((640, 480))
        >>> plan.resized, plan.corner, crop.pixels(Image.new("RGB", (640, 480)), plan).shape
        ((341, 256), (58, 16), (224, 224, 3))
    """

    patch: int
    published: int
    short_side: int | None
    resample: Image.Resampling
    size: int | None
    fit: Fit

    def plan(self, image: tuple[int, int]) -> Plan:
        """Preprocessing steps of an image of a width and height in pixels.

        Raises:
            ValueError: `size` is out of range, or `fit` is unknown.
        """
        if self.size is not None and not self.patch <= self.size <= MAXIMUM_SIDE:
            raise ValueError(f"size={self.size}; expected {self.patch} (one patch) to {MAXIMUM_SIDE} pixels")
        if self.fit == "crop":
            return self._crop(image, self.published if self.size is None else self.size)
        if self.fit == "whole":
            longer = default_longer(image, self.published) if self.size is None else self.size
            resized = whole_size(image, self.patch, longer)
            return Plan(resized, (0, 0), None, resized, (0.0, 0.0, float(image[0]), float(image[1])))
        raise ValueError(f"fit={self.fit!r}; expected 'crop' or 'whole'")

    def pixels(self, image: Image.Image, plan: Plan) -> NDArray[np.uint8]:
        """(height, width, 3) bytes of the model's input.

        Args:
            image: the image, or the same at a smaller scale.
            plan: of the image.
        """
        resample = self.resample if plan.crop is not None else Image.Resampling.BICUBIC
        small = image if image.mode == "RGB" else image.convert("RGB")
        if small.size != plan.resized:
            small = small.resize(plan.resized, resample)
        (left, top), (width, height) = plan.corner, plan.shape
        values = np.asarray(small)[top : top + height, left : left + width]
        return np.ascontiguousarray(values)

    def _crop(self, image: tuple[int, int], size: int) -> Plan:
        if self.short_side is None:
            resized = (size, size)
        else:
            short = max(size, round(self.short_side * size / self.published))
            longer = int(short * max(image) / min(image))
            resized = (short, longer) if image[0] <= image[1] else (longer, short)
        # torchvision's rounding, as CLIP and DINOv2 were published; transformers rounds down, up to 1 pixel off
        left, top = (round((side - size) / 2) for side in resized)
        side = size // self.patch * self.patch  # a convolution ignores the rest at the right and the bottom
        across, down = image[0] / resized[0], image[1] / resized[1]
        right, bottom = min((left + side) * across, image[0]), min((top + side) * down, image[1])
        box = (left * across, top * down, right, bottom)
        return Plan(resized, (left, top), size, (side, side), box)
