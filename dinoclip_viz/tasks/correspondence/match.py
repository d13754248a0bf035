"""Correspondences between two images, by mutual nearest neighbours among patch tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.encoders.mixed import as_features
from dinoclip_viz.images import ImageLike
from dinoclip_viz.tasks.correspondence.position import without_position
from dinoclip_viz.tasks.correspondence.transfer import check_pair, patch_side, soft_argmax, unit_patches
from dinoclip_viz.tasks.grids import patch_centres
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA

COUNT = 30
TOLERANCE = 1
"""Largest distance in patches between a patch and the nearest neighbour of its nearest neighbour."""
MATCH_KERNEL = 1.0
"""Standard deviation of the window of the soft-argmax, in patches."""
CROWDING = 0.1
"""Penalty in cosine for a match at the position of another; it falls with the distance."""
_ROWS = 2048  # patches of one image per block, compared with all of the other's


@dataclass(frozen=True)
class Correspondences:
    """Matching positions in two images, best first.

    Attributes:
        a: (N, 2) x and y in the first image's pixels.
        b: (N, 2) the matching x and y in the second image's pixels.
        similarity: (N,) cosine of each pair's patch tokens, in falling order.
        asked: requested number of matches; N may be lower, for the reason in `shortfall`.
        compared: number of compared patches, in the first image and in the second.
    """

    a: Tensor
    b: Tensor
    similarity: Tensor
    asked: int
    compared: tuple[int, int]

    def __len__(self) -> int:
        return len(self.similarity)

    @property
    def shortfall(self) -> str:
        """The reason for fewer matches than requested, in one line; "" where there are as many.

        Examples:
            >>> Correspondences(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0), 30, (12, 0)).shortfall
            'no match: the foreground of the second image is empty; match all patches instead of the foreground'
        """
        if len(self) >= self.asked:
            return ""
        for number, which in zip(self.compared, ("first", "second"), strict=True):
            if not number:
                other = "match all patches instead of the foreground"
                return f"no match: the foreground of the {which} image is empty; {other}"
        first, second = self.compared
        return (
            f"{len(self)} of the {self.asked} requested matches: no others of the {first} patches in the first "
            f"image and {second} in the second are mutual nearest neighbours"
        )


def match(
    encoder: ImageEncoder | str,
    a: ImageLike | ImageFeatures,
    b: ImageLike | ImageFeatures,
    count: int = COUNT,
    size: int | None = None,
    foreground: bool | PatchPCA = True,
    debias: int | None = None,
) -> Correspondences:
    """The best matches between two images, spread over the images.

    Args:
        encoder: an image encoder or its name.
        a: an image in any form, or its features (B = 1) by this encoder.
        b: another image or its features.
        count: largest number of matches, 1 or more.
        size: longer side in pixels at which images are encoded; None uses the encoder's default.
        foreground: True matches the foreground alone, by a PCA fitted on both images; a fitted PCA uses its own
            foreground; False matches all patches.
        debias: number of positional directions to project out of the patches, as in `without_position`; None for none.
            A few (`default_directions`) also improve the foreground, at the cost of one more pass of the encoder.

    Raises:
        ImageError: an image that cannot be read.
        ValueError: count below 1, features of several images, a size for features, patches that are not finite.
        SpaceError: features of another encoder.

    Examples:
        >>> from dinoclip_viz import playground
        >>> scene = playground.draw(1500, 1, objects=1)[0].image
        >>> found = match("playground-dino", scene, scene)
        >>> (found.a - found.b).norm(dim=1).median() < 4, found.similarity.min() > 0.99
        (tensor(True), tensor(True))
    """
    first, second = encoded(encoder, a, b, size, debias)
    return match_features(first, second, count, foreground)


def encoded(
    encoder: ImageEncoder | str,
    a: ImageLike | ImageFeatures,
    b: ImageLike | ImageFeatures,
    size: int | None = None,
    debias: int | None = None,
) -> tuple[ImageFeatures, ImageFeatures]:
    """The features of both images; arguments and errors as in `match`."""
    images = [item for item in (a, b) if not isinstance(item, ImageFeatures)]
    if size is not None and not images:
        raise ValueError(f"size is {size} for features; expected None: encode the images at that size")
    first, second = as_features(encoder, (a, b), size)
    if debias is not None:
        encoder = as_encoder(encoder)
        return without_position(encoder, first, debias), without_position(encoder, second, debias)
    return first, second


def match_features(
    a: ImageFeatures,
    b: ImageFeatures,
    count: int = COUNT,
    foreground: bool | PatchPCA = True,
    tolerance: int = TOLERANCE,
) -> Correspondences:
    """The best matches between two images, from their features.

    Args:
        a: features of one image (B = 1).
        b: features of another, by the same encoder.
        count: largest number of matches, 1 or more.
        foreground: as in `match`.
        tolerance: as in `mutual_nearest`; 0 keeps strict mutual nearest neighbours, which are fewer.

    Raises:
        ValueError, SpaceError: as in `match`.
    """
    if count < 1:
        raise ValueError(f"count is {count}; expected 1 or more matches")
    check_pair(a, b)
    inside = [part.flatten() for part in _foregrounds(a, b, foreground)]
    rows, columns = (torch.nonzero(part)[:, 0] for part in inside)
    compared = (len(rows), len(columns))
    if not all(compared):
        return Correspondences(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0), count, compared)
    tokens_a, tokens_b = unit_patches(a)[rows], unit_patches(b)[columns]  # (A, D), (C, D)
    cells = torch.stack([rows // a.grid[1], rows % a.grid[1]], dim=1)  # (A, 2)
    starts, ends, similarity = mutual_nearest(tokens_a, tokens_b, cells, tolerance)
    positions = patch_centres(a)[0].flatten(0, 1)[rows[starts]]  # (P, 2)
    chosen = spread(positions, similarity, count)
    centres = patch_centres(b)[0].flatten(0, 1)[columns]  # (C, 2)
    closeness = tokens_a[starts[chosen]] @ tokens_b.T  # (N, C)
    points = soft_argmax(closeness, centres, MATCH_KERNEL * patch_side(b), best=ends[chosen])
    return Correspondences(positions[chosen], points, similarity[chosen], count, compared)


def mutual_nearest(a: Tensor, b: Tensor, cells: Tensor, tolerance: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Mutual nearest neighbours: indices (P,) into a and (P,) into b, and their cosines (P,).

    A row of a is kept with its nearest row of b if the nearest row of that in a is the same row, or at most `tolerance`
    patches away: an object that is larger in one image than in the other has several patches for one. With a tolerance,
    a row of b can be in several pairs.

    Args:
        a: (A, D) unit vectors, A >= 1.
        b: (C, D) unit vectors, C >= 1.
        cells: (A, 2) row and column in the grid of each row of a.
        tolerance: in patches, the larger of the distances along rows and columns, 0 or more.

    Raises:
        ValueError: tolerance is below 0.

    Examples:
        >>> a, b = torch.tensor([[1.0, 0.0], [0.8, 0.6]]), torch.tensor([[1.0, 0.0]])
        >>> [part.tolist() for part in mutual_nearest(a, b, torch.tensor([[0, 0], [0, 1]]))]
        [[0], [0], [1.0]]
        >>> mutual_nearest(a, b, torch.tensor([[0, 0], [0, 1]]), tolerance=1)[0].tolist()
        [0, 1]
    """
    if tolerance < 0:
        raise ValueError(f"tolerance is {tolerance}; expected 0 or more patches")
    best, forth = torch.empty(len(a)), torch.empty(len(a), dtype=torch.int64)
    high, back = torch.full((len(b),), -torch.inf), torch.zeros(len(b), dtype=torch.int64)
    for start in range(0, len(a), _ROWS):
        scores = a[start : start + _ROWS] @ b.T  # (rows, C)
        best[start : start + _ROWS], forth[start : start + _ROWS] = scores.max(1)
        value, row = scores.max(0)
        back = torch.where(value > high, row + start, back)
        high = torch.maximum(value, high)
    away = (cells[back[forth]] - cells).abs().amax(1)  # (A,)
    kept = torch.nonzero(away <= tolerance)[:, 0]
    return kept, forth[kept], best[kept]


def spread(positions: Tensor, similarity: Tensor, count: int) -> Tensor:
    """(N,) indices of at most `count` pairs, the most similar first, spread over the image.

    Greedy selection by similarity minus a penalty, which is `CROWDING` at the position of a selected pair and falls as
    a Gaussian with the distance from the nearest one. The width of the Gaussian is the distance between `count` evenly
    spread positions.

    Args:
        positions: (P, 2) x and y of each pair in the first image, centres of patches in pixels.
        similarity: (P,) cosines.
        count: largest number of pairs, 1 or more.

    Examples:
        >>> spread(torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]]), torch.tensor([0.9, 0.89, 0.85]), 2).tolist()
        [0, 2]
    """
    if len(positions) <= count:
        return similarity.argsort(descending=True, stable=True)
    gaps = torch.cdist(positions, positions)  # (P, P)
    patch = gaps.masked_fill(gaps == 0, torch.inf).min().item()
    width = patch * (len(positions) / count) ** 0.5
    left = similarity.clone()
    penalty = torch.zeros_like(left)
    chosen: list[int] = []
    for _ in range(count):
        best = int((left - penalty).argmax())
        chosen.append(best)
        left[best] = -torch.inf
        penalty = torch.maximum(penalty, CROWDING * torch.exp(-gaps[best].square() / (2 * width**2)))
    found = torch.tensor(chosen)
    return found[similarity[found].argsort(descending=True, stable=True)]


def _foregrounds(a: ImageFeatures, b: ImageFeatures, foreground: bool | PatchPCA) -> list[Tensor]:
    """(H, W) bool of each image, True where patches are compared."""
    if foreground is False:
        return [torch.ones(part.grid, dtype=torch.bool) for part in (a, b)]
    pca = PatchPCA(1).fit([a, b]) if foreground is True else foreground
    return [part[0] for part in pca.foreground([a, b])]
