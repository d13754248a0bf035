"""Video: `python -m tests.benchmarks.propagation --json FILE` measures propagation and colours on moving scenes.

J&F of masks as DAVIS 2017 computes them and errors of points, for the embedded encoder, for the same architecture with
random weights, for raw pixels, and for the first frame repeated. Then how far the PCA colours of the same spot of an
object change over the frames, for one basis of the whole clip, the basis of its first frame and a basis per frame;
drift and flicker are given as fractions of the distance between two spots of a frame. `--tuning` uses the seeds that
settings were selected on, `--table` prints Markdown.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import dinoclip_viz as dv
from dinoclip_viz.data.videos import DrawnClips, LabelledClip
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.tasks.propagation.evaluation import ClipAccuracy, clip_accuracy, together
from dinoclip_viz.tasks.propagation.points import values_at
from dinoclip_viz.tasks.propagation.settings import PropagationSettings
from dinoclip_viz.tasks.propagation.stability import colour_stability

TEST, TUNING = (3000, 30), (1500, 6)
REPEATED = "first mask repeated"
TUNED = PropagationSettings()
METHODS: dict[str, tuple[str | None, PropagationSettings]] = {
    REPEATED: (None, TUNED),
    "playground-dino": ("playground-dino", TUNED),
    "playground-dino, bilinear as in DINO's protocol": ("playground-dino", PropagationSettings(sharp="bilinear")),
    "playground-dino, 288 px": ("playground-dino", PropagationSettings(size=288)),
    "random:playground-dino": ("random:playground-dino", TUNED),
    "pixels": ("pixels", TUNED),
}
SPOTS = 150  # on objects of the first frame, per clip
Bases = dict[str, Callable[[Sequence[ImageFeatures]], list[dv.PatchPCA]]]

BASES: Bases = {
    "one basis per clip": lambda features: [dv.PatchPCA().fit(list(features))] * len(features),
    "basis of the first frame": lambda features: [dv.PatchPCA().fit(features[0])] * len(features),
    "basis per frame": lambda features: [dv.PatchPCA().fit(each) for each in features],
}


def spots(clip: LabelledClip, seed: int) -> np.ndarray:
    """(N, 2) random pixels of objects in the first frame."""
    rows, columns = np.nonzero(clip.mask(0))
    chosen = np.random.default_rng(seed).permutation(len(rows))[:SPOTS]
    return np.stack([columns[chosen], rows[chosen]], axis=1) + 0.5


def stability(clip: LabelledClip, encoder: ImageEncoder, seed: int) -> dict[str, dict[str, float]]:
    """Relative drift and flicker, and spread, of the colours by each kind of basis."""
    features = encoder.encode_each(list(clip.frames()))
    positions, visible = clip.follow(spots(clip, seed))
    found = {}
    for name, fit in BASES.items():
        colours = torch.stack([
            values_at(pca.transform(each)[0], torch.from_numpy(where), each.boxes[0].tolist())
            for pca, each, where in zip(fit(features), features, positions, strict=True)
        ])  # fmt: skip
        one = colour_stability(colours, torch.from_numpy(visible))
        found[name] = {"drift": one.relative_drift, "flicker": one.relative_flicker, "spread": one.spread}
    return found


def measured(seed: int, count: int, frames: int) -> dict[str, object]:
    """All figures."""
    encoders = {name: dv.load_encoder(name, "cpu") for name, _ in METHODS.values() if name}
    scores: dict[str, list[ClipAccuracy]] = {name: [] for name in METHODS}
    colours: list[dict[str, dict[str, float]]] = []
    seconds = dict.fromkeys(METHODS, 0.0)
    for number, clip in enumerate(DrawnClips(seed, count, frames).clips()):
        for method, (name, settings) in METHODS.items():
            begun = time.monotonic()
            scores[method].append(clip_accuracy(clip, encoders[name] if name else None, settings))
            seconds[method] += time.monotonic() - begun
        colours.append(stability(clip, encoders["playground-dino"], number))
        print(f"{number + 1} of {count} clips", file=sys.stderr, flush=True)
    figures = {method: together(each).figures() for method, each in scores.items()}
    repeated = figures[REPEATED]["j_and_f"]
    gains = [
        100 * (ours.figures()["j_and_f"] - theirs.figures()["j_and_f"])
        for ours, theirs in zip(scores["playground-dino"], scores[REPEATED], strict=True)
    ]
    return {
        "seed": seed, "clips": count, "frames": frames, "objects": len(together(scores[REPEATED]).objects),
        "settings": asdict(TUNED),
        "propagation": figures,
        "gain_in_points": {name: 100 * (each["j_and_f"] - repeated) for name, each in figures.items()},
        "clips_with_a_gain": sum(gain > 0 for gain in gains),
        "colours": {
            name: {key: statistics.fmean(each[name][key] for each in colours) for key in ("drift", "flicker", "spread")}
            for name in BASES
        },
        "clips_with_less_drift": sum(
            each["one basis per clip"]["drift"] < each["basis per frame"]["drift"] for each in colours
        ),
        "seconds_per_frame": {name: each / (count * frames) for name, each in seconds.items()},
    }  # fmt: skip


def table(figures: dict[str, dict[str, float]]) -> str:
    """Markdown: the propagation's figures, in %."""
    columns = (
        "j_and_f",
        "j_mean",
        "j_recall",
        "j_decay",
        "f_mean",
        "f_recall",
        "f_decay",
        "point_error",
        "points_within",
    )
    lines = ["| method | J&F | J mean | recall | decay | F mean | recall | decay | point error | within |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name, each in figures.items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * each[column]:.1f}" for column in columns) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--clips", type=int, help="number of clips")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    begun = time.monotonic()
    seed, count = TUNING if arguments.tuning else TEST
    figures = measured(seed, arguments.clips or count, arguments.frames)
    figures["seconds"] = round(time.monotonic() - begun)
    text = json.dumps(figures, indent=1)
    print(table(figures["propagation"]) if arguments.table else text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
