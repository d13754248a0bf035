"""Encoding of many images in batches, with images decoded ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from PIL import Image

from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import Fit, ImageEncoder, ImageFeatures
from dinoclip_viz.images import ImageError, ImageLike, ImagesLike, is_image, load_image, load_images


def encode_sources(
    encoder: str | ImageEncoder,
    sources: ImagesLike,
    size: int | None = None,
    fit: Fit = "crop",
    batch_size: int = 32,
    workers: int = 2,
) -> Iterator[ImageFeatures]:
    """Iterate over the features of batches of images, in order; two batches are decoded ahead.

    Args:
        encoder: image encoder or its name.
        sources: one image or any iterable of images, each of a kind that `load_image` accepts; it is read lazily, so
            that memory does not grow with its length.
        size: as in `ImageEncoder.encode`.
        fit: as in `ImageEncoder.encode`; with "whole", all images of a batch must have the same patch grid.
        batch_size: images per batch.
        workers: number of threads that decode.

    Raises:
        ImageError: there is no image, or one cannot be read; earlier batches are yielded first.
        EncoderError: the encoder cannot be loaded.
        ValueError: as in `ImageEncoder.encode`.
    """
    encoder, waiting = as_encoder(encoder), enumerate(_one_by_one(sources))
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[list[Future[Image.Image]]] = deque()

        def order() -> None:
            batch = list(islice(waiting, batch_size))
            if batch:
                ahead.append([pool.submit(_loaded, number, source) for number, source in batch])

        order()
        order()
        while ahead:
            images = [job.result() for job in ahead.popleft()]
            order()
            yield encoder.encode(images, size, fit, batch_size=batch_size)


def _one_by_one(sources: ImagesLike) -> Iterator[ImageLike]:
    """The images one by one, read lazily."""
    if is_image(sources) or isinstance(sources, (Mapping, Set)) or not isinstance(sources, Iterable):
        yield from load_images(sources)
        return
    none = True
    for source in sources:
        none = False
        yield source  # type: ignore[misc]
    if none:
        load_images([])  # raises


def _loaded(number: int, source: ImageLike) -> Image.Image:
    try:
        return load_image(source)
    except ImageError as error:
        raise ImageError(f"images[{number}]: {error}") from error
