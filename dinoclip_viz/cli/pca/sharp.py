"""Colours and segments of patches along the edges of their image, for `dinoclip pca --sharp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

LONGEST = 1024  # pixels of a map's longer side


def sharp_colours(
    image: Image.Image, colours: Tensor, foreground: Tensor | None, method: str
) -> tuple[Tensor, Tensor | None]:
    """Colours (H, W, 3) and foreground (H, W), if given, at the image's resolution, up to 1024 px."""
    from dinoclip_viz.tasks.upsampling import upsample_labels, upsample_part

    shape = _shape(image, colours)
    front = None if foreground is None else upsample_labels(foreground.long(), image, shape, method) > 0
    return upsample_part(colours, image, (0, 0, *image.size), shape, method), front


def sharp_labels(image: Image.Image, labels: Tensor, method: str) -> Tensor:
    """Labels (H, W) at the image's resolution, up to 1024 px."""
    from dinoclip_viz.tasks.upsampling import upsample_labels

    return upsample_labels(labels, image, _shape(image, labels), method)


def _shape(image: Image.Image, grid: Tensor) -> tuple[int, int]:
    """Height and width of the map of a grid."""
    scale = min(1.0, LONGEST / max(image.size))
    return max(grid.shape[0], round(image.height * scale)), max(grid.shape[1], round(image.width * scale))
