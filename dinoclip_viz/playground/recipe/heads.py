"""Recipe of the embedded heads: class and part segmentation and depth, linear on playground-dino's patches."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.playground.vocabulary import CLASSES, PARTS
from dinoclip_viz.playground.world import stream
from dinoclip_viz.tasks.probes.depth import DepthErrors
from dinoclip_viz.tasks.probes.head_evaluation import depth_errors, encoded, segmentation_confusion
from dinoclip_viz.tasks.probes.patch_head import PatchHead

log = logging.getLogger(__name__)

NAME = "playground-dino"
SEED, COUNT, SIZE = 2000, 600, 192
DEPTHS = (1.0, 40.0)
BINS = 64
BELOW_SKY = 39.999
"""Metres; the sky, at 40, has no depth and is excluded from every metric."""

FAR_OFF, FAILED = 8.0, "fraction of scenes with an RMSE above 8 m"

CARD = """---
license: apache-2.0
library_name: dinoclip_viz
tags: [linear probe, semantic segmentation, depth estimation]
---
# Heads of playground-dino

Linear layers on the frozen patch tokens of `playground-dino`, float16, one file each; `PatchHead.load` reads them.
They were trained on synthetic scenes of `dinoclip_viz.playground`; photographs are out of distribution.

| file | predicts | outputs |
|---|---|---|
| `playground-dino-classes` | class of each pixel, the background and 20 classes | logits |
| `playground-dino-parts` | part of each pixel, the background and 28 parts | logits |
| `playground-dino-depth` | depth in metres, also from CLS | logits of {bins} log-spaced depths, {near:g} to {far:g} m |

## Training
`dinoclip_viz/playground/recipe/heads.py`, on {count} scenes of seed {seed} at {size} px. Segmentation: cross-entropy on
the majority label of each patch. Depth: scale-invariant logarithmic error on the mean depth of each patch; bins or
regression, linear or log spacing, and the use of CLS were selected on seeds 1500 and 1505. In training the sky has a
depth of 40 m.

## Evaluation
On {tested} held-out scenes (seed {measured}) at {size} px, over all pixels, evaluated once; depth metrics exclude the
sky.

| metric | value |
|---|---|
{table}
"""


def train_heads(folder: Path, model: str | Path = NAME) -> dict[str, str]:
    """Fit the three heads of playground-dino and save them.

    Args:
        folder: where they are saved.
        model: name of the encoder, or its folder.

    Returns:
        Name of the head -> its file.
    """
    encoder, finished = load_encoder(str(model), dtype="float32"), {}
    for name, (head, target) in unfitted().items():
        head.fit(encoded(encoder, scenes(target, SEED, COUNT), SIZE), NAME, SIZE)
        head.space_ = NAME
        file = folder / f"{name}.safetensors"
        head.save(file)
        log.info("%s: fitted on %d patches", name, head.patches_)
        finished[name] = str(file)
    return finished


def unfitted() -> dict[str, tuple[PatchHead, str]]:
    """Name of each head -> the head before fitting, and the attribute of a scene that is its target."""
    return {
        "playground-dino-classes": (PatchHead(names=["background", *CLASSES]), "mask"),
        "playground-dino-parts": (PatchHead(names=["background", *PARTS]), "parts"),
        "playground-dino-depth": (PatchHead(depth=DEPTHS, bins=BINS, spacing="log", cls=True), "depth"),
    }


def measure_heads(folder: Path, seed: int = 3004, count: int = 200) -> dict[str, dict[str, float]]:
    """Metrics of the heads in a folder, saved in their files and in the model card next to them.

    Args:
        folder: of `train_heads`.
        seed: of the scenes, held out from training and selection.
        count: number of scenes.
    """
    encoder, figures = load_encoder(NAME), {}
    for name, (_, target) in unfitted().items():
        file = folder / f"{name}.safetensors"
        head = PatchHead.load(file, encoder.patch_space)
        head.figures = measured(head, encoder, target, seed, count)
        head.save(file)
        figures[name] = head.figures
    (folder / "README.md").write_text(card(figures, seed, count), encoding="utf-8")
    return figures


def card(figures: Mapping[str, Mapping[str, float]], seed: int, count: int) -> str:
    """The model card of the heads, as Markdown.

    Args:
        figures: name of each head -> its metrics.
        seed: of the scenes that they were measured on.
        count: number of these scenes.
    """
    rows = [f"| {name}, {word} | {value:.4f} |" for name, found in figures.items() for word, value in found.items()]
    return CARD.format(
        bins=BINS, near=DEPTHS[0], far=DEPTHS[1], count=COUNT, seed=SEED, size=SIZE, tested=count, measured=seed,
        table="\n".join(rows),
    )  # fmt: skip


def measured(head: PatchHead, encoder: ImageEncoder, target: str, seed: int, count: int) -> dict[str, float]:
    """Metrics of one head on scenes of a seed at `SIZE` pixels."""
    batches = encoded(encoder, scenes(target, seed, count), SIZE)
    if head.kind == "depth":
        errors = depth_errors(head, batches, DepthErrors(high=BELOW_SKY))
        return errors.figures() | {FAILED: sum(rmse > FAR_OFF for rmse in errors.each) / errors.images}
    return segmentation_confusion(head, batches).figures()


def scenes(target: str, seed: int, count: int) -> Iterator[tuple[Image.Image, NDArray[np.generic]]]:
    """Images of a seed, each with a ground truth: "mask", "parts" or "depth"."""
    for scene in stream(seed, count, SIZE):
        yield scene.image, getattr(scene, target)
