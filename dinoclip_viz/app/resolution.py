"""The bar for the number of patches, with what a pass will cost told before it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from dinoclip_viz.app.events import HELPER, told
from dinoclip_viz.app.images import GivenImage
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.images import MAXIMUM_SIDE, default_longer

OWN = 0
MOST = 128
TILE = 512
"""Side of a tile in pixels."""


@dataclass(frozen=True)
class Resolution:
    """The bar's parts: how many patches along the longer side, whether in tiles, and the line with the cost."""

    patches: Any
    tiles: Any
    cost: Any

    @property
    def inputs(self) -> list[Any]:
        """What a handler reads: the number of patches and whether tiles are wanted."""
        return [self.patches, self.tiles]


def size_of(encoder: ImageEncoder, patches: int) -> int | None:
    """Longer side in pixels for so many patches along it, never more than the largest; None for the encoder's own.

    Examples:
        >>> from types import SimpleNamespace
        >>> [size_of(SimpleNamespace(patch=14), patches) for patches in (0, 37, 128)]
        [None, 518, 1022]
    """
    if patches <= OWN:
        return None
    return min(int(patches), MAXIMUM_SIDE // encoder.patch) * encoder.patch


def tile_of(encoder: ImageEncoder, tiles: bool) -> int | None:
    """Side of a tile in pixels; None for one pass over the whole."""
    return max(TILE, encoder.patch) if tiles else None


def at_resolution(
    bench: Workbench, key: str, encoder: ImageEncoder, image: GivenImage, patches: int = OWN, tiles: bool = False
) -> ImageFeatures:
    """Features of the whole image at what the bar says; computed once."""
    return bench.patches(key, encoder, image, size_of(encoder, int(patches)), tile_of(encoder, tiles))


def told_cost(
    bench: Workbench, encoders: Sequence[ImageEncoder], images: Sequence[GivenImage], patches: int, tiles: bool
) -> str:
    """One line: the grid, time and memory of the encoding that is about to run, every encoder and image in all."""
    if not images or not encoders:
        return ""
    parts = []
    for encoder in encoders:
        tile = tile_of(encoder, tiles)
        pace = bench.pace(encoder)
        costs = []
        for image in images:
            size = size_of(encoder, patches) or default_longer(image.image.size, encoder.size)
            costs.append(pace.cost(image.image.size, size, tile))
        whole = sum(cost.seconds for cost in costs)
        largest = max(costs, key=lambda cost: cost.megabytes)
        several = f"; {len(costs)} images: about {whole:.1f} s" if len(costs) > 1 else ""
        parts.append(f"{encoder.name}: {largest}{several}")
    note = " A patch then sees its own tile alone." if tiles else ""
    return f"Before it runs, once an image: {'; '.join(parts)}.{note}"


def build_resolution(
    bench: Workbench,
    key: gr.State,
    images: Any,
    encoders: Callable[..., Sequence[ImageEncoder]],
    read: Callable[[Any], Sequence[GivenImage]],
    chosen: Sequence[Any] = (),
) -> Resolution:
    """The bar, inside the tab that is being built.

    Args:
        bench: the workbench; key: of the model.
        images: the component that holds the images.
        encoders: which encoders will run, from the model's key and the values of `chosen`.
        read: the images in that component's value.
        chosen: further components that decide on the encoders.
    """
    patches = gr.Slider(
        OWN, MOST, OWN, step=1, label="Patches along the longer side", info="0 leaves it to the encoder."
    )
    tiles = gr.Checkbox(False, label=f"In tiles of {TILE} px", info="Less memory for large images.")
    cost = gr.Markdown(elem_classes=["cost"])

    def foretell(key: str, given: Any, patches: int, tiles: bool, *chosen: Any) -> str:
        return told_cost(bench, encoders(key, *chosen), read(given) if given else [], patches, tiles)

    gr.on(
        [patches.release, tiles.input, *(one.input for one in chosen)],
        told(foretell),
        [key, images, patches, tiles, *chosen],
        cost,
        trigger_mode="always_last",
        show_progress="hidden",
        concurrency_id="model",
        concurrency_limit=1,
        **HELPER,
    )
    return Resolution(patches, tiles, cost)
