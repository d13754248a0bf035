"""Parts of the foreground of images, with the mean colour of each in a PCA basis: the data of a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.encoders.mixed import FeaturesLike, as_features
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
from dinoclip_viz.tasks.pca.patch_stream import flat_patches
from dinoclip_viz.tasks.pca.segments import PatchClusters

AROUND = 1.5
"""Half the side of an example's box, in patches."""


@dataclass(frozen=True)
class Part:
    """A group of similar foreground patches.

    Attributes:
        name: as given, or "part 1" for the largest.
        colour: mean red, green and blue of its patches in the basis, 0 to 1.
        fraction: of all foreground patches, 0 to 1.
        image: index of the image with its most typical patch.
        box: (x0, y0, x1, y1) around that patch in the image's pixels.
    """

    name: str
    colour: tuple[float, float, float]
    fraction: float
    image: int
    box: tuple[int, int, int, int]


def parts(
    pca: PatchPCA, features: FeaturesLike, count: int = 6, names: Sequence[str] = (), seed: int = 0
) -> list[Part]:
    """The parts of the foreground of all images, the largest first.

    k-means on the tokens of the foreground patches of all images; the example is the patch nearest to its centre.

    Args:
        pca: a fitted basis of three components.
        features: features or images in any form, in order; images are encoded by the basis's encoder.
        count: number of parts, 1 to 64.
        names: of the largest parts, in order; the others are numbered.
        seed: of k-means.

    Raises:
        ValueError: the basis is not fitted or does not have three components, more names than parts, or fewer
            foreground patches than parts.
        SpaceError: features of another encoder than the basis's.
    """
    if pca.components != 3:
        raise ValueError(f"the basis has {pca.components} components; expected 3")
    if len(names) > count:
        raise ValueError(f"{len(names)} names for {count} parts; expected at most one per part")
    pieces = [
        part[index] for part in as_features(pca.encoder, features) for index in range(len(part))
    ]  # one image each
    fronts = pca.foreground(pieces)
    front = torch.cat([mask.flatten() for mask in fronts]) if fronts else torch.zeros(0, dtype=torch.bool)
    if int(front.sum()) < count:
        raise ValueError(
            f"found {int(front.sum())} foreground patches; expected at least {count}, one per part: "
            "pass a lower count, or flip the basis"
        )
    clusters = PatchClusters(count, seed).fit(pieces, fronts)
    labels = torch.cat([found.flatten() for found in clusters.assign(pieces)]).masked_fill(~front, -1)
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
        fraction = len(here) / int(front.sum())
        box = _around(pieces[image], within)
        found.append(Part(name or f"part {index + 1}", (red, green, blue), fraction, image, box))
    return found


def described(found: Sequence[Part]) -> dict[str, list[dict[str, object]]]:
    """The parts as JSON: {"parts": [{"name", "colour": [r, g, b] of 0 to 255, "share"}]}.

    Examples:
        >>> described([Part("wheel", (1.0, 0.5, 0.0), 0.25, 0, (0, 0, 8, 8))])
        {'parts': [{'name': 'wheel', 'colour': [255, 128, 0], 'share': 0.25}]}
    """
    return {
        "parts": [
            {"name": part.name, "colour": [round(255 * value) for value in part.colour], "share": part.fraction}
            for part in found
        ]
    }


def _around(features: ImageFeatures, patch: int) -> tuple[int, int, int, int]:
    """The box around a patch, clipped to the image."""
    rows, columns = features.grid
    row, column = divmod(patch, columns)
    left, top, right, bottom = features.boxes[0].tolist()
    wide, high = (right - left) / columns, (bottom - top) / rows
    x, y = left + (column + 0.5) * wide, top + (row + 0.5) * high
    width, height = (int(side) for side in features.sizes[0].tolist())
    x0, x1 = max(round(x - AROUND * wide), 0), min(round(x + AROUND * wide), width)
    y0, y1 = max(round(y - AROUND * high), 0), min(round(y + AROUND * high), height)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)
