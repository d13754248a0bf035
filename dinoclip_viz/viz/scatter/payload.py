"""Points, labels, values and thumbnails -> the payload for the browser."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dinoclip_viz.viz.colours import colour_table
from dinoclip_viz.viz.palette import class_palette

MOST_GROUPS = 64
"""Number of groups with a colour of their own; the others share the last one."""
OTHERS, UNLABELLED = "others", "no label"
GREY = "#9a9aa2"
COLOUR_MAP = "viridis"
STOPS = 32
SIZES = ((2_000, 8.0), (10_000, 6.0), (30_000, 4.0))
"""Number of points up to which they have this diameter in pixels."""
SMALLEST = 3.0
MAGIC = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}
"""First bytes of an image file -> its kind."""


def scatter_payload(
    points: ArrayLike,
    labels: Sequence[str | None] | None = None,
    values: ArrayLike | None = None,
    thumbnails: Sequence[bytes] | None = None,
    titles: Sequence[str] | None = None,
    title: str = "Embedding map",
    label_name: str = "label",
    value_name: str = "value",
) -> str:
    """The payload of `scatter.js` as JSON.

    Args:
        points: (N, 2) positions on the map, finite.
        labels: one per point, shown as colours with a legend, in the order of their names; None or "" is no label.
            The 63 most frequent have a colour of their own, if there are more than 64.
        values: (N,) numbers shown as colours, NaN for none. With labels as well, the page offers both.
        thumbnails: a PNG, JPEG or WebP file per point, b"" for none; shown with the point and on the sheet.
        titles: a caption per point.
        title: of the map, read by screen readers.
        label_name, value_name: what labels and values are, such as "cluster" or "cosine".

    Raises:
        ValueError: no points, points of another shape or not finite, lists of other lengths, infinite values, or a
            thumbnail that is no PNG, JPEG or WebP.

    Examples:
        >>> json.loads(scatter_payload([[0, 0], [1, 2]], labels=["cat", "dog"]))["names"]
        ['cat', 'dog']
    """
    positions = _positions(points)
    count = len(positions)
    for what, given in (("labels", labels), ("thumbnails", thumbnails), ("titles", titles)):
        if given is not None and (isinstance(given, str | bytes) or len(given) != count):
            raise ValueError(f"found {len(given)} {what} for {count} points; expected one per point")
    groups, names, colours = _grouped(labels) if labels is not None else (None, [], [])
    payload = {
        "title": title,
        "count": count,
        "points": _base64(positions.astype("<f4")),
        "groups": None if groups is None else _base64(groups.astype("<u2")),
        "names": names,
        "colours": colours,
        "labelName": label_name,
        "valueName": value_name,
        **_valued(values, count),
        "thumbnails": None if thumbnails is None else [_address(data, row) for row, data in enumerate(thumbnails)],
        "titles": None if titles is None else [str(each) for each in titles],
        "size": next((size for most, size in SIZES if count <= most), SMALLEST),
    }
    return json.dumps(payload, separators=(",", ":"))


def _positions(points: ArrayLike) -> NDArray[np.float32]:
    positions = np.asarray(points)
    if positions.ndim != 2 or positions.shape[1] != 2 or not len(positions):
        raise ValueError(f"points have shape {positions.shape}; expected (N, 2) with at least one point")
    if positions.dtype.kind not in "fiub":
        raise ValueError(f"points have values of type {positions.dtype}; expected numbers")
    broken = ~np.isfinite(positions).all(1)
    if broken.any():
        raise ValueError(f"{int(broken.sum())} points are NaN or infinite, point {int(broken.argmax())} first")
    return positions.astype(np.float32)


def _grouped(labels: Sequence[str | None]) -> tuple[NDArray[np.int64], list[str], list[str]]:
    """(N,) group of each point, the groups' names, and their colours."""
    counted = Counter(label for label in labels if label)
    kept = sorted(counted)
    if len(kept) > MOST_GROUPS:
        kept = sorted(sorted(counted, key=lambda name: (-counted[name], name))[: MOST_GROUPS - 1])
    number = {name: index for index, name in enumerate(kept)}
    names, colours = list(kept), [_css(colour) for colour in class_palette(len(kept))]
    rest = len(counted) > len(kept)
    if rest:
        names, colours = [*names, OTHERS], [*colours, "#5b5b63"]
    groups = np.array([number.get(label, len(kept)) if label else len(names) for label in labels])
    if not all(labels):
        names, colours = [*names, UNLABELLED], [*colours, GREY]
    return groups, names, colours


def _valued(values: ArrayLike | None, count: int) -> dict[str, object]:
    """The values, the numbers of the first and last colour, and the colours."""
    if values is None:
        return {"values": None, "low": 0.0, "high": 1.0, "scale": []}
    found = np.asarray(values)
    if found.shape != (count,) or found.dtype.kind not in "fiub":
        raise ValueError(f"values have shape {found.shape} and type {found.dtype}; expected {count} numbers")
    found = found.astype(np.float32)
    if np.isinf(found).any():
        raise ValueError("some values are infinite; expected finite numbers, or NaN for none")
    known = found[~np.isnan(found)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    table = colour_table(COLOUR_MAP)
    scale = [_css(table[row]) for row in np.linspace(0, len(table) - 1, STOPS).round().astype(int)]
    return {"values": _base64(found.astype("<f4")), "low": low, "high": high, "scale": scale}


def _address(data: bytes, row: int) -> str:
    """A data address of an image file, "" for none."""
    if not data:
        return ""
    kind = next((kind for first, kind in MAGIC.items() if data.startswith(first)), None)
    if kind is None or (kind == "webp" and data[8:12] != b"WEBP"):
        raise ValueError(f"thumbnail {row} begins with {data[:8]!r}; expected a PNG, JPEG or WebP file")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _css(colour: NDArray[np.uint8]) -> str:
    return "#" + bytes(colour.tolist()).hex()


def _base64(array: NDArray[np.generic]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
