"""Evaluation of affordance maps: several predictors on the same images, by AGD20K's protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.affordance.metrics import Summary, score_map
from dinoclip_viz.affordance.model import AffordanceModel
from dinoclip_viz.affordance.neighbours import LabelTransfer
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.tasks.open_vocabulary.heatmap import heatmap


class TargetImage(Protocol):
    """An image with the targets of the verbs that it answers.

    Attributes:
        image: RGB.
        targets: verb -> (height, width) in [0, 1].
        objects: verb -> (height, width) bool mask of the whole objects; empty where unknown.
    """

    @property
    def image(self) -> Image.Image: ...  # noqa: D102
    @property
    def targets(self) -> Mapping[str, NDArray[np.float32]]: ...  # noqa: D102
    @property
    def objects(self) -> Mapping[str, NDArray[np.bool_]]: ...  # noqa: D102


Predict = Callable[[TargetImage, Sequence[str]], NDArray[np.generic]]
"""Image and V verbs -> (V, height, width) values of any range."""


def measure(predictors: Mapping[str, Predict], images: Iterable[TargetImage], hard: bool) -> dict[str, Summary]:
    """Scores of each predictor over all pairs of an image and a verb that it answers.

    Args:
        predictors: name -> predictor.
        images: with targets; verbs without a target are not scored, as in AGD20K.
        hard: whether targets are masks.

    Raises:
        ValueError: a predictor returns another size, or a target is flat.
    """
    found = {name: Summary() for name in predictors}
    for one in images:
        verbs = list(one.targets)
        for name, predict in predictors.items():
            maps = predict(one, verbs)
            found[name].scores += [
                score_map(verb, values, one.targets[verb], hard) for verb, values in zip(verbs, maps, strict=True)
            ]
    return found


def by_model(
    model: AffordanceModel | LabelTransfer, sharp: str | None, words: Mapping[str, str] | None = None
) -> Predict:
    """A trained head, or the transfer of labels, as a predictor.

    Args:
        model: with `predict`.
        sharp: as in `AffordanceModel.predict`.
        words: verb of a target -> verb that is asked for instead; None for the same.
    """
    other = words or {}
    return lambda one, verbs: model.predict(one.image, [other.get(verb, verb) for verb in verbs], sharp=sharp)


def by_heatmaps(
    model: ImageTextModel, method: str, template: str = "{}", size: int | None = None, sharp: str | None = None,
    words: Mapping[str, str] | None = None,
) -> Predict:  # fmt: skip
    """Text-prompted heat maps with the verb as prompt, without training, as a predictor.

    Args:
        model: an image-text model.
        method: a heat-map method that it serves.
        template: prompt of a verb, with one {}.
        size: longer side in pixels at which images are encoded, as in `heatmap`.
        sharp: as in `heatmap`.
        words: as in `by_model`.
    """
    other = words or {}

    def predict(one: TargetImage, verbs: Sequence[str]) -> NDArray[np.generic]:
        prompts = [template.format(other.get(verb, verb)) for verb in verbs]
        found: NDArray[np.float32] = heatmap(model, one.image, prompts, method, size, sharp=sharp).numpy()
        return found

    return predict


def by_objects(one: TargetImage, verbs: Sequence[str]) -> NDArray[np.generic]:
    """(V, height, width) ground-truth mask of the whole objects that answer each verb: a map that knows no parts.

    Args:
        one: an image with `objects`.
        verbs: of its targets.
    """
    return np.stack([one.objects[verb].astype(np.float32) for verb in verbs])
