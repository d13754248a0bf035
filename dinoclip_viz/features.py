"""Many images through an encoder: files are decoded ahead by threads, batches come out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from PIL import Image

from dinoclip_viz.encoders.base import Fit, ImageEncoder, ImageFeatures
from dinoclip_viz.images import ImageSource, load_image


def encode_sources(
    encoder: ImageEncoder,
    sources: Iterable[ImageSource],
    size: int | None = None,
    fit: Fit = "crop",
    batch_size: int = 32,
    workers: int = 2,
) -> Iterator[ImageFeatures]:
    """Features of batches of images, in order; the next batches are decoded while one is encoded.

    Args:
        encoder: what sees the images.
        sources: paths, bytes, images or arrays, any number: memory does not grow with it.
        size, fit: as in `ImageEncoder.encode`; with "whole", all images of a batch must share one grid.
        batch_size: images a batch.
        workers: threads that decode.

    Raises:
        ImageError: a source cannot be read; the message names it. Batches before it have been given.
        ValueError: as in `ImageEncoder.encode`.
    """
    waiting = iter(sources)
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[list[Future[Image.Image]]] = deque()

        def order() -> None:
            batch = list(islice(waiting, batch_size))
            if batch:
                ahead.append([pool.submit(load_image, source) for source in batch])

        order()
        order()
        while ahead:
            images = [job.result() for job in ahead.popleft()]
            order()
            yield encoder.encode(images, size, fit, batch_size=batch_size)
