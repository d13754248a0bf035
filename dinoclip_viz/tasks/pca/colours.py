"""Whitened components to colours: fixed functions, so that equal features have equal colours in every image.

Three mappings were compared on 24 scenes and 12 photographs (`python -m tests.benchmarks.pca_sheets`):

- "rgb": sigmoid(2 z) as red, green and blue (DINOv3's notebooks). Vivid, but lightness mixes all three components, so
  that object and background may have one lightness, and primaries meet without intermediate tones.
- "hue": the angle of the second and third component as hue, the first as lightness. Hue is arbitrary where both are
  near zero, and equal steps of the features are not equal steps to the eye.
- "oklab": the first component as lightness, the second and third as the two opponent axes of Oklab (Ottosson 2020),
  with bounded chroma. Equal steps look equal, patches near the mean are grey, and as the first component is oriented
  towards the foreground, objects are lighter than the background for colour-blind readers too. This is the default.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Mapping = Literal["oklab", "rgb", "hue"]
MAPPINGS: tuple[str, ...] = get_args(Mapping)

DARKEST, LIGHTEST = 0.32, 0.9
"""Oklab lightness of components of minus and plus infinity."""
CHROMA = 0.17
"""Largest Oklab chroma; less where sRGB has no such colour."""

Values = NDArray[np.float64]

_TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_TO_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
_HUES, _TONES = 180, 33


def component_colours(whitened: Values, mapping: str = "oklab") -> Values:
    """Colours (..., 3) in [0, 1] of whitened components.

    Args:
        whitened: (..., 3) components, of unit variance over the patches of the fit.
        mapping: "oklab", "rgb" or "hue".

    Raises:
        ValueError: another mapping, or another number of components.

    Examples:
        >>> component_colours(np.zeros((1, 3))).round(2).tolist()
        [[0.51, 0.51, 0.51]]
    """
    if mapping not in MAPPINGS:
        raise ValueError(f"colours is {mapping!r}; expected one of {', '.join(MAPPINGS)}")
    if whitened.shape[-1] != 3:
        raise ValueError(f"{whitened.shape[-1]} components; expected 3 for colours")
    if mapping == "rgb":
        return _sigmoid(2 * whitened)
    light = DARKEST + (LIGHTEST - DARKEST) * _sigmoid(1.7 * whitened[..., 0])
    radius, angle = np.hypot(whitened[..., 1], whitened[..., 2]), np.arctan2(whitened[..., 2], whitened[..., 1])
    strength = np.tanh(0.75 * radius) if mapping == "oklab" else np.full_like(radius, 0.75)
    return oklab_to_srgb(light, strength * _largest_chroma(light, angle), angle)


def component_strips(mapping: str = "oklab", steps: int = 64) -> Values:
    """(3, steps, 3) colours of each component from minus to plus two deviations, the others at zero, for a legend.

    Raises:
        ValueError: another mapping.

    Examples:
        >>> component_strips("rgb", 5)[0, :, 0].round(2).tolist()
        [0.02, 0.12, 0.5, 0.88, 0.98]
    """
    whitened = np.zeros((3, steps, 3))
    for index in range(3):
        whitened[index, :, index] = np.linspace(-2, 2, steps)
    return component_colours(whitened, mapping)


def oklab_to_srgb(lightness: Values, chroma: Values, hue: Values) -> Values:
    """Values of sRGB (..., 3), clipped to [0, 1], of Oklab's lightness, chroma and hue in radians (Ottosson 2020).

    Examples:
        >>> oklab_to_srgb(np.array(1.0), np.array(0.0), np.array(0.0)).round(3).tolist()
        [1.0, 1.0, 1.0]
    """
    return _gamma(np.clip(_linear(lightness, chroma, hue), 0, 1))


def _linear(lightness: Values, chroma: Values, hue: Values) -> Values:
    """Linear sRGB (..., 3), unclipped."""
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    linear: Values = (lab @ _TO_LMS.T) ** 3 @ _TO_LINEAR.T
    return linear


def _gamma(linear: Values) -> Values:
    curved: Values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return curved


@lru_cache(maxsize=1)
def _gamut() -> Values:
    """(T, H + 1) largest chroma inside sRGB, up to `CHROMA`, by lightness and hue; the last hue is the first."""
    tones, hues = np.meshgrid(
        np.linspace(DARKEST, LIGHTEST, _TONES), np.linspace(-np.pi, np.pi, _HUES + 1), indexing="ij"
    )
    low, high = np.zeros_like(tones), np.full_like(tones, CHROMA)
    for _ in range(20):
        middle = (low + high) / 2
        linear = _linear(tones, middle, hues)
        inside = ((linear >= 0) & (linear <= 1)).all(axis=-1)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def _largest_chroma(lightness: Values, hue: Values) -> Values:
    """`_gamut`, interpolated bilinearly."""
    table = _gamut()
    row = np.clip((lightness - DARKEST) / (LIGHTEST - DARKEST), 0, 1) * (_TONES - 1)
    column = np.clip((hue + np.pi) / (2 * np.pi), 0, 1) * _HUES
    top, left = np.minimum(row.astype(int), _TONES - 2), np.minimum(column.astype(int), _HUES - 1)
    down, right = row - top, column - left
    upper = table[top, left] * (1 - right) + table[top, left + 1] * right
    lower = table[top + 1, left] * (1 - right) + table[top + 1, left + 1] * right
    largest: Values = upper * (1 - down) + lower * down
    return largest


def _sigmoid(values: Values) -> Values:
    curve: Values = 1 / (1 + np.exp(-values))
    return curve
