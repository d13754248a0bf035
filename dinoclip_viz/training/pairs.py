"""Training data of a projector: matching rows of two feature stores, read in batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.store import FeatureStore, Sharded, StoreError, check_one_dtype, store_folders


@dataclass(frozen=True)
class Batch:
    """B images and some of their captions, float32.

    Attributes:
        pooled, mean: (B, D) features of the encoder to project.
        targets: (B, E) the teacher's vectors of the same images.
        texts: (T, E) captions, or None; owners: (T,) index of the image that each describes.
    """

    pooled: Tensor
    mean: Tensor
    targets: Tensor
    texts: Tensor | None
    owners: Tensor | None

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        pooled, mean, targets = (one.to(device, non_blocking=True) for one in (self.pooled, self.mean, self.targets))
        texts = None if self.texts is None else self.texts.to(device, non_blocking=True)
        owners = None if self.owners is None else self.owners.to(device, non_blocking=True)
        return Batch(pooled, mean, targets, texts, owners)


class Pairs:
    """Two stores of the same images, and the captions of one of them.

    The last `holdout` images are held out.

    Args:
        images: the store of the encoder to project.
        targets: the teacher's store.
        texts: the store of the captions, by default the teacher's.
        holdout: number of held-out images; at most a tenth of the store.
        inputs: image features to read: "pooled+mean", or "mean" or "pooled" for both fields of a batch.

    Raises:
        StoreError: the stores hold different images, the captions are in another space than the teacher's vectors, one
            encoder's features have different dtypes, or vectors are not finite.
    """

    def __init__(
        self,
        images: FeatureStore,
        targets: FeatureStore,
        texts: FeatureStore | None = None,
        holdout: int = 1000,
        inputs: str = "pooled+mean",
    ) -> None:
        same_images(images, targets)
        check_same_dtype(images, targets)
        worded = texts or (targets if targets.texts is not None else images)
        if worded not in (images, targets):
            same_images(images, worded)
        for store in {id(one): one for one in (images, targets, worded)}.values():
            store.check_finite()
        if worded.texts is not None and worded.text_space != targets.space:
            raise StoreError(
                f"the captions in {worded.path} are vectors of {worded.text_space!r}, the targets in {targets.path} of "
                f"{targets.space!r}; embed the captions with --texts {targets.settings.encoder}"
            )
        self.images, self.targets, self.worded = images, targets, worded
        self.texts: Sharded | None = worded.texts
        self.pooled, self.mean = images.pooled, images.mean if images.mean is not None else images.pooled
        if inputs == "mean":
            self.pooled = self.mean
        elif inputs == "pooled":
            self.mean = self.pooled
        held = min(holdout, len(images) // 10)
        self.train = np.arange(len(images) - held)
        owners = worded.text_to_image if worded.text_to_image is not None else np.empty(0, np.int64)
        # captions are stored in the order of their images, so an image's captions are consecutive rows
        self._starts = np.searchsorted(owners, np.arange(len(images) + 1)).astype(np.int64)

    def __len__(self) -> int:
        return len(self.train)

    def described(self) -> dict[str, dict[str, object]]:
        """Role -> the record of its store: encoder, source, size, number of images, dtype."""
        return {
            name: {
                "encoder": store.settings.encoder,
                "source": store.settings.source,
                "size": store.settings.size,
                "images": len(store),
                "dtype": store.settings.dtype,
            }
            for name, store in (("images", self.images), ("targets", self.targets), ("texts", self.worded))
        }

    def check_captions(self) -> None:
        """Check that every image has a caption.

        Raises:
            StoreError: the captions were not encoded, or some images have none.
        """
        if self.texts is None:
            raise StoreError(
                f"{self.targets.path} has no captions; embed its source with --texts {self.targets.settings.encoder}, "
                "or take a recipe without texts, such as dinov2-clip"
            )
        bare = np.flatnonzero(np.diff(self._starts) == 0)
        if len(bare):
            raise StoreError(
                f"{len(bare)} of {len(self.images)} images in {self.worded.path} have no caption, row {bare[0]} "
                "first; expected at least one caption per image"
            )

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """The training rows in the order of an epoch, determined by seed and epoch."""
        return np.random.default_rng([seed, epoch]).permutation(self.train)

    def batch(self, rows: NDArray[np.int64], captions: int = 0, chance: np.random.Generator | None = None) -> Batch:
        """The images of some rows, with a number of random captions each."""
        texts = owners = None
        if captions and self.texts is not None and chance is not None:
            starts, counts = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
            # a random start, then the following ones, so that no caption repeats before all were used
            first = (chance.random(len(rows)) * counts).astype(np.int64)
            picked = starts[:, None] + (first[:, None] + np.arange(captions)) % counts[:, None]  # (B, captions)
            texts = _tensor(self.texts[picked.ravel()])
            owners = torch.arange(len(rows)).repeat_interleave(captions)
        pooled = _tensor(self.pooled[rows])
        mean = pooled if self.mean is self.pooled else _tensor(self.mean[rows])
        return Batch(pooled, mean, _tensor(self.targets.pooled[rows]), texts, owners)

    def held_out(self) -> Batch:
        """The held-out images with all their captions."""
        return self.run(len(self.train), len(self.images))

    def run(self, first: int, last: int) -> Batch:
        """The images of rows `first` to `last` - 1 with all their captions."""
        batch = self.batch(np.arange(first, last))
        if self.texts is None or first == last:
            return batch
        counts = np.diff(self._starts[first : last + 1])
        owners = torch.from_numpy(np.repeat(np.arange(last - first), counts))
        texts = _tensor(self.texts[int(self._starts[first]) : int(self._starts[last])])
        return Batch(batch.pooled, batch.mean, batch.targets, texts, owners)


def same_images(left: FeatureStore, right: FeatureStore) -> None:
    """Check that both stores hold the same images in the same order.

    Raises:
        StoreError: the images differ; the message names both stores.
    """
    if len(left) != len(right):
        raise StoreError(
            f"{left.path} holds {len(left)} images and {right.path} {len(right)}; expected stores of the same "
            "images; embed both encoders in one pass"
        )
    if left.path == right.path:
        return
    column = next((c for c in ("key", "image_path") if all(c in s.metadata.column_names for s in (left, right))), None)
    if column is None:
        return
    one, other = left.metadata[column], right.metadata[column]
    if one.equals(other):
        return
    row = next(row for row, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    raise StoreError(
        f"row {row} of {left.path} is {one[row].as_py()!r}, of {right.path} {other[row].as_py()!r}; "
        "expected stores of the same images in the same order"
    )


def check_same_dtype(left: FeatureStore, right: FeatureStore) -> None:
    """Check that stores of one encoder hold features of one dtype; those of different encoders may differ.

    Raises:
        StoreError: the dtypes differ; the message names both stores.
    """
    if left.patch_space == right.patch_space:
        one, other = left.settings, right.settings
        check_one_dtype(one.encoder, {str(left.path): one.dtype, str(right.path): other.dtype})


def pick_stores(images: str | Path, targets: str | Path) -> tuple[FeatureStore, FeatureStore]:
    """The stores of the encoder and of its teacher, at two paths or in one folder of several stores.

    The teacher is the store whose captions and images are in one space.

    Args:
        images: path of the encoder's store, or of a folder of stores.
        targets: path of the teacher's store, or of a folder of stores.

    Raises:
        StoreError: no store qualifies, or more than one does.
    """
    teachers = [FeatureStore.open(folder) for folder in store_folders(targets)] or [FeatureStore.open(targets)]
    if len(teachers) > 1:
        teachers = [store for store in teachers if store.space == store.text_space]
    if len(teachers) != 1:
        names = ", ".join(str(folder) for folder in store_folders(targets))
        raise StoreError(
            f"{targets} holds {names}, of which {len(teachers)} have images and captions in one space; "
            "expected one; name the teacher's own folder"
        )
    teacher = teachers[0]
    seen = [FeatureStore.open(folder) for folder in store_folders(images)] or [FeatureStore.open(images)]
    others = [store for store in seen if store.path.resolve() != teacher.path.resolve()]
    if len(others) != 1:
        names = ", ".join(str(store.path) for store in others) or "the teacher's store alone"
        raise StoreError(
            f"{images} holds {names}; expected one other than the teacher's; name the one store whose features go in"
        )
    return others[0], teacher


def _tensor(rows: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.array(rows)).float()  # torch widens float16 faster than numpy does
