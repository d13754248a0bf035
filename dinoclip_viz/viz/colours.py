"""Values to colours, by perceptually uniform and colour-blind-safe colour maps."""

from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dinoclip_viz.viz.inputs import UNKNOWN, as_map, check_range

SEQUENTIAL = ("viridis", "magma", "cividis")
DIVERGING = ("RdBu", "RdBu_r", "PuOr", "PuOr_r")
COLOUR_MAPS = SEQUENTIAL + DIVERGING


def colour_map(values: ArrayLike, low: float, high: float, name: str = "viridis") -> NDArray[np.uint8]:
    """Colours (H, W, 3), 0 to 255, of a map of values.

    Values at or below `low` get the first colour, at or above `high` the last, NaN light grey. For signed values use a
    diverging map and a range that is symmetric about the neutral value.

    Args:
        values: (H, W), finite or NaN.
        low: the value of the first colour.
        high: the value of the last colour.
        name: "viridis", "magma", "cividis" (perceptually uniform), or "RdBu", "PuOr" (diverging) and their reverses
            "RdBu_r", "PuOr_r"; all are colour-blind-safe.

    Raises:
        ValueError: unknown colour map, values of another shape, or low not below high.

    Examples:
        >>> colour_map([[0.0, 1.0, float("nan")]], low=0, high=1)[0].tolist()
        [[68, 1, 84], [253, 231, 37], [200, 200, 200]]
    """
    table = colour_table(name)
    check_range(low, high)
    array = as_map(values)
    unknown = np.isnan(array)
    fraction = (np.where(unknown, low, array).clip(low, high) - low) / (high - low)
    index = np.minimum((fraction * len(table)).astype(np.int64), len(table) - 1)  # (H, W)
    colours = table[index]  # (H, W, 3)
    colours[unknown] = UNKNOWN
    return colours


def colour_table(name: str) -> NDArray[np.uint8]:
    """The 256 colours (256, 3) of a colour map, first to last.

    Raises:
        ValueError: the map is not in `COLOUR_MAPS`.
    """
    if name not in COLOUR_MAPS:
        raise ValueError(
            f"colour map {name!r} is unknown or not perceptually uniform; expected one of {', '.join(COLOUR_MAPS)}"
        )
    from matplotlib import colormaps

    table = np.round(colormaps[name](np.arange(256))[:, :3] * 255).astype(np.uint8)
    return cast("NDArray[np.uint8]", table)
