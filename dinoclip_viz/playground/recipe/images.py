"""The training images, rendered once into memory maps: every layout in two looks, with captions of each."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.playground.render import render
from dinoclip_viz.playground.world import sample, words

log = logging.getLogger(__name__)

SIDE, LOOKS, CHUNK, WORLD = 192, 2, 500, 2


class Images:
    """Rendered scenes on disk.

    Attributes:
        pixels: (N, 2, 3, 192, 192) uint8; the two looks of a layout have the same edges and different colours.
        captions: N lists of two lists of seven captions: four as in world 1, two with actions, one paraphrase.
    """

    def __init__(self, folder: Path) -> None:
        self.pixels: NDArray[np.uint8] = np.load(folder / "pixels.npy", mmap_mode="r")
        self._resident: Tensor | None = None
        self.captions: list[list[list[str]]] = json.loads((folder / "captions.json").read_text())

    def __len__(self) -> int:
        return len(self.captions)

    def to(self, device: str | torch.device) -> Images:
        """The images with their pixels in the device's memory; on the CPU they stay on disk."""
        if torch.device(device).type != "cpu":
            self._resident = torch.from_numpy(np.asarray(self.pixels)).to(device)
        return self

    def pick(self, rows: Tensor, looks: Tensor | None = None) -> Tensor:
        """Images in [0, 1] of layouts: (B, 2, 3, side, side), or (B, 3, side, side) of one look each."""
        if self._resident is not None:
            found = self._resident[rows] if looks is None else self._resident[rows, looks]
        else:
            index = rows.numpy() if looks is None else (rows.numpy(), looks.numpy())
            found = torch.from_numpy(self.pixels[index])
        return found.float().div_(255)


def draw_images(folder: Path, seed: int, count: int, workers: int) -> Images:
    """Images of `count` layouts of a seed, rendered in chunks by `workers` processes; existing chunks are kept.

    Args:
        folder: for the images.
        seed: of the layouts.
        count: number of layouts.
        workers: number of processes.

    Raises:
        ValueError: the folder holds images of another seed or count.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"seed": seed, "count": count, "side": SIDE, "looks": LOOKS, "world": WORLD}
    record = folder / "settings.json"
    if record.exists() and json.loads(record.read_text()) != settings:
        raise ValueError(
            f"{folder} holds images of settings {record.read_text()}; expected {settings}; name another folder"
        )
    record.write_text(json.dumps(settings))
    shape = (count, LOOKS, 3, SIDE, SIDE)
    target = folder / "pixels.npy"
    if not target.exists():
        np.lib.format.open_memmap(target, "w+", np.uint8, shape)
    starts = [start for start in range(0, count, CHUNK) if not _captions_file(folder, start).exists()]
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_draw_chunk, folder, seed, start, min(start + CHUNK, count)) for start in starts]
        for done, job in enumerate(jobs, start=1):
            job.result()
            log.info("rendered %d of %d chunks of %d layouts", done, len(jobs), CHUNK)
    every = [json.loads(_captions_file(folder, start).read_text()) for start in range(0, count, CHUNK)]
    (folder / "captions.json").write_text(json.dumps([captions for chunk in every for captions in chunk]))
    return Images(folder)


def _captions_file(folder: Path, start: int) -> Path:
    return folder / f"captions-{start:06d}.json"


def _draw_chunk(folder: Path, seed: int, start: int, stop: int) -> None:
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "r+")
    captions = []
    for index in range(start, stop):
        layout = sample(seed, index)[0]
        looks = [sample(seed, index, look=look, world=WORLD)[1] for look in range(LOOKS)]
        for number, look in enumerate(looks):
            pixels[index, number] = np.asarray(render(layout, look, SIDE)[0]).transpose(2, 0, 1)
        captions.append([words(seed, index, layout, look, world=WORLD) for look in looks])
    pixels.flush()
    _captions_file(folder, start).write_text(json.dumps(captions))
