"""Any two encoders on the playground: recipes of both sides, CKA against R@1, and concept-picked training pairs.

`python -m tests.benchmarks.alignment_pairs --work FOLDER --out FILE.json` measures three parts, `--parts a,b,c`:

a. freeze-align, sail, sharelock, procrustes and cca on playground-dino and playground-text, next to the projector to
   playground-clip (recipe best, pooled head only) and playground-clip itself: R@1 both ways, and zero-shot accuracy by
   class names on scenes with one object.
b. Debiased CKA, CKA and mutual neighbours of pairs of encoders, with random weights and pixels among them, on training
   scenes, against R@1 on test scenes after one recipe; Spearman's rank correlation.
c. freeze-align on a concept-picked third of the pairs of a, and on a random third; the same of a long-tailed pool.

Stores and trained folders in --work resume, as do finished parts and rows in --out. Training seeds are below 1000. The
test seeds begin at 3000; settings are chosen with `--test-seed 1500`.
"""

import argparse
import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dinoclip_viz as dv
from dinoclip_viz.curate.concepts import pick_per_concept
from dinoclip_viz.playground.vocabulary import plural
from dinoclip_viz.projector import Projector
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.store.writing import ImageRow, Shard, finish, prepare, write_shard
from dinoclip_viz.tasks.retrieval.pairing import rank_pairs
from dinoclip_viz.tasks.retrieval.recall import recall
from dinoclip_viz.tasks.retrieval.stored import stored_images, stored_texts
from dinoclip_viz.tasks.zero_shot.classify import cosines, label_vectors
from dinoclip_viz.training import find_recipe, fit_projector

IMAGES, TEXTS, CLIP = "playground-dino", "playground-text", "playground-clip"
RECIPES: dict[str, dict[str, Any]] = {
    "freeze-align": {"outputs": 256, "epochs": 8},
    "sail": {},
    "sharelock": {"text_hidden": 512},
    "procrustes": {},
    "cca": {},
}
"""Recipe -> what differs from it: freeze-align's 1024 outputs and ShareLock's inner width of 4096 are for encoders of
1024 and 4096 dimensions."""

SEEN = (IMAGES, CLIP, "playground-siglip", f"random:{IMAGES}", f"random:{CLIP}", "pixels")
SAID = (TEXTS, CLIP, f"random:{TEXTS}")
SHARDS = 2048  # images per shard of a third


@dataclass(frozen=True)
class Scenes:
    """Names of the sources: training and test scenes, and test scenes with one object."""

    train: str
    test: str
    single: str


def main() -> None:
    given = _arguments()
    torch.set_num_threads(given.threads)
    if given.train_seed >= 1000 or given.test_seed < 1500:
        raise SystemExit("expected a training seed below 1000 and a test seed of 1500 or more")
    scenes = Scenes(
        f"playground:{given.train_seed}:{given.scenes}",
        f"playground:{given.test_seed}:{given.test}",
        f"playground:{given.test_seed + 1}:{given.test}:96:1",
    )
    few = Scenes(f"playground:{given.train_seed}:{given.pairs_scenes}", scenes.test, scenes.single)
    results = Results(
        given.out, {"scenes": vars(scenes), "few": few.train, "pairs_recipe": given.pairs_recipe, "sets": given.set}
    )
    work = given.work / f"{given.train_seed}-{given.test_seed}"
    changes = _changes(given.set)
    if "a" in given.parts:
        part_a(work, scenes, results, changes)
    if "b" in given.parts:
        part_b(work, few, results, given.pairs_recipe, changes)
    if "c" in given.parts:
        part_c(work, scenes, results, changes)
    print(json.dumps(results.values, indent=1))


class Results:
    """The JSON file, written after every row."""

    def __init__(self, file: Path, settings: dict[str, Any]) -> None:
        self.file = file
        self.values: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {"settings": settings}
        if self.values["settings"] != settings:
            raise SystemExit(f"{file} holds results with other settings; name another file")

    def row(self, part: str, name: str) -> dict[str, Any] | None:
        return self.values.get(part, {}).get(name)

    def add(self, part: str, name: str, found: Any) -> None:
        self.values.setdefault(part, {})[name] = found
        self.file.parent.mkdir(parents=True, exist_ok=True)
        aside = self.file.with_suffix(".new")
        aside.write_text(json.dumps(self.values, indent=1) + "\n")
        aside.replace(self.file)


def part_a(work: Path, scenes: Scenes, results: Results, changes: dict[str, dict[str, str]]) -> None:
    """Recipes of both sides next to the projector to CLIP and CLIP itself."""
    for name, own in RECIPES.items():
        if results.row("a", name) is None:
            stores = _pair_stores(work, scenes)
            recipe = find_recipe(name, **own, **_typed(name, changes))
            folder = work / "pairs" / str(len(stores["train"])) / name
            made, history = fit_projector(stores["train"], stores["train"], recipe=recipe, folder=folder)
            results.add("a", name, {**_judged(made, folder, stores), "epochs": len(history)})
    if results.row("a", "projector to CLIP") is None:
        stores, clips = _pair_stores(work, scenes), _clip_stores(work, scenes)
        folder = work / "projector" / str(len(stores["train"]))
        recipe = find_recipe("best", patch_epochs=0)
        made, _ = fit_projector(stores["train"], clips["train"], recipe=recipe, folder=folder)
        results.add("a", "projector to CLIP", _judged(made, folder, stores, clips))
    if results.row("a", CLIP) is None:
        clips = _clip_stores(work, scenes)
        found = _recalls(clips["test"].pooled[:], clips["test"].texts[:], clips["test"])
        shot = _accuracy(torch.tensor(clips["single"].pooled[:]).float(), dv.load_model(CLIP).texts, clips["single"])
        results.add("a", CLIP, {**found, "zero_shot": shot})


def part_b(work: Path, scenes: Scenes, results: Results, recipe_name: str, changes: dict[str, dict[str, str]]) -> None:
    """Similarity before training against R@1 after it."""
    recipe = find_recipe(recipe_name, **RECIPES.get(recipe_name, {}), **_typed(recipe_name, changes))
    for texts in SAID:
        wanted = [f"{images} + {texts}" for images in SEEN]
        if all(results.row("b", name) for name in wanted):
            continue
        stores = {kind: _every_encoder(work, kind, source, texts) for kind, source in _two(scenes).items()}
        scores = [one for one in rank_pairs(stores["train"]) if one.texts.settings.texts == texts]
        for name, images, train, test in zip(wanted, SEEN, stores["train"], stores["test"], strict=True):
            if results.row("b", name):
                continue
            made, _ = fit_projector(train, train, recipe=recipe)
            found = _recalls(stored_images(made, test), stored_texts(made, test), test)
            mine = {one.column: one for one in scores if one.images.settings.encoder == images}
            whole = mine.get("mean", mine["pooled"])
            best = max(one.debiased_cka for one in mine.values())
            measured = {"cka": whole.cka, "debiased_cka": whole.debiased_cka, "best_debiased_cka": best}
            results.add("b", name, {**measured, "mutual_neighbours": whole.mutual_neighbours, **found})
    rows = [row for name, row in results.values["b"].items() if name != "spearman"]
    r1 = [(row["image_to_text"] + row["text_to_image"]) / 2 for row in rows]
    measures = ("cka", "debiased_cka", "best_debiased_cka", "mutual_neighbours")
    results.add("b", "spearman", {name: spearman([row[name] for row in rows], r1) for name in measures})


def part_c(work: Path, scenes: Scenes, results: Results, changes: dict[str, dict[str, str]]) -> None:
    """A concept-picked third of the pairs against a random third; prototypes are class names by playground-clip.

    Of all pairs, in which every class is as frequent, and of a long-tailed pool, as pairs of the web are.
    """
    names = dv.playground.CLASSES
    for pool, kind in product(("all", "long-tailed"), ("concepts", "random")):
        if results.row("c", f"{pool}, {kind}"):
            continue
        stores, clips = _pair_stores(work, scenes), _clip_stores(work, scenes)
        every = np.arange(len(stores["train"])) if pool == "all" else long_tailed(stores["train"])
        third = len(every) // 3
        first = np.unique(np.asarray(clips["train"].text_to_image), return_index=True)[1][every]
        prototypes = label_vectors(dv.load_model(CLIP).texts, names).numpy()
        picked = pick_per_concept([clips["train"].texts[first]], prototypes, third // len(names), queue=len(first)).kept
        if kind == "random":
            picked = np.sort(np.random.default_rng(0).choice(len(every), len(picked), replace=False))
        rows = every[picked]
        part = subset(stores["train"], rows, work / "thirds" / f"{len(every)}-{kind}")
        recipe = find_recipe("freeze-align", **RECIPES["freeze-align"], **_typed("freeze-align", changes))
        folder = work / "pairs" / f"{len(every)}-{kind}"
        made, _ = fit_projector(part, part, recipe=recipe, folder=folder)
        results.add("c", f"{pool}, {kind}", {**_judged(made, folder, stores), "pool": len(every), "pairs": len(rows)})


def long_tailed(store: FeatureStore, ratio: float = 100.0) -> np.ndarray:
    """Rows of a pool in which the first class is about `ratio` times as frequent as the last.

    A scene is kept with the probability of its rarest class; classes are read from the first captions.
    """
    names = dv.playground.CLASSES
    owners = np.asarray(store.text_to_image)
    captions = store.captions()
    first = np.unique(owners, return_index=True)[1]
    chance = np.random.default_rng(0).random(len(first))
    kept = []
    for row, text in enumerate(first):
        words = set(captions[text].split())
        ranks = [rank for rank, name in enumerate(names) if name in words or plural(name) in words]
        if ranks and chance[row] < ratio ** (-max(ranks) / (len(names) - 1)):
            kept.append(row)
    return np.array(kept)


def subset(store: FeatureStore, rows: np.ndarray, folder: Path) -> FeatureStore:
    """A store of some of a store's images, ascending, with all of their captions."""
    owners = np.asarray(store.text_to_image)
    if not prepare(folder, store.settings):
        for number, start in enumerate(range(0, len(rows), SHARDS)):
            some = rows[start : start + SHARDS]
            said = np.flatnonzero(np.isin(owners, some))
            arrays = {"img_emb": store.pooled[some], "mean_emb": store.mean[some], "patch_emb": store.patches[some]}
            table = store.metadata.take(some).to_pylist()
            images = [
                ImageRow(
                    row["key"], row["image_path"], tuple(row["captions"]), row["label"], row["width"], row["height"]
                )
                for row in table
            ]
            mine = np.searchsorted(some, owners[said])
            shard = Shard(images, [], [arrays], store.texts[said], mine, store.tokens.read(said))
            write_shard([folder], number, shard, 0.0)
        finish(folder, store.settings)
    return FeatureStore.open(folder)


def spearman(one: list[float], other: list[float]) -> float:
    """Rank correlation; equal values share their mean rank."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def _two(scenes: Scenes) -> dict[str, str]:
    return {"train": scenes.train, "test": scenes.test}


def _pair_stores(work: Path, scenes: Scenes) -> dict[str, FeatureStore]:
    """Kind of scenes -> playground-dino with all patches, and playground-text with token vectors."""
    return {
        kind: _store(work, f"pair-{kind}", source, IMAGES, TEXTS, patches="full", text_tokens=True)[0]
        for kind, source in vars(scenes).items()
    }


def _clip_stores(work: Path, scenes: Scenes) -> dict[str, FeatureStore]:
    return {kind: _store(work, f"clip-{kind}", source, CLIP, CLIP)[0] for kind, source in vars(scenes).items()}


def _every_encoder(work: Path, kind: str, source: str, texts: str) -> list[FeatureStore]:
    """Stores of all image encoders, with the captions of one text encoder."""
    return _store(work, f"every-{kind}-{texts.replace(':', '-')}", source, list(SEEN), texts)


def _store(work: Path, name: str, source: str, encoders: str | list[str], texts: str, **how: Any) -> list[FeatureStore]:
    folder = work / "stores" / f"{name}-{source.replace(':', '-')}"
    return [FeatureStore.open(made) for made in dv.embed(source, encoders, folder, texts, **how).stores]


def _judged(
    made: Projector, folder: Path, stores: dict[str, FeatureStore], clips: dict[str, FeatureStore] | None = None
) -> dict[str, float]:
    """R@1 both ways and zero-shot accuracy of a projector; its captions are those of `clips` on the image side."""
    test = stores["test"] if clips is None else clips["test"]
    texts = stored_texts(made, test) if clips is None else torch.tensor(test.texts[:]).float()
    found = _recalls(stored_images(made, stores["test"]), texts, test)
    encoder = dv.load_model(str(folder)).texts
    return {**found, "zero_shot": _accuracy(stored_images(made, stores["single"]), encoder, stores["single"])}


def _recalls(images: Any, texts: Any, store: FeatureStore) -> dict[str, float]:
    found = recall(images, texts, store.text_to_image)
    return {way: values["R@1"] for way, values in found.items()}


def _accuracy(images: torch.Tensor, texts: Any, store: FeatureStore) -> float:
    """Zero-shot accuracy on scenes with one object, by class names and the model's own templates."""
    names = list(dv.playground.CLASSES)
    truth = torch.tensor([names.index(label) for label in store.metadata["label"].to_pylist()])
    return (cosines(images, label_vectors(texts, names)).argmax(1) == truth).float().mean().item()


def _changes(words: list[str]) -> dict[str, dict[str, str]]:
    """Recipe -> setting -> value of RECIPE.SETTING=VALUE."""
    found: dict[str, dict[str, str]] = {}
    for word in words:
        name, value = word.split("=", 1)
        recipe, setting = name.split(".", 1)
        found.setdefault(recipe, {})[setting] = value
    return found


def _typed(recipe: str, changes: dict[str, dict[str, str]]) -> dict[str, Any]:
    kinds = vars(find_recipe(recipe))
    return {name: type(kinds[name])(float(value)) if value[0].isdigit() else value
            for name, value in changes.get(recipe, {}).items()}  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures recipes for pairs of unimodal encoders on the playground.")
    parser.add_argument("--work", type=Path, required=True, help="folder of stores and trained pairs")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=["a", "b", "c"], help="a,b,c")
    parser.add_argument("--scenes", type=int, default=36000, help="training scenes of a and c")
    parser.add_argument("--pairs-scenes", type=int, default=4000, help="training scenes of b")
    parser.add_argument("--pairs-recipe", default="cca", help="recipe of b: one that converges on its few scenes")
    parser.add_argument("--test", type=int, default=1000, help="test scenes")
    parser.add_argument("--train-seed", type=int, default=17)
    parser.add_argument("--test-seed", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="RECIPE.SETTING=VALUE", help="change a recipe")
    return parser.parse_args()


if __name__ == "__main__":
    main()
