"""The recipe of the embedded heads: class and part segmentation and depth, linear on playground-dino's patches."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.playground.vocabulary import CLASSES, PARTS
from dinoclip_viz.playground.world import stream
from dinoclip_viz.tasks.probes.depth import DepthErrors
from dinoclip_viz.tasks.probes.patch_head import PatchHead, depth_errors, encoded, segmentation_confusion

log = logging.getLogger(__name__)

NAME = "playground-dino"
SEED, COUNT, SIZE = 2000, 600, 192
DEPTHS = (1.0, 40.0)
BINS = 64
BELOW_SKY = 39.999
"""Metres; the sky, drawn at 40, has no distance and is left out of every measure."""

CARD = """---
license: apache-2.0
library_name: dinoclip_viz
tags: [linear probe, semantic segmentation, depth estimation]
---
# Heads of playground-dino

Linear layers on the frozen patch tokens of `playground-dino`, float16, one file each; `PatchHead.load` reads them.
They know the drawn world of `dinoclip_viz.playground` alone.

| file | what | outputs |
|---|---|---|
| `playground-dino-classes` | class of each pixel, the background and 20 classes | logits |
| `playground-dino-parts` | part of each pixel, the background and 28 parts | logits |
| `playground-dino-depth` | metres, from patches and CLS | scores of {bins} depths, {near:g} to {far:g} m, even ratios |

## Training
`dinoclip_viz/playground/recipe/heads.py`: {count} scenes of seed {seed} at {size} px, the label that most pixels of a
patch have, cross-entropy; the mean depth of a patch, scale-invariant logarithmic error. The depth head's form (bins
against regression, even steps against even ratios, with CLS or without) was chosen on seeds 1500 and 1505. The sky is
drawn at 40 m and is trained on as that.

## Measured
On {tested} scenes of seed {measured} at {size} px, every pixel, once. Depth leaves the sky out.

| | |
|---|---|
{table}
"""


def train_heads(folder: Path, model: str | Path = NAME) -> dict[str, str]:
    """Fit and write the three heads of playground-dino.

    Args:
        folder: where they are written.
        model: the encoder, or the folder of one that is to become playground-dino.

    Returns:
        Name of the head -> its file.
    """
    encoder, finished = load_encoder(str(model)), {}
    for name, (head, truth) in unfitted().items():
        head.fit(encoded(encoder, scenes(truth, SEED, COUNT), SIZE), NAME, SIZE)
        head.space_ = NAME
        file = folder / f"{name}.safetensors"
        head.save(file)
        log.info("%s: fitted on %d patches", name, head.patches_)
        finished[name] = str(file)
    return finished


def unfitted() -> dict[str, tuple[PatchHead, str]]:
    """Name of each head -> the head before its fit, and the attribute of a scene that it learns."""
    return {
        "playground-dino-classes": (PatchHead(names=["background", *CLASSES]), "mask"),
        "playground-dino-parts": (PatchHead(names=["background", *PARTS]), "parts"),
        "playground-dino-depth": (PatchHead(depth=DEPTHS, bins=BINS, spacing="log", cls=True), "depth"),
    }


def measure_heads(folder: Path, seed: int = 3004, count: int = 200) -> dict[str, dict[str, float]]:
    """The figures of the heads in a folder, written into their files and the card beside them.

    Args:
        folder: where `train_heads` wrote them.
        seed: of the scenes; neither trained on nor chosen by.
        count: how many scenes.
    """
    encoder, figures = load_encoder(NAME), {}
    for name, (_, truth) in unfitted().items():
        file = folder / f"{name}.safetensors"
        head = PatchHead.load(file, encoder.patch_space)
        head.figures = measured(head, encoder, truth, seed, count)
        head.save(file)
        figures[name] = head.figures
    rows = [f"| {name}, {word} | {value:.4f} |" for name, found in figures.items() for word, value in found.items()]
    card = CARD.format(
        bins=BINS, near=DEPTHS[0], far=DEPTHS[1], count=COUNT, seed=SEED, size=SIZE, tested=count, measured=seed,
        table="\n".join(rows),
    )  # fmt: skip
    (folder / "README.md").write_text(card, encoding="utf-8")
    return figures


def measured(head: PatchHead, encoder: ImageEncoder, truth: str, seed: int, count: int) -> dict[str, float]:
    """The figures of one head on scenes of a seed at `SIZE` pixels."""
    batches = encoded(encoder, scenes(truth, seed, count), SIZE)
    if head.kind == "depth":
        return depth_errors(head, batches, DepthErrors(high=BELOW_SKY)).figures()
    return segmentation_confusion(head, batches).figures()


def scenes(truth: str, seed: int, count: int) -> Iterator[tuple[Image.Image, NDArray[np.generic]]]:
    """Images of a seed, each with one of its truths: mask, parts or depth."""
    for scene in stream(seed, count, SIZE):
        yield scene.image, getattr(scene, truth)
