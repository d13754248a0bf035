"""Samples decoded, resized and cropped in order ahead of their use, by threads or processes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.data.base import Sample
from dinoclip_viz.images import ImageError
from dinoclip_viz.images.crops import Crop, Plan
from dinoclip_viz.images.scaled import DECODES, Decode, Size
from dinoclip_viz.pipeline.workers import Workers

_TOGETHER = 8  # images per task of a process
_MOST_THREADS = 16


class Recipe(Protocol):
    """From an image to an array: the part of preprocessing that runs before images are batched."""

    def plan(self, image: Size) -> Plan:
        """Preprocessing steps of an image of a width and height in pixels."""
        ...

    def pixels(self, image: Image.Image, plan: Plan) -> NDArray[Any]:
        """The model's input: (height, width, 3) bytes, or (3, height, width) normalised values."""
        ...


@dataclass(frozen=True)
class Prepared:
    """An image, ready for its encoders.

    Attributes:
        size: width and height of the image in pixels.
        arrays: for each recipe, the model's input; the image itself where the recipe is None.
    """

    size: Size
    arrays: tuple[NDArray[np.generic] | Image.Image, ...]


Outcome = tuple[Sample, Prepared | str]
"""A sample with its image prepared, or with the message of the error."""

Recipes = Sequence[Recipe | None]
"""One per input of the encoders; None hands over the whole image."""


@contextmanager
def prepared(
    samples: Iterable[Sample], recipes: Recipes, workers: int = 0, ahead: int = 64, decode: Decode = "exact"
) -> Iterator[Iterator[Outcome]]:
    """An iterator over the samples and their prepared images, in order; the next ones are prepared in the background.

    Args:
        samples: any number; memory is constant.
        recipes: of the encoders.
        workers: number of processes; 0 for threads of this process, as many as it has CPUs.
        ahead: number of images prepared in advance.
        decode: "exact", or "scaled" for JPEGs at a reduced scale.

    Raises:
        ValueError: `workers` is negative, or `decode` is unknown.
        RuntimeError: two processes ended at the same images, for example because memory ran out.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}; expected 0 or more")
    if decode not in DECODES:
        raise ValueError(f"decode={decode!r}; expected 'exact' or 'scaled'")
    processes = workers if workers and _can_be_sent(recipes) else 0
    pool: Executor = Workers(processes) if processes else ThreadPoolExecutor(threads())
    work = partial(_prepare_all, recipes=tuple(recipes), decode=decode)
    try:
        yield _in_order(iter(samples), pool, work, _TOGETHER if processes else 4, ahead)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def prepare(sample: Sample, recipes: Recipes, decode: Decode = "exact") -> Prepared | str:
    """The prepared image of a sample, or the message of the error where it cannot be read."""
    try:
        if decode == "scaled" and recipes and all(recipes):
            image, size = sample.load_scaled(lambda full: _largest(full, recipes))
        else:
            image = sample.load()
            size = image.size
    except ImageError as error:
        return str(error)
    return prepare_image(image, recipes, size)


def prepare_image(image: Image.Image, recipes: Recipes, size: Size | None = None) -> Prepared:
    """An image, ready for its encoders.

    Args:
        image: RGB image, or the same at a reduced scale.
        recipes: of the encoders.
        size: width and height of the whole image in pixels; by default those of `image`.
    """
    size = image.size if size is None else size
    return Prepared(
        size, tuple(image if recipe is None else recipe.pixels(image, recipe.plan(size)) for recipe in recipes)
    )


def threads() -> int:
    """Number of threads that prepare images: one per CPU, 16 at most."""
    return min(_MOST_THREADS, os.cpu_count() or 1)


def _largest(full: Size, recipes: Recipes) -> Size:
    sizes = [recipe.plan(full).resized for recipe in recipes if recipe is not None]
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _can_be_sent(recipes: Recipes) -> bool:
    """Whether processes can be given the recipes; a library's own preprocessing stays in this process."""
    return all(recipe is None or isinstance(recipe, Crop) for recipe in recipes)


def _prepare_all(samples: Sequence[Sample], recipes: Recipes, decode: Decode) -> list[Prepared | str]:
    return [prepare(sample, recipes, decode) for sample in samples]


def _in_order(
    samples: Iterator[Sample],
    pool: Executor,
    work: partial[list[Prepared | str]],
    together: int,
    ahead: int,
) -> Iterator[Outcome]:
    waiting: deque[tuple[list[Sample], Future[list[Prepared | str]]]] = deque()
    while True:
        while len(waiting) * together < max(ahead, together):
            group = list(islice(samples, together))
            if not group:
                break
            waiting.append((group, pool.submit(work, group)))
        if not waiting:
            return
        group, job = waiting.popleft()
        yield from zip(group, job.result(), strict=True)
