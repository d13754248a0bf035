"""Retrieval metrics in tiles against one dense product: `python tests/benchmarks/recall.py` prints them as JSON.

5,000 images, 25,000 texts of 512 values, 2 threads: seconds as medians of alternating runs, and the peak memory that
each method adds, in a separate process. Not a test: results depend on the machine and its load.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.tasks.retrieval.recall import ranks, summary

IMAGES, CAPTIONS, WIDTH, ROUNDS = 5000, 5, 512, 7


def vectors() -> tuple[Tensor, Tensor, Tensor]:
    """Raw vectors with R@1 near 50 %, and the image index of each text."""
    chance = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, WIDTH, generator=chance)
    owners = torch.arange(IMAGES).repeat_interleave(CAPTIONS)
    texts = torch.randn(IMAGES, CAPTIONS, WIDTH, generator=chance).mul_(5.5)
    texts += images[:, None]  # in-place, so that freed memory does not raise the baseline
    return images, texts.flatten(0, 1), owners


def dense(images: Tensor, texts: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
    """Ranks in both directions from the full matrix."""
    scores = F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T  # (B, T)
    own = scores[owners, torch.arange(len(owners))]
    best = torch.full((len(images),), -2.0).scatter_reduce_(0, owners, own, "amax")
    to_images = (scores >= own).sum(0)
    to_texts = 1 + (scores >= best[:, None]).sum(1) - torch.bincount(owners[own >= best[owners]], minlength=len(images))
    return to_texts, to_images


WAYS: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {"dense": dense, "tiles": ranks}


def added_megabytes(way: str) -> float:
    """Peak memory that one run adds to a fresh process with the vectors loaded, after a warm-up."""
    done = subprocess.run([sys.executable, __file__, way], capture_output=True, text=True, check=True)
    return float(done.stdout)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(way: str) -> None:
    images, texts, owners = vectors()
    WAYS[way](images[:64], texts[: 64 * CAPTIONS], owners[: 64 * CAPTIONS])  # libraries load before the baseline
    before = peak()
    WAYS[way](images, texts, owners)
    print(peak() - before)


def main() -> None:
    torch.set_num_threads(2)
    if len(sys.argv) > 1:
        measure_memory(sys.argv[1])
        return
    megabytes = {way: added_megabytes(way) for way in WAYS}  # first: a child begins with its parent's peak
    given = vectors()
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    found = {way: work(*given) for way, work in WAYS.items()}
    for _ in range(ROUNDS):
        for way, work in WAYS.items():
            begun = time.perf_counter()
            work(*given)
            times[way].append(time.perf_counter() - begun)
    seconds = {way: float(torch.tensor(taken).median()) for way, taken in times.items()}
    differing = [int((one != other).sum()) for one, other in zip(*found.values(), strict=True)]
    largest = max(int((one - other).abs().max()) for one, other in zip(*found.values(), strict=True))
    figures = {
        "images": IMAGES, "texts": IMAGES * CAPTIONS, "width": WIDTH, "threads": torch.get_num_threads(),
        "seconds": seconds, "time_ratio": seconds["tiles"] / seconds["dense"],
        "megabytes": megabytes, "memory_ratio": megabytes["tiles"] / megabytes["dense"],
        "equal_figures": summary(*found["dense"]) == summary(*found["tiles"]),
        "differing_ranks": differing, "largest_difference": largest, "figures": summary(*found["tiles"]),
    }  # fmt: skip
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
