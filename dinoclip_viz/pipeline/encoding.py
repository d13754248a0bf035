"""Samples through encoders: decoded once for all of them, the next batch ready while a model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from dinoclip_viz.data.base import Sample, Unreadable
from dinoclip_viz.encoders.base import Fit, ImageEncoder
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder
from dinoclip_viz.encoders.towers.memory import fitting_batch
from dinoclip_viz.images.scaled import Decode
from dinoclip_viz.pipeline.batches import Batch, ahead, batches
from dinoclip_viz.pipeline.decoding import Recipe, Recipes, prepared

BatchSize = int | Literal["auto"]
"""Images per forward pass; "auto" is 32 on a CPU and what the memory at hand allows on a GPU."""

_AHEAD = 2  # batches


class Features(Protocol):
    """What `Job.keep` is given for a batch: B images, patches on their grid, on any device and of any dtype.

    Attributes:
        pooled: (B, D), as in `ImageFeatures`.
        mean: (B, D'), as in `ImageFeatures`.
        patches: (B, H, W, D'), as in `ImageFeatures`.
        dense: heat-map method -> (B, H, W, D), as in `ImageFeatures`.
    """

    @property
    def pooled(self) -> Tensor: ...  # noqa: D102
    @property
    def mean(self) -> Tensor: ...  # noqa: D102
    @property
    def patches(self) -> Tensor: ...  # noqa: D102
    @property
    def dense(self) -> Mapping[str, Tensor]: ...  # noqa: D102


Kept = Mapping[str, Tensor]


def vectors(features: Features) -> Kept:
    """`pooled` and `mean` as float32: the usual `Job.keep`."""
    return {"pooled": features.pooled.float(), "mean": features.mean.float()}


def with_patches(features: Features) -> Kept:
    """`pooled`, `mean` and `patches` as float32: a `Job.keep` for models that read patches."""
    return {**vectors(features), "patches": features.patches.float()}


@dataclass(frozen=True)
class Job:
    """An encoder, and what of its features is kept.

    Attributes:
        encoder: image encoder.
        keep: features of a batch, on the encoder's device -> the tensors to bring to the CPU.
        size: as in `ImageEncoder.encode`.
        fit: as in `ImageEncoder.encode`.
        methods: as in `ImageEncoder.encode`.
    """

    encoder: ImageEncoder
    keep: Callable[[Features], Kept] = vectors
    size: int | None = None
    fit: Fit = "crop"
    methods: Sequence[str] = ()

    @property
    def recipe(self) -> Recipe | None:
        """The encoder's preparation of images; None for an encoder that takes whole images."""
        encoder = self.encoder
        return encoder.recipe(self.size, self.fit) if isinstance(encoder, BatchedImageEncoder) else None


@dataclass(frozen=True)
class Encoded:
    """A batch with what was kept of it.

    Attributes:
        batch: the samples.
        kept: for each job, the tensors that it keeps, on the CPU; empty where no image could be read.
    """

    batch: Batch
    kept: Sequence[Kept] = field(default_factory=list)


def recipes_of(jobs: Sequence[Job]) -> list[Recipe | None]:
    """The distinct recipes of the jobs: several encoders share what is equal."""
    return list(dict.fromkeys(job.recipe for job in jobs))


def encoded(
    samples: Iterable[Sample],
    jobs: Sequence[Job],
    batch_size: BatchSize = 32,
    workers: int = 0,
    decode: Decode = "exact",
    group: int | None = None,
    refuse: Callable[[Sample], str | None] | None = None,
) -> Iterator[Encoded]:
    """The kept features of all samples, batch by batch and in order.

    Threads or processes decode, resize and crop; a thread collects batches, in page-locked memory for a GPU; the device
    normalises and encodes; what is kept returns while the next batch is encoded.

    Args:
        samples: any number; memory is constant.
        jobs: encoders, with what is kept of each.
        batch_size: images per forward pass, or "auto".
        workers: number of processes that decode; 0 for threads of this process.
        decode: "exact", or "scaled" for JPEGs at a reduced scale.
        group: number of samples after which a batch ends in any case; None for none.
        refuse: the reason why a sample is not encoded, or None; it is not decoded then.

    Raises:
        ValueError: an argument is out of range, or two images of a batch have different patch grids.
        RuntimeError: a worker process ended.
    """
    size = chosen_batch_size(batch_size, jobs)
    recipes = recipes_of(jobs)
    pinned = any(job.encoder.device.type == "cuda" for job in jobs)
    wanted = _Refusing(samples, refuse) if refuse else samples
    in_advance = (_AHEAD + 1) * size
    with (
        prepared(wanted, recipes, workers, in_advance, decode) as outcomes,
        ahead(batches(outcomes, size, group, pinned), _AHEAD) as ready,
    ):
        yield from run(ready, jobs)


def run(ready: Iterable[Batch], jobs: Sequence[Job]) -> Iterator[Encoded]:
    """The kept features of prepared batches; on a GPU, one batch is computed while another is copied."""
    recipes = recipes_of(jobs)
    delayed = any(job.encoder.device.type == "cuda" for job in jobs)
    waiting: _UnderWay | None = None
    for batch in ready:
        now = _UnderWay(batch, jobs, recipes)
        if not delayed:
            yield now.result()
            continue
        if waiting is not None:
            yield waiting.result()
        waiting = now
    if waiting is not None:
        yield waiting.result()


def chosen_batch_size(batch_size: BatchSize, jobs: Sequence[Job]) -> int:
    """Images per forward pass: the given number, or what fits into the memory of every encoder's device.

    Raises:
        ValueError: it is neither "auto" nor 1 or more.
    """
    if batch_size != "auto":
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r}; expected 1 or more, or 'auto'")
        return batch_size
    return min(_fitting(job) for job in jobs)


def _fitting(job: Job) -> int:
    encoder = job.encoder
    if not isinstance(encoder, BatchedImageEncoder):
        return 32
    side = (job.size or encoder.size) // encoder.patch * encoder.patch
    one = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    return fitting_batch(lambda inputs: encoder.forward(inputs, job.methods), one, encoder.device)


class _Refusing:
    """Samples whose image is replaced by a reason where one is given."""

    def __init__(self, samples: Iterable[Sample], refuse: Callable[[Sample], str | None]) -> None:
        self._samples, self._refuse = samples, refuse

    def __iter__(self) -> Iterator[Sample]:
        for sample in self._samples:
            reason = self._refuse(sample)
            yield sample if reason is None else replace(sample, image=Unreadable(reason))


class _UnderWay:
    """A batch whose features are being computed, and copied to the CPU without blocking."""

    def __init__(self, batch: Batch, jobs: Sequence[Job], recipes: Recipes) -> None:
        self._batch = batch
        self._kept = [self._start(job, batch, recipes.index(job.recipe)) for job in jobs] if batch.samples else []
        devices = {job.encoder.device for job in jobs if job.encoder.device.type == "cuda"}
        self._events = []
        for device in devices:
            with torch.cuda.device(device):
                event = torch.cuda.Event()
                event.record()
                self._events.append(event)

    def _start(self, job: Job, batch: Batch, index: int) -> Kept:
        inputs = batch.inputs[index]
        with torch.no_grad():
            if isinstance(inputs, Tensor) and isinstance(job.encoder, BatchedImageEncoder):
                kept = job.keep(job.encoder.forward(inputs, job.methods))
            else:
                images = [image for image in inputs if not isinstance(image, Tensor)]
                kept = job.keep(job.encoder.encode(images, job.size, job.fit, job.methods, len(images)))
            return {name: _to_cpu(values) for name, values in kept.items()}

    def result(self) -> Encoded:
        """The batch, once its copies have arrived."""
        for event in self._events:
            event.synchronize()
        return Encoded(self._batch, self._kept)


def _to_cpu(values: Tensor) -> Tensor:
    if values.device.type != "cuda":
        return values.cpu()
    here = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return here.copy_(values, non_blocking=True)
