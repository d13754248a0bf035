"""Training data of both sides: images and captions of two stores, read in batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.projector import PATCHES, padded
from dinoclip_viz.store import FeatureStore, StoreError
from dinoclip_viz.tasks.retrieval.stored import check_images, check_texts, tensor
from dinoclip_viz.training.pairs import same_images
from dinoclip_viz.training.recipes import Recipe


@dataclass(frozen=True)
class AlignedBatch:
    """B images and T captions, float32.

    Attributes:
        pooled, mean: (B, D) features of the images.
        patches: (B, H, W, D), or None.
        texts: (T, E) pooled vectors, or (T, L, E) token vectors with their mask, (T, L).
        owners: (T,) index of the image that each caption describes.
        captions: (T,) one number per distinct caption.
    """

    pooled: Tensor
    mean: Tensor
    patches: Tensor | None
    texts: Tensor
    mask: Tensor | None
    owners: Tensor
    captions: Tensor

    def to(self, device: torch.device) -> AlignedBatch:
        """The batch on a device."""
        if device.type == "cpu":
            return self
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return AlignedBatch(**{**vars(self), **moved})


class Aligned:
    """Images of one store and captions of another, of the same images; the last `holdout` images are held out.

    Args:
        images: the image encoder's store.
        worded: the store with the text encoder's captions.
        recipe: its `inputs`, `text_inputs` and `holdout`.

    Attributes:
        train: rows of the training images.
        held: rows of the held-out images.

    Raises:
        StoreError: the stores hold different images, or lack what the recipe reads, or images without a caption, or
            vectors are not finite.
    """

    def __init__(self, images: FeatureStore, worded: FeatureStore, recipe: Recipe) -> None:
        same_images(images, worded)
        check_images(images, recipe.inputs)
        check_texts(worded, recipe.text_inputs == "tokens")
        for store in {id(one): one for one in (images, worded)}.values():
            store.check_finite()
        self.images, self.worded, self._recipe = images, worded, recipe
        self.owners = np.asarray(worded.text_to_image, np.int64)
        self._starts = np.searchsorted(self.owners, np.arange(len(images) + 1)).astype(np.int64)
        bare = np.flatnonzero(np.diff(self._starts) == 0)
        if len(bare):
            raise StoreError(
                f"{len(bare)} of {len(images)} images in {worded.path} have no caption, row {bare[0]} first; "
                "expected at least one caption per image"
            )
        count = len(images) - min(recipe.holdout, len(images) // 10)
        self.train, self.held = np.arange(count), np.arange(count, len(images))
        if count < 2:
            raise StoreError(f"{images.path} has {count} training images; expected 2 or more")
        self._distinct = np.unique(np.array(worded.captions(), dtype=object).astype(str), return_inverse=True)[1]

    def described(self) -> dict[str, dict[str, object]]:
        """Role -> the record of its store: encoder, source, size, number of images, dtype."""
        images, texts = self.images.settings, self.worded.settings
        common = {"source": images.source, "size": images.size, "images": len(self.images)}
        return {
            "images": {"encoder": images.encoder, **common, "dtype": images.dtype},
            "targets": {"encoder": texts.texts, **common, "dtype": texts.text_dtype},
        }

    def captions_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of all captions of consecutive rows of images."""
        return np.arange(self._starts[rows[0]], self._starts[rows[-1] + 1]) if len(rows) else np.empty(0, np.int64)

    def image_inputs(self, rows: NDArray[np.int64]) -> Tensor:
        """(B, inputs) features that the images' head reads, without patches."""
        kinds = {"pooled": self.images.pooled, "mean": self.images.mean}
        names = self._recipe.inputs.removesuffix("+patches").split("+")
        chosen = [kind for name in names if (kind := kinds[name]) is not None]
        return torch.cat([tensor(kind[rows]) for kind in chosen], dim=1)

    def batch(self, rows: NDArray[np.int64], chance: np.random.Generator) -> AlignedBatch:
        """The images of some rows, with random captions of each."""
        each = self._recipe.captions
        starts, counts = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        first = (chance.random(len(rows)) * counts).astype(np.int64)  # no caption repeats before all were used
        picked = (starts[:, None] + (first[:, None] + np.arange(each)) % counts[:, None]).ravel()  # (T,)
        pooled = tensor(self.images.pooled[rows])
        with_mean = "mean" in self._recipe.inputs.split("+") and self.images.mean is not None
        mean = tensor(self.images.mean[rows]) if with_mean and self.images.mean is not None else pooled
        with_patches = self._recipe.inputs == PATCHES and self.images.patches is not None
        patches = tensor(self.images.patches[rows]) if with_patches and self.images.patches is not None else None
        texts, mask = self._texts(picked)
        owners = torch.arange(len(rows)).repeat_interleave(each)
        return AlignedBatch(pooled, mean, patches, texts, mask, owners, torch.from_numpy(self._distinct[picked]))

    def _texts(self, captions: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        if self._recipe.text_inputs == "tokens" and self.worded.tokens is not None:
            values, counts = self.worded.tokens.read(captions)
            return padded(tensor(values), torch.from_numpy(counts))
        if self.worded.texts is None:
            raise StoreError(f"{self.worded.path} has no encoded captions; embed the source with --texts MODEL")
        return tensor(self.worded.texts[captions]), None
