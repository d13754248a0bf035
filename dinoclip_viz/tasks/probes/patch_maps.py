"""Outputs of a layer per patch, interpolated to the pixels of an image in strips of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from dinoclip_viz.tasks.probes.confusion import NOTHING

_AT_ONCE = 1 << 24  # interpolated values in memory


def label_map(scores: Tensor, box: Sequence[float], shape: tuple[int, int]) -> Tensor:
    """(height, width) index of the highest score at each pixel, int64; -1 outside the box.

    Args:
        scores: (H, W, K) of the patches.
        box: (x0, y0, x1, y1), the part of the image that the patches cover, in pixels.
        shape: height and width of the image.

    Examples:
        >>> label_map(torch.tensor([[[0.0, 1.0], [3.0, 0.0]]]), (0, 0, 4, 1), (1, 4)).tolist()
        [[1, 0, 0, 0]]
    """
    return _laid(scores, box, shape, lambda fine: fine.argmax(-1), torch.full(shape, NOTHING))


def mean_map(
    scores: Tensor, box: Sequence[float], shape: tuple[int, int], metres: Callable[[Tensor], Tensor]
) -> Tensor:
    """(height, width) float32 results of `metres` on the interpolated scores; NaN outside the box.

    Args:
        scores: (H, W, K) of the patches.
        box, shape: as in `label_map`.
        metres: (..., K) scores -> (...) values.
    """
    return _laid(scores, box, shape, metres, torch.full(shape, float("nan")))


def _laid(
    scores: Tensor,
    box: Sequence[float],
    shape: tuple[int, int],
    decide: Callable[[Tensor], Tensor],
    whole: Tensor,
) -> Tensor:
    x0, y0, x1, y1 = (round(edge) for edge in box)
    for start, fine in _interpolated(scores, y1 - y0, x1 - x0):
        whole[y0 + start : y0 + start + len(fine), x0:x1] = decide(fine)
    return whole


def _interpolated(scores: Tensor, height: int, width: int) -> Iterator[tuple[int, Tensor]]:
    """Number of the first row and (rows, width, K) bilinearly interpolated scores, for consecutive strips of rows."""
    rows, columns, outputs = scores.shape
    down, across = _weights(rows, height), _weights(columns, width)
    step = max(1, _AT_ONCE // (width * outputs))
    for start in range(0, height, step):
        strip = torch.tensordot(down[start : start + step], scores, dims=1)  # (rows, W, K)
        yield start, torch.einsum("xw,ywk->yxk", across, strip)


def _weights(patches: int, pixels: int) -> Tensor:
    """(pixels, patches) weights of the two nearest patches of each pixel, for bilinear interpolation."""
    position = ((torch.arange(pixels) + 0.5) * patches / pixels - 0.5).clamp(0, patches - 1)
    low = position.floor().long().clamp(max=max(patches - 2, 0))
    fraction = position - low
    weights = torch.zeros(pixels, patches)
    weights.scatter_(1, low[:, None], (1 - fraction)[:, None])
    if patches > 1:
        weights.scatter_(1, low[:, None] + 1, fraction[:, None])
    return weights
