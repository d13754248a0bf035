"""What is selected on the map: its images, and a CSV file."""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from dinoclip_viz.app.events import without_folders
from dinoclip_viz.app.explorer.atlas import Atlas, captions
from dinoclip_viz.app.retrieval.gallery import tile_of
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.retrieval import search

MOST = 48
"""Largest number of images on the contact sheet."""
NONE = "*Choose Lasso and draw round some points, or press “Select in view”; their images appear here.*"

Tiles = list[tuple[Image.Image, str]]


def chosen(bench: Workbench, atlas: Atlas, given: Any) -> tuple[Tiles, str, Any]:
    """Images of the selected points, a summary, and the state of the button that downloads the CSV file.

    Args:
        bench: the workbench; atlas: the stores.
        given: {"store": token, "mask": the selection as in `rows_of`} from the page.

    Raises:
        ValueError: the selection is not one of a map of this page.
    """
    token, mask = (given.get("store"), given.get("mask")) if isinstance(given, dict) else (None, None)
    store = atlas.shown(token)
    rows = rows_of(mask, len(store))
    if not rows:
        return [], NONE, gr.update(visible=False)
    seen = spread(rows, MOST)
    part = f"; {len(seen)} of them, in even steps, are shown" if len(seen) < len(rows) else ""
    summary = f"**{len(rows):,} of {len(store):,} images selected**{part}."
    return sheet(store, seen, captions(store, seen)), summary, gr.update(value=saved(bench, store, rows), visible=True)


def rows_of(mask: object, count: int) -> list[int]:
    """Rows of a selection.

    Args:
        mask: a bit per row, the first in the lowest bit of the first byte, in base 64; "" for no selection.
        count: number of rows.

    Raises:
        ValueError: it is not such a text.

    Examples:
        >>> rows_of("BQ==", 3)
        [0, 2]
    """
    try:
        packed = np.frombuffer(base64.b64decode(mask if isinstance(mask, str) else "!", validate=True), np.uint8)
    except ValueError:  # also of binascii
        packed = None
    if packed is None or len(packed) not in (0, -(-count // 8)):
        raise ValueError("the selection does not belong to this map; draw the map again and select on it")
    bits = np.unpackbits(packed, bitorder="little")[:count]
    return np.flatnonzero(bits).tolist()


def spread(rows: list[int], most: int) -> list[int]:
    """The rows, or so many of them in even steps.

    Examples:
        >>> spread([1, 2, 3, 5, 8], 3)
        [1, 3, 8]
    """
    if len(rows) <= most:
        return rows
    return [rows[place] for place in np.linspace(0, len(rows) - 1, most).round().astype(int).tolist()]


def sheet(store: FeatureStore, rows: Sequence[int], titles: Sequence[str]) -> Tiles:
    """Images of a store with their titles."""
    known = search.described(store, rows)
    return [(tile_of(store, key, path), title) for (key, path, _), title in zip(known, titles, strict=True)]


def saved(bench: Workbench, store: FeatureStore, rows: list[int]) -> str:
    """Path of a CSV file with row, key, path, label and caption of each image; a public page writes no folders."""
    table = store.metadata
    labels = table["label"] if "label" in table.column_names else None
    digest = hashlib.sha256(f"{store.path} {bench.offer.public} {rows}".encode()).hexdigest()[:16]
    path = bench.files.folder / f"selection-{digest}.csv"
    if bench.files.still([path]):
        return str(path)
    tidy = without_folders if bench.offer.public else str

    def write(aside: Path) -> None:
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("row", "key", "image_path", "label", "caption"))
            for row, (key, image_path, caption) in zip(rows, search.described(store, rows), strict=True):
                label = labels[row].as_py() if labels is not None else None
                writer.writerow((row, tidy(key), tidy(image_path), label or "", caption))

    return bench.files.write(path, write)
