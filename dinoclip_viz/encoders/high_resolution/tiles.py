"""Tiled encoding of large images: overlapping tiles with blended patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.encoders.loading import as_encoder
from dinoclip_viz.images import MAXIMUM_SIDE, ImageLike, load_image, whole_size

LARGEST = 4096
"""Maximum longer side of an image that is encoded in tiles, in pixels."""


@dataclass(frozen=True)
class Tiling:
    """Positions of the tiles of an image, in patches.

    Attributes:
        grid: rows and columns of the whole image.
        tile: rows and columns of each tile.
        corners: (row, column) of the first patch of each tile, row by row; the last tiles end at the image's border.
    """

    grid: tuple[int, int]
    tile: tuple[int, int]
    corners: tuple[tuple[int, int], ...]


def plan_tiles(image: tuple[int, int], patch: int, size: int, tile: int, overlap: float = 0.25) -> Tiling:
    """Tiles of an image whose longer side is encoded at `size` pixels.

    Args:
        image: width and height of the image in pixels.
        patch: side of a patch in pixels.
        size: longer side in pixels, from one patch to `LARGEST`.
        tile: side of a tile in pixels, from one patch to 1024; rounded down to whole patches.
        overlap: minimum fraction of a tile that overlaps the next one, 0 to 0.9.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> plan_tiles((640, 320), patch=16, size=640, tile=320, overlap=0).corners
        ((0, 0), (0, 20))
    """
    width, height = whole_size(image, patch, size, LARGEST)
    if not patch <= tile <= MAXIMUM_SIDE:
        raise ValueError(f"a tile of {tile} pixels; expected {patch} (one patch) to {MAXIMUM_SIDE}")
    if not 0 <= overlap <= 0.9:
        raise ValueError(f"an overlap of {overlap}; expected a fraction from 0 to 0.9")
    grid = (height // patch, width // patch)
    rows, columns = (min(tile // patch, count) for count in grid)
    corners = tuple(
        (row, column) for row in _starts(grid[0], rows, overlap) for column in _starts(grid[1], columns, overlap)
    )
    return Tiling(grid, (rows, columns), corners)


def encode_tiled(
    encoder: str | ImageEncoder,
    image: ImageLike,
    size: int,
    tile: int | None = None,
    overlap: float = 0.25,
    methods: Sequence[str] = (),
) -> ImageFeatures:
    """Features of one whole image (B = 1) at high resolution, with the memory of one tile.

    The image is stretched to whole patches, as with `fit="whole"`, and cut into equal tiles. Where tiles overlap, their
    patch tokens are averaged with weights that decrease linearly towards a tile's edges. An image that fits into one
    tile is encoded in one pass, exactly as `encode` does. Otherwise a patch attends only to its own tile, with
    positions counted from the tile's corner, so that the tokens of a transformer differ from those of one pass;
    features that depend on one patch only (`load_encoder("pixels")`) are equal. `pooled` and `mean` are those of the
    whole image at the encoder's default size.

    Args:
        encoder: image encoder or its name.
        image: one image of a kind that `load_image` accepts.
        size: longer side of the encoded image in pixels, up to `LARGEST`.
        tile: side of a tile in pixels; by default twice the encoder's published size, up to 1024.
        overlap: minimum fraction of a tile that overlaps the next one, 0 to 0.9.
        methods: heat-map methods, as in `ImageEncoder.encode`; their patches are blended in the same way.

    Raises:
        ImageError: the image cannot be read.
        EncoderError: the encoder cannot be loaded.
        ValueError: `size`, `tile` or `overlap` is out of range, or the encoder does not serve a method.
    """
    encoder, image = as_encoder(encoder), load_image(image)
    side = min(2 * encoder.size, MAXIMUM_SIDE) if tile is None else tile
    tiling = plan_tiles(image.size, encoder.patch, size, side, overlap)
    if len(tiling.corners) == 1 and size <= MAXIMUM_SIDE:
        return encoder.encode([image], size, "whole", methods)
    own = encoder.encode([image], None, "whole")
    patch = encoder.patch
    rows, columns = tiling.tile
    large = image.resize((tiling.grid[1] * patch, tiling.grid[0] * patch), Image.Resampling.BICUBIC)
    weight = _triangle(rows)[:, None] * _triangle(columns)  # (rows, columns)
    total = torch.zeros(*tiling.grid, 1)
    sums: dict[str, Tensor] = {}
    for row, column in tiling.corners:
        box = (column * patch, row * patch, (column + columns) * patch, (row + rows) * patch)
        seen = encoder.encode([large.crop(box)], max(rows, columns) * patch, "whole", methods)
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
    """First patches of evenly spaced tiles that cover `count` patches and overlap by the fraction or more."""
    if length >= count:
        return [0]
    step = max(1, int(length * (1 - overlap)))
    tiles = 1 + -(-(count - length) // step)
    return [round(index * (count - length) / (tiles - 1)) for index in range(tiles)]


def _triangle(length: int) -> Tensor:
    """(length,) positive weights that decrease linearly from the middle of a tile to its edges."""
    index = torch.arange(length)
    return torch.minimum(index + 1, length - index).float()
