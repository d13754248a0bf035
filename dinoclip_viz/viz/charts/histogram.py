"""Histogram of the first PCA component of patches, and conversion of figures to images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.viz.inputs import as_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOREGROUND = "#d55e00"
BACKGROUND = "#9a9aa2"
INK = "#18181b"
BINS = 48


def component_histogram(first_component: ArrayLike, threshold: float, foreground_above: bool = True) -> "Figure":
    """A histogram of the first PCA component, split into foreground and background, with their percentages.

    Args:
        first_component: (N,), one value per patch; NaN is skipped and counted in the title.
        threshold: boundary of foreground and background; a value that equals it is background.
        foreground_above: whether the foreground lies above the threshold.

    Raises:
        ValueError: not one-dimensional, no finite value, infinity, or a threshold that is not finite.

    Examples:
        >>> figure = component_histogram([-1.0, -1.0, 2.0, 3.0], threshold=0.5)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['background 50 %', 'foreground 50 %']
    """
    from matplotlib.figure import Figure

    given = as_array(first_component)
    if given.ndim != 1:
        raise ValueError(f"a first component of shape {given.shape}; expected (N,): flatten the patches of all images")
    values = given.astype(np.float64)
    known = values[~np.isnan(values)]
    if not known.size or np.isinf(known).any() or not np.isfinite(threshold):
        raise ValueError(f"{known.size} known values and threshold={threshold:g}; expected at least one, all finite")
    front = known > threshold if foreground_above else known < threshold
    low, high = min(known.min(), threshold), max(known.max(), threshold)
    room = (high - low or 1.0) * 0.06
    edges = np.linspace(low - room, high + room, BINS + 1)

    figure = Figure(figsize=(7.68, 3.6), dpi=100, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.16, h_pad=0.12)
    axes = figure.add_subplot()
    axes.set_facecolor("white")
    stacked_histogram(axes, (known[~front], known[front]), edges, (BACKGROUND, FOREGROUND))
    axes.axvline(threshold, color=INK, linewidth=1.8, linestyle=(0, (4, 2)))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, axes.get_ylim()[1] * 1.18)  # room for the text above the bars
    fraction = float(front.mean())
    sides = [("background", 1 - fraction, BACKGROUND), ("foreground", fraction, FOREGROUND)]
    for (name, part, _), x, align in zip(
        sides if foreground_above else sides[::-1], (0.01, 0.99), ("left", "right"), strict=True
    ):
        axes.text(
            x,
            0.97,
            f"{name} {part:.0%}".replace("%", " %"),
            transform=axes.transAxes,
            ha=align,
            va="top",
            fontsize=14,
            color=INK if name == "background" else "#a84700",
            fontweight="bold",
        )
    unknown = values.size - known.size
    axes.set_xlabel(f"first principal component; dashed: threshold {threshold:.3g}", fontsize=13, color=INK)
    axes.set_ylabel("patches", fontsize=13, color=INK)
    if unknown:
        axes.set_title(f"{unknown} of {values.size} patches unknown", fontsize=12, color=INK, loc="left")
    axes.tick_params(labelsize=12, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def stacked_histogram(
    axes: "Axes",
    parts: Sequence[NDArray[np.floating[Any]]],
    edges: NDArray[np.floating[Any]],
    colours: Sequence[str],
) -> None:
    """Draw a histogram of several parts of the same values, stacked; one shape per part instead of one per bar.

    Args:
        axes: of the figure.
        parts: values of each part, the lowest first.
        edges: ascending boundaries of the bars.
        colours: of each part.
    """
    base = np.zeros(len(edges) - 1)
    for values, colour in zip(parts, colours, strict=True):
        top = base + np.histogram(values, edges)[0]
        axes.stairs(top, edges, baseline=base, fill=True, color=colour, linewidth=0)
        base = top


def figure_to_image(figure: "Figure") -> Image.Image:
    """The figure as an RGB image at its own size and resolution; the figure is empty afterwards.

    Its parts refer to each other, so that without that its memory would be kept until the next garbage collection.

    Args:
        figure: a matplotlib figure, created without pyplot.

    Examples:
        >>> figure_to_image(component_histogram([0.0, 1.0], threshold=0.5)).size
        (768, 360)
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba())  # (H, W, 4)
    figure.clear()
    image = Image.fromarray(pixels)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
