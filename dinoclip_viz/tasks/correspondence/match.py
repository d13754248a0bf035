"""Correspondences: which place of one image is which place of another, by nearest neighbours among patch tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, same_space
from dinoclip_viz.tasks.correspondence.position import without_position
from dinoclip_viz.tasks.grids import patch_at, patch_centres
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA, Subject

COUNT = 30
TOLERANCE = 1
"""Patches that a way to the other image and back may end beside its start."""
MATCH_KERNEL, TRANSFER_KERNEL = 1.0, 3.0
"""Deviation of the soft-argmax's window in patches: for matches, which are sure, and for points, which all get one."""
TEMPERATURE = 0.05
CROWDING = 0.1
"""Cosine that a match loses where another stands already; it falls with the distance."""
_ROWS = 2048  # patches of one image that are compared with all of the other's at once


@dataclass(frozen=True)
class Correspondences:
    """Places of two images that show the same, best first.

    Attributes:
        a: (N, 2) x and y in the first image's pixels.
        b: (N, 2) the same places in the second's.
        similarity: (N,) cosine of each pair's patch tokens, falling.
        asked: how many were asked for; N may be less, and `shortfall` says why.
        compared: patches that took part, in the first image and in the second.
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
        """Why there are fewer than were asked for, in one line; "" where there are as many.

        Examples:
            >>> Correspondences(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0), 30, (12, 0)).shortfall
            'no match: the foreground of the second image is empty; match all patches in place of the foreground'
        """
        if len(self) >= self.asked:
            return ""
        for number, which in zip(self.compared, ("first", "second"), strict=True):
            if not number:
                other = "match all patches in place of the foreground"
                return f"no match: the foreground of the {which} image is empty; {other}"
        first, second = self.compared
        return (
            f"{len(self)} of the {self.asked} matches asked for: of {first} patches in the first image and {second} "
            "in the second no others are each other's nearest"
        )


def match(
    encoder: ImageEncoder | str,
    a: Image.Image | ImageFeatures,
    b: Image.Image | ImageFeatures,
    count: int = COUNT,
    size: int | None = None,
    foreground: bool | PatchPCA = True,
    debias: int | None = None,
) -> Correspondences:
    """The best matches between two images, spread over what they show.

    Args:
        encoder: an image encoder, or the name of one.
        a: an image, or its features (B = 1) by this encoder.
        b: another.
        count: how many at most, 1 or more.
        size: longer side in pixels at which images are encoded; None leaves it to the encoder.
        foreground: True matches the foreground alone, found by a PCA fitted on both images; a fitted PCA finds it by
            its own; False matches all patches.
        debias: directions of position to take out of the patches first, as in `without_position`; None takes out none.
            A few (`default_directions`) make the foreground cleaner too, for one more pass of the encoder.

    Raises:
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
    a: Image.Image | ImageFeatures,
    b: Image.Image | ImageFeatures,
    size: int | None = None,
    debias: int | None = None,
) -> tuple[ImageFeatures, ImageFeatures]:
    """Features of both images, ready to be compared; arguments and errors as in `match`."""
    images = [item for item in (a, b) if not isinstance(item, ImageFeatures)]
    if size is not None and not images:
        raise ValueError(f"size is {size}, but both images are encoded already; encode them at that size")
    if isinstance(encoder, str) and (images or debias is not None):
        from dinoclip_viz.encoders import load_encoder

        encoder = load_encoder(encoder)
    fresh = iter([] if isinstance(encoder, str) else encoder.encode_each(images, size))
    first, second = (item if isinstance(item, ImageFeatures) else next(fresh) for item in (a, b))
    if debias is not None and not isinstance(encoder, str):
        return without_position(encoder, first, debias), without_position(encoder, second, debias)
    return first, second


def match_features(
    a: ImageFeatures,
    b: ImageFeatures,
    count: int = COUNT,
    foreground: bool | PatchPCA = True,
    tolerance: int = TOLERANCE,
) -> Correspondences:
    """The matches of `match`, from features.

    Args:
        a: features of one image (B = 1).
        b: another's, by the same encoder.
        count: how many at most, 1 or more.
        foreground: as in `match`.
        tolerance: as in `mutual_nearest`; 0 takes mutual nearest neighbours alone, which are fewer.

    Raises:
        ValueError, SpaceError: as in `match`.
    """
    if count < 1:
        raise ValueError(f"count is {count}; expected 1 or more matches")
    _check_pair(a, b)
    inside = [part.flatten() for part in _foregrounds(a, b, foreground)]
    rows, columns = (torch.nonzero(part)[:, 0] for part in inside)
    compared = (len(rows), len(columns))
    if not all(compared):
        return Correspondences(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0), count, compared)
    tokens_a, tokens_b = _unit(a)[rows], _unit(b)[columns]  # (A, D), (C, D)
    cells = torch.stack([rows // a.grid[1], rows % a.grid[1]], dim=1)  # (A, 2)
    starts, ends, similarity = mutual_nearest(tokens_a, tokens_b, cells, tolerance)
    places = patch_centres(a)[0].flatten(0, 1)[rows[starts]]  # (P, 2)
    chosen = spread(places, similarity, count)
    centres = patch_centres(b)[0].flatten(0, 1)[columns]  # (C, 2)
    closeness = tokens_a[starts[chosen]] @ tokens_b.T  # (N, C)
    points = soft_argmax(closeness, centres, MATCH_KERNEL * _side(b), best=ends[chosen])
    return Correspondences(places[chosen], points, similarity[chosen], count, compared)


def mutual_nearest(a: Tensor, b: Tensor, cells: Tensor, tolerance: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of nearest neighbours both ways: indices (P,) into a and (P,) into b, and their cosines (P,).

    A row of a goes to its nearest in b, and that one to its nearest in a: the pair stays if this ends where it began
    (mutual nearest neighbours), or no more than `tolerance` patches beside it, as a thing that is larger in one image
    than in the other has several patches for one. Then a row of b may stand in several pairs.

    Args:
        a: (A, D) unit vectors, A >= 1.
        b: (C, D) unit vectors, C >= 1.
        cells: (A, 2) row and column of each of a in its grid.
        tolerance: patches, 0 or more, along rows or columns, whichever is more.

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
        value, place = scores.max(0)
        back = torch.where(value > high, place + start, back)
        high = torch.maximum(value, high)
    away = (cells[back[forth]] - cells).abs().amax(1)  # (A,)
    kept = torch.nonzero(away <= tolerance)[:, 0]
    return kept, forth[kept], best[kept]


def spread(places: Tensor, similarity: Tensor, count: int) -> Tensor:
    """(N,) indices of at most `count` pairs, the most similar first, that do not stand on one spot.

    Greedy: each next one is the most similar after the loss for crowding, which is `CROWDING` beside one that is chosen
    already and falls as a Gaussian with the distance from the nearest of these; its width is the distance that `count`
    of these places would have if they were spread evenly.

    Args:
        places: (P, 2) where each pair stands in the first image, centres of patches in pixels.
        similarity: (P,) cosines.
        count: 1 or more.

    Examples:
        >>> spread(torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]]), torch.tensor([0.9, 0.89, 0.85]), 2).tolist()
        [0, 2]
    """
    if len(places) <= count:
        return similarity.argsort(descending=True, stable=True)
    gaps = torch.cdist(places, places)  # (P, P)
    patch = gaps.masked_fill(gaps == 0, torch.inf).min().item()
    width = patch * (len(places) / count) ** 0.5
    left = similarity.clone()
    loss = torch.zeros_like(left)
    chosen: list[int] = []
    for _ in range(count):
        best = int((left - loss).argmax())
        chosen.append(best)
        left[best] = -torch.inf
        loss = torch.maximum(loss, CROWDING * torch.exp(-gaps[best].square() / (2 * width**2)))
    found = torch.tensor(chosen)
    return found[similarity[found].argsort(descending=True, stable=True)]


def soft_argmax(
    similarity: Tensor, centres: Tensor, kernel: float, temperature: float = TEMPERATURE, best: Tensor | None = None
) -> Tensor:
    """(Q, 2) the place of the greatest similarity, finer than the patches.

    A mean of the patches' centres, each weighted by exp(similarity / temperature) and by a Gaussian window round the
    best patch, so that a second peak far away does not draw the point off (kernel soft-argmax, Lee et al. 2019, SFNet).

    Args:
        similarity: (Q, C) cosine of each query with each patch.
        centres: (C, 2) x and y of the patches' centres in pixels.
        kernel: standard deviation of the window in pixels, above 0.
        temperature: of the softmax, above 0; the lower, the closer to the best patch.
        best: (Q,) the patch that the window stands on; by default the most similar one.

    Raises:
        ValueError: kernel or temperature is not above 0.

    Examples:
        >>> centres = torch.tensor([[4.0, 4.0], [12.0, 4.0], [92.0, 4.0]])
        >>> soft_argmax(torch.tensor([[0.9, 0.9, 0.9]]), centres, kernel=8.0)  # weighs 1, exp(-1/2), 0
        tensor([[7.0203, 4.0000]])
    """
    if not (kernel > 0 and temperature > 0):
        raise ValueError(f"kernel is {kernel} and temperature {temperature}; expected numbers above 0")
    middle = centres[similarity.argmax(1) if best is None else best]  # (Q, 2)
    away = torch.cdist(middle, centres).square()  # (Q, C)
    weights = torch.softmax(similarity / temperature - away / (2 * kernel**2), dim=1)
    return weights @ centres


def transfer(
    features_a: ImageFeatures,
    features_b: ImageFeatures,
    points: Tensor | Sequence[Sequence[float]],
    kernel: float = TRANSFER_KERNEL,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """(N, 2) where each point of the first image is in the second, x and y in its pixels.

    Args:
        features_a: of the image that the points are in (B = 1).
        features_b: of the other, by the same encoder.
        points: (N, 2) x and y in the first image's pixels; its patch tokens are interpolated there.
        kernel: deviation of the soft-argmax's window, in patches of the second image.
        temperature: of the soft-argmax.

    Raises:
        ValueError: a point outside the part of the image that its patches cover, features of several images, a
            kernel or temperature that is not above 0.
        SpaceError: features of two encoders.
    """
    asked = torch.as_tensor(points, dtype=torch.float32).reshape(-1, 2)
    similarity = point_similarity(features_a, features_b, asked).flatten(1)  # (N, H * W)
    centres = patch_centres(features_b)[0].flatten(0, 1)  # (H * W, 2)
    return soft_argmax(similarity, centres, kernel * _side(features_b), temperature)


def point_similarity(
    features_a: ImageFeatures, features_b: ImageFeatures, points: Tensor | Sequence[Sequence[float]]
) -> Tensor:
    """(N, H, W) cosine of the first image's patch tokens at each point with each patch of the second.

    Args:
        features_a, features_b, points: as in `transfer`.

    Raises:
        ValueError, SpaceError: as in `transfer`.
    """
    _check_pair(features_a, features_b)
    asked = torch.as_tensor(points, dtype=torch.float32).reshape(-1, 2)
    for x, y in asked.tolist():
        patch_at(features_a, x, y)
    rows, columns = features_a.grid
    corners = features_a.boxes[0].float()
    shares = (asked - corners[:2]) / (corners[2:] - corners[:2]) * 2 - 1  # (N, 2)
    grid = _unit(features_a).view(rows, columns, -1).permute(2, 0, 1)[None]  # (1, D, H, W)
    found = F.grid_sample(grid, shares[None, None], mode="bilinear", padding_mode="border", align_corners=False)
    queries = F.normalize(found[0, :, 0].T, dim=-1)  # (N, D)
    return (queries @ _unit(features_b).T).view(-1, *features_b.grid)


def dense_colours(
    a: ImageFeatures, b: ImageFeatures, subject: Subject = "all"
) -> tuple[list[Tensor], list[Tensor], PatchPCA]:
    """Dense correspondence: (H, W, 3) colours of both images by one PCA, (H, W) foregrounds, and that PCA.

    Alike colours mean alike patches, in either image (as in DINOv2's paper).

    Args:
        a: features of one image (B = 1).
        b: another's, by the same encoder.
        subject: "foreground" fits the colours on the foreground alone, so that parts stand apart.

    Raises:
        ValueError: features of several images, or fewer patches than three components need.
        SpaceError: features of two encoders.
    """
    _check_pair(a, b)
    pca = PatchPCA(3, subject).fit([a, b])
    return [part[0] for part in pca.transform([a, b])], [part[0] for part in pca.foreground([a, b])], pca


def _foregrounds(a: ImageFeatures, b: ImageFeatures, foreground: bool | PatchPCA) -> list[Tensor]:
    """(H, W) bool of each image, True where patches take part."""
    if foreground is False:
        return [torch.ones(part.grid, dtype=torch.bool) for part in (a, b)]
    pca = PatchPCA(1).fit([a, b]) if foreground is True else foreground
    return [part[0] for part in pca.foreground([a, b])]


def _check_pair(a: ImageFeatures, b: ImageFeatures) -> None:
    for part in (a, b):
        if len(part) != 1:
            raise ValueError(f"the features are of {len(part)} images; expected one: take features[i]")
        if not part.patches.isfinite().all():
            raise ValueError("some patches are not finite; check the encoder's dtype")
    same_space(a.patch_space, b.patch_space)


def _unit(features: ImageFeatures) -> Tensor:
    """(H * W, D) unit patch tokens, row by row."""
    return F.normalize(features.patches[0].flatten(0, 1).float(), dim=-1)


def _side(features: ImageFeatures) -> float:
    """Side of a patch in the image's pixels; the geometric mean where its sides differ."""
    rows, columns = features.grid
    left, top, right, bottom = features.boxes[0].tolist()
    return float(((right - left) / columns * (bottom - top) / rows) ** 0.5)
