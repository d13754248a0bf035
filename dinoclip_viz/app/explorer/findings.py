"""Near duplicates and outliers of a store, with their images."""

from __future__ import annotations

import gradio as gr

from dinoclip_viz.app.explorer.atlas import Atlas, captions
from dinoclip_viz.app.explorer.selection import Tiles, sheet
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.embedding_map import near_duplicates, outliers

ABOVE = 0.98
NEIGHBOURS = 10
MOST_DUPLICATES, MOST_OUTLIERS = 48, 24
MOST_IMAGES, MOST_PUBLIC = 50_000, 5_000
"""Number of images up to which all pairs are compared, and that on a public page."""


def found(
    bench: Workbench,
    atlas: Atlas,
    key: str,
    above: float = ABOVE,
    k: int = NEIGHBOURS,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[Tiles, Tiles, str]:
    """Groups of near duplicates, the most isolated images, and a summary.

    Args:
        bench: the workbench; atlas: the stores.
        key: of the model.
        above: cosine of near duplicates.
        k: number of neighbours that the distance of an outlier is the mean of, limited to the other images.
        progress: Gradio's.

    Raises:
        ValueError: the store has fewer than 2 images, or too many to compare all pairs.
    """
    progress(0.1, desc="reading the store")
    store = atlas.store(key)
    most = MOST_PUBLIC if bench.offer.public else MOST_IMAGES
    if not 2 <= len(store) <= most:
        raise ValueError(
            f"found {len(store):,} images; expected 2 to {most:,}, as all pairs are compared: use `dinoclip dedupe` "
            "for a larger store"
        )
    progress(0.3, desc="comparing all pairs")
    doubles, count, groups = _duplicates(store, above)
    progress(0.7, desc="nearest neighbours")
    near = min(int(k), len(store) - 1)
    ranked = outliers(store.pooled, near)[:MOST_OUTLIERS]
    rows = [one.row for one in ranked]
    titles = [f"{one.distance:.3f} · {title}" for one, title in zip(ranked, captions(store, rows), strict=True)]
    summary = (
        f"**{count:,} near duplicates** in {groups:,} groups (cosine above {above:g}). Outliers are ranked by the mean "
        f"cosine distance to {near} nearest images."
    )
    return doubles, sheet(store, rows, titles), summary


def _duplicates(store: FeatureStore, above: float) -> tuple[Tiles, int, int]:
    """Images of the first groups, the number of images beyond the kept ones, and the number of groups."""
    groups = near_duplicates(store.pooled, above)
    rows: list[int] = []
    firsts: list[str] = []
    for number, group in enumerate(groups, 1):
        if len(rows) + 1 + len(group.duplicates) > MOST_DUPLICATES and rows:
            break
        members = group.duplicates[: MOST_DUPLICATES - 1]
        rows += [group.keep, *(row for row, _ in members)]
        firsts += [f"{number}: first", *(f"{number}: {cosine:.3f}" for _, cosine in members)]
    titles = [f"{first} · {title}" for first, title in zip(firsts, captions(store, rows), strict=True)]
    return sheet(store, rows, titles), sum(len(group.duplicates) for group in groups), len(groups)
