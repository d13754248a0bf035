"""Features of many images in batches, without a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

import torch

from dinoclip_viz.data.base import Sample
from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import Fit, ImageEncoder, ImageFeatures
from dinoclip_viz.images import ImageError, ImageLike, ImagesLike, is_image, load_images
from dinoclip_viz.images.scaled import Decode
from dinoclip_viz.pipeline.encoding import BatchSize, Encoded, Features, Job, Kept, encoded


def encode_sources(
    encoder: str | ImageEncoder,
    sources: ImagesLike,
    size: int | None = None,
    fit: Fit = "crop",
    batch_size: BatchSize = 32,
    workers: int = 0,
    decode: Decode = "exact",
) -> Iterator[ImageFeatures]:
    """Iterate over the features of batches of images, in order; the next batches are prepared meanwhile.

    Args:
        encoder: image encoder or its name.
        sources: one image or any iterable of images, each of a kind that `load_image` accepts; it is read lazily, so
            that memory does not grow with its length.
        size: as in `ImageEncoder.encode`.
        fit: as in `ImageEncoder.encode`; with "whole", all images of a batch must have the same patch grid.
        batch_size: images per batch, as in `embed`.
        workers: number of processes that decode, as in `embed`; 0 for threads of this process.
        decode: as in `embed`.

    Raises:
        ImageError: there is no image, or one cannot be read; earlier batches are yielded first.
        EncoderError: the encoder cannot be loaded.
        ValueError: as in `ImageEncoder.encode`.
    """
    encoder = as_encoder(encoder)
    job = Job(encoder, _everything, size, fit)
    samples = (Sample(str(number), source) for number, source in enumerate(_one_by_one(sources)))
    for part in encoded(samples, [job], batch_size, workers, decode):
        if part.batch.failed:
            number, _, reason = part.batch.failed[0]
            raise ImageError(f"images[{number}]: {reason}")
        if part.kept:
            yield _features(job, part)


def _everything(features: Features) -> Kept:
    tensors = {"pooled": features.pooled, "mean": features.mean, "patches": features.patches}
    if isinstance(features, ImageFeatures):
        tensors["boxes"] = features.boxes
    return {name: values.float() for name, values in tensors.items()}


def _features(job: Job, part: Encoded) -> ImageFeatures:
    encoder, recipe = job.encoder, job.recipe
    if recipe is None:
        boxes = part.kept[0]["boxes"]
    else:
        boxes = torch.tensor([recipe.plan(size).box for size in part.batch.sizes], dtype=torch.float32)
    kept = part.kept[0]
    return ImageFeatures(
        pooled=kept["pooled"],
        mean=kept["mean"],
        patches=kept["patches"],
        boxes=boxes,
        sizes=torch.tensor(part.batch.sizes),
        space=encoder.space,
        patch_space=encoder.patch_space,
    )


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
