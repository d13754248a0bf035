"""Counts by rank on logarithmic axes, such as of entries before and after balancing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.viz.charts.histogram import BACKGROUND, FOREGROUND, INK, figure_to_image
from dinoclip_viz.viz.inputs import as_array

_COLOURS = (BACKGROUND, FOREGROUND, "#0072b2")
_POINTS = 2000  # drawn per curve


def rank_frequency(
    counts: Mapping[str, ArrayLike], level: float | None = None, what: str = "entry", unit: str = "captions"
) -> Image.Image:
    """One curve per series of counts, sorted from the highest, on logarithmic axes.

    Args:
        counts: up to three series: name for the legend -> (E,) counts; zeros are not drawn.
        level: height of a dashed line, such as t; None or infinity for none.
        what: one of the things that are counted, for the axis of ranks.
        unit: of the counts.

    Raises:
        ValueError: no series or more than three, one that is not one-dimensional, has a negative count, or has no
            count above 0.

    Examples:
        >>> rank_frequency({"before": [900, 30, 2], "after": [10, 10, 2]}, level=10).size
        (768, 480)
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    if not 1 <= len(counts) <= len(_COLOURS):
        raise ValueError(f"found {len(counts)} series of counts; expected 1 to {len(_COLOURS)}")
    figure = Figure(figsize=(7.68, 4.8), dpi=100, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.16, h_pad=0.12)
    axes = figure.add_subplot()
    for (name, series), colour in zip(counts.items(), _COLOURS, strict=False):
        ranks, values = _curve(name, as_array(series))
        axes.plot(ranks, values, color=colour, linewidth=2, label=name, marker="o" if len(ranks) < 30 else "")
    if level is not None and np.isfinite(level) and level > 0:
        axes.axhline(level, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), label=f"t = {level:,.6g}")
    for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        scale("log")
        low, high = axis.get_view_interval()
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_minor_formatter(StrMethodFormatter("{x:,.0f}") if high < 10 * low else NullFormatter())
    axes.set_xlabel(f"rank of the {what}", fontsize=13, color=INK)
    axes.set_ylabel(f"{unit} per {what}", fontsize=13, color=INK)
    axes.tick_params(labelsize=12, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=12)
    return figure_to_image(figure)


def _curve(name: str, counts: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ranks from 1 and their counts, of at most some thousand ranks at equal logarithmic distances."""
    numbers = counts.astype(np.float64)
    if numbers.ndim != 1 or not (numbers >= 0).all() or not numbers.any():
        raise ValueError(
            f"counts of {name!r} have shape {counts.shape}; expected (E,), 0 or more, at least one above 0"
        )
    values = np.sort(numbers[numbers > 0])[::-1]
    ranks = np.unique(np.geomspace(1, len(values), min(_POINTS, len(values))).round().astype(np.int64))
    return ranks, values[ranks - 1]
