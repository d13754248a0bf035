"""PatchPCA's foreground on photographs: `python -m tests.benchmarks.photographs [--encoder NAME]... [--json FILE]`.

The 27 photographs of the reference data with panoptic masks: the union of the things (COCO's classes 1 to 91, without
walls, grass, sky) is the foreground. One basis per encoder, fitted jointly on all of them; mean IoU over the
photographs at image resolution, next to that of the whole image as foreground.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "coco_permissive"
ENCODERS = ("playground-dino", "playground-clip", "random:playground-dino")
SIZE, THINGS = 192, 91


def photographs() -> list[tuple[Image.Image, NDArray[np.bool_]]]:
    """Photographs and the union of their things, resized to a square of `SIZE`."""
    pairs = []
    for file in sorted((REFERENCE / "masks").glob("*.png")):
        image = next(path for path in REFERENCE.rglob(file.stem + ".*") if path.suffix in (".jpg", ".jpeg"))
        classes = np.asarray(Image.open(file).resize((SIZE, SIZE), Image.Resampling.NEAREST))
        mask = (classes > 0) & (classes <= THINGS)
        pairs.append((Image.open(image).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC), mask))
    return pairs


def overlap(found: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float:
    return float((found & wanted).sum() / max(1, (found | wanted).sum()))


def foreground_iou(name: str, pairs: list[tuple[Image.Image, NDArray[np.bool_]]]) -> float:
    """Mean IoU of an encoder's foreground."""
    features = load_encoder(name, dtype="float32").encode([image for image, _ in pairs], fit="whole")
    fronts = PatchPCA().fit(features).foreground(features).numpy()
    large = [np.kron(front, np.ones((SIZE // front.shape[0],) * 2, bool)) for front in fronts]
    return float(np.mean([overlap(front, mask) for front, (_, mask) in zip(large, pairs, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", action="append", metavar="NAME", help="name or folder, repeatable")
    parser.add_argument("--json", metavar="FILE", type=Path)
    given = parser.parse_args()
    pairs = photographs()
    found = {name: foreground_iou(name, pairs) for name in given.encoder or ENCODERS}
    found["everything"] = float(np.mean([mask.mean() for _, mask in pairs]))
    print("| encoder | foreground IoU, % |\n|---|---|")
    for name, value in found.items():
        print(f"| {name} | {100 * value:.1f} |")
    if given.json:
        given.json.write_text(json.dumps({"photographs": len(pairs), "iou": found}, indent=1))


if __name__ == "__main__":
    main()
