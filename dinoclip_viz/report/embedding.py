"""The embedding map of a report: images at their positions, and the interactive map with its packed library."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dinoclip_viz.viz.scatter import library_code, scatter_code, scatter_payload, scatter_style

PROJECTIONS = {
    "pca": "the two first principal components of the image vectors: distances are similarities, as far as two "
    "components hold them",
    "umap": "UMAP (McInnes, Healy and Melville 2018), which keeps nearest neighbours together: distances between "
    "groups have no meaning",
}
"""Method of `project` -> what the positions mean."""
SIDES = ((30, 72), (120, 48), (400, 32))
"""Number of images up to which they have this side in pixels on the static map."""
SMALLEST = 20


@dataclass(frozen=True)
class MapView:
    """The embedding map as the template shows it.

    Attributes:
        text: what the positions mean.
        spots: number of each image, and its position from the left and from the top in percent.
        side: of an image on the static map in pixels.
        data: the interactive map's points, as JSON that may stand in a page.
        library: the interactive map's library, compressed by gzip, in base 64.
        style: of the interactive map.
    """

    text: str
    spots: Sequence[tuple[int, str, str]]
    side: int
    data: Markup
    library: str
    style: Markup


def map_view(
    points: NDArray[np.float32],
    method: str,
    encoder: str,
    titles: Sequence[str],
    labels: Sequence[str],
    label_name: str,
) -> MapView:
    """The view of a map.

    Args:
        points: (N, 2) positions.
        method: that computed them, of `PROJECTIONS`.
        encoder: of the image vectors.
        titles: a caption per image.
        labels: one per image for its colour, "" for none; empty for one colour.
        label_name: what labels are.
    """
    data = scatter_payload(points, labels or None, titles=titles, title="Embedding map", label_name=label_name)
    side = next((side for most, side in SIDES if len(points) <= most), SMALLEST)
    return MapView(
        f"Each image at the position of its vector ({encoder}), by {PROJECTIONS[method]}",
        spots_of(points),
        side,
        Markup(data.replace("<", "\\u003c")),
        packed_library(),
        Markup(scatter_style()),
    )


def spots_of(points: NDArray[np.float32]) -> list[tuple[int, str, str]]:
    """Number of each point, and its position from the left and from the top in percent of the points' extent.

    Examples:
        >>> spots_of(np.array([[0.0, 0.0], [2.0, 1.0]], np.float32))
        [(0, '0.0', '100.0'), (1, '100.0', '0.0')]
    """
    low, high = points.min(0), points.max(0)
    fractions = (points - low) / np.where(high > low, high - low, 1)  # (N, 2)
    return [(number, f"{100 * x:.1f}", f"{100 * (1 - y):.1f}") for number, (x, y) in enumerate(fractions.tolist())]


def map_script() -> str:
    """The script of the interactive map."""
    return scatter_code()


@cache
def packed_library() -> str:
    """The interactive map's library, compressed by gzip, in base 64; the page unpacks it when it is needed."""
    return base64.b64encode(gzip.compress(library_code().encode(), mtime=0)).decode("ascii")
