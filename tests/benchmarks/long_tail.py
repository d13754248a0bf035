"""A small CLIP on a long-tailed pool, raw and balanced: `python -m tests.benchmarks.long_tail --folder DIR`.

The pool has single-object scenes of a training seed, 100 times as many of the most frequent class as of the rarest. A
model of playground-clip's shape is trained for the same number of steps on all of it, and on the scenes that MetaCLIP's
balancing keeps by their first captions; entries are the names of the classes, or all words of the playground. Accuracy
is zero-shot, with bare names, on scenes of a held-out seed: of the ten rarest classes and of all twenty, each class
with equal weight. Resumable; stop it as you like.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import dinoclip_viz as dv
from dinoclip_viz.playground.recipe.clip.train import ClipRecipe, train_clip
from dinoclip_viz.playground.recipe.images import LOOKS, SIDE, WORLD, Images
from dinoclip_viz.playground.render import render
from dinoclip_viz.playground.vocabulary import BACKGROUNDS, CLASSES, COLOURS
from dinoclip_viz.playground.world import draw, sample, words
from dinoclip_viz.tasks.zero_shot.classify import classify

RATIO, RARE = 100, 10
TRAIN_SEED, TEST_SEED = 700, 2700
CHUNK = 200


class Rows:
    """Some rows of the images, as `train_clip` reads them."""

    def __init__(self, images: Images, rows: np.ndarray) -> None:
        self._images, self._rows = images, torch.from_numpy(rows)
        self.captions = [images.captions[row] for row in rows.tolist()]

    def __len__(self) -> int:
        return len(self._rows)

    def to(self, device: torch.device) -> "Rows":
        self._images.to(device)
        self._rows = self._rows.to(device)
        return self

    def pick(self, rows: Tensor, looks: Tensor | None = None) -> Tensor:
        return self._images.pick(self._rows[rows], looks)


def class_order(seed: int) -> list[int]:
    """Classes from the most frequent to the rarest."""
    return np.random.default_rng([seed, 77]).permutation(len(CLASSES)).tolist()


def class_counts(most: int, seed: int) -> list[int]:
    """Number of scenes of each class."""
    counts = [0] * len(CLASSES)
    for rank, number in enumerate(class_order(seed)):
        counts[number] = max(1, round(most * RATIO ** (-rank / (len(CLASSES) - 1))))
    return counts


def choose(most: int, seed: int) -> list[int]:
    """The first scenes of the seed that fill every class."""
    left, indices, index = class_counts(most, seed), [], 0
    while any(left):
        number = CLASSES.index(sample(TRAIN_SEED, index, 1)[0].things[0].name)
        if left[number]:
            left[number] -= 1
            indices.append(index)
        index += 1
    return indices


def draw_pool(folder: Path, most: int, seed: int) -> Images:
    """The pool, rendered in chunks; those that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "captions.json").exists():
        return Images(folder)
    chosen = folder / "indices.json"
    if not chosen.exists():
        chosen.write_text(json.dumps(choose(most, seed)))
    indices = json.loads(chosen.read_text())
    target = folder / "pixels.npy"
    if not target.exists():
        np.lib.format.open_memmap(target, "w+", np.uint8, (len(indices), LOOKS, 3, SIDE, SIDE))
    pixels = np.lib.format.open_memmap(target, "r+")
    captions = []
    for start in range(0, len(indices), CHUNK):
        file = folder / f"captions-{start:06d}.json"
        if not file.exists():
            found = []
            for row in range(start, min(start + CHUNK, len(indices))):
                layout = sample(TRAIN_SEED, indices[row], 1)[0]
                looks = [sample(TRAIN_SEED, indices[row], 1, look, world=WORLD)[1] for look in range(LOOKS)]
                for number, look in enumerate(looks):
                    pixels[row, number] = np.asarray(render(layout, look, SIDE)[0]).transpose(2, 0, 1)
                found.append([words(TRAIN_SEED, indices[row], layout, look, world=WORLD) for look in looks])
            pixels.flush()
            file.write_text(json.dumps(found))
            print(f"{start + len(found)} of {len(indices)} scenes", file=sys.stderr)
        captions += json.loads(file.read_text())
    (folder / "captions.json").write_text(json.dumps(captions))
    return Images(folder)


def accuracies(model: Path, count: int) -> list[float]:
    """Accuracy of each class."""
    loaded = dv.load_model(str(model))
    right, seen = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    scenes = draw(TEST_SEED, count, 96, objects=1, world=WORLD)
    for start in range(0, count, 100):
        part = scenes[start : start + 100]
        found = classify(loaded, [scene.image for scene in part], CLASSES, ["{}"]).argmax(1).tolist()
        for scene, answer in zip(part, found, strict=True):
            number = CLASSES.index(scene.objects[0]["name"])
            seen[number] += 1
            right[number] += answer == number
    return (right / np.maximum(seen, 1)).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="for pool, checkpoints and models")
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help="(%(default)s)")
    parser.add_argument("--batch", type=int, default=96, metavar="N", help="(%(default)s)")
    parser.add_argument("--most", type=int, default=1500, metavar="N", help="scenes of the first class (%(default)s)")
    parser.add_argument("--per-entry", type=float, metavar="T", help="(the count of the tenth most frequent class)")
    parser.add_argument("--entries", choices=["classes", "words"], default="classes", help="(%(default)s)")
    parser.add_argument("--word-weight", type=float, default=0.0, metavar="W", help="of the word losses (%(default)s)")
    parser.add_argument("--test", type=int, default=2000, metavar="N", help="held-out scenes (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of classes, draws and weights (%(default)s)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    counts = class_counts(arguments.most, arguments.seed)
    images = draw_pool(arguments.folder / "pool", arguments.most, arguments.seed)
    per_entry = arguments.per_entry or sorted(counts)[-RARE]
    texts = [looks[0][0] for looks in images.captions]
    entries = CLASSES if arguments.entries == "classes" else (*CLASSES, *COLOURS, *BACKGROUNDS)
    kept = dv.curate.balance(texts, entries, per_entry, arguments.seed)
    recipe = ClipRecipe(
        steps=arguments.steps, batch=arguments.batch, seed=arguments.seed, word_weight=arguments.word_weight
    )
    rarest = class_order(arguments.seed)[-RARE:]
    figures: dict[str, object] = {
        "scenes": len(images), "largest": max(counts), "smallest": min(counts), "per_entry": per_entry,
        "entries": arguments.entries, "steps": arguments.steps, "batch": arguments.batch,
        "word_weight": arguments.word_weight,
        "seed": arguments.seed, "test_scenes": arguments.test, "rarest": [CLASSES[number] for number in rarest],
    }  # fmt: skip
    for arm, rows in (("raw", np.arange(len(images))), ("balanced", np.flatnonzero(kept))):
        model = train_clip(Rows(images, rows), arguments.folder / arm, recipe, arguments.device)
        each = accuracies(model, arguments.test)
        figures[arm] = {
            "scenes": len(rows),
            "rare": float(np.mean([each[number] for number in rarest])),
            "overall": float(np.mean(each)),
            "classes": {CLASSES[number]: round(each[number], 4) for number in class_order(arguments.seed)},
        }
        print(arm, figures[arm], file=sys.stderr)
    figures["gain_rare"] = figures["balanced"]["rare"] - figures["raw"]["rare"]
    figures["gain_overall"] = figures["balanced"]["overall"] - figures["raw"]["overall"]
    text = json.dumps(figures, indent=1) + "\n"
    print(text, end="")
    if arguments.json:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
