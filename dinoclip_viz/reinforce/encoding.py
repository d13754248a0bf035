"""One shard of a reinforced store: images and their views through encoders, decoded once for all of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.data.base import Sample
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.images import ImageError
from dinoclip_viz.pipeline.batches import batches
from dinoclip_viz.pipeline.decoding import Prepared, Recipes, prepare_image, threads
from dinoclip_viz.pipeline.encoding import BatchSize, Job, chosen_batch_size, recipes_of, run
from dinoclip_viz.pipeline.shards import encode_captions, finite
from dinoclip_viz.reinforce.store import VIEW_MEANS, VIEWS
from dinoclip_viz.reinforce.tables import ViewRow
from dinoclip_viz.store.writing import FailedRow, ImageRow, Shard

_TOGETHER = 256  # views per chunk of images

Viewed = tuple[Image.Image, ViewRow, list[Image.Image]]
"""An image, its row of the table, and its views."""


@dataclass(frozen=True)
class Pupil:
    """An encoder of a reinforced store.

    Attributes:
        images: image encoder.
        texts: text encoder of the captions, of a teacher; None for a student.
    """

    images: ImageEncoder
    texts: TextEncoder | None = None


@dataclass(frozen=True)
class Chunk:
    """Consecutive samples of a shard with their prepared images.

    Attributes:
        whole: sample and its image as each encoder's published crop, or the reason why it could not be read.
        views: K prepared views of each image that could be read.
        rows: their rows of the table.
    """

    whole: list[tuple[Sample, Prepared | str]]
    views: list[tuple[Sample, Prepared | str]]
    rows: list[ViewRow]


@dataclass
class Part:
    """Vectors of one encoder: kind of file -> arrays of consecutive images."""

    arrays: dict[str, list[NDArray[np.float16]]] = field(default_factory=dict)

    def joined(self, kind: str, width: int) -> NDArray[np.float16]:
        """All rows of a kind."""
        return np.concatenate(self.arrays.get(kind, []) or [np.empty((0, width), np.float16)])


def jobs_of(pupils: Sequence[Pupil]) -> tuple[list[Job], list[Job]]:
    """What is encoded: the unchanged images by the published preprocessing, and the views as a whole."""
    whole = [Job(pupil.images) for pupil in pupils]
    return whole, [Job(pupil.images, size=pupil.images.size, fit="whole") for pupil in pupils]


@contextmanager
def chunks(
    samples: Sequence[Sample], views: int, look: Callable[[Sample], Viewed], pupils: Sequence[Pupil]
) -> Iterator[Iterator[Chunk]]:
    """Chunks of the samples, prepared by threads while the one before is encoded.

    Args:
        samples: of one shard.
        views: K.
        look: image, row and views of a sample; it raises an ImageError where the image cannot be read.
        pupils: the encoders.
    """
    whole, seen = (recipes_of(jobs) for jobs in jobs_of(pupils))
    each = max(1, _TOGETHER // views)
    pool = ThreadPoolExecutor(threads())
    try:
        yield _in_order(samples, each, lambda sample: _prepared(sample, look, whole, seen), pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


Outcome = tuple[Sample, Prepared, list[Prepared], ViewRow] | tuple[Sample, str]


def _prepared(sample: Sample, look: Callable[[Sample], Viewed], whole: Recipes, seen: Recipes) -> Outcome:
    try:
        image, row, views = look(sample)
    except ImageError as error:
        return sample, str(error)
    return sample, prepare_image(image, whole), [prepare_image(view, seen) for view in views], row


def _in_order(
    samples: Sequence[Sample], each: int, work: Callable[[Sample], Outcome], pool: ThreadPoolExecutor
) -> Iterator[Chunk]:
    waiting: deque[list[Future[Outcome]]] = deque()
    starts = list(range(0, len(samples), each))
    for number in range(len(starts) + 1):
        if number < len(starts):
            start = starts[number]
            waiting.append([pool.submit(work, sample) for sample in samples[start : start + each]])
        if number:
            yield _chunk([future.result() for future in waiting.popleft()])


def _chunk(outcomes: Sequence[Outcome]) -> Chunk:
    chunk = Chunk([], [], [])
    for outcome in outcomes:
        if len(outcome) == 2:
            chunk.whole.append(outcome)
            continue
        sample, image, views, row = outcome
        chunk.whole.append((sample, image))
        chunk.views.extend((sample, view) for view in views)
        chunk.rows.append(row)
    return chunk


class PendingViews:
    """A shard of a reinforced store that is collected chunk by chunk.

    Args:
        pupils: the encoders.
        students: the positions among them of those that keep the mean of the views' tokens.
        batch_size: images per forward pass.
    """

    def __init__(self, pupils: Sequence[Pupil], students: frozenset[int], batch_size: BatchSize) -> None:
        self._pupils, self._students = pupils, students
        self._whole, self._seen = jobs_of(pupils)
        self._size = chosen_batch_size(batch_size, self._whole)
        self._parts = [Part() for _ in pupils]
        self._begun = time.monotonic()
        self._images: list[ImageRow] = []
        self.rows: list[ViewRow] = []
        self.failed: list[FailedRow] = []

    def add(self, chunk: Chunk) -> None:
        """Encode the images and the views of a chunk."""
        self.failed += [
            FailedRow(sample.key, sample.path, outcome) for sample, outcome in chunk.whole if isinstance(outcome, str)
        ]
        readable = [(sample, outcome) for sample, outcome in chunk.whole if isinstance(outcome, Prepared)]
        for (sample, prepared), row in zip(readable, chunk.rows, strict=True):
            self._images.append(ImageRow(sample.key, sample.path, row.captions, sample.label, *prepared.size))
        self.rows += chunk.rows
        if not readable:
            return
        self._encode(readable, self._whole, {"pooled": "img_emb", "mean": "mean_emb"}, frozenset())
        self._encode(chunk.views, self._seen, {"pooled": VIEWS, "mean": VIEW_MEANS}, self._students)

    def shard(self, number: int) -> tuple[Shard, float]:
        """The shard of one encoder, its captions encoded, and the duration of the shard in seconds.

        Args:
            number: position of the encoder.
        """
        pupil, part = self._pupils[number], self._parts[number]
        widths = {
            "img_emb": pupil.images.dimension, "mean_emb": pupil.images.patch_dimension, VIEWS: pupil.images.dimension
        }  # fmt: skip
        if number in self._students:
            widths[VIEW_MEANS] = pupil.images.patch_dimension
        arrays = {kind: part.joined(kind, width) for kind, width in widths.items()}
        texts = [text for row in self._images for text in row.captions]
        counts = [len(row.captions) for row in self._images]
        owners = np.repeat(np.arange(len(self._images)), counts).astype(np.int64)
        captions = encode_captions(texts, pupil.texts) if pupil.texts is not None else None
        return Shard(self._images, self.failed, [arrays], captions, owners), time.monotonic() - self._begun

    def _encode(
        self, items: Sequence[tuple[Sample, Prepared | str]], jobs: Sequence[Job], kinds: dict[str, str],
        means: frozenset[int],
    ) -> None:  # fmt: skip
        """Encode prepared images; of views, the mean is kept for students only."""
        for encoded in run(batches(iter(items), self._size), jobs):
            keys = [sample.key for sample in encoded.batch.samples]
            for number, kept in enumerate(encoded.kept):
                for name, kind in kinds.items():
                    if kind != VIEW_MEANS or number in means:
                        values = finite(kept[name].half(), self._pupils[number].images.name, keys)
                        self._parts[number].arrays.setdefault(kind, []).append(values)
