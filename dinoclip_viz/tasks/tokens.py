"""Statistics of token norms; detection, positions and removal of artefact tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures

RATIO, DEVIATIONS, GAP = 3.0, 3.0, 1.35
"""Criteria of an artefact token, chosen on the playground's scenes and random models; see `artefact_tokens`."""
SMALLEST = 1e-30


@dataclass(frozen=True)
class LayerNorms:
    """Statistics of the norms of all patch tokens after one block.

    Attributes:
        layer: number of the block, from 1.
        mean, median, min, max: of the norms.
        share_above: fraction of tokens with a norm above a multiple of the median, 0 to 1.
    """

    layer: int
    mean: float
    median: float
    min: float
    max: float
    share_above: float


@dataclass(frozen=True)
class ArtefactToken:
    """One artefact token.

    Attributes:
        row, column: position of its patch in the grid, from 0.
        x, y: centre of the patch in the image's pixels.
        norm: of the token.
    """

    row: int
    column: int
    x: float
    y: float
    norm: float


def norm_summary(norms: Tensor, ratio: float = RATIO) -> list[LayerNorms]:
    """Mean, median and range of the patch tokens' norms after each block.

    Args:
        norms: (L, H, W) of one image, or (B, L, H, W) of several, which are pooled.
        ratio: multiple of the layer's median for `share_above`, above 0.

    Raises:
        ValueError: an invalid shape, norms that are not finite or negative, or a ratio that is not above 0.

    Examples:
        >>> norm_summary(torch.tensor([[[1.0, 2.0, 9.0]]]), ratio=2)
        [LayerNorms(layer=1, mean=4.0, median=2.0, min=1.0, max=9.0, share_above=0.3333333333333333)]
    """
    if norms.ndim not in (3, 4):
        raise ValueError(f"norms have shape {tuple(norms.shape)}; expected (L, H, W) or (B, L, H, W)")
    _check_norms(norms)
    if not ratio > 0:
        raise ValueError(f"ratio={ratio}; expected a number above 0, such as {RATIO}")
    rows = norms.movedim(-3, 0).flatten(1).double()  # (L, tokens)
    summary = []
    for layer, values in enumerate(rows, start=1):
        middle = values.median().item()
        above = (values > ratio * middle).double().mean().item()
        summary.append(LayerNorms(layer, values.mean().item(), middle, values.min().item(), values.max().item(), above))
    return summary


def artefact_tokens(norms: Tensor, ratio: float = RATIO, deviations: float = DEVIATIONS, gap: float = GAP) -> Tensor:
    """(..., H, W) bool, True for tokens with outlying norms within their image.

    Large models without registers use a few patches, mostly on uniform background, for other information; the norms of
    their tokens are 2 to 10 times those of the others and the tokens do not describe their patch (Darcet et al. 2023,
    "Vision Transformers Need Registers"). A token is an artefact if its norm is above `ratio` times the median, its
    logarithm is above `deviations` robust deviations of the logarithms (1.4826 times the median absolute deviation),
    and a gap of a factor of `gap` or more, above both limits, separates it and all larger norms from the rest. The gap
    excludes long tails, such as those of sharp edges in a random model. Artefacts in more than about a fifth of an
    image are not detected, because they increase the deviation.

    Args:
        norms: (..., H, W) of one layer, usually of the last block before the final norm; images are independent.
        ratio: smallest multiple of the image's median norm, above 1.
        deviations: smallest number of robust deviations above the median, 0 or more.
        gap: smallest factor between the norms of artefacts and of other tokens, 1 or more; 1 for no gap.

    Raises:
        ValueError: norms without a grid, not finite or negative, or a limit out of range.

    Examples:
        >>> artefact_tokens(torch.tensor([[5.0, 5.2, 4.9], [5.1, 50.0, 5.0]])).tolist()
        [[False, False, False], [False, True, False]]
    """
    _check_norms(norms)
    if not (ratio > 1 and deviations >= 0 and gap >= 1):
        raise ValueError(
            f"ratio={ratio}, deviations={deviations}, gap={gap}; expected a ratio above 1, deviations of 0 or more and "
            "a gap of 1 or more"
        )
    images = norms.reshape(-1, norms.shape[-2] * norms.shape[-1]).double()  # (N, T)
    median = images.median(dim=1, keepdim=True).values  # (N, 1)
    logs = (images.clamp_min(SMALLEST) / median.clamp_min(SMALLEST)).log()  # (N, T)
    deviation = 1.4826 * logs.abs().median(dim=1, keepdim=True).values
    limit = (deviations * deviation).clamp_min(math.log(ratio))  # (N, 1)
    ordered = logs.sort(dim=1).values
    far = (ordered[:, 1:] > limit) & (ordered.diff(dim=1) >= math.log(gap))  # (N, T - 1) True where a group begins
    first = torch.where(far, ordered[:, 1:], math.inf).min(dim=1, keepdim=True).values if far.shape[1] else math.inf
    found: Tensor = (logs >= first) & (median > 0)  # with a median of 0 there is no scale
    return found.reshape(norms.shape)


def located(norms: Tensor, found: Tensor, box: Sequence[float] | Tensor) -> list[ArtefactToken]:
    """The artefact tokens of one image, by falling norm.

    Args:
        norms: (H, W) of the layer in which they were detected.
        found: (H, W) bool, as from `artefact_tokens`.
        box: the part of the image that the grid covers, (x0, y0, x1, y1) in its pixels.

    Raises:
        ValueError: the shapes differ or do not have two axes.

    Examples:
        >>> located(torch.tensor([[5.0, 50.0]]), torch.tensor([[False, True]]), box=(0, 0, 40, 10))
        [ArtefactToken(row=0, column=1, x=30.0, y=5.0, norm=50.0)]
    """
    if norms.ndim != 2 or found.shape != norms.shape:
        raise ValueError(
            f"norms {tuple(norms.shape)} and found {tuple(found.shape)}; expected both (H, W), of one image"
        )
    left, top, right, bottom = (float(side) for side in box)
    rows, columns = norms.shape
    tokens = [
        ArtefactToken(
            row,
            column,
            left + (column + 0.5) / columns * (right - left),
            top + (row + 0.5) / rows * (bottom - top),
            norms[row, column].item(),
        )
        for row, column in found.nonzero().tolist()
    ]
    return sorted(tokens, key=lambda token: -token.norm)


def without_artefacts(features: ImageFeatures, found: Tensor) -> ImageFeatures:
    """The features with each artefact patch replaced by the mean of its neighbours that are not artefacts.

    Neighbours are the surrounding 3 x 3 patches, or 5 x 5 where all of these are artefacts, and so on. `patches` and
    all of `dense` are replaced; `pooled` and `mean` are unchanged.

    Args:
        features: of B images.
        found: (B, H, W) bool, as from `artefact_tokens`.

    Raises:
        ValueError: an invalid shape, or an image in which every patch is an artefact.

    Examples:
        >>> features = ImageFeatures(torch.ones(1, 1), torch.ones(1, 1), torch.tensor([[[[1.0], [90.0], [3.0]]]]),
        ...     torch.tensor([[0.0, 0.0, 30.0, 10.0]]), torch.tensor([[30, 10]]), "some")
        >>> without_artefacts(features, torch.tensor([[[False, True, False]]])).patches.flatten().tolist()
        [1.0, 2.0, 3.0]
    """
    expected = (len(features), *features.grid)
    if found.dtype != torch.bool or tuple(found.shape) != expected:
        raise ValueError(f"found is {found.dtype} {tuple(found.shape)}; expected bool {expected}, one value per patch")
    if found.flatten(1).all(dim=1).any():
        raise ValueError("every patch of an image is an artefact; expected at least one other patch")
    windows = [
        (index, row, column, _window(found, index, row, column)) for index, row, column in found.nonzero().tolist()
    ]

    def replaced(patches: Tensor) -> Tensor:
        result = patches.clone()
        for index, row, column, (down, across) in windows:
            sound = ~found[index, down, across]
            result[index, row, column] = patches[index, down, across][sound].mean(dim=0)
        return result

    return replace(
        features,
        patches=replaced(features.patches),
        dense={method: replaced(patches) for method, patches in features.dense.items()},
    )


def _window(found: Tensor, index: int, row: int, column: int) -> tuple[slice, slice]:
    """The smallest square of patches around one that contains a patch that is not an artefact."""
    for reach in range(1, max(found.shape[1:]) + 1):
        down, across = slice(max(0, row - reach), row + reach + 1), slice(max(0, column - reach), column + reach + 1)
        if not found[index, down, across].all():
            break
    return down, across


def _check_norms(norms: Tensor) -> None:
    if norms.ndim < 2 or norms.numel() == 0:
        raise ValueError(f"norms have shape {tuple(norms.shape)}; expected (..., H, W) with at least one patch")
    wrong = int((~(norms.isfinite() & (norms >= 0))).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of {norms.numel()} norms are NaN, infinite or negative; expected finite norms: check the "
            "encoder's dtype"
        )
