"""Text-prompted heat maps: the raw cosine of each pixel of an image with each prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast, overload

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, same_space
from dinoclip_viz.encoders.mixed import FeaturesLike, is_single
from dinoclip_viz.images import ImageError, ImageLike, is_image, items_of, load_images
from dinoclip_viz.models import ImageTextModel, as_model
from dinoclip_viz.tasks.upsampling.maps import check_method as check_upsampling
from dinoclip_viz.tasks.upsampling.maps import upsample_part
from dinoclip_viz.tasks.zero_shot.classify import label_vectors


@overload
def heatmap(  # type: ignore[overload-overlap]
    model: str | ImageTextModel,
    image: ImageLike | ImageFeatures,
    prompts: str | Sequence[str],
    method: str | None = None,
    size: int | None = None,
    templates: Sequence[str] | None = None,
    sharp: str | None = None,
) -> Tensor: ...
@overload
def heatmap(
    model: str | ImageTextModel,
    image: Iterable[ImageLike | ImageFeatures],
    prompts: str | Sequence[str],
    method: str | None = None,
    size: int | None = None,
    templates: Sequence[str] | None = None,
    sharp: str | None = None,
) -> list[Tensor]: ...
def heatmap(
    model: str | ImageTextModel,
    image: ImageLike | ImageFeatures | Iterable[ImageLike | ImageFeatures],
    prompts: str | Sequence[str],
    method: str | None = None,
    size: int | None = None,
    templates: Sequence[str] | None = None,
    sharp: str | None = None,
) -> Tensor | list[Tensor]:
    """(T, height, width) raw cosine of each pixel with each prompt, float32, at the image's size; a list for a list.

    Values are comparable between prompts and between images: nothing is rescaled, no hidden prompt is added, and a
    single prompt is never converted to a probability.

    Args:
        model: an image-text model or its name.
        image: an image in any form, its features from `model.encode_images` or `model.encode_each`, or a sequence of
            them; with features, only the prompts are encoded. Pixels outside the crop of cropped features are NaN.
        prompts: one text or T >= 1 of them, used as typed.
        method: one of `HEATMAP_METHODS`; None uses the best measured for the model.
        size: for an image: longer side in pixels at which it is encoded, as in `ImageEncoder.encode`.
        templates: if given, each prompt is encoded as the mean over these templates, as a label is.
        sharp: method of `upsample` that draws the maps of images along their edges; None interpolates bilinearly.

    Raises:
        ImageError: an image cannot be read, or there is none.
        ValueError: no prompt, an empty one, a method that the model does not serve, features of several images, or
            features with `sharp`, which needs images.
        SpaceError: the features come from another model.
    """
    model = as_model(model)
    chosen = model.check_method(method)
    vectors = prompt_vectors(model, prompts, templates, chosen)
    if sharp is not None:
        check_upsampling(sharp)
        maps = [
            _map(model, model.encode_images(one, size, "whole", [chosen]), vectors, chosen, one, sharp)
            for one in _images(image)
        ]
    else:
        maps = [_map(model, each, vectors, chosen) for each in encoded_each(model, image, chosen, size)]
    return maps[0] if is_single(image) else maps


def _images(images: FeaturesLike) -> list[Image.Image]:
    """The images.

    Raises:
        ImageError: one cannot be read.
        ValueError: one is features.
    """
    several = [images] if isinstance(images, ImageFeatures) or is_image(images) else items_of(images)
    if any(isinstance(item, ImageFeatures) for item in several):
        raise ValueError("found features; expected images for sharp maps, or sharp=None")
    return load_images(cast("list[ImageLike]", several))


def encoded_each(
    model: ImageTextModel, images: FeaturesLike, method: str, size: int | None = None
) -> Iterator[ImageFeatures]:
    """Features with the patches of a method, one item at a time; features are passed on, images are encoded whole.

    Args:
        model: an image-text model.
        images: images in any form or their features, one or several; an iterator is read as it is encoded.
        method: a heat-map method that the model serves.
        size: longer side in pixels at which images are encoded, as in `ImageEncoder.encode`.

    Raises:
        ImageError: no item, or one that is neither features nor an image; the message gives its number.
    """
    if isinstance(images, ImageFeatures):
        yield images
    elif is_image(images):
        yield model.encode_images(images, size, "whole", [method])
    else:
        for number, item in enumerate(images if isinstance(images, Iterator) else items_of(images)):
            if isinstance(item, ImageFeatures):
                yield item
                continue
            try:
                yield model.encode_images(item, size, "whole", [method])
            except ImageError as error:
                raise ImageError(f"images[{number}]: {error}") from error


def _map(
    model: ImageTextModel,
    features: ImageFeatures,
    vectors: Tensor,
    method: str,
    image: Image.Image | None = None,
    sharp: str | None = None,
) -> Tensor:
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one: pass features[i]")
    same_space(features.space, model.space)
    if method not in features.dense:
        raise ValueError(f"the features have no {method!r} patches; encode the image with methods=[{method!r}]")
    maps = similarity(features.dense[method][0], vectors)
    width, height = (round(side) for side in features.sizes[0].tolist())
    return at_image_size(maps, features.boxes[0].tolist(), width, height, image, sharp)


def prompt_vectors(
    model: str | ImageTextModel,
    prompts: str | Sequence[str],
    templates: Sequence[str] | None = None,
    method: str | None = None,
) -> Tensor:
    """(T, D) unit vectors of the prompts, in the space of the method's patches.

    Args:
        model: an image-text model or its name.
        prompts: one text or T >= 1 of them, used as typed.
        templates: prompts with one "{}" each, averaged over; None uses the prompts alone.
        method: one of `HEATMAP_METHODS`; None uses the best measured for the model.

    Raises:
        ValueError: no prompt, or an empty one.
    """
    model, prompts = as_model(model), [prompts] if isinstance(prompts, str) else prompts
    if not prompts:
        raise ValueError("found no prompts; expected at least one, such as a cat")
    for index, prompt in enumerate(prompts, start=1):
        if not prompt.strip():
            raise ValueError(f"prompt {index} of {len(prompts)} is empty; expected a text")
    once = list(dict.fromkeys(prompts))
    vectors = label_vectors(model.texts_for(model.check_method(method)), once, templates or ("{}",))
    return vectors[[once.index(prompt) for prompt in prompts]]


def similarity(patches: Tensor, texts: Tensor) -> Tensor:
    """(T, H, W) cosine of each patch with each text.

    Args:
        patches: (H, W, D) raw vectors.
        texts: (T, D) raw vectors of the same space.
    """
    return torch.einsum("hwd,td->thw", F.normalize(patches, dim=-1), F.normalize(texts, dim=-1))


def at_image_size(
    maps: Tensor,
    box: Sequence[float],
    width: int,
    height: int,
    image: Image.Image | None = None,
    sharp: str | None = None,
) -> Tensor:
    """(T, height, width) maps interpolated to the pixels of their box, NaN outside it.

    Args:
        maps: (T, H, W) values on a patch grid.
        box: (x0, y0, x1, y1) the part of the image that the grid covers, in pixels.
        width, height: of the image in pixels.
        image: the image, RGB; sharp: method of `upsample` that follows its edges. None of either is bilinear.
    """
    x0, y0, x1, y1 = (round(edge) for edge in box)
    if image is None or sharp is None:
        scaled = F.interpolate(maps[None], size=(y1 - y0, x1 - x0), mode="bilinear", align_corners=False)[0]
    else:
        scaled = upsample_part(maps.permute(1, 2, 0), image, box, (y1 - y0, x1 - x0), sharp).permute(2, 0, 1)
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return scaled
    whole = torch.full((len(maps), height, width), float("nan"))
    whole[:, y0:y1, x0:x1] = scaled
    return whole


def contrast(maps: Tensor, against: Tensor) -> Tensor:
    """(T, height, width) cosine of each pixel with each prompt minus the highest with other prompts, -2 to 2.

    Args:
        maps: (T, height, width) raw cosines.
        against: (C, height, width) raw cosines of the other prompts, C >= 1.
    """
    return maps - against.amax(0)


def region(maps: Tensor, threshold: float) -> Tensor:
    """(T, height, width) bool, True where a map is above the threshold."""
    return maps > threshold
