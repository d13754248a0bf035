"""Scores of large images by sliding windows, with averaged cosines."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.high_resolution.tiles import LARGEST, plan_tiles
from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.models import ImageTextModel, as_model
from dinoclip_viz.tasks.open_vocabulary.heatmap import at_image_size
from dinoclip_viz.tasks.open_vocabulary.scores import VocabularyVectors, class_scores

WINDOW, STRIDE = 448, 224
"""The window and stride of CLIP-DINOiser, in pixels."""


def window_scores(
    model: str | ImageTextModel,
    image: ImageLike,
    words: VocabularyVectors,
    method: str | None = None,
    size: int | None = None,
    window: int = WINDOW,
    stride: int = STRIDE,
) -> Tensor:
    """(C, height, width) raw cosine of each pixel with each class at the image's size, averaged over windows.

    The image is resized to whole patches, never padded; windows are evenly spaced at no more than the stride, and the
    last ones end at the image's border. Windows are encoded one at a time and cosines accumulate on the patch grid, so
    that memory is that of one window and of the map. An image that fits into one window is encoded in one pass.

    Args:
        model: an image-text model or its name.
        image: an image in any form, of any aspect ratio.
        words: vectors of the vocabulary for the method.
        method: a heat-map method; None uses the model's best.
        size: longer side in pixels at which the image is encoded, from one patch to `LARGEST`; None uses the
            image's own, limited to the model's published size and `LARGEST`.
        window: side in pixels, from one patch to 1024; rounded down to whole patches.
        stride: largest distance between windows in pixels, from a tenth of the window to the whole.

    Raises:
        ImageError: an image that cannot be read.
        ValueError: a size, window or stride out of its range, or a method that the model does not serve.
    """
    model, image = as_model(model), load_image(image)
    chosen, patch = model.check_method(method), model.images.patch
    if not window <= 10 * stride <= 10 * window:
        raise ValueError(f"stride is {stride} pixels; expected a tenth of the window's {window} to the whole")
    side = min(max(*image.size, model.images.size), LARGEST) if size is None else size
    tiling = plan_tiles(image.size, patch, side, window, min(1 - stride / window, 0.9))
    rows, columns = tiling.tile
    large = image.resize((tiling.grid[1] * patch, tiling.grid[0] * patch), Image.Resampling.BICUBIC)
    sums = torch.empty(0)
    count = torch.zeros(tiling.grid)
    for row, column in tiling.corners:
        box = (column * patch, row * patch, (column + columns) * patch, (row + rows) * patch)
        features = model.encode_images([large.crop(box)], max(rows, columns) * patch, "whole", [chosen])
        scores = class_scores(features.dense[chosen][0], words)  # (C, H', W')
        finer = _times_finer(scores, rows, columns)
        if not len(sums):
            sums = torch.zeros(len(scores), tiling.grid[0] * finer, tiling.grid[1] * finer)
        if scores.shape[1:] != (rows * finer, columns * finer):
            scores = F.interpolate(scores[None], (rows * finer, columns * finer), mode="bilinear", align_corners=False)[
                0
            ]
        top, left = row * finer, column * finer
        sums[:, top : top + rows * finer, left : left + columns * finer] += scores
        count[row : row + rows, column : column + columns] += 1
    finer = sums.shape[1] // len(count)
    sums /= count.repeat_interleave(finer, 0).repeat_interleave(finer, 1)
    width, height = image.size
    return at_image_size(sums, (0, 0, width, height), width, height)


def _times_finer(scores: Tensor, rows: int, columns: int) -> int:
    """Cells per side of a patch that keep the full resolution of a method on a finer grid, such as its guide's."""
    return max(-(-scores.shape[1] // rows), -(-scores.shape[2] // columns), 1)
