"""Images larger than memory allows in one pass: tiles that overlap, their patches blended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.images import MAXIMUM_SIDE, whole_size

LARGEST = 4096
"""Pixels of the longer side of an image that is encoded in tiles."""


@dataclass(frozen=True)
class Tiling:
    """Where the tiles of an image lie, in patches.

    Attributes:
        grid: rows and columns of the whole image.
        tile: rows and columns of every tile.
        corners: (row, column) of each tile's first patch, row by row; the last ones end with the image.
    """

    grid: tuple[int, int]
    tile: tuple[int, int]
    corners: tuple[tuple[int, int], ...]


def plan_tiles(image: tuple[int, int], patch: int, size: int, tile: int, overlap: float = 0.25) -> Tiling:
    """The tiles of an image whose longer side is encoded at `size` pixels.

    Args:
        image: its width and height in pixels.
        patch: side of a patch in pixels.
        size: longer side in pixels, from one patch to `LARGEST`.
        tile: side of a tile in pixels, from one patch to 1024; rounded down to whole patches.
        overlap: share of a tile that its neighbour covers too, at least, 0 to .9.

    Raises:
        ValueError: one of them is out of its range.

    Examples:
        >>> plan_tiles((640, 320), patch=16, size=640, tile=320, overlap=0).corners
        ((0, 0), (0, 20))
    """
    width, height = whole_size(image, patch, size, LARGEST)
    if not patch <= tile <= MAXIMUM_SIDE:
        raise ValueError(f"a tile of {tile} pixels; expected {patch} (one patch) to {MAXIMUM_SIDE}")
    if not 0 <= overlap <= 0.9:
        raise ValueError(f"an overlap of {overlap}; expected a share from 0 to .9")
    grid = (height // patch, width // patch)
    rows, columns = (min(tile // patch, count) for count in grid)
    corners = tuple(
        (row, column) for row in _starts(grid[0], rows, overlap) for column in _starts(grid[1], columns, overlap)
    )
    return Tiling(grid, (rows, columns), corners)


def encode_tiled(
    encoder: ImageEncoder,
    image: Image.Image,
    size: int,
    tile: int | None = None,
    overlap: float = 0.25,
    methods: Sequence[str] = (),
) -> ImageFeatures:
    """Features of a whole image (B = 1) at any resolution, with the memory of one tile's pass.

    The image is stretched to whole patches, as `fit="whole"` does, and cut into equal tiles; where tiles overlap,
    their patch tokens are averaged with weights that fall towards a tile's edges. An image that fits into one tile is
    encoded as it is: equal to `encode`. Otherwise a transformer's patch attends to its own tile alone, and positions
    are counted from the tile's corner, so that its tokens differ from those of one pass over the whole; features
    without a view beyond the patch (`load_encoder("pixels")`) are equal. `pooled` and `mean` are those of the whole
    image at the encoder's own size.

    Args:
        encoder: any image encoder.
        image: of any shape.
        size: longer side in pixels at which it is encoded, up to `LARGEST`.
        tile: side of a tile in pixels; by default twice the encoder's published size, at most 1024.
        overlap: share of a tile that its neighbour covers too, at least, 0 to .9.
        methods: heat-map methods, as in `ImageEncoder.encode`; their patches are blended likewise.

    Raises:
        ValueError: a size, tile or overlap out of its range, or a method that the encoder does not serve.
    """
    side = min(2 * encoder.size, MAXIMUM_SIDE) if tile is None else tile
    tiling = plan_tiles(image.size, encoder.patch, size, side, overlap)
    if len(tiling.corners) == 1 and size <= MAXIMUM_SIDE:
        return encoder.encode([image], size, "whole", methods)
    own = encoder.encode([image], None, "whole")
    patch = encoder.patch
    rows, columns = tiling.tile
    large = image.resize((tiling.grid[1] * patch, tiling.grid[0] * patch), Image.Resampling.BICUBIC)
    weight = _falling(rows)[:, None] * _falling(columns)  # (rows, columns)
    total = torch.zeros(*tiling.grid, 1)
    sums: dict[str, Tensor] = {}
    for row, column in tiling.corners:
        place = (column * patch, row * patch, (column + columns) * patch, (row + rows) * patch)
        seen = encoder.encode([large.crop(place)], max(rows, columns) * patch, "whole", methods)
        for name, patches in {"": seen.patches, **seen.dense}.items():
            whole = sums.setdefault(name, torch.zeros(*tiling.grid, patches.shape[-1]))  # (H, W, D)
            whole[row : row + rows, column : column + columns] += weight[..., None] * patches[0]
        total[row : row + rows, column : column + columns] += weight[..., None]
    blended = {name: (whole / total)[None] for name, whole in sums.items()}
    return ImageFeatures(
        pooled=own.pooled,
        mean=own.mean,
        patches=blended.pop(""),
        boxes=torch.tensor([[0.0, 0.0, *map(float, image.size)]]),
        sizes=own.sizes,
        space=own.space,
        patch_space=own.patch_space,
        dense=blended,
    )


def _starts(count: int, length: int, overlap: float) -> list[int]:
    """First patches of tiles of a length that cover `count` patches, evenly, overlapping by the share or more."""
    if length >= count:
        return [0]
    step = max(1, int(length * (1 - overlap)))
    tiles = 1 + -(-(count - length) // step)
    return [round(index * (count - length) / (tiles - 1)) for index in range(tiles)]


def _falling(length: int) -> Tensor:
    """(length,) weights that fall linearly from a tile's middle to its edges, never to 0."""
    index = torch.arange(length)
    return torch.minimum(index + 1, length - index).float()
