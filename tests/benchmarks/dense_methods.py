"""Time of the dense methods: `python tests/benchmarks/dense_methods.py` prints it as JSON.

Random weights of CLIP ViT-B/16's size at 448 px, from a folder in the hub's format: CLIP-DINOiser's trained layers
compared with a plain pass of the CLIP in alternating runs, in total and by part; and on the playground a new prompt on
an encoded image, by every method. Not a test: results depend on the machine and its load.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch

import dinoclip_viz as dv
from dinoclip_viz.dense import guided_pooling
from dinoclip_viz.dense.dinoiser import DinoiserHead

SIZE, PROMPT_SIZE = 448, 192

_SPEC = spec_from_file_location("speed", Path(__file__).parent / "speed.py")
speed = module_from_spec(_SPEC)
_SPEC.loader.exec_module(speed)


def medians(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in alternating runs after a warm-up run."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            if number:
                found[name].append(time.perf_counter() - begun)
    return found


def against_one_pass(rounds: int) -> dict[str, object]:
    """Time of the trained layers compared with a plain pass, in total and by part."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = speed.clip_b16(folder / "clip")
        width = dv.load_encoder(clip, device="cpu").patch_dimension
        torch.manual_seed(0)
        DinoiserHead(width).save(folder / "dinoiser.safetensors")
        model = dv.load_model(clip, device="cpu", dinoiser=folder / "dinoiser.safetensors")
    image = dv.playground.draw(3000, 1, SIZE)[0].image
    clip, head = model.images, model.dinoiser
    seen = clip.encode([image], SIZE, "whole", ["maskclip", "third-last", "values"])
    patches, middle = seen.dense["maskclip"], seen.dense["third-last"]
    with torch.no_grad():
        alike = head.correlation(middle)
        vision = clip.reader.layer
        block = clip.reader.take_apart(torch.randn(1, 1 + 28 * 28, width))
        timings = medians(
            {
                "plain": lambda: model.encode_images([image], SIZE, "whole", ()),
                "dinoiser": lambda: model.encode_images([image], SIZE, "whole", ["dinoiser"]),
                "maskclip": lambda: model.encode_images([image], SIZE, "whole", ["maskclip"]),
                "part: one block": lambda: vision(block.tokens, attention_mask=None),
                "part: maskclip's end of the block": lambda: _maskclip(block),
                "part: convolution and its length": lambda: head.correlation(middle),
                "part: pooling": lambda: guided_pooling(patches, alike, head.least),
            },
            rounds,
        )
    ratio = np.array(timings["dinoiser"]) / np.array(timings["plain"])
    return {
        "grid": list(seen.grid),
        "milliseconds": {name: round(1000 * float(np.median(times)), 2) for name, times in timings.items()},
        "dinoiser_over_plain": float(np.median(ratio)),
        "dinoiser_over_plain_quartiles": np.percentile(ratio, [25, 75]).tolist(),
    }


def _maskclip(block: object) -> torch.Tensor:
    from dinoclip_viz.dense import maskclip

    return maskclip(block)


def new_prompts(rounds: int) -> dict[str, object]:
    """Milliseconds per new prompt on an encoded image, by each method of the playground."""
    model = dv.load_model("playground", device="cpu")
    image = dv.playground.draw(3000, 1, PROMPT_SIZE)[0].image
    features = model.encode_images([image], PROMPT_SIZE, "whole")
    numbers = iter(range(10**6))
    works = {
        method: lambda method=method: dv.heatmap(model, features, [f"a cat {next(numbers)}"], method)
        for method in model.methods
    }
    timings = medians(works, rounds)
    return {
        method: {"median": 1000 * float(np.median(times)), "largest": 1000 * max(times)}
        for method, times in timings.items()
    }


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--rounds", type=int, default=15)
    given = words.parse_args()
    figures = {
        "threads": torch.get_num_threads(),
        "clip_vit_b16_448px": against_one_pass(given.rounds),
        "new_prompt_milliseconds": new_prompts(given.rounds),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
