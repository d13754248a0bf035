"""Intersection over union of boxes and of masks, and their matching with the ground truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def box_iou(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """(N, M) intersection over union of each pair of boxes, 0 to 1; 0 for boxes without area.

    Args:
        first: (N, 4) x0, y0, x1, y1 in pixels, right and bottom edges exclusive.
        second: (M, 4) the same.

    Raises:
        ValueError: an array without four columns.

    Examples:
        >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [5, 5, 6, 6]]).round(3).tolist()
        [[0.333, 0.0]]
    """
    a, b = _boxes(first)[:, None], _boxes(second)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # (N, M, 2)
    shared = sides.clip(0).prod(axis=-1)  # (N, M)
    areas = [(each[..., 2:] - each[..., :2]).clip(0).prod(axis=-1) for each in (a, b)]
    union = areas[0] + areas[1] - shared
    iou: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def mask_iou(first: ArrayLike, second: ArrayLike) -> float:
    """Intersection over union of two masks of one size, 0 to 1; 0 for two empty masks.

    Args:
        first, second: (h, w) bool, or 0 and 1.

    Raises:
        ValueError: masks of different shapes.

    Examples:
        >>> mask_iou([[1, 1, 0]], [[0, 1, 1]])
        0.3333333333333333
    """
    a, b = np.asarray(first).astype(bool), np.asarray(second).astype(bool)
    if a.shape != b.shape:
        raise ValueError(f"masks of shapes {a.shape} and {b.shape}; expected one shape")
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def matched(iou: ArrayLike, least: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (row, column) with an IoU of at least `least`, the largest first, each row and column at most once.

    Args:
        iou: (N, M) intersection over union of N predictions and M objects.
        least: 0 to 1.

    Examples:
        >>> matched([[0.9, 0.8], [0.7, 0.1]])
        [(0, 0)]
    """
    table = np.asarray(iou, dtype=np.float64)
    rows, columns = np.nonzero(table >= least)
    order = np.argsort(-table[rows, columns], kind="stable")
    pairs: list[tuple[int, int]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if all(row != one and column != other for one, other in pairs):
            pairs.append((row, column))
    return pairs


def _boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(boxes, dtype=np.float64)
    array = array.reshape(0, 4) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes of shape {array.shape}; expected (N, 4), x0, y0, x1, y1 of each")
    return array
