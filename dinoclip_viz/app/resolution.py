"""The choice of resolution: number of patches and tiles, with an estimate of time and memory; sharp maps or patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from torch import Tensor

from dinoclip_viz.app.events import HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import served
from dinoclip_viz.app.images import SHOWN, GivenImage
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.images import MAXIMUM_SIDE, default_longer
from dinoclip_viz.tasks.upsampling import upsample_labels, upsample_part

OWN = 0
MOST = 128
TILE = 512
"""Side of a tile in pixels."""
SHARP = "guided"
"""Method that draws maps along the edges of images."""


@dataclass(frozen=True)
class Resolution:
    """The inputs: number of patches along the longer side, whether in tiles, and the line with the estimate."""

    patches: Any
    tiles: Any
    cost: Any

    @property
    def inputs(self) -> list[Any]:
        """The components that a handler reads: number of patches, and whether in tiles."""
        return [self.patches, self.tiles]


def size_of(encoder: ImageEncoder, patches: int) -> int | None:
    """Longer side in pixels of an image with that many patches along it, up to the limit; None for the encoder's own.

    Examples:
        >>> from types import SimpleNamespace
        >>> [size_of(SimpleNamespace(patch=14), patches) for patches in (0, 37, 128)]
        [None, 518, 1022]
    """
    if patches <= OWN:
        return None
    return min(int(patches), MAXIMUM_SIDE // encoder.patch) * encoder.patch


def tile_of(encoder: ImageEncoder, tiles: bool) -> int | None:
    """Side of a tile in pixels; None for a single pass."""
    return max(TILE, encoder.patch) if tiles else None


def at_resolution(
    bench: Workbench, encoder: ImageEncoder, image: GivenImage, patches: int = OWN, tiles: bool = False
) -> ImageFeatures:
    """Features of the whole image at the chosen resolution; computed once."""
    return bench.patches(encoder, image, size_of(encoder, int(patches)), tile_of(encoder, tiles))


def build_switch(name: str) -> Any:
    """The switch between sharp maps and patches, inside the tab that is being built; `name` is its id in the page."""
    return gr.Checkbox(
        False, label="Show patches", info="Instead of maps that follow the edges of the image.", elem_id=name
    )


def sharp_map(values: Tensor, image: GivenImage) -> Tensor:
    """(h, w, C) values of patches (H, W, C) that cover the whole image, along its edges."""
    return upsample_part(values, image.image, (0, 0, *image.image.size), _shape(values, image), SHARP)


def sharp_labels(labels: Tensor, image: GivenImage) -> Tensor:
    """(h, w) labels of patches (H, W) that cover the whole image, along its edges."""
    return upsample_labels(labels, image.image, _shape(labels, image), SHARP)


def _shape(grid: Tensor, image: GivenImage) -> tuple[int, int]:
    """Height and width of a sharp map: the image's, up to the size of displayed images, and at least the grid's."""
    width, height = image.image.size
    scale = min(1.0, SHOWN / max(width, height))
    return max(grid.shape[0], round(height * scale)), max(grid.shape[1], round(width * scale))


def cost_line(
    bench: Workbench, encoders: Sequence[ImageEncoder], images: Sequence[GivenImage], patches: int, tiles: bool
) -> str:
    """Grid, time and memory of the next encoding in one line, summed over images."""
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
    note = " Attention stays within a tile." if tiles else ""
    return f"Estimate, once per image: {'; '.join(parts)}.{note}"


def build_resolution(
    bench: Workbench,
    key: gr.State,
    images: Any,
    encoders: Callable[..., Sequence[ImageEncoder]],
    read: Callable[[Any], Sequence[GivenImage]],
    chosen: Sequence[Any] = (),
) -> Resolution:
    """The inputs, inside the tab that is being built.

    Args:
        bench: the workbench; key: of the model.
        images: the component that holds the images.
        encoders: key of the model, values of `chosen` -> the encoders that run.
        read: value of `images` -> the images.
        chosen: further components that determine the encoders.
    """
    patches = gr.Slider(OWN, MOST, OWN, step=1, label="Patches along the longer side", info="0: the encoder's own.")
    tiles = gr.Checkbox(False, label=f"Encode in tiles of {TILE} px", info="Uses less memory on large images.")
    cost = gr.Markdown(elem_classes=["cost"])

    def estimate(key: str, given: Any, patches: int, tiles: bool, *chosen: Any) -> str:
        return cost_line(bench, encoders(key, *chosen), read(given) if given else [], patches, tiles)

    gr.on(
        [patches.release, tiles.input, *(one.input for one in chosen)],
        served(bench, estimate),
        [key, images, patches, tiles, *chosen],
        cost,
        trigger_mode="always_last",
        show_progress="hidden",
        **MODEL_RUN,
        **HELPER,
    )
    return Resolution(patches, tiles, cost)
