"""Transfer of points between two images: the position in the second image that matches a point of the first."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, same_space
from dinoclip_viz.encoders.mixed import as_features
from dinoclip_viz.images import ImageLike
from dinoclip_viz.tasks.grids import patch_at, patch_centres
from dinoclip_viz.tasks.retrieval.vectors import Numbers, VectorsLike, as_tensor

TRANSFER_KERNEL = 3.0
"""Standard deviation of the window of the soft-argmax, in patches."""
TEMPERATURE = 0.05
_ENCODER = "playground-dino"


def soft_argmax(
    similarity: Tensor, centres: Tensor, kernel: float, temperature: float = TEMPERATURE, best: Tensor | None = None
) -> Tensor:
    """(Q, 2) positions of the greatest similarity, at sub-patch precision.

    The mean of the patches' centres, weighted by exp(similarity / temperature) and by a Gaussian window around the best
    patch, which suppresses distant peaks (kernel soft-argmax, Lee et al. 2019, SFNet).

    Args:
        similarity: (Q, C) cosine of each query with each patch.
        centres: (C, 2) x and y of the patches' centres in pixels.
        kernel: standard deviation of the window in pixels, above 0.
        temperature: of the softmax, above 0; lower values give positions nearer to the best patch.
        best: (Q,) index of the patch at the centre of the window; None uses the most similar one.

    Raises:
        ValueError: kernel or temperature is not above 0.

    Examples:
        >>> centres = torch.tensor([[4.0, 4.0], [12.0, 4.0], [92.0, 4.0]])
        >>> soft_argmax(torch.tensor([[0.9, 0.9, 0.9]]), centres, kernel=8.0)  # weights 1, exp(-1/2), 0
        tensor([[7.0203, 4.0000]])
    """
    if not (kernel > 0 and temperature > 0):
        raise ValueError(f"kernel is {kernel} and temperature {temperature}; expected numbers above 0")
    middle = centres[similarity.argmax(1) if best is None else best]  # (Q, 2)
    away = torch.cdist(middle, centres).square()  # (Q, C)
    weights = torch.softmax(similarity / temperature - away / (2 * kernel**2), dim=1)
    return weights @ centres


def transfer(
    features_a: ImageFeatures | ImageLike,
    features_b: ImageFeatures | ImageLike,
    points: Numbers | VectorsLike,
    kernel: float = TRANSFER_KERNEL,
    temperature: float = TEMPERATURE,
    encoder: str | ImageEncoder | None = None,
) -> Tensor:
    """(N, 2) position of each point of the first image in the second, x and y in its pixels.

    Args:
        features_a: the image of the points, in any form, or its features (B = 1).
        features_b: the other image, or its features by the same encoder.
        points: (N, 2) x and y in the first image's pixels; its patch tokens are interpolated there.
        kernel: standard deviation of the window of the soft-argmax, in patches of the second image, above 0.
        temperature: of the soft-argmax, above 0.
        encoder: encodes images that are given instead of features; a name or an encoder. None uses "playground-dino".

    Raises:
        ImageError: an image that cannot be read.
        ValueError: points that are not numbers or lie outside the patches, features of several images, or a kernel or
            temperature that is not above 0.
        SpaceError: features of two encoders.
    """
    features_a, features_b = as_features(encoder or _ENCODER, (features_a, features_b))
    similarity = point_similarity(features_a, features_b, points).flatten(1)  # (N, H * W)
    centres = patch_centres(features_b)[0].flatten(0, 1)  # (H * W, 2)
    return soft_argmax(similarity, centres, kernel * patch_side(features_b), temperature)


def point_similarity(
    features_a: ImageFeatures | ImageLike,
    features_b: ImageFeatures | ImageLike,
    points: Numbers | VectorsLike,
    encoder: str | ImageEncoder | None = None,
) -> Tensor:
    """(N, H, W) cosine of the first image's patch tokens at each point with each patch of the second.

    Args:
        features_a, features_b, points, encoder: as in `transfer`.

    Raises:
        ImageError, ValueError, SpaceError: as in `transfer`.
    """
    features_a, features_b = as_features(encoder or _ENCODER, (features_a, features_b))
    check_pair(features_a, features_b)
    asked = as_tensor(points, "points", "(N, 2)").float().reshape(-1, 2)
    for x, y in asked.tolist():
        patch_at(features_a, x, y)
    rows, columns = features_a.grid
    corners = features_a.boxes[0].float()
    positions = (asked - corners[:2]) / (corners[2:] - corners[:2]) * 2 - 1  # (N, 2)
    grid = unit_patches(features_a).view(rows, columns, -1).permute(2, 0, 1)[None]  # (1, D, H, W)
    found = F.grid_sample(grid, positions[None, None], mode="bilinear", padding_mode="border", align_corners=False)
    queries = F.normalize(found[0, :, 0].T, dim=-1)  # (N, D)
    return (queries @ unit_patches(features_b).T).view(-1, *features_b.grid)


def check_pair(a: ImageFeatures, b: ImageFeatures) -> None:
    """Check that features are of one image each, finite and of one encoder.

    Raises:
        ValueError: features of several images, or patches that are not finite.
        SpaceError: features of two encoders.
    """
    for part in (a, b):
        if len(part) != 1:
            raise ValueError(f"the features are of {len(part)} images; expected one: pass features[i]")
        if not part.patches.isfinite().all():
            raise ValueError("some patches are not finite; check the encoder's dtype")
    same_space(a.patch_space, b.patch_space)


def unit_patches(features: ImageFeatures) -> Tensor:
    """(H * W, D) unit patch tokens, row by row."""
    return F.normalize(features.patches[0].flatten(0, 1).float(), dim=-1)


def patch_side(features: ImageFeatures) -> float:
    """Side of a patch in the image's pixels, the geometric mean of width and height."""
    rows, columns = features.grid
    left, top, right, bottom = features.boxes[0].tolist()
    return float(((right - left) / columns * (bottom - top) / rows) ** 0.5)
