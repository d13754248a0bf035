"""Histograms of the confidence of a classification before and after an adaptation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#18181b"
BEFORE, AFTER = "#9a9aa2", "#0072b2"


def confidence_chart(edges: Sequence[float], before: Sequence[int], after: Sequence[int]) -> "Figure":
    """Two histograms over each other: images per probability of their label, before and after.

    Args:
        edges: ascending boundaries of the bins, from 0 to 1.
        before, after: images per bin.

    Raises:
        ValueError: numbers of bins that differ, or no image.

    Examples:
        >>> figure = confidence_chart([0, 0.5, 1], [2, 4], [1, 5])
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['before', 'after']
    """
    from matplotlib.figure import Figure

    counts = [np.asarray(values) for values in (before, after)]
    if any(len(values) != len(edges) - 1 for values in counts) or not sum(values.sum() for values in counts):
        sizes = " and ".join(str(len(values)) for values in counts)
        raise ValueError(
            f"{len(edges)} edges for {sizes} bins; expected one edge more than bins, and one image or more"
        )
    figure = Figure(figsize=(7.68, 3.6), dpi=100, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.16, h_pad=0.12)
    axes = figure.add_subplot()
    axes.stairs(counts[0], edges, fill=True, color=BEFORE, alpha=0.7, label="before")
    axes.stairs(counts[1], edges, color=AFTER, linewidth=2.4, label="after")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("probability of the label", fontsize=13, color=INK)
    axes.set_ylabel("images", fontsize=13, color=INK)
    axes.tick_params(labelsize=12, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=12, frameon=False)
    return figure
