"""Token norms and attention as sheets of maps, with colour scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.viz.charts.histogram import BACKGROUND, FOREGROUND, INK, stacked_histogram
from dinoclip_viz.viz.colours import colour_map
from dinoclip_viz.viz.enlarge import enlarge
from dinoclip_viz.viz.inputs import AnyImage, as_array, as_image, check_pixels
from dinoclip_viz.viz.layout.grid import image_grid
from dinoclip_viz.viz.layout.legend import LEAST_WIDTH, scale_bar, with_legend
from dinoclip_viz.viz.maps.overlay import heat_overlay, mask_outline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scale = Literal["shared", "layer"]
OUTLINE = (255, 60, 60)
NORM_COLOURS, ATTENTION_COLOURS = "viridis", "magma"
LEAST_SPAN = 1e-6


def norm_maps(
    norms: ArrayLike,
    found: ArrayLike | None = None,
    scale: Scale = "shared",
    columns: int = 4,
    cell: int = 256,
    titles: Sequence[str] | None = None,
) -> Image.Image:
    """One map of patch token norms per layer, with the colour scale below.

    Args:
        norms: (L, H, W) norms of one image.
        found: (H, W) bool, the artefact tokens, outlined in red in every map; None outlines none.
        scale: "shared" uses one colour range for all layers, so that they can be compared; "layer" one per layer, so
            that the pattern within each is visible.
        columns: maximum number of maps in a row.
        cell: minimum length of a map's longer side in pixels, at least 96.
        titles: one text per layer; None writes "layer 1" and so on.

    Raises:
        ValueError: not (L, H, W), values that are not finite, a mask of another grid, an unknown scale, or a cell below
            96.

    Examples:
        >>> norm_maps(np.arange(8.0).reshape(2, 2, 2), cell=96).width
        240
    """
    values = _maps(norms, "norms", "(L, H, W)")
    check_pixels("cell", cell, LEAST_WIDTH)
    if scale not in ("shared", "layer"):
        raise ValueError(f"scale={scale!r}; expected 'shared' or 'layer'")
    mask = None if found is None else as_array(found)
    if mask is not None and (mask.dtype != np.bool_ or mask.shape != values.shape[1:]):
        raise ValueError(f"found is {mask.dtype} {mask.shape}; expected bool {values.shape[1:]}, as the maps")
    names = [f"layer {index + 1}" for index in range(len(values))] if titles is None else list(titles)
    shared = value_range(values)
    tiles = []
    for layer in values:
        low, high = shared if scale == "shared" else value_range(layer)
        tile = enlarge(colour_map(layer, low, high, NORM_COLOURS), cell)
        if mask is not None and mask.any():
            tile = mask_outline(tile, mask.astype(np.int32), [OUTLINE])
        bar = scale_bar(low, high, NORM_COLOURS, "", tile.width)
        tiles.append(tile if scale == "shared" else with_legend(tile, bar))
    sheet = image_grid(tiles, names, columns, max(max(tile.size) for tile in tiles))
    if scale == "layer":
        return sheet
    return with_legend(sheet, scale_bar(*shared, NORM_COLOURS, "norm of the patch token", sheet.width))


def norm_histograms(
    norms: ArrayLike, found: ArrayLike | None = None, columns: int = 4, titles: Sequence[str] | None = None
) -> Figure:
    """One histogram of patch token norms per layer, with artefact tokens in another colour.

    Args:
        norms: (L, H, W) norms of one image, or (L, N) of all patches of several images.
        found: (H, W) or (N,) bool, the artefact tokens, the same in every layer; None marks none.
        columns: maximum number of histograms in a row.
        titles: one text per layer; None writes "layer 1" and so on.

    Raises:
        ValueError: another shape, values that are not finite, marks of another shape, or another number of titles.

    Examples:
        >>> len(norm_histograms(np.ones((3, 2, 2))).axes)
        3
    """
    from matplotlib.figure import Figure

    given = as_array(norms)
    values = _maps(given[:, None] if given.ndim == 2 else given, "norms", "(L, H, W) or (L, N)")
    rows = values.reshape(len(values), -1)  # (L, N)
    marks = _marks(found, rows.shape[1])
    if columns < 1:
        raise ValueError(f"columns={columns}; expected at least 1")
    names = [f"layer {index + 1}" for index in range(len(rows))] if titles is None else list(titles)
    if len(names) != len(rows):
        raise ValueError(f"{len(names)} titles for {len(rows)} layers; expected one per layer, or None")
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(max(2.4 * columns, 4.8), 1.9 * lines + 0.5), dpi=100, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    for index, layer in enumerate(rows):
        axes = figure.add_subplot(lines, columns, index + 1)
        low, high = value_range(layer)
        edges = np.linspace(low, high, 33)
        stacked_histogram(axes, (layer[~marks], layer[marks]), edges, (BACKGROUND, FOREGROUND))
        axes.set_yscale("log", nonpositive="clip")
        axes.set_title(f"{names[index]}, median {np.median(layer):.3g}", fontsize=10, color=INK, loc="left")
        axes.tick_params(labelsize=8, colors=INK)
        axes.spines[["top", "right"]].set_visible(False)
        if index % columns == 0:
            axes.set_ylabel("tokens", fontsize=9, color=INK)
    named = f"norm of the patch token; orange: {int(marks.sum())} artefact tokens" if marks.any() else None
    figure.supxlabel(named or "norm of the patch token", fontsize=10, color=INK)
    return figure


def attention_maps(
    image: AnyImage,
    attention: ArrayLike,
    titles: Sequence[str] | None = None,
    columns: int = 4,
    cell: int = 256,
    opacity: float = 0.75,
    label: str = "attention relative to uniform (1 = uniform)",
) -> Image.Image:
    """The image overlaid with the attention of each head, on one scale from 0 to the maximum.

    Args:
        image: the part of the image that the grid covers.
        attention: (heads, H, W) attention of one query to each patch, 0 to 1, or a rollout as (1, H, W).
        titles: one text per map; None writes "head 1" and so on.
        columns: maximum number of maps in a row.
        cell: longer side of a map in pixels, at least 96.
        opacity: of the colours, 0 to 1.
        label: meaning of the colours; values are the attention times the number of patches, so that 1 is uniform
            attention for any grid.

    Raises:
        ValueError: not (heads, H, W), values that are not finite or negative, another number of titles, or a cell or
            opacity out of range.

    Examples:
        >>> attention_maps(np.ones((20, 20)), np.full((2, 4, 4), 1 / 16), cell=96).width
        240
    """
    values = _maps(attention, "attention", "(heads, H, W)")
    check_pixels("cell", cell, LEAST_WIDTH)
    if values.min() < 0:
        raise ValueError(f"attention holds {values.min():g}; expected values of 0 or more")
    relative = values * values[0].size
    low, high = 0.0, max(float(relative.max()), LEAST_SPAN)
    base = as_image(image)
    factor = cell / max(base.size)
    size = max(values.shape[2], round(base.width * factor)), max(values.shape[1], round(base.height * factor))
    base = base.resize(size, Image.Resampling.BICUBIC)
    tiles = [heat_overlay(base, layer, low, high, opacity, ATTENTION_COLOURS) for layer in relative]
    names = [f"head {index + 1}" for index in range(len(values))] if titles is None else list(titles)
    sheet = image_grid(tiles, names, columns, max(size))
    return with_legend(sheet, scale_bar(low, high, ATTENTION_COLOURS, label, sheet.width))


def value_range(values: ArrayLike) -> tuple[float, float]:
    """Minimum and maximum as the ends of a colour scale, widened if they are equal.

    Examples:
        >>> value_range([1.0, 4.0])
        (1.0, 4.0)
    """
    array = as_array(values).astype(np.float64)
    low, high = float(array.min()), float(array.max())
    return low, max(high, low + max(abs(low), 1.0) * LEAST_SPAN)


def _marks(found: ArrayLike | None, count: int) -> NDArray[np.bool_]:
    """(N,) which of `count` tokens are marked.

    Raises:
        ValueError: another number of marks, or marks that are not bool.
    """
    if found is None:
        return np.zeros(count, np.bool_)
    marks = as_array(found).reshape(-1)
    if marks.dtype != np.bool_ or len(marks) != count:
        raise ValueError(f"found marks {marks.size} tokens as {marks.dtype}; expected bool, {count} tokens")
    return marks.astype(np.bool_)


def _maps(values: ArrayLike, what: str, shape: str) -> NDArray[np.float64]:
    array = as_array(values)
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"{what} of shape {array.shape}; expected {shape}: pass one image at a time")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{what} hold values that are not finite; expected finite numbers; check the encoder's dtype")
    return numbers
