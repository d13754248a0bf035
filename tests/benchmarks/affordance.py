"""Affordances: `python -m tests.benchmarks.affordance --json FILE` measures maps of verbs on held-out scenes.

Every pair of a scene and an action that it affords is scored: KLD, SIM and NSS as in AGD20K, average precision of the
pixels, and mIoU at half of a map's range. Compared are the embedded model; models trained anew on other examples, with
the transfer of labels from the same examples; heat maps with the verb as prompt, as `dv.heatmap` draws them and at the
resolution and with the edges of the trained maps; and the ground-truth mask of the whole objects. Then classes without
an example (three folds), verbs in other words, and verbs without an annotation (three folds). `--tuning` uses the
seeds that settings were selected on. `--card` writes the model card.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import dinoclip_viz as dv
from dinoclip_viz.affordance.evaluation import by_heatmaps, by_objects
from dinoclip_viz.affordance.metrics import MapScores, Summary, score_map
from dinoclip_viz.affordance.model import AffordanceModel
from dinoclip_viz.affordance.neighbours import transfer_labels
from dinoclip_viz.data.affordances.base import AffordanceImage
from dinoclip_viz.data.affordances.drawn import DrawnAffordances
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.encoders.layers import LayerFeatures
from dinoclip_viz.playground.recipe.affordance import NAME, DrawnAffordanceRecipe, card, fit_drawn
from dinoclip_viz.playground.vocabulary import ACTIONS, CLASSES, SYNONYMS

TEST, TUNING = (3000, 300), (1500, 40)
FOLDS = 3
TRANSFERS = 5  # draws whose labels are transferred; it takes longer than a training
MACHINE = "one core of a machine shared by others"
VERBS = tuple(ACTIONS)
OTHERS = {verb: words[0] for verb, words in SYNONYMS.items()}
OBJECT = "mask of the object"
Pair = tuple[str, str]
Scored = dict[Pair, MapScores]
Predictor = Callable[[AffordanceImage, Sequence[str]], NDArray[np.generic]]


class Scenes:
    """The scenes of the test with the features of their images, encoded once for all models."""

    def __init__(self, seed: int, count: int, model: AffordanceModel) -> None:
        self.images = list(DrawnAffordances(seed, count).images())
        self.features = {one.key: half(model.encode(one.image)) for one in self.images}

    def maps(self, model: AffordanceModel, words: Mapping[str, str] | None = None) -> Predictor:
        """Maps of a model, asked for other words in place of the verbs."""
        other = words or {}
        return lambda one, verbs: model.pixel_maps(
            full(self.features[one.key]), one.image, [other.get(verb, verb) for verb in verbs]
        )


def half(features: LayerFeatures) -> LayerFeatures:
    return LayerFeatures(features.patches.half(), features.cls, features.boxes, features.sizes, features.space)


def full(features: LayerFeatures) -> LayerFeatures:
    return LayerFeatures(features.patches.float(), features.cls, features.boxes, features.sizes, features.space)


def heat_maps(size: int, words: Mapping[str, str] | None = None) -> dict[str, Predictor]:
    """MaskCLIP and text-to-dino with the verb as prompt, and at the size and with the edges of trained maps."""
    model, found = dv.load_model("playground"), {}
    for method in ("maskclip", "text-to-dino"):
        found[f"heat map, {method}"] = by_heatmaps(model, method, words=words)
        found[f"heat map, {method}, {size} px, guided"] = by_heatmaps(model, method, "{}", size, "guided", words)
    return found


def scored(predictors: Mapping[str, Predictor], images: Iterable[AffordanceImage]) -> dict[str, Scored]:
    """Scores of each predictor by key and verb."""
    found: dict[str, Scored] = {name: {} for name in predictors}
    for one in images:
        verbs = list(one.targets)
        for name, predict in predictors.items():
            for verb, values in zip(verbs, predict(one, verbs), strict=True):
                found[name][one.key, verb] = score_map(verb, values, one.targets[verb], hard=True)
    return found


def kept(folder: Path | None, name: str, make: Callable[[], dict[str, Scored]]) -> dict[str, Scored]:
    """The scores of a part, from its file in the folder if it was measured before."""
    file = folder / f"{name}.json" if folder else None
    if file and file.is_file():
        saved = json.loads(file.read_text())
        return {
            method: {(key, row["verb"]): MapScores(**{**row, "overlap": tuple(row["overlap"])}) for key, row in rows}
            for method, rows in saved.items()
        }
    found = make()
    if file:
        rows = {method: [(key, asdict(one)) for (key, _), one in each.items()] for method, each in found.items()}
        file.write_text(json.dumps(rows))
    print(name, file=sys.stderr, flush=True)
    return found


def figures_of(scores: Scored, pairs: Iterable[Pair] | None = None) -> dict[str, float]:
    """Figures over some pairs, or all."""
    return Summary([scores[pair] for pair in (scores if pairs is None else pairs)]).figures()


def mean(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each figure, and the standard deviation of several as NAME_sd."""
    found = {name: statistics.fmean(one[name] for one in several) for name in several[0]}
    if len(several) > 1:
        found |= {f"{name}_sd": statistics.stdev(one[name] for one in several) for name in several[0]}
    return found


def some_of(images: Iterable[AffordanceImage], pairs: set[Pair]) -> list[AffordanceImage]:
    """The images with the verbs of these pairs alone."""
    found = []
    for one in images:
        targets = {verb: target for verb, target in one.targets.items() if (one.key, verb) in pairs}
        if targets:
            found.append(replace(one, targets=targets))
    return found


def compared(
    title: str, folds: Callable[[int], tuple[AffordanceModel, set[Pair]]], scenes: Scenes, others: Mapping[str, Scored],
    work: Path | None,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Figures of a model per fold on the pairs of the fold, all folds together, next to others on the same pairs."""
    own: Scored = {}
    for fold in range(FOLDS):

        def make() -> dict[str, Scored]:
            model, pairs = folds(fold)  # noqa: B023
            return scored({title: scenes.maps(model)}, some_of(scenes.images, pairs))

        own |= kept(work, f"{title}-{fold}".replace(" ", "-"), make)[title]
    return {title: figures_of(own), **{name: figures_of(scores, own) for name, scores in others.items()}}


def class_fold(
    fold: int, scenes: Scenes, masks: Mapping[str, NDArray[np.uint8]], recipe: DrawnAffordanceRecipe
) -> tuple[AffordanceModel, set[Pair]]:
    """A third of the classes without an example; the pairs of a verb that other classes taught, and of such alone."""
    hidden = {name for number, name in enumerate(CLASSES) if number % FOLDS == fold}
    pairs = set()
    for one in scenes.images:
        for verb in one.targets:
            seen = {CLASSES[number - 1] for number in np.unique(masks[one.key][one.objects[verb]]).tolist()}
            taught = any(name not in hidden for name, _ in ACTIONS[verb])
            pairs |= {(one.key, verb)} if taught and seen <= hidden else set()
    return fit_drawn(recipe, classes=[name for name in CLASSES if name not in hidden]), pairs


def verb_fold(fold: int, scenes: Scenes, recipe: DrawnAffordanceRecipe) -> tuple[AffordanceModel, set[Pair]]:
    """A third of the verbs without an annotation, and their pairs."""
    hidden = {verb for number, verb in enumerate(VERBS) if number % FOLDS == fold}
    pairs = {(one.key, verb) for one in scenes.images for verb in one.targets if verb in hidden}
    return fit_drawn(recipe, verbs=[verb for verb in VERBS if verb not in hidden]), pairs


def cosine_on_knives(scenes: Scenes, model: AffordanceModel, words: tuple[str, str]) -> float:
    """Mean cosine between the maps of two verbs on scenes that show both parts of a knife."""
    cosines = []
    for one in scenes.images:
        if "cut" in one.targets and "hold" in one.targets and (one.objects["cut"] & (one.targets["hold"] > 0)).any():
            first, second = scenes.maps(model)(one, words)
            cosines.append(float((first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second)))
    return statistics.fmean(cosines)


def drawn(scenes: Scenes, draw: int, size: int) -> dict[str, Scored]:
    """Scores of a model that is trained on one draw of the examples, and of the transfer of its labels."""
    model = fit_drawn(DrawnAffordanceRecipe(draw=draw, seed=draw))
    predictors = {"trained": scenes.maps(model), "other words": scenes.maps(model, OTHERS)}
    if draw < TRANSFERS:
        examples = [dv.AffordanceExample(one.image, one.targets) for one in DrawnAffordances().examples(draw)]
        transfer = transfer_labels(examples, "playground-dino", size)
        predictors["transfer"] = lambda one, verbs: transfer.predict(one.image, verbs)
    return scored(predictors, scenes.images)


def several(draws: Sequence[Mapping[str, Scored]], name: str) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over the draws that have a method, under a title."""
    having = [each for each in draws if name in each]
    titles = {"trained": "trained", "other words": "trained", "transfer": "labels of the nearest patches"}
    return {f"{titles[name]}, {len(having)} draws": mean([figures_of(each[name]) for each in having])} if having else {}


def measured(seed: int, count: int, draws: int, work: Path | None) -> dict[str, object]:
    """All figures."""
    recipe, model = DrawnAffordanceRecipe(), dv.load_affordance(device="cpu")
    scenes, size = Scenes(seed, count, model), model.settings.size
    masks = {f"{seed}-{index:06d}": scene.mask for index, scene in enumerate(dv.playground.stream(seed, count, 192))}
    own = kept(work, "own", lambda: scored({NAME: scenes.maps(model)}, scenes.images))
    others = kept(work, "others", lambda: scored({**heat_maps(size), OBJECT: by_objects}, scenes.images))
    said = kept(work, "words", lambda: scored({NAME: scenes.maps(model, OTHERS)}, scenes.images))
    asked = kept(work, "heat-maps-words", lambda: scored(heat_maps(size, OTHERS), scenes.images))
    again = [kept(work, f"draw-{draw}", lambda: drawn(scenes, draw, size)) for draw in range(draws)]  # noqa: B023
    known = {name: figures_of(scores) for name, scores in {**own, **others}.items()}
    worded = {name: figures_of(scores) for name, scores in {**said, **asked}.items()}
    by_verb = {
        name: Summary(list(scores.values())).by_verb() for name, scores in {**own, OBJECT: others[OBJECT]}.items()
    }
    words = (("cut", "hold"), (OTHERS["cut"], OTHERS["hold"]), ("cut", OTHERS["cut"]))
    return {
        "seed": seed, "scenes": count, "maps": len(own[NAME]), "verbs": len(VERBS), "draws": draws,
        "parameters": sum(weights.numel() for part in (model.head, model.words) for weights in part.parameters()),
        "tables": {
            "Trained verbs, trained classes": {**known, **several(again, "trained"), **several(again, "transfer")},
            "Classes without an example (a third of them, three folds), verbs that other classes taught": compared(
                "trained on the other classes",
                lambda fold: class_fold(fold, scenes, masks, recipe),
                scenes,
                others,
                work,
            ),
            "Verbs in other words (synonyms, of which none was trained)": {**worded, **several(again, "other words")},
            "Verbs without an annotation (a third of them, three folds)": compared(
                "trained on the other verbs", lambda fold: verb_fold(fold, scenes, recipe), scenes, others, work
            ),
        },
        "per_verb": by_verb,
        "cosine_of_maps_on_knives": {", ".join(pair): cosine_on_knives(scenes, model, pair) for pair in words},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--work", type=Path, help="folder of finished parts, from which a stopped run resumes")
    parser.add_argument("--card", action="store_true", help="write the model card")
    arguments = parser.parse_args()
    begun = time.monotonic()
    if arguments.work:
        arguments.work.mkdir(parents=True, exist_ok=True)
    figures = measured(*(TUNING if arguments.tuning else TEST), arguments.draws, arguments.work)
    figures["seconds"] = round(time.monotonic() - begun)
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    if arguments.card:
        (PLAYGROUND / NAME / "README.md").write_text(card(figures, MACHINE), encoding="utf-8")


if __name__ == "__main__":
    main()
