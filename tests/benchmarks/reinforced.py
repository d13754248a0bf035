"""Reinforced data next to the recipe "best": `python -m tests.benchmarks.reinforced` prints JSON.

One reinforced store of playground scenes: playground-dino is the student, playground-clip the teacher. The baseline is
trained on the same images, unchanged, with the same captions (the further ones included), the same head and batch. The
recipe "reinforced" is trained for fractions of the baseline's steps, each with a whole schedule of learning rates. All
are measured on unseen scenes, all captions, R@1 averaged over both directions and over training seeds.

The stores are kept in `--stores` and reused; settings are tuned with `--evaluation 1500` or more, never on 3000.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dinoclip_viz.pipeline import embed
from dinoclip_viz.reinforce import Augmentation, ReinforcedStore, reinforce
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.retrieval.recall import recall
from dinoclip_viz.training import Pairs, Recipe, find_recipe, fit_projector
from dinoclip_viz.training.fit import score_pairs
from dinoclip_viz.training.pairs import Batch

STUDENT, TEACHER = "playground-dino", "playground-clip"


def mean_recall(figures: dict[str, float]) -> float:
    """R@1 averaged over both directions."""
    return (figures["image_to_text_R@1"] + figures["text_to_image_R@1"]) / 2


def training_store(folder: Path, arguments: argparse.Namespace) -> ReinforcedStore:
    source = f"playground:{arguments.seed}:{arguments.scenes}"
    low, high = arguments.scale
    augmentation = Augmentation(size=96, scale=(low, high), operations=arguments.operations)
    reinforce(
        source, TEACHER, folder, STUDENT, arguments.views, seed=0, augmentation=augmentation, watch=progress(source)
    )
    return ReinforcedStore.open(folder)


def evaluation_batch(folder: Path, seed: int, scenes: int) -> Batch:
    source = f"playground:{seed}:{scenes}"
    embed(source, [STUDENT, TEACHER], folder, TEACHER, watch=progress(source))
    stores = [FeatureStore.open(folder / name) for name in (STUDENT, TEACHER)]
    return Pairs(*stores, holdout=0).run(0, scenes)


def progress(source: str):
    def watch(done: int, count: int | None) -> None:
        print(f"\r{source}: {done} of {count}", end="" if done != count else "\n", file=sys.stderr)

    return watch


def changed(name: str, settings: list[str], **known: object) -> Recipe:
    recipe = find_recipe(name)
    for setting in settings:
        key, _, value = setting.partition("=")
        known[key] = type(getattr(recipe, key))(value)
    return find_recipe(recipe, **known)


def trained(store: ReinforcedStore, recipe: Recipe, held: Batch, seeds: int) -> dict:
    """R@1 on unseen scenes and on held-out ones of the training store, by training seed."""
    rows = []
    for seed in range(seeds):
        targets = None if recipe.reinforced else store.teachers[0]
        one = find_recipe(recipe, seed=seed)
        projector, history = fit_projector(store.students[0], targets, recipe=one, device="cpu")
        best = max(history, key=mean_recall)
        rows.append({**score_pairs(projector, held), "held_out_R@1": mean_recall(best), "epoch": best["epoch"]})
        print(recipe.name, recipe.epochs, round(mean_recall(rows[-1]), 4), file=sys.stderr, flush=True)
    images = len(store) - min(recipe.holdout, len(store) // 10)
    return {
        "steps": recipe.epochs * (images // min(recipe.batch, images)),
        "epochs": recipe.epochs,
        "R@1": float(np.mean([mean_recall(row) for row in rows])),
        "held_out_R@1": float(np.mean([row["held_out_R@1"] for row in rows])),
        "runs": rows,
        "recipe": asdict(recipe),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stores", type=Path, default=Path("runs/reinforced"))
    parser.add_argument("--scenes", type=int, default=36000)
    parser.add_argument("--seed", type=int, default=11, help="of the training scenes, below 1000")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--scale", type=float, nargs=2, default=(0.08, 1.0), help="area of the views' crops")
    parser.add_argument("--operations", type=int, default=2, help="of RandAugment per view")
    parser.add_argument("--evaluation", type=int, default=3000, help="seed of the unseen scenes; 1500 and more to tune")
    parser.add_argument("--evaluation-scenes", type=int, default=1000)
    parser.add_argument("--epochs", type=int, help="of the baseline (the recipe's)")
    parser.add_argument("--fractions", type=float, nargs="+", default=[1 / 3, 1 / 2, 2 / 3, 1.0])
    parser.add_argument("--seeds", type=int, default=2, help="training runs per row")
    parser.add_argument("--baseline", default="best", help="recipe to compare with")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the recipe reinforced")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not 0 <= arguments.seed < 1000 or arguments.evaluation < 1000:
        parser.error("training seeds are below 1000, evaluation seeds 1000 or more")
    views = f"{arguments.views}-{arguments.scale[0]:g}-{arguments.scale[1]:g}-{arguments.operations}"
    store = training_store(arguments.stores / f"{arguments.seed}-{arguments.scenes}-{views}", arguments)
    known = arguments.stores / f"evaluation-{arguments.evaluation}-{arguments.evaluation_scenes}"
    held = evaluation_batch(known, arguments.evaluation, arguments.evaluation_scenes)
    epochs = arguments.epochs or find_recipe(arguments.baseline).epochs
    baseline = trained(store, changed(arguments.baseline, [], epochs=epochs, patch_epochs=0), held, arguments.seeds)
    rows = [
        trained(store, changed("reinforced", arguments.set, epochs=max(1, round(epochs * part))), held, arguments.seeds)
        for part in arguments.fractions
    ]
    teacher = recall(held.targets, held.texts, held.owners)
    reached = {
        name: min((row["steps"] / baseline["steps"] for row in rows if row[name] >= baseline[name]), default=None)
        for name in ("R@1", "held_out_R@1")
    }
    figures = {
        "training": store.settings.source,
        "evaluation": f"playground:{arguments.evaluation}:{arguments.evaluation_scenes}",
        "views": asdict(store.settings),
        "teacher_R@1": (teacher["image_to_text"]["R@1"] + teacher["text_to_image"]["R@1"]) / 2,
        "baseline": baseline,
        "reinforced": rows,
        "steps_to_the_same": reached,
    }
    text = json.dumps(figures, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
