"""What the tests of the dense methods share: slow rewrites in float64 that nobody could get wrong."""

import numpy as np


def resized(grid: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(rows, columns, D) bilinear between the middles of patches, the outermost repeated, of (H, W, D)."""
    height, width, _ = grid.shape
    made = np.zeros((rows, columns, grid.shape[2]))
    for row in range(rows):
        for column in range(columns):
            y = min(max((row + 0.5) * height / rows - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / columns - 0.5, 0), width - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, height - 1), min(left + 1, width - 1)
            down, across = y - top, x - left
            made[row, column] = (
                (1 - down) * (1 - across) * grid[top, left]
                + (1 - down) * across * grid[top, right]
                + down * (1 - across) * grid[below, left]
                + down * across * grid[below, right]
            )
    return made


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two vectors."""
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))
