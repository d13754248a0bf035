"""k-NN classification against scikit-learn's brute force: `python tests/benchmarks/neighbours.py` prints it as JSON.

A gallery of 50,000 vectors of 384 values in 100 classes, 2 threads, uniform votes in both, so that they agree: seconds
for 1,000 queries as medians of alternating runs, and the peak memory that 1,000, 4,000 and 16,000 queries add to a
process with the vectors loaded. Not a test: results depend on the machine and its load.
"""

import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.probes.knn import KS, knn_accuracy, knn_classify

GALLERY, WIDTH, CLASSES, QUERIES, ROUNDS, K = 50_000, 384, 100, 1000, 7, 20
COUNTS = (1000, 4000, 16_000)

Classify = Callable[[Tensor, Tensor, Tensor, int], NDArray[np.int64]]


def vectors(queries: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gallery and query vectors around one centre per class, with the separability of an average model, and classes."""
    chance = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, WIDTH, generator=chance)
    labels = torch.randint(0, CLASSES, (GALLERY + queries,), generator=chance)
    made = torch.randn(GALLERY + queries, WIDTH, generator=chance).mul_(4.5)
    for some, own in zip(made.split(1000), labels.split(1000), strict=True):
        some.add_(centres[own])  # in small parts: what is freed again would hide in the baseline
    return made[:GALLERY], labels[:GALLERY], made[GALLERY:], labels[GALLERY:]


def ours(gallery: Tensor, labels: Tensor, queries: Tensor, k: int) -> NDArray[np.int64]:
    return knn_classify(gallery, labels, queries, k, math.inf).astype(np.int64)


def scikit_learns(gallery: Tensor, labels: Tensor, queries: Tensor, k: int) -> NDArray[np.int64]:
    from sklearn.neighbors import KNeighborsClassifier

    fitted = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(gallery.numpy(), labels.numpy())
    return np.asarray(fitted.predict(queries.numpy()))


WAYS: dict[str, Classify] = {"ours": ours, "scikit-learn": scikit_learns}


def added_megabytes(way: str, queries: int) -> float:
    """Peak memory that one run adds to a fresh process with the vectors loaded, after a warm-up."""
    done = subprocess.run([sys.executable, __file__, way, str(queries)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(way: str, queries: int) -> None:
    gallery, labels, asked, _ = vectors(queries)
    WAYS[way](gallery[:64], labels[:64], asked[:64], 1)  # libraries load before the baseline
    before = peak()
    WAYS[way](gallery, labels, asked, max(KS))
    print(peak() - before)


def medians(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each, in alternating runs."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, run in work.items():
            begun = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begun)
    return {name: float(torch.tensor(taken).median()) for name, taken in times.items()}


def main() -> None:
    torch.set_num_threads(2)
    if len(sys.argv) > 1:
        measure_memory(sys.argv[1], int(sys.argv[2]))
        return
    megabytes = {way: {count: added_megabytes(way, count) for count in COUNTS} for way in WAYS}  # a child begins with
    gallery, labels, queries, expected = vectors(QUERIES)  # its parent's peak, so that memory is measured first
    accuracy: dict[str, dict[int, float]] = {}
    seconds: dict[str, dict[int, float]] = {way: {} for way in WAYS}
    for k in (K, max(KS)):
        runs: dict[str, Callable[[], object]] = {}
        for way, classify in WAYS.items():
            predicted = classify(gallery, labels, queries, k)
            accuracy.setdefault(way, {})[k] = float((predicted == expected.numpy()).mean())
            runs[way] = lambda classify=classify, k=k: classify(gallery, labels, queries, k)  # type: ignore[misc]
        for way, taken in medians(runs).items():
            seconds[way][k] = taken
    four = medians({"all four k": lambda: knn_accuracy(gallery, labels, queries, expected)})
    figures = {
        "gallery": GALLERY, "width": WIDTH, "classes": CLASSES, "queries": QUERIES, "seed": 0,
        "threads": torch.get_num_threads(), "rounds": ROUNDS,
        "accuracy": accuracy, "seconds": seconds,
        "times_faster": {k: seconds["scikit-learn"][k] / seconds["ours"][k] for k in (K, max(KS))},
        "seconds_for_k_10_20_100_200_in_one_pass": four["all four k"],
        "added_megabytes_by_queries": megabytes,
    }  # fmt: skip
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
