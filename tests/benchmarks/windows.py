"""Memory of sliding windows: `python tests/benchmarks/windows.py` prints peaks as JSON.

Windows of 448 px at a stride of 224 over an image of 2048 x 1024: the loaded model, one window, the map, and the whole
run, each in a separate process. `added` is the memory of a run in addition to the loaded model; the ratios are the
whole run's peak over one window's plus the map. A CLIP ViT-B/16 of full size with random weights, from a folder in the
hub's format, by MaskCLIP's path, and the playground by its best method. Not a test: results depend on the
machine and its load.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dinoclip_viz import load_model
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, vocabulary_vectors
from dinoclip_viz.tasks.open_vocabulary.windows import STRIDE, WINDOW, window_scores

SHAPE, CLASSES = (2048, 1024), 20
RUNS = ("loaded", "window", "map", "whole")

_SPEC = importlib.util.spec_from_file_location("speed", Path(__file__).parent / "speed.py")
speed = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(speed)


def peak() -> float:
    """Peak memory of this process since `forget`, in megabytes; unlike ru_maxrss, without the parent's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def forget() -> None:
    """Reset the peak, to exclude the loading of the model."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(name: str, method: str, run: str, classes: int) -> dict[str, float]:
    """One run in this process."""
    model = load_model(name, device="cpu")
    noise = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    image = Image.fromarray(noise).resize(SHAPE, Image.Resampling.BICUBIC)
    chosen = model.check_method(method or None)
    words = vocabulary_vectors(model, Vocabulary.of([f"class {number}" for number in range(classes)]), chosen)
    forget()
    begun = time.perf_counter()
    if run == "window":
        window_scores(model, image.crop((0, 0, WINDOW, WINDOW)), words, chosen, WINDOW)
    elif run == "map":
        torch.ones(classes, SHAPE[1], SHAPE[0])
    elif run == "whole":
        window_scores(model, image, words, chosen, SHAPE[0], WINDOW, STRIDE)
    return {"peak": peak(), "seconds": time.perf_counter() - begun}


def report(name: str, method: str, classes: int) -> dict[str, object]:
    """All runs of a model."""
    found = {}
    for run in RUNS:
        command = [sys.executable, __file__, "--measure", name, method, run, "--classes", str(classes)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{run}: {done.returncode}, {done.stderr[-500:]}")
        found[run] = json.loads(done.stdout)
    loaded = found["loaded"]["peak"]
    size = classes * SHAPE[0] * SHAPE[1] * 4 / 2**20
    added = {run: found[run]["peak"] - loaded for run in RUNS[1:]}
    return {
        "classes": classes,
        "map_megabytes": size,
        "peak_megabytes": {run: found[run]["peak"] for run in RUNS},
        "seconds": {run: found[run]["seconds"] for run in RUNS[1:]},
        "added_megabytes": added,
        "peak_ratio": found["whole"]["peak"] / (found["window"]["peak"] + size),
        "added_ratio": added["whole"] / (added["window"] + size),
    }


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--classes", type=int, default=CLASSES)
    words.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.measure:
        print(json.dumps(measure(*given.measure, given.classes)))
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = speed.clip_b16(Path(folder) / "clip")
        figures = {
            "clip_vit_b16_maskclip": report(clip, "maskclip", given.classes),
            "playground_best": report("playground", "", given.classes),
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
