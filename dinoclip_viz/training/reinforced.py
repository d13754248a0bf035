"""Training on reinforced data: views of the images, further captions, and the teachers' vectors of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.projector import Projector
from dinoclip_viz.reinforce.store import ReinforcedStore, caption_counts, texts_of
from dinoclip_viz.store import FeatureStore, Sharded, StoreError
from dinoclip_viz.tasks.retrieval.stored import tensor
from dinoclip_viz.training.processes import Processes
from dinoclip_viz.training.recipes import Recipe

_LARGEST_SCALE = 100.0  # CLIP's bound of the learnt factor


@dataclass(frozen=True)
class Taught:
    """One teacher's (B, E) vectors of the views, of the real captions and of the synthetic ones."""

    images: Tensor
    real: Tensor
    synthetic: Tensor

    def to(self, device: torch.device) -> Taught:
        """The vectors on a device."""
        return Taught(*(one.to(device, non_blocking=True) for one in (self.images, self.real, self.synthetic)))


def reinforced_loss(
    images: Tensor, real: Tensor, synthetic: Tensor, taught: list[Taught], scale: Tensor | float, scales: list[float],
    distil: float,
) -> Tensor:  # fmt: skip
    """MobileCLIP's loss (Vasu et al. 2024), the sum over the real and the synthetic captions.

    For each, (1 - distil) * CLIP's cross-entropy + distil * cross-entropy with the mean of the teachers' softmaxes,
    both averaged over the two directions.

    Args:
        images: (B, D) raw vectors of the projected views.
        real, synthetic: (B, D) raw vectors of one caption of either kind per image.
        taught: the teachers' raw vectors of the same views and captions.
        scale: factor of the student's cosines.
        scales: factor of each teacher's cosines.
        distil: lambda, 0 to 1.
    """
    images = F.normalize(images, dim=-1)
    total = images.new_zeros(())
    for kind, texts in (("real", real), ("synthetic", synthetic)):
        logits = scale * images @ F.normalize(texts, dim=-1).T  # (B, B)
        both = [
            _both_terms(logits.T if to_images else logits, taught, kind, scales, distil, to_images)
            for to_images in (False, True)
        ]
        total = total + (both[0] + both[1]) / 2
    return total


def _both_terms(
    logits: Tensor, taught: list[Taught], kind: str, scales: list[float], distil: float, to_images: bool
) -> Tensor:
    """The weighted sum of both cross-entropies in one direction, rows of `logits` being the queries."""
    loss = logits.new_zeros(())
    if distil < 1:
        loss = loss + (1 - distil) * F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))
    if distil > 0:
        wanted = torch.zeros_like(logits)
        for one, scale in zip(taught, scales, strict=True):
            cosines = F.normalize(one.images, dim=-1) @ F.normalize(getattr(one, kind), dim=-1).T
            wanted = wanted + (scale * (cosines.T if to_images else cosines)).softmax(dim=1) / len(taught)
        loss = loss - distil * (wanted * logits.log_softmax(dim=1)).sum(dim=1).mean()
    return loss


class Views:
    """The views of a reinforced store, read in batches: the student's and the teachers' vectors of the same views.

    Args:
        student: store of the encoder to project, in the reinforced store.
        teacher: store of the model whose space is projected to, in the same reinforced store.
        recipe: a recipe of reinforced data.

    Raises:
        StoreError: the store is no reinforced one, or lacks views or captions.
        ValueError: the recipe's `teacher_scales` do not fit the number of teachers.
    """

    def __init__(self, student: FeatureStore, teacher: FeatureStore, recipe: Recipe) -> None:
        store = ReinforcedStore.open(student.path)
        others = [one for one in store.teachers if one.path != teacher.path]
        self._teachers = [teacher, *others]
        self._count, self._recipe = store.settings.views, recipe
        self.scales = _scales(recipe.teacher_scales, len(self._teachers))
        self._pooled, self._mean = _student_views(store, student, recipe.inputs)
        self._images = [store.views_of(one) for one in self._teachers]
        self._whole = _student_images(student, recipe.inputs)
        self._texts = [texts_of(one) for one in self._teachers]
        self._real, self._synthetic = caption_counts(store.rows)
        self._starts = np.cumsum([0, *(self._real + self._synthetic)])[:-1]

    def described(self) -> dict[str, dict[str, object]]:
        """Role -> the record of the store of each teacher after the first, as in `Pairs.described`."""
        return {
            f"teacher {number}": {
                "encoder": one.settings.encoder, "source": one.settings.source, "size": one.settings.size,
                "images": len(one), "dtype": one.settings.dtype,
            }
            for number, one in enumerate(self._teachers[1:], 2)
        }  # fmt: skip

    def batch(self, rows: NDArray[np.int64], chance: np.random.Generator) -> tuple[Tensor, Tensor, list[Taught]]:
        """(B, D) `pooled` and `mean` of a random view of each row, and the teachers' vectors of the same views.

        By the recipe's `unchanged`, some of the images are the unchanged ones instead.

        Args:
            rows: (B,) numbers of the images.
            chance: draws the view, a real caption and a synthetic one per image. An image without synthetic captions
                has another real one instead, if it has several.
        """
        views = rows * self._count + chance.integers(self._count, size=len(rows))
        whole = chance.random(len(rows)) < self._recipe.unchanged
        first, second = self._captions(rows, chance)

        def seen(of_views: Sharded, of_images: Sharded) -> Tensor:
            vectors = tensor(of_views[views])
            if whole.any():
                vectors[torch.from_numpy(whole)] = tensor(of_images[rows[whole]])
            return vectors

        pooled = seen(self._pooled, self._whole[0])
        mean = pooled if self._mean is self._pooled else seen(self._mean, self._whole[1])
        taught = [
            Taught(seen(images, teacher.pooled), tensor(texts[first]), tensor(texts[second]))
            for images, teacher, texts in zip(self._images, self._teachers, self._texts, strict=True)
        ]
        return pooled, mean, taught

    def loss(
        self, projector: Projector, scale: Tensor, rows: NDArray[np.int64], processes: Processes,
        chance: np.random.Generator,
    ) -> Tensor:  # fmt: skip
        """The loss of a batch, of which this process projects its slice.

        Args:
            projector: of the image side.
            scale: logarithm of the factor of the student's cosines.
            rows: (B,) numbers of the images.
            processes: of the run.
            chance: as in `batch`.
        """
        pooled, mean, taught = self.batch(rows, chance)
        device = projector.pooled_mean.device
        entering = projector.choose(pooled, mean)
        out = processes.gather(projector(entering[processes.slice(len(rows))].to(device))).float()
        known = [one.to(device) for one in taught]
        factor = scale.exp().clamp(max=_LARGEST_SCALE)
        with torch.autocast(device.type, enabled=False):
            loss = reinforced_loss(
                out, known[0].real, known[0].synthetic, known, factor, self.scales, self._recipe.distil
            )
            if self._recipe.cosine:
                loss = loss + self._recipe.cosine * (1 - F.cosine_similarity(out, known[0].images, dim=-1).mean())
        return loss

    def _captions(
        self, rows: NDArray[np.int64], chance: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of a real and of a synthetic caption per image, or of two others where an image lacks a kind."""
        real, synthetic = self._real[rows], self._synthetic[rows]
        total, one, other = real + synthetic, chance.random(len(rows)), chance.random(len(rows))
        kinds = (real > 0) & (synthetic > 0)
        first = (one * np.where(real > 0, real, synthetic)).astype(np.int64)
        later = (first + 1 + (other * np.maximum(total - 1, 1)).astype(np.int64)) % total
        second = np.where(kinds, real + (other * synthetic).astype(np.int64), later)
        return self._starts[rows] + first, self._starts[rows] + second


def reinforced_stores(
    images: FeatureStore | str | Path,
    targets: FeatureStore | str | Path | None,
    texts: FeatureStore | str | Path | None = None,
) -> tuple[FeatureStore, FeatureStore]:
    """The stores of the student and of the teacher inside a reinforced store.

    Args:
        images: the reinforced store, or the store of one of its students.
        targets: the store of one of its teachers; the reinforced store or None for the first one.
        texts: None; the captions are the teacher's.

    Raises:
        StoreError: the store is no reinforced one, or has no such student or teacher.
        ValueError: `texts` is given.
    """
    if texts is not None:
        raise ValueError("found a store of texts for reinforced data; expected none: the captions are the teacher's")
    wanted, taught = _path(images), None if targets is None else _path(targets)
    store = ReinforcedStore.open(wanted)
    if not store.students:
        raise StoreError(
            f"{store.path} has no student; expected one: add it with `dinoclip reinforce SOURCE --student NAME --out "
            f"{store.path}`"
        )
    student = _chosen(store.students, None if wanted.resolve() == store.path.resolve() else wanted, store, "student")
    if not store.teachers:
        raise StoreError(f"{store.path} has no teacher; expected one or more: add it with --teacher")
    if taught is None or taught.resolve() == store.path.resolve():
        return student, store.teachers[0]
    return student, _chosen(store.teachers, taught, store, "teacher")


def _path(store: FeatureStore | str | Path) -> Path:
    return store.path if isinstance(store, FeatureStore) else Path(store).expanduser()


def _chosen(stores: tuple[FeatureStore, ...], path: Path | None, store: ReinforcedStore, role: str) -> FeatureStore:
    if path is None and len(stores) == 1:
        return stores[0]
    found = [one for one in stores if path is not None and one.path.resolve() == path.resolve()]
    if not found:
        names = ", ".join(str(one.path) for one in stores)
        raise StoreError(f"{path or store.path} is no {role}'s store of {store.path}; expected one of {names}")
    return found[0]


def _student_views(store: ReinforcedStore, student: FeatureStore, inputs: str) -> tuple[Sharded, Sharded]:
    """`pooled` and `mean` of the views; twice the same where the recipe reads one of them."""
    pooled = store.view_means_of(student) if inputs == "mean" else store.views_of(student)
    return pooled, store.view_means_of(student) if inputs == "pooled+mean" else pooled


def _student_images(student: FeatureStore, inputs: str) -> tuple[Sharded, Sharded]:
    """`pooled` and `mean` of the unchanged images, as `_student_views` has them of the views."""
    means = student.mean if student.mean is not None else student.pooled
    return means if inputs == "mean" else student.pooled, means


def _scales(text: str, teachers: int) -> list[float]:
    """The factor of each teacher's cosines.

    Raises:
        ValueError: they are not numbers above 0, or neither one nor one per teacher.
    """
    try:
        scales = [float(part) for part in text.split(",")]
    except ValueError:
        scales = []
    if len(scales) not in (1, teachers) or not all(0 < scale < float("inf") for scale in scales):
        raise ValueError(
            f"teacher_scales is {text!r} for {teachers} teachers; expected a number above 0, or one per teacher, such "
            "as 70,60"
        )
    return scales * teachers if len(scales) == 1 else scales
