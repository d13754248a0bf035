"""The patches of many images in chunks of bounded size, for any number of passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, same_space
from dinoclip_viz.store import FeatureStore, Sharded

DEFAULT_ENCODER = "playground-dino"
"""Encodes images where no encoder is given."""
AT_ONCE = 8192
"""Patches per chunk, but at least those of one image."""


@dataclass(frozen=True)
class PatchStream:
    """Patch tokens of one encoder, in memory or on disk.

    Attributes:
        space: of the patches.
        parts: arrays of (B, H, W, D); their grids may differ.
    """

    space: str
    parts: Sequence[Tensor | Sharded]

    @classmethod
    def of_features(cls, features: Sequence[ImageFeatures]) -> PatchStream:
        """A stream of the patches of images.

        Raises:
            ValueError: no features.
            SpaceError: features of different encoders.
        """
        if not features:
            raise ValueError("found no features; expected at least one image")
        for part in features[1:]:
            same_space(features[0].patch_space, part.patch_space)
        return cls(features[0].patch_space, [part.patches for part in features])

    @classmethod
    def of_store(cls, store: FeatureStore) -> PatchStream:
        """A stream of the patches of a store.

        Raises:
            ValueError: the store keeps no patches.
        """
        if store.patches is None:
            raise ValueError(f"{store.path} keeps no patches; embed the source again with --patches GRID")
        return cls(store.patch_space, [store.patches])

    def __len__(self) -> int:
        """Number of patches."""
        return sum(int(np.prod(part.shape[:3])) for part in self.parts)

    @property
    def width(self) -> int:
        """D, the number of values per patch."""
        return int(self.parts[0].shape[3])

    def images(self) -> Iterator[NDArray[np.generic]]:
        """(B, H, W, D) patches of consecutive images of one grid, in their stored dtype."""
        for part in self.parts:
            step = max(1, AT_ONCE // max(1, part.shape[1] * part.shape[2]))
            for start in range(0, len(part), step):
                run = part[start : start + step]
                yield run.numpy() if isinstance(run, Tensor) else run

    def chunks(self) -> Iterator[tuple[NDArray[np.generic], NDArray[np.bool_]]]:
        """(n, D) patches, and (n,) bool, True for patches along the border of their image."""
        for run in self.images():
            count, rows, columns, width = run.shape
            edge = np.broadcast_to(border(rows, columns), (count, rows, columns))
            yield run.reshape(-1, width), edge.reshape(-1)


def border(rows: int, columns: int) -> NDArray[np.bool_]:
    """(rows, columns) bool, True along the border of a grid.

    Examples:
        >>> border(3, 3).astype(int).tolist()
        [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    """
    edge = np.ones((rows, columns), bool)
    edge[1 : rows - 1, 1 : columns - 1] = False
    return edge


def flat_patches(features: Sequence[ImageFeatures]) -> Tensor:
    """(N, D) patches of all images, in order, row by row."""
    return torch.cat([part.patches.flatten(0, 2) for part in features])
