"""Large images: `python tests/benchmarks/resolution.py` prints time and memory against their estimates, as JSON.

A random model of DINOv2-small's size, images of up to 1024 px, 2 threads, each in a separate process: seconds and
the peak memory that the pass adds, compared with the estimates of `measure_pace`; and the difference of tiles from one
pass over the whole image, for the transformer and for features of single patches. Not a test: results depend on the
machine and its load.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from dinoclip_viz import load_encoder
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.high_resolution.cost import measure_pace
from dinoclip_viz.encoders.high_resolution.tiles import encode_tiled

RUNS = ((518, None), (1024, None), (1024, 518), (1024, 280))
SHAPE = (1024, 768)


def small(folder: Path) -> ImageEncoder:
    """DINOv2-small's architecture with random weights, loaded from a folder in the hub's format."""
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessorPil(
        do_center_crop=True,
        crop_size={"height": 224, "width": 224},
        size={"shortest_edge": 256},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)
    return load_encoder(str(folder), device="cpu")


def draw_image() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    return Image.fromarray(noise).resize(SHAPE, Image.Resampling.BICUBIC)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(size: int, tile: int | None) -> dict[str, object]:
    """One pass in this process."""
    with tempfile.TemporaryDirectory() as folder:
        encoder, image = small(Path(folder)), draw_image()
        cost = measure_pace(encoder).cost(image.size, size, tile)
        before, start = peak(), time.perf_counter()
        features = encoder.encode([image], size, "whole") if tile is None else encode_tiled(encoder, image, size, tile)
        seconds = time.perf_counter() - start
        return {
            "size": size,
            "tile": tile,
            "grid": features.grid,
            "seconds": round(seconds, 2),
            "foretold_seconds": round(cost.seconds, 2),
            "added_megabytes": round(peak() - before),
            "foretold_megabytes": round(cost.megabytes),
        }


def compare() -> dict[str, object]:
    """Difference of tiles from one pass at 1024 px."""
    image, found = draw_image(), {}
    with tempfile.TemporaryDirectory() as folder:
        encoders = {
            "DINOv2-small's size, random": small(Path(folder)),
            "playground-dino": load_encoder("playground-dino", device="cpu"),
            "pixels": load_encoder("pixels"),
        }
        for name, encoder in encoders.items():
            whole = encoder.encode([image], 1024, "whole").patches
            one = encode_tiled(encoder, image, 1024, 1024).patches
            tiles = encode_tiled(encoder, image, 1024, 518, overlap=0.5).patches
            found[name] = {
                "one_tile_largest_difference": (one - whole).abs().max().item(),
                "tiles_largest_difference": (tiles - whole).abs().max().item(),
                "tiles_mean_cosine": F.cosine_similarity(tiles, whole, dim=-1).mean().item(),
            }
    return found


def main() -> None:
    torch.set_num_threads(2)
    if len(sys.argv) == 3:
        print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]) or None)))
        return
    rows = []
    for size, tile in RUNS:
        command = [sys.executable, __file__, str(size), str(tile or 0)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
        print(rows[-1], file=sys.stderr)
    print(json.dumps({"passes": rows, "tiles_against_whole": compare()}, indent=2))


if __name__ == "__main__":
    main()
