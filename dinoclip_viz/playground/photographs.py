"""Natural textures: crops of the photographs that scikit-image's package includes, all CC0 or in the public domain."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.playground.shapes.geometry import Chance

PHOTOGRAPHS: dict[str, str] = {
    "astronaut.png": "NASA, public domain",
    "brick.png": "CC0Textures, CC0",
    "camera.png": "Lav Varshney, CC0",
    "chelsea.png": "Stefan van der Walt, CC0",
    "coffee.png": "Rachel Michetti, CC0",
    "grass.png": "linolafett, CC0",
    "gravel.png": "CC0Textures, CC0",
    "hubble_deep_field.jpg": "NASA, public domain",
    "rocket.jpg": "SpaceX, public domain",
}
"""File in scikit-image's `data` folder -> author and licence."""

LEAST = 64
"""Smallest side of a crop, in pixels."""


def photograph(chance: Chance, side: int) -> NDArray[np.float32]:
    """(side, side, 3) a random square crop of a random photograph, 0 to 255, mirrored at random.

    Raises:
        ValueError: scikit-image is not installed.
    """
    names = tuple(PHOTOGRAPHS)
    source = open_photograph(names[chance.below(len(names))])
    longest = min(source.size)
    extent = LEAST * (longest / LEAST) ** chance()
    left, top = chance(0, source.width - extent), chance(0, source.height - extent)
    box = (left, top, left + extent, top + extent)
    crop = np.asarray(source.resize((side, side), Image.Resampling.BILINEAR, box), np.float32)
    return crop[:, ::-1] if chance() < 0.5 else crop


def brightness(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """(side, side) brightness of a crop around its mean, with a standard deviation of about 0.6."""
    grey = crop.mean(axis=2)
    grey = (grey - grey.mean()) / (grey.std() + 4.0) * 0.6
    values: NDArray[np.float32] = np.clip(grey, -1.6, 1.6).astype(np.float32)
    return values


@lru_cache(maxsize=len(PHOTOGRAPHS))
def open_photograph(name: str) -> Image.Image:
    """A file of scikit-image's `data` folder, RGB; kept in memory.

    Raises:
        ValueError: scikit-image is not installed, or does not include the file.
    """
    found = find_spec("skimage")
    if found is None or found.origin is None:
        raise ValueError("scikit-image, whose photographs are used, is not installed; install it")
    file = Path(found.origin).parent / "data" / name
    if not file.is_file():
        raise ValueError(f"this version of scikit-image does not include {name}; install scikit-image 0.25 or later")
    with Image.open(file) as opened:
        return opened.convert("RGB")
