"""Results of a vision-language model: generated text with probabilities, and the objects in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dinoclip_viz.vlm.locations import Box, box_of
from dinoclip_viz.vlm.masks.crops import paste_mask
from dinoclip_viz.vlm.parsing import Found, Parsed, parse

if TYPE_CHECKING:
    from dinoclip_viz.vlm.masks.codec import MaskCodec


@dataclass(frozen=True)
class Detection:
    """One object in an image.

    Attributes:
        label: name that the model gave it.
        box: (x0, y0, x1, y1) in pixels of the image as given.
        score: geometric mean of the probabilities of its tokens: of the 4 location tokens, and of the 16 segmentation
            tokens if it has a mask; in (0, 1] and not calibrated.
        mask: (height, width) bool of the image's size; None for a box alone.
    """

    label: str
    box: Box
    score: float
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Generation:
    """Generated text.

    Attributes:
        text: decoded tokens without the end token.
        tokens: generated tokens; the end token is the last one if the text is complete.
        probabilities: of each token, given those before it.
        complete: whether the model ended the text; False if it reached the limit of tokens.
    """

    text: str
    tokens: tuple[str, ...]
    probabilities: tuple[float, ...]
    complete: bool = True

    @property
    def score(self) -> float:
        """Geometric mean of the tokens' probabilities, in (0, 1]; 1 without tokens."""
        return geometric_mean(self.probabilities)

    @property
    def parsed(self) -> Parsed:
        """The objects in the text, and its other parts as problems."""
        return parse(self.text, self.tokens)

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each part of the text that is no object, for the answer to `detect` or `segment`."""
        return self.parsed.problems


def geometric_mean(probabilities: Sequence[float]) -> float:
    """Exponential of the mean logarithm; 1 for none.

    Examples:
        >>> geometric_mean([0.25, 1.0])
        0.5
    """
    if not probabilities:
        return 1.0
    smallest = float(np.finfo(np.float32).tiny)
    return math.exp(sum(math.log(max(each, smallest)) for each in probabilities) / len(probabilities))


def detections_of(
    generation: Generation, size: tuple[int, int], codec: MaskCodec | None = None, label: str = ""
) -> list[Detection]:
    """The objects in a generated text, in its order.

    Args:
        generation: answer to `detect` or `segment`.
        size: width and height of the image in pixels.
        codec: decodes masks; None for boxes alone.
        label: of objects to which the text gives none.
    """
    found = generation.parsed.objects
    masks = _masks(found, size, codec) if codec is not None else [None] * len(found)
    return [
        Detection(each.label or label, box_of(each.numbers, size), _score(each, generation, mask is not None), mask)
        for each, mask in zip(found, masks, strict=True)
    ]


def _score(found: Found, generation: Generation, with_mask: bool) -> float:
    if found.span is None:  # a location was written as several tokens
        return generation.score
    first, last = found.span
    return geometric_mean(generation.probabilities[first : last + 1 if with_mask else first + 4])


def _masks(found: Sequence[Found], size: tuple[int, int], codec: MaskCodec) -> list[NDArray[np.bool_] | None]:
    """The mask of each object; None for one without codes."""
    codes = [each.codes for each in found if each.codes is not None]
    if not codes:
        return [None] * len(found)
    decoded = iter(codec.decode(torch.tensor(codes)).cpu())
    return [
        None if each.codes is None else paste_mask(next(decoded), box_of(each.numbers, size), size) for each in found
    ]
