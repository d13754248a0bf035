"""Streaming PCA against scikit-learn's full SVD: `python tests/benchmarks/streaming_pca.py` prints them as JSON.

1,000,000 patches of 384 values with a decaying spectrum, from a file on disk. Each measurement runs in a separate
process. Memory is the peak of private memory (RssAnon, sampled), without cached pages of the file. scikit-learn reads
the whole file, in float32 as stored and in float64; differences are the largest absolute difference of component
values, up to sign, from float64. Full SVD in float64 requires about 12 GB at 1,000,000 rows; `--rows` reduces it.
Not a test: results depend on the machine and its load.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

WIDTH, COMPONENTS, SEED = 384, 3, 0
WAYS = ("streaming", "full-float32", "full-float64")


def write_rows(path: Path, rows: int, chunk: int = 10_000) -> None:
    """Rows with a decaying spectrum and a non-zero mean, float32."""
    turn = np.linalg.qr(np.random.default_rng(SEED).normal(size=(WIDTH, WIDTH)))[0]
    mixing = (np.arange(1, WIDTH + 1)[:, None] ** -0.5 * turn).astype(np.float32)
    file = np.lib.format.open_memmap(path, "w+", np.float32, (rows, WIDTH))
    for number, start in enumerate(range(0, rows, chunk)):
        part = file[start : start + chunk]
        part[:] = np.random.default_rng((SEED, number)).standard_normal(part.shape, np.float32) @ mixing + 2


def own_memory() -> float:
    """Private memory of this process in megabytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


class Peak:
    """Peak of `own_memory` inside the context, relative to its start."""

    def __enter__(self) -> "Peak":
        self.first = self.most = own_memory()
        self.over = threading.Event()
        self.watch = threading.Thread(target=self.look, daemon=True)
        self.watch.start()
        return self

    def look(self) -> None:
        while not self.over.wait(0.005):
            self.most = max(self.most, own_memory())

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.watch.join()

    @property
    def added(self) -> float:
        return self.most - self.first


def measure(way: str, path: Path) -> None:
    """Seconds, megabytes and components of one method, as JSON."""
    from sklearn.decomposition import PCA

    from dinoclip_viz.tasks.pca.streaming import CHUNK, streaming_pca

    small = np.random.default_rng(1).normal(size=(2000, WIDTH))
    PCA(COMPONENTS, svd_solver="full").fit(small)  # libraries load before the clock starts
    streaming_pca([small], COMPONENTS)
    file = np.load(path, mmap_mode="r")
    with Peak() as peak:
        begun = time.perf_counter()
        if way == "streaming":
            axes = streaming_pca((file[i : i + CHUNK] for i in range(0, len(file), CHUNK)), COMPONENTS).components
        else:
            axes = PCA(COMPONENTS, svd_solver="full").fit(np.asarray(file, way.removeprefix("full-"))).components_
        seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "megabytes": peak.added, "components": axes.tolist()}))


def difference(left: list[list[float]], right: list[list[float]]) -> float:
    """The largest difference of two sets of components, up to sign."""
    one, other = np.array(left), np.array(right)
    return float(np.abs(one - other * np.sign((one * other).sum(1, keepdims=True))).max())


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--folder", type=Path, help="folder for the rows (1.5 GB); a temporary folder by default")
    words.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.measure:
        measure(given.measure[0], Path(given.measure[1]))
        return
    report: dict[str, object] = {"width": WIDTH, "components": COMPONENTS}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for rows in (given.rows // 4, given.rows):
            path = Path(folder) / f"{rows}.npy"
            write_rows(path, rows)
            found = {}
            for way in WAYS:
                command = [sys.executable, __file__, "--measure", way, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(f"{way} at {rows} rows: {done.returncode}, {done.stderr[-500:]}")
                found[way] = json.loads(done.stdout)
            path.unlink()
            components = {way: one.pop("components") for way, one in found.items()}
            seconds = found["streaming"]["seconds"]
            report[str(rows)] = {
                **found,
                "largest_difference": {w: difference(components[w], components["full-float64"]) for w in WAYS[:2]},
                "times_faster": {w: found[w]["seconds"] / seconds for w in WAYS[1:]},
            }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
