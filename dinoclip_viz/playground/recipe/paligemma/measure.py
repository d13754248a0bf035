"""Evaluation of playground-paligemma and playground-masks on held-out scenes, next to answers without an image."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from PIL import Image

from dinoclip_viz.playground.held_out import HeldOut, held_out
from dinoclip_viz.playground.recipe.paligemma.masks import overlap
from dinoclip_viz.playground.recipe.paligemma.scenes import LEAST_SIDE
from dinoclip_viz.playground.vocabulary import CLASSES, COLOURS
from dinoclip_viz.playground.world import Scene
from dinoclip_viz.tasks.vlm.scenes import (
    answer_figures,
    caption_score,
    detect_scenes,
    referring_figures,
    segmentation_figures,
)
from dinoclip_viz.vlm import VisionLanguageModel, load_vlm
from dinoclip_viz.vlm.masks import crop_mask, load_mask_codec

NAME, MASKS = "playground-paligemma", "playground-masks"
LEAST_SCENES = 50


def measure_paligemma(
    name: str = NAME, seed: int = 3000, count: int = 300, device: str = "auto", size: int = 96
) -> dict[str, Any]:
    """Captions, detection, referring expressions, segmentation and answers, with and without the image.

    Args:
        name: of the model, or its folder.
        seed: of the scenes of captions, detection and segmentation, 1000 or more; referring expressions and answers
            are asked about those of the next seed.
        count: scenes per seed, 50 or more.
        device: as in `load_vlm`; the model computes in float32.
        size: side of the scenes in pixels.

    Returns:
        "caption", "detection", "referring", "segmentation", "answers" as in `tasks.vlm.scenes`; "without_image", the
        same of detection, referring expressions and answers with a gray image; "masks", the mean IoU of masks with
        those decoded from their 16 codes. Fractions, 0 to 1.

    Raises:
        ValueError: a seed below 1000, or fewer than 50 scenes.
    """
    if seed < 1000:
        raise ValueError(f"seed is {seed}, which the model was trained on; expected 1000 or more")
    if count < LEAST_SCENES:
        raise ValueError(f"count is {count}; expected {LEAST_SCENES} scenes or more")
    model = load_vlm(name, device=device, dtype="float32")
    scenes, others = (list(held_out(one, count, size)) for one in (seed, seed + 1))
    captions, blank = caption_score(model, scenes, CLASSES, tuple(COLOURS)), Blank(model)
    return {
        "caption": {**asdict(captions), "f1": captions.f1},
        "detection": detect_scenes(model, scenes, CLASSES, seed)[0],
        "segmentation": segmentation_figures(model, scenes),
        "referring": referring_figures(model, others),
        "answers": answer_figures(model, others),
        "without_image": {
            "detection": detect_scenes(blank, scenes, CLASSES, seed)[0],
            "referring": referring_figures(blank, others),
            "answers": {kind: found["accuracy"] for kind, found in answer_figures(blank, others).items()},
        },
        "masks": mask_overlap(scenes),
    }


class Blank:
    """A model that is shown a gray image instead of each image: what its answers owe to the prompt alone."""

    def __init__(self, model: VisionLanguageModel) -> None:
        self._model = model

    def caption(self, images: list[Image.Image]) -> str | list[str]:
        """A caption of each."""
        return self._model.caption(_gray(images))

    def answer(self, images: list[Image.Image], question: str) -> str | list[str]:
        """The answer about each."""
        return self._model.answer(_gray(images), question)

    def detect(self, images: list[Image.Image], names: str) -> list[Any]:
        """The detections in each."""
        return self._model.detect(_gray(images), names)

    def segment(self, images: list[Image.Image], names: str) -> list[Any]:
        """The detections with masks in each."""
        return self._model.segment(_gray(images), names)


def _gray(images: list[Image.Image]) -> list[Image.Image]:
    return [Image.new("RGB", image.size, (128, 128, 128)) for image in images]


def mask_overlap(scenes: list[HeldOut], name: str = MASKS) -> dict[str, float]:
    """Mean IoU of masks of visible objects, 64 x 64 pixels within their boxes, with the decoded ones.

    Args:
        scenes: of the objects.
        name: of the codec, or its folder.
    """
    masks = [mask for one in scenes for mask in _crops(one.scene, one.visible)]
    found = overlap(load_mask_codec(name), torch.stack(masks))
    whole = torch.stack(masks) > 0.5  # a codec that returns the whole box
    return {"masks": len(masks), "mean_iou": found.mean().item(), "whole_box": whole.float().mean().item()}


def _crops(scene: Scene, visible: tuple[int, ...]) -> list[torch.Tensor]:
    boxes = ((number, scene.objects[number]["box"]) for number in visible)
    return [
        crop_mask(np.asarray(scene.instances == number + 1), box)
        for number, box in boxes
        if min(box[2] - box[0], box[3] - box[1]) >= LEAST_SIDE
    ]
