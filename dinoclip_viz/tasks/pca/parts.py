"""A legend of parts: what the colours of a basis stand for in some images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
from dinoclip_viz.tasks.pca.patch_stream import flat_patches
from dinoclip_viz.tasks.pca.segments import PatchClusters

AROUND = 1.5
"""Patches that an example reaches to each side of its patch's middle."""


@dataclass(frozen=True)
class Part:
    """A group of alike foreground patches.

    Attributes:
        name: that a person gave it, or "part 1" for the largest.
        colour: mean red, green and blue of its patches in the basis, each 0 to 1.
        share: of all foreground patches, 0 to 1.
        image: index of the image that its most typical patch is in.
        box: (x0, y0, x1, y1) around that patch in the image's pixels.
    """

    name: str
    colour: tuple[float, float, float]
    share: float
    image: int
    box: tuple[int, int, int, int]


def parts(
    pca: PatchPCA, features: Sequence[ImageFeatures], count: int = 6, names: Sequence[str] = (), seed: int = 0
) -> list[Part]:
    """The parts that the foreground of images falls into, the largest first.

    k-means on the tokens of the foreground patches of all images; the example is the patch nearest to the centre.

    Args:
        pca: a fitted basis of three components.
        features: of the images, in order.
        count: how many parts, from 1 to 64.
        names: for the first parts, the largest first; the others are numbered.
        seed: of k-means.

    Raises:
        ValueError: the basis is not fitted or has not three components, more names than parts, or fewer foreground
            patches than parts.
        SpaceError: features of another encoder than the basis's.
    """
    if pca.components != 3:
        raise ValueError(f"the basis has {pca.components} components; expected 3, which make a colour")
    if len(names) > count:
        raise ValueError(f"{len(names)} names for {count} parts; expected at most one each")
    pieces = [part[index] for part in features for index in range(len(part))]  # an image each
    fronts = pca.foreground(pieces)
    front = torch.cat([mask.flatten() for mask in fronts]) if fronts else torch.zeros(0, dtype=torch.bool)
    if int(front.sum()) < count:
        raise ValueError(
            f"{int(front.sum())} patches are foreground, too few for {count} parts; ask for fewer, or flip the basis"
        )
    clusters = PatchClusters(count, seed).fit(pieces, fronts)
    labels = torch.cat([clusters.assign(piece).flatten() for piece in pieces]).masked_fill(~front, -1)
    colours = torch.cat([colour.flatten(0, 2) for colour in pca.transform(pieces)])
    rows = torch.nn.functional.normalize(flat_patches(pieces).float(), dim=-1)
    starts = torch.tensor([piece.patches.shape[1] * piece.patches.shape[2] for piece in pieces]).cumsum(0)
    found = []
    for index in range(count):
        here = torch.nonzero(labels == index)[:, 0]
        if not len(here):
            continue
        typical = int(here[(rows[here] - clusters.centres_[index]).norm(dim=1).argmin()])
        image = int(torch.searchsorted(starts, typical, right=True))
        within = typical - (int(starts[image - 1]) if image else 0)
        red, green, blue = colours[here].mean(0).tolist()
        name = names[index].strip() if index < len(names) else ""
        share = len(here) / int(front.sum())
        box = _around(pieces[image], within)
        found.append(Part(name or f"part {index + 1}", (red, green, blue), share, image, box))
    return found


def described(found: Sequence[Part]) -> dict[str, list[dict[str, object]]]:
    """The parts as JSON has them: {"parts": [{"name", "colour": [r, g, b] of 0 to 255, "share"}]}.

    Examples:
        >>> described([Part("wheel", (1.0, 0.5, 0.0), 0.25, 0, (0, 0, 8, 8))])
        {'parts': [{'name': 'wheel', 'colour': [255, 128, 0], 'share': 0.25}]}
    """
    return {
        "parts": [
            {"name": part.name, "colour": [round(255 * value) for value in part.colour], "share": part.share}
            for part in found
        ]
    }


def _around(features: ImageFeatures, place: int) -> tuple[int, int, int, int]:
    """The box about a patch, cut at the image's edges."""
    rows, columns = features.grid
    row, column = divmod(place, columns)
    left, top, right, bottom = features.boxes[0].tolist()
    wide, high = (right - left) / columns, (bottom - top) / rows
    x, y = left + (column + 0.5) * wide, top + (row + 0.5) * high
    width, height = (int(side) for side in features.sizes[0].tolist())
    x0, x1 = max(round(x - AROUND * wide), 0), min(round(x + AROUND * wide), width)
    y0, y1 = max(round(y - AROUND * high), 0), min(round(y + AROUND * high), height)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)
