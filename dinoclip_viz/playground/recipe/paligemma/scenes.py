"""The training scenes of playground-paligemma: images, instance masks and facts, drawn once in resumable chunks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.playground.questions import Facts
from dinoclip_viz.playground.world import stream
from dinoclip_viz.vlm.masks import crop_mask

log = logging.getLogger(__name__)

SEED, SIDE, CHUNK, CHUNKS = 600, 96, 1000, 30
"""First seed, side in pixels, scenes per chunk, and number of chunks; every chunk has a seed of its own."""

MASKS = 30_000
"""Masks on which the codec is trained."""

LEAST_SIDE = 4
"""Boxes with a shorter side in pixels have no mask tokens."""


@dataclass(frozen=True)
class Drawn:
    """Scenes in memory.

    Attributes:
        pixels: (N, 96, 96, 3) uint8.
        instances: (N, 96, 96) uint8, index of the object + 1, 0 background.
        facts: N.
    """

    pixels: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    facts: list[Facts]

    def crops(self, rows: range | None = None) -> Iterator[tuple[tuple[int, int], Tensor]]:
        """((scene, index of the object), (64, 64) mask within its box) of all visible objects."""
        for row in rows or range(len(self.facts)):
            for one, number in zip(self.facts[row].objects, self.facts[row].numbers, strict=True):
                left, top, right, bottom = one["box"]
                if min(right - left, bottom - top) >= LEAST_SIDE:
                    yield (row, number), crop_mask(self.instances[row] == number + 1, (left, top, right, bottom))


def draw_scenes(folder: Path, chunks: int, workers: int, seed: int = SEED) -> Drawn:
    """`chunks` times 1,000 scenes; every third chunk is of world 2. Existing chunks are kept.

    Args:
        folder: for the chunks, 37 MB each.
        chunks: number of chunks; chunk i has the seed `seed` + i.
        workers: processes that draw.
        seed: of the first chunk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(seed, seed + chunks) if not _file(folder, number).exists()]
    with ProcessPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(_draw, [folder] * len(missing), missing), start=1):
            log.info("drew %d of %d chunks of %d scenes", done, len(missing), CHUNK)
    pixels, instances, facts = [], [], []
    for number in range(seed, seed + chunks):
        with np.load(_file(folder, number), allow_pickle=False) as chunk:
            pixels.append(chunk["pixels"])
            instances.append(chunk["instances"])
            facts += [_facts(row) for row in json.loads(str(chunk["facts"]))]
    return Drawn(np.concatenate(pixels), np.concatenate(instances), facts)


def mask_rows(drawn: Drawn, most: int = MASKS) -> Tensor:
    """(M, 64, 64) uint8, 0 to 255: the masks of the first visible objects within their boxes, at most `most`."""
    masks = ((255 * mask).byte() for _, mask in drawn.crops())
    return torch.stack(list(islice(masks, most)))


def _facts(row: dict) -> Facts:  # type: ignore[type-arg]
    return Facts(**{**row, "objects": tuple(row["objects"]), "numbers": tuple(row["numbers"])})


def _file(folder: Path, number: int) -> Path:
    return folder / f"scenes-{number:04d}.npz"


def _draw(folder: Path, number: int) -> None:
    scenes = list(stream(number, CHUNK, SIDE, world=2 if number % 3 == 2 else 1))
    aside = folder / f"new-{number:04d}.npz"
    np.savez(
        aside,
        pixels=np.stack([np.asarray(scene.image) for scene in scenes]),
        instances=np.stack([scene.instances for scene in scenes]),
        facts=json.dumps([asdict(Facts.of(scene)) for scene in scenes]),
    )
    aside.replace(_file(folder, number))
