"""The images of a report through its models, a few at a time: features, and small copies to draw on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.data.base import Sample
from dinoclip_viz.encoders import concatenate
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.images import ImageError
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.pipeline.batches import ahead
from dinoclip_viz.report.selection import Selection
from dinoclip_viz.tasks.open_vocabulary.heatmap import prompt_vectors, similarity

AT_ONCE = 16
"""Images in memory at a time, as they were read."""
LONGEST = 448
"""Longer side in pixels of the copies that are drawn on."""

Watch = Callable[[str, int, int], None]
"""Called with the name of a step, and the number of finished and of all images."""


@dataclass(frozen=True)
class Asked:
    """The questions that the images are encoded for.

    Attributes:
        model: image-text model.
        labels: whether images are classified.
        prompts: of heat maps.
        method: of heat maps, one that the model serves; "" without prompts.
    """

    model: ImageTextModel
    labels: bool
    prompts: tuple[str, ...]
    method: str

    @property
    def vision(self) -> ImageEncoder:
        """The encoder whose features are compared with each other: the guide, or the model's image encoder."""
        return self.model.guide or self.model.images


@dataclass(frozen=True)
class Readable:
    """The images that could be read, N of them, and what the models computed of each.

    Attributes:
        names: relative to the folder.
        samples: with captions and labels.
        images: copies with a longer side of at most `LONGEST` pixels.
        sizes: width and height in pixels of each image.
        vectors: (N, D) `pooled` of the vision encoder.
        parts: patches of the whole image by the vision encoder.
        answers: features to classify; None without labels.
        maps: (T, H, W) cosine of each patch with each prompt; empty without prompts.
        numbers: number of each in the selection.
        failed: name and reason of each image that could not be read.
    """

    names: tuple[str, ...]
    samples: tuple[Sample, ...]
    images: tuple[Image.Image, ...]
    sizes: tuple[tuple[int, int], ...]
    vectors: Tensor
    parts: tuple[ImageFeatures, ...]
    answers: ImageFeatures | None
    maps: tuple[Tensor, ...]
    numbers: tuple[int, ...]
    failed: tuple[tuple[str, str], ...]


def read(selection: Selection, asked: Asked, watch: Watch) -> Readable:
    """The selection's images, encoded; those that cannot be read are listed.

    Raises:
        ValueError: none can be read.
    """
    texts = prompt_vectors(asked.model, asked.prompts, None, asked.method) if asked.prompts else None
    groups: list[_Group] = []
    good: list[tuple[int, Image.Image, tuple[int, int]]] = []
    failed: list[tuple[str, str]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, ahead(_loaded(selection.samples, pool), 1) as ready:
        for start, loaded in ready:
            whole = [(number, image) for number, image in enumerate(loaded, start) if isinstance(image, Image.Image)]
            for number, reason in enumerate(loaded, start):
                if isinstance(reason, str):
                    failed.append((selection.names[number], _reason(reason, selection.samples[number])))
            if whole:
                groups.append(_encode([image for _, image in whole], asked, texts))
                good += [(number, small(image), image.size) for number, image in whole]
            watch("read", start + len(loaded), len(selection.samples))
    if not good:
        raise ValueError(f"none of the {len(failed)} images could be read; the first is {': '.join(failed[0])}")
    numbers = tuple(number for number, _, _ in good)
    answers = [group.answers for group in groups if group.answers is not None]
    return Readable(
        tuple(selection.names[number] for number in numbers),
        tuple(selection.samples[number] for number in numbers),
        tuple(image for _, image, _ in good),
        tuple(size for _, _, size in good),
        torch.cat([group.vectors for group in groups]),
        tuple(part for group in groups for part in group.parts),
        concatenate(answers) if answers else None,
        tuple(each for group in groups for each in group.maps),
        numbers,
        tuple(failed),
    )


def small(image: Image.Image, longest: int = LONGEST) -> Image.Image:
    """A copy with a longer side of at most `longest` pixels; no side is below 1.

    Examples:
        >>> small(Image.new("RGB", (4480, 20))).size
        (448, 2)
    """
    scale = longest / max(image.size)
    if scale >= 1:
        return image.copy()
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


@dataclass(frozen=True)
class _Group:
    """What the models computed of some images; attributes as in `Readable`."""

    vectors: Tensor
    parts: list[ImageFeatures]
    answers: ImageFeatures | None
    maps: list[Tensor]


def _loaded(samples: Sequence[Sample], pool: ThreadPoolExecutor) -> Iterator[tuple[int, list[Image.Image | str]]]:
    """Number of the first sample of each group, and the images of the group or the reasons that there are none."""
    for start in range(0, len(samples), AT_ONCE):
        yield start, list(pool.map(_image_of, samples[start : start + AT_ONCE]))


def _image_of(sample: Sample) -> Image.Image | str:
    try:
        return sample.load()
    except ImageError as error:
        return str(error)


def _encode(images: Sequence[Image.Image], asked: Asked, texts: Tensor | None) -> _Group:
    model, vision = asked.model, asked.vision
    mapped = [] if texts is None else model.encode_each(images, methods=[asked.method])
    parts = mapped if mapped and vision is model.images else vision.encode_each(images)
    cropped = vision.encode(images)
    answers = _answers(images, cropped, asked) if asked.labels else None
    maps = [] if texts is None else [similarity(each.dense[asked.method][0], texts) for each in mapped]  # (T, H, W)
    return _Group(cropped.pooled, [replace(part, dense={}) for part in parts], answers, maps)


def _answers(images: Sequence[Image.Image], cropped: ImageFeatures, asked: Asked) -> ImageFeatures:
    """The features to classify, without patches, which take memory; computed from `cropped` where that is enough."""
    model = asked.model
    if asked.vision is model.images and model.classifier_images is None:
        pooled = model.pooled_in_space(cropped.pooled, cropped.mean, cropped.patches)
        found = replace(cropped, pooled=pooled, space=model.space)
    else:
        found = model.encode_to_classify(images)
    return replace(found, patches=found.patches[:, :1, :1], dense={})


def _reason(error: str, sample: Sample) -> str:
    """The reason in an error, without the path of the image: the report may go to someone else.

    Examples:
        >>> _reason("/home/me/a.png: found HTML text; expected JPEG", Sample("a", b"", path="/home/me/a.png"))
        'found HTML text; expected JPEG'
    """
    before, found, after = error.partition(": found ")
    if found:
        return f"found {after}"
    return before.replace(f"{sample.path}: ", "") if sample.path else before
