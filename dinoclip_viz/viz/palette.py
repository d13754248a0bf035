"""Colours for classes, distinct for normal and colour-blind vision."""

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.viz.inputs import UNKNOWN

OKABE_ITO = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermillion
    (204, 121, 167),  # reddish purple
    (0, 0, 0),  # black
)
MOST = 256

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))

# Ottosson 2020, OKLab: linear sRGB to cones, and their cube roots to lightness, green-red, blue-yellow.
TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
DARKEST = 0.35  # lightness below which colours look black in an image


def class_palette(n: int) -> NDArray[np.uint8]:
    """Distinct colours (n, 3), 0 to 255; a longer palette begins with the shorter one.

    The first eight are Okabe and Ito's. Each further one is the colour farthest in OKLab from all before it, from
    white and from the grey of unknown values, by the smallest distance in normal, protanopic and deuteranopic vision.

    Args:
        n: number of colours, 0 to 256. More than about twenty are hard to distinguish by memory; name them too.

    Raises:
        ValueError: n is not in 0..256.

    Examples:
        >>> class_palette(2).tolist()
        [[230, 159, 0], [86, 180, 233]]
    """
    if not 0 <= n <= MOST:
        raise ValueError(f"n={n}; expected 0 to {MOST} classes")
    chosen = np.array(OKABE_ITO, dtype=np.uint8)
    if n <= len(chosen):
        return chosen[:n]
    levels = np.linspace(0, 255, 10).round()
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)  # (1000, 3)
    candidates = candidates[_seen(candidates)[0, :, 0] > DARKEST]  # (C, 3)
    seen = _seen(candidates)  # (3, C, 3)
    distance = np.full(len(candidates), np.inf)
    for taken in (*OKABE_ITO, (255, 255, 255), UNKNOWN):
        distance = np.minimum(distance, _distance(seen, _seen(np.array([taken]))))
    picked = []
    for _ in range(n - len(chosen)):
        best = int(distance.argmax())
        picked.append(candidates[best])
        distance = np.minimum(distance, _distance(seen, seen[:, best : best + 1]))
    return np.concatenate([chosen, np.array(picked).astype(np.uint8)])


def _distance(seen: NDArray[np.float64], one: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest distance (C,) over the three kinds of vision of each colour (3, C, 3) to one (3, 1, 3)."""
    return np.asarray(np.linalg.norm(seen - one, axis=-1).min(axis=0))


def _seen(colours: NDArray[np.float64] | NDArray[np.int_]) -> NDArray[np.float64]:
    """OKLab (3, C, 3) of colours (C, 3), 0 to 255, in normal, protanopic and deuteranopic vision."""
    srgb = colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)  # (C, 3)
    eyes = [linear, linear @ np.array(PROTANOPIA).T, linear @ np.array(DEUTERANOPIA).T]
    cones = np.stack(eyes).clip(0, 1) @ np.array(TO_CONES).T  # (3, C, 3)
    return np.asarray(np.cbrt(cones) @ np.array(TO_LAB).T)
