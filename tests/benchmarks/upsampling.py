"""Sharp maps: `python -m tests.benchmarks.upsampling [--json FILE]` measures how well upsampled maps fit objects.

A linear probe of the 21 classes (background included) is fitted on the patches of each encoder. Its logits on held-out
scenes are upsampled to the image, and the class is taken per pixel: mIoU over all pixels, F-score of the boundaries
within 2 px, and accuracy of the patches, from the mean of the upsampled logits over each patch. `--tuning` uses the
seeds that settings were selected on. Then the time of a PCA map: 32 x 32 patches of 384 values to 448 x 448 px, two
threads. Not a test: times depend on the machine and its load.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.playground import CLASSES, Scene
from dinoclip_viz.tasks.grids import patch_labels
from dinoclip_viz.tasks.probes.confusion import Confusion
from dinoclip_viz.tasks.probes.patch_head import PatchHead

NAMES = ("background", *CLASSES)
METHODS = ("bilinear", "guided", "trained", "anyup")
ENCODERS = ("playground-dino", "playground-clip", "random:timm:vit_small_patch16_224")
SIZE, FIT, TEST, TUNING = 192, (3003, 400), (3004, 200), ((1500, 300), (1501, 100))
NEAR = 2  # pixels


def available(weights: str | None = None) -> list[str]:
    """The methods that run here."""
    found, image = [], dv.playground.draw(1500, 1, 32)[0].image
    for method in METHODS:
        try:
            dv.upsample(torch.rand(4, 4, 1), image, method=method, weights=weights if method == "trained" else None)
        except ValueError:
            continue
        found.append(method)
    return found


def boundaries(labels: Tensor) -> Tensor:
    """(h, w) bool, True for pixels whose right or lower neighbour has another label."""
    edge = torch.zeros_like(labels, dtype=torch.bool)
    edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    return edge


def hits(edge: Tensor, other: Tensor) -> int:
    """Number of boundary pixels with a pixel of the other boundary within `NEAR` pixels."""
    wide = F.max_pool2d(other[None].float(), 2 * NEAR + 1, stride=1, padding=NEAR)[0] > 0
    return int((edge & wide).sum())


class Score:
    """What one method made of the scenes so far."""

    def __init__(self) -> None:
        self.pixels, self.patches = Confusion(NAMES), Confusion(NAMES)
        self.edges = [0, 0, 0, 0]  # predicted and hit, true and hit

    def add(self, logits: Tensor, scene: Scene, grid: tuple[int, int]) -> None:
        """(h, w, 21) logits of a scene."""
        target = torch.from_numpy(scene.mask).long()
        found = logits.argmax(-1)
        self.pixels.add(found, target)
        coarse = F.adaptive_avg_pool2d(logits.permute(2, 0, 1), grid).argmax(0)
        self.patches.add(coarse, patch_labels(scene.mask, grid, len(NAMES)))
        mine, true = boundaries(found), boundaries(target)
        for number, count in enumerate((mine.sum(), hits(mine, true), true.sum(), hits(true, mine))):
            self.edges[number] += int(count)

    def figures(self) -> dict[str, float]:
        predicted, precise, true, recalled = self.edges
        precision, recall = precise / max(predicted, 1), recalled / max(true, 1)
        return {
            "miou": 100 * self.pixels.miou,
            "boundary_f": 100 * 2 * precision * recall / max(precision + recall, 1e-9),
            "patch_accuracy": 100 * self.patches.accuracy,
        }


def encode(name: str, scenes: list[Scene]) -> list[ImageFeatures]:
    encoder = dv.load_encoder(name, "cpu", "float32")
    return encoder.encode_each([scene.image for scene in scenes], SIZE, "whole")


def logits_of(name: str, fit: tuple[int, int], test: tuple[int, int]) -> tuple[list[Scene], list[Tensor]]:
    """The scenes of a test, and (H, W, 21) logits of their patches by a probe."""
    known, asked = (dv.playground.draw(seed, count, SIZE) for seed, count in (fit, test))
    head = PatchHead(names=NAMES)
    head.fit(((features, [scene.mask]) for features, scene in zip(encode(name, known), known, strict=True)), name, SIZE)
    return asked, [head.scores(features)[0] for features in encode(name, asked)]


def measure(name: str, methods: list[str], tuning: bool, weights: str | None = None) -> dict[str, dict[str, float]]:
    """Method -> figures of one encoder; "patches" is the accuracy of the logits before any upsampling."""
    scenes, maps = logits_of(name, *(TUNING if tuning else (FIT, TEST)))
    found: dict[str, dict[str, float]] = {}
    plain = Confusion(NAMES)
    for scene, logits in zip(scenes, maps, strict=True):
        plain.add(logits.argmax(-1), patch_labels(scene.mask, tuple(logits.shape[:2]), len(NAMES)))
    found["patches"] = {"patch_accuracy": 100 * plain.accuracy}
    for method in methods:
        score = Score()
        for scene, logits in zip(scenes, maps, strict=True):
            path = weights if method == "trained" else None
            score.add(dv.upsample(logits, scene.image, method=method, weights=path), scene, tuple(logits.shape[:2]))
        found[method] = score.figures()
    return found


def milliseconds(methods: list[str], rounds: int = 15) -> dict[str, float]:
    """Median time of a PCA map of 32 x 32 patches of 384 values at 448 px, projection included."""
    torch.set_num_threads(2)
    image = dv.playground.draw(1500, 1, 448)[0].image
    patches = torch.randn(1, 32, 32, 384, generator=torch.Generator().manual_seed(0))
    boxes, sizes = torch.tensor([[0.0, 0.0, 448.0, 448.0]]), torch.tensor([[448, 448]])
    features = ImageFeatures(torch.ones(1, 384), torch.ones(1, 384), patches, boxes, sizes, "made")
    pca, times = dv.PatchPCA().fit(features), {method: [] for method in methods}
    for number in range(rounds + 1):
        for method in methods:
            begun = time.perf_counter()
            dv.upsample(pca.transform(features)[0], image, method=method)
            if number:
                times[method].append(1000 * (time.perf_counter() - begun))
    return {method: statistics.median(each) for method, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--tuning", action="store_true", help="scenes for the selection of settings")
    parser.add_argument("--encoder", action="append", help="may be repeated; three by default")
    parser.add_argument("--weights", help="folder of another upsampler")
    arguments = parser.parse_args()
    methods = available(arguments.weights)
    found: dict[str, object] = {"seeds": TUNING if arguments.tuning else (FIT, TEST), "size": SIZE}
    for name in arguments.encoder or ENCODERS:
        figures = measure(name, methods, arguments.tuning, arguments.weights)
        found[name] = figures
        for method, values in figures.items():
            print(name, method, {word: round(value, 2) for word, value in values.items()}, flush=True)
    found["pca_map_milliseconds"] = milliseconds(methods)
    print({method: round(value, 1) for method, value in found["pca_map_milliseconds"].items()})
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
