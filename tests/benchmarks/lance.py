"""The index on disk against the exact search: `python -m tests.benchmarks.lance` (Markdown).

Clustered vectors on disk as a store has them, float16. Each way runs in a process of its own: milliseconds per query,
and the peak of its private memory. Recall is that of the 10 nearest of the exact search.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

QUERIES, K = 100, 10


def write_vectors(path: Path, rows: int, width: int) -> None:
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((1000, width), dtype=np.float32)
    out = np.lib.format.open_memmap(path, "w+", np.float16, (rows, width))
    for start in range(0, rows, 10_000):
        count = min(10_000, rows - start)
        noise = chance.standard_normal((count, width), dtype=np.float32)
        out[start : start + count] = centres[chance.integers(1000, size=count)] + 0.7 * noise
    out.flush()


def queries(vectors: np.ndarray) -> torch.Tensor:
    rows = np.linspace(0, len(vectors) - 1, QUERIES).astype(int)
    unit = F.normalize(torch.from_numpy(vectors[rows].astype(np.float32)), dim=1)
    return unit + 0.3 * F.normalize(torch.randn(unit.shape, generator=torch.Generator().manual_seed(1)), dim=1)


def own_memory() -> float:
    """Private memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measure(way: str, path: Path) -> None:
    from dinoclip_viz.scale import LanceIndex
    from dinoclip_viz.tasks.retrieval.search import nearest

    torch.set_num_threads(2)
    vectors = np.load(path, mmap_mode="r")
    asked, begun = queries(vectors), time.perf_counter()
    index = LanceIndex.open_or_build(path.parent / "lance", vectors) if way != "exact" else None
    built, before = time.perf_counter() - begun, own_memory()
    begun = time.perf_counter()
    scores, rows = nearest(asked, vectors, K) if index is None else index.search(asked, K)
    found = {"seconds": (time.perf_counter() - begun) / QUERIES, "megabytes": own_memory() - before, "built": built}
    print(json.dumps({**found, "scores": scores.tolist(), "rows": rows.tolist()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000, metavar="N", help="(%(default)s)")
    parser.add_argument("--width", type=int, default=384, metavar="D", help="(%(default)s)")
    parser.add_argument("--way", choices=["exact", "build", "index"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.way:
        measure(arguments.way, arguments.path)
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        write_vectors(path, arguments.rows, arguments.width)
        for way in ("exact", "build", "index"):
            command = [sys.executable, "-m", "tests.benchmarks.lance", "--way", way, "--path", str(path)]
            found[way] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        size = sum(file.stat().st_size for file in (Path(folder) / "lance").rglob("*") if file.is_file())
    exact, index = found["exact"], found["index"]
    kth = np.array(exact["scores"])[:, -1:]
    recall = float((np.array(index["scores"]) >= kth - 1e-3).mean())  # stored as float32, compared with float16
    same = np.mean([len(set(a) & set(b)) / K for a, b in zip(exact["rows"], index["rows"], strict=True)])
    figures = {
        "rows": arguments.rows, "width": arguments.width, "recall": round(recall, 4),
        "same_rows": round(float(same), 4), "times_faster": round(exact["seconds"] / index["seconds"], 1),
        "built_seconds": round(found["build"]["built"], 1),
        "milliseconds": {way: round(1000 * found[way]["seconds"], 2) for way in ("exact", "index")},
        "megabytes": {way: round(found[way]["megabytes"]) for way in ("exact", "index")}, "index_bytes": size,
    }  # fmt: skip
    print(f"| {' | '.join(figures)} |\n|{'---|' * len(figures)}\n| {' | '.join(map(str, figures.values()))} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
