"""The propagation and its measures again, as plain slow loops."""

import math

import numpy as np


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def propagated(patches, earlier, labels, reach, topk, temperature):
    """(H, W, C) labels, one patch after the other."""
    rows, columns, _ = patches.shape
    found = np.zeros((rows, columns, labels.shape[-1]))
    for row in range(rows):
        for column in range(columns):
            near = []
            for frame in range(len(earlier)):
                for r in range(rows):
                    for c in range(columns):
                        if abs(r - row) <= reach and abs(c - column) <= reach:
                            near.append((float(patches[row, column] @ earlier[frame, r, c]), labels[frame, r, c]))
            best = sorted(near, key=lambda pair: -pair[0])[:topk]
            weights = [math.exp(cosine / temperature) for cosine, _ in best]
            found[row, column] = sum(w * label for w, (_, label) in zip(weights, best, strict=True)) / sum(weights)
    return found


def jaccard(found, expected):
    both = either = 0
    for a, b in zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True):
        both += a and b
        either += a or b
    return both / either if either else 1.0


def edge_pixels(mask):
    """Set of (row, column) whose right, lower or lower right neighbour inside the image differs."""
    height, width = mask.shape
    return {
        (r, c)
        for r in range(height)
        for c in range(width)
        for down, right in ((0, 1), (1, 0), (1, 1))
        if r + down < height and c + right < width and mask[r, c] != mask[r + down, c + right]
    }


def boundary_f(found, expected, tolerance=0.008):
    height, width = found.shape
    reach = math.ceil(tolerance * math.sqrt(height**2 + width**2))
    ours, theirs = edge_pixels(found), edge_pixels(expected)
    if not ours or not theirs:
        return float(not ours and not theirs)

    def matched(some, others):
        return sum(any((r - a) ** 2 + (c - b) ** 2 <= reach**2 for a, b in others) for r, c in some) / len(some)

    precision, recall = matched(ours, theirs), matched(theirs, ours)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
