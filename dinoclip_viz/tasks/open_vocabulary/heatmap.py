"""Text-prompted heat maps: how close each place of an image is to each prompt, as raw cosines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, same_space
from dinoclip_viz.models import ImageTextModel


def heatmap(
    model: ImageTextModel,
    image: Image.Image | ImageFeatures,
    prompts: Sequence[str],
    method: str | None = None,
    size: int | None = None,
    templates: Sequence[str] | None = None,
) -> Tensor:
    """(T, height, width) raw cosine of each place with each prompt, float32, at the image's size.

    The values are comparable from prompt to prompt and from image to image: nothing is rescaled, no hidden prompt
    is added, and a single prompt is never turned into a probability.

    Args:
        model: an image-text model.
        image: an image, or its features from `model.encode_images` or `model.encode_each`; with features, only the
            prompts are computed. Places that cropped features do not cover are NaN.
        prompts: T >= 1 texts, taken as typed.
        method: one of `HEATMAP_METHODS`; None takes the best measured for the model.
        size: for an image: longer side in pixels at which it is encoded, as in `ImageEncoder.encode`.
        templates: if given, each prompt stands for the mean over these templates, as a label does.

    Raises:
        ValueError: no prompt, an empty one, a method that the model does not serve, or features of several images.
        SpaceError: the features come from another model.
    """
    chosen = model.check_method(method)
    vectors = prompt_vectors(model, prompts, templates, chosen)
    features = image
    if not isinstance(features, ImageFeatures):
        features = model.encode_images([features], size, "whole", [chosen])
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one: take features[i]")
    same_space(features.space, model.space)
    if chosen not in features.dense:
        raise ValueError(f"the features hold no {chosen!r} patches; encode the image with methods=[{chosen!r}]")
    maps = similarity(features.dense[chosen][0], vectors)
    width, height = (round(side) for side in features.sizes[0].tolist())
    return at_image_size(maps, features.boxes[0].tolist(), width, height)


def prompt_vectors(
    model: ImageTextModel, prompts: Sequence[str], templates: Sequence[str] | None = None, method: str | None = None
) -> Tensor:
    """(T, D) unit vectors of the prompts, in the space of the method's patches.

    Raises:
        ValueError: no prompt, or an empty one.
    """
    from dinoclip_viz.tasks.zero_shot.classify import label_vectors

    if isinstance(prompts, str):
        raise ValueError(f"prompts is the text {prompts!r}; expected a list of prompts")
    if not prompts:
        raise ValueError("no prompt was given; expected at least one, such as a cat")
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


def at_image_size(maps: Tensor, box: Sequence[float], width: int, height: int) -> Tensor:
    """(T, height, width) maps laid over the box that they cover, bilinear between patches, NaN outside.

    Args:
        maps: (T, H, W) values on a patch grid.
        box: (x0, y0, x1, y1) the part of the image that the grid covers, in pixels.
        width, height: of the image in pixels.
    """
    x0, y0, x1, y1 = (round(edge) for edge in box)
    scaled = F.interpolate(maps[None], size=(y1 - y0, x1 - x0), mode="bilinear", align_corners=False)[0]
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return scaled
    whole = torch.full((len(maps), height, width), float("nan"))
    whole[:, y0:y1, x0:x1] = scaled
    return whole


def contrast(maps: Tensor, against: Tensor) -> Tensor:
    """(T, height, width) how much closer each place is to each prompt than to the closest of other prompts, -2 to 2.

    Args:
        maps: (T, height, width) raw cosines.
        against: (C, height, width) raw cosines of the prompts to tell them from, C >= 1.
    """
    return maps - against.amax(0)


def region(maps: Tensor, threshold: float) -> Tensor:
    """(T, height, width) bool, True where a map is above the threshold."""
    return maps > threshold
