"""What decoding JPEGs at a reduced scale changes: `python -m tests.benchmarks.scaled_decoding` (Markdown, JSON).

Photographs, enlarged to 12 megapixels, through DINOv2-small's size with random weights; synthetic scenes of 768 px
through playground-dino. Cosine of pooled features with those of exact decoding, and difference of the input's bytes.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder
from dinoclip_viz.images.scaled import load_scaled
from dinoclip_viz.pipeline import encode_sources

PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "reference" / "coco_permissive"


def photographs(folder: Path, into: Path) -> list[Path]:
    """The photographs with masks of a folder, enlarged to 12 megapixels; scikit-image's where there is none."""
    names = sorted(path.stem for path in (folder / "masks").glob("*.png"))
    found = [path for name in names for path in folder.rglob(f"{name}.jpg")]
    if found:
        images = [Image.open(path).convert("RGB") for path in found]
    else:
        from skimage import data

        images = [Image.fromarray(getattr(data, name)()) for name in ("chelsea", "coffee", "astronaut", "rocket")]
    paths = []
    for index, image in enumerate(images):
        side = (12e6 / (image.width * image.height)) ** 0.5
        paths.append(into / f"{index:02d}.jpg")
        size = round(image.width * side), round(image.height * side)
        image.resize(size, Image.Resampling.LANCZOS).save(paths[-1], quality=90)
    return paths


def difference(encoder: ImageEncoder, paths: list[Path]) -> dict[str, float]:
    """Cosines and mean absolute difference in bytes."""
    assert isinstance(encoder, BatchedImageEncoder)
    exact, scaled = (
        torch.cat([part.pooled for part in encode_sources(encoder, paths, decode=how)]) for how in ("exact", "scaled")
    )
    cosines = F.cosine_similarity(exact, scaled)
    recipe, changes, scales = encoder.recipe(), [], []
    for path in paths:
        whole = dv.load_image(path)
        plan = recipe.plan(whole.size)
        small, size = load_scaled(path, lambda full: recipe.plan(full).resized)
        assert size == whole.size
        scales.append(whole.width / small.width)
        pixels = recipe.pixels(whole, plan).astype(float), recipe.pixels(small, plan).astype(float)
        changes.append(np.abs(pixels[0] - pixels[1]).mean())
    return {
        "images": len(paths),
        "scale": round(float(np.median(scales)), 2),
        "lowest_cosine": round(float(cosines.min()), 5),
        "mean_cosine": round(float(cosines.mean()), 5),
        "mean_byte_difference": round(float(np.mean(changes)), 3),
    }


def main() -> None:
    from tests.benchmarks.speed import dinov2_small

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, default=PHOTOGRAPHS, metavar="FOLDER")
    parser.add_argument("--scenes", type=int, default=64, metavar="N", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=3400, metavar="S", help="of the scenes (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photographs").mkdir()
        torch.manual_seed(0)
        vit = dv.load_encoder(dinov2_small(folder / "small"), "cpu", torch.float32)
        found = {"photographs, random ViT": difference(vit, photographs(arguments.photographs, folder / "photographs"))}
        paths = []
        for index, scene in enumerate(dv.playground.stream(arguments.seed, arguments.scenes, 768)):
            paths.append(folder / f"{index}.jpg")
            scene.image.save(paths[-1], quality=90)
        found["scenes, playground-dino"] = difference(dv.load_encoder("playground-dino", "cpu"), paths)
    print("| images | count | scale | lowest cosine | mean cosine | mean byte difference |\n|---|---|---|---|---|---|")
    for title, row in found.items():
        print(f"| {title} | {' | '.join(str(value) for value in row.values())} |")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
