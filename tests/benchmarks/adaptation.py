"""Label-free adaptation on the playground's domains: `python -m tests.benchmarks.adaptation` prints one table.

Zero-shot with bare names and with descriptions, ZLaP, TransCLIP, StatA, NoLA and its pieces, and a linear probe with
all labels as the ceiling; a second table has skewed batches, 64 images of 3 of the 20 classes. Labels are used for
scoring and by the probe only. NoLA's epoch is chosen by its unlabelled criterion; the best one by labels is listed as
the oracle. With `--json FILE` every figure is stored as soon as it is known, features and checkpoints next to it, so
that an interrupted run resumes. NoLA is measured everywhere before its pieces are.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from dinoclip_viz import load_encoder, load_model
from dinoclip_viz.adapt.adapt import fit
from dinoclip_viz.adapt.descriptions import class_vectors, playground_descriptions
from dinoclip_viz.adapt.nola import NolaSettings, fit_labeller, fit_nola
from dinoclip_viz.adapt.nola.tuning import HISTORY, PREDICTIONS, epoch_tensors
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.playground import CLASSES, DOMAINS, draw
from dinoclip_viz.tasks.probes.linear import LinearProbe
from dinoclip_viz.tasks.zero_shot.classify import label_vectors

NAMES = list(CLASSES)
GRID = (1e-3, 1e-2, 1e-1, 1.0)
FOLDS = 5
SKEWED, PRESENT, DRAWS = 64, 3, 10
QUICK = ("zlap", "transclip", "stata")
TITLES = {"zlap": "ZLaP", "transclip": "TransCLIP", "stata": "StatA"}
ZERO_SHOT = "CLIP, descriptions"
NOLA = "NoLA"

Figures = dict[str, float]


@dataclass(frozen=True)
class Data:
    """Images of a domain and a seed with their features; the labels score predictions."""

    images: list[Image.Image]
    numbers: Tensor
    clip: Tensor
    dino: Tensor


@dataclass(frozen=True)
class Bench:
    """What all rows share: the models, text rows, and NoLA's settings."""

    model: ImageTextModel
    guide: ImageEncoder
    bare: Tensor
    templates: Tensor
    described: Tensor
    settings: NolaSettings

    @classmethod
    def of(cls, device: str, settings: NolaSettings) -> "Bench":
        model = load_model("playground-clip", device=device, dtype="float32")
        guide = load_encoder("playground-dino", device=device, dtype="float32")
        return cls(
            model=model,
            guide=guide,
            bare=label_vectors(model.texts, NAMES, ["{}"]),
            templates=label_vectors(model.texts, NAMES),
            described=class_vectors(model.texts, NAMES, None, playground_descriptions()),
            settings=settings,
        )

    def zero_shot(self, vectors: Tensor, texts: Tensor) -> Tensor:
        """(N, C) probabilities."""
        return (F.normalize(vectors, dim=1) @ texts.T * self.model.texts.logit_scale).softmax(1)


def drawn(bench: Bench, domain: str, seed: int, count: int, folder: Path | None) -> Data:
    """Scenes with their features, which are stored in the folder."""
    scenes = draw(seed, count, 96, objects=1, domain=domain)
    images = [scene.image for scene in scenes]
    numbers = torch.tensor([NAMES.index(scene.objects[0]["name"]) for scene in scenes])
    file = folder / "features.safetensors" if folder else None
    if file is not None and file.is_file():
        found = load_file(file)
    else:
        found = {"clip": bench.model.images.encode(images).pooled, "dino": bench.guide.encode(images).pooled}
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(found, file)
    return Data(images, numbers, found["clip"], found["dino"])


def accuracy(predictions: Tensor, numbers: Tensor) -> Figures:
    return {"accuracy": (predictions == numbers).float().mean().item()}


def probed(vectors: Tensor, numbers: Tensor) -> Figures:
    """Accuracy of a linear probe with all labels, in five folds."""
    fold = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0)) % FOLDS
    right = 0.0
    for number in range(FOLDS):
        probe = LinearProbe(grid=GRID).fit(vectors[fold != number], numbers[fold != number].tolist())
        held = fold == number
        right += probe.score(vectors[held], numbers[held].tolist()) * int(held.sum())
    return {"accuracy": right / len(numbers)}


def labelled(bench: Bench, data: Data, features: Tensor, texts: Tensor) -> Figures:
    """Accuracy of the labelling network."""
    labeller = fit_labeller(features, bench.zero_shot(data.clip, texts), NAMES, bench.settings)
    return accuracy(labeller.probabilities(features).argmax(1), data.numbers)


def tuned(
    bench: Bench, data: Data, texts: Tensor, guide: ImageEncoder | None, settings: NolaSettings, folder: Path | None
) -> Figures:
    """Accuracy of NoLA; with a folder, also of its best epoch by labels."""

    def report(done: float, line: str) -> None:
        if line.startswith(("epoch", "chose")):
            print(f"  {100 * done:3.0f} % {line}", flush=True)

    encoder, classifier = fit_nola(bench.model, data.images, texts, NAMES, guide, settings, folder, report)
    found = accuracy(classifier.probabilities(encoder.encode(data.images).pooled).argmax(1), data.numbers)
    if folder is not None:
        history = json.loads((folder / HISTORY).read_text())
        every = [epoch_tensors(folder, row["epoch"])[PREDICTIONS] for row in history["epochs"]]
        scores = [accuracy(predictions, data.numbers)["accuracy"] for predictions in every]
        found |= {"epoch": history["chosen"], "oracle": max(scores), "oracle_epoch": 1 + scores.index(max(scores))}
    return found


def quick_rows(bench: Bench, data: Data) -> dict[str, Callable[[], Figures]]:
    """Row of the table -> the call that measures it, without tuning the vision tower."""
    own, described = data.clip, bench.described
    zero_shot = {"CLIP, bare names": bench.bare, "CLIP, templates": bench.templates, ZERO_SHOT: described}
    found: dict[str, Callable[[], Figures]] = {}
    for name, texts in zero_shot.items():
        found[name] = lambda texts=texts: accuracy(bench.zero_shot(own, texts).argmax(1), data.numbers)
    for method in QUICK:
        found[TITLES[method]] = lambda method=method: accuracy(
            fit(method, own, described, NAMES, bench.model).probabilities.argmax(1), data.numbers
        )
    found["NoLA without tuning (labelling network)"] = lambda: labelled(bench, data, data.dino, described)
    found["labelling network without descriptions"] = lambda: labelled(bench, data, data.dino, bench.templates)
    found["labelling network without DINO"] = lambda: labelled(bench, data, own, described)
    found["linear probe of CLIP, all labels"] = lambda: probed(own, data.numbers)
    found["linear probe of DINO, all labels"] = lambda: probed(data.dino, data.numbers)
    return found


def tuning_rows(bench: Bench, data: Data, folder: Path | None, pieces: bool) -> dict[str, Callable[[], Figures]]:
    """NoLA, or what is left of it without one of its pieces: row of the table -> the call that measures it."""
    of_clip = replace(bench.settings, pseudo_labels="zero-shot")
    runs = {
        NOLA: (bench.described, bench.guide, bench.settings),
        "NoLA without descriptions": (bench.templates, bench.guide, bench.settings),
        "NoLA without DINO, network on CLIP's features": (bench.described, None, bench.settings),
        "NoLA without DINO, CLIP's own pseudo-labels": (bench.described, None, of_clip),
    }
    found = {}
    for number, (name, run) in enumerate(runs.items()):
        place = folder / f"nola-{number}" if folder else None
        if pieces == (name != NOLA):
            found[name] = lambda run=run, place=place: tuned(bench, data, *run, place)
    return found


def skewed(bench: Bench, data: Data, seed: int) -> dict[str, list[float]]:
    """Method -> accuracy on each of ten batches of 64 images of 3 classes, all class names given."""
    found: dict[str, list[float]] = {ZERO_SHOT: [], **{TITLES[method]: [] for method in QUICK}}
    generator = torch.Generator().manual_seed(seed)
    for _ in range(DRAWS):
        present = torch.randperm(len(NAMES), generator=generator)[:PRESENT]
        rows_of = torch.isin(data.numbers, present).nonzero()[:, 0]
        batch = rows_of[torch.randperm(len(rows_of), generator=generator)[:SKEWED]]
        vectors, numbers = data.clip[batch], data.numbers[batch]
        zero_shot = bench.zero_shot(vectors, bench.described).argmax(1)
        found[ZERO_SHOT].append(accuracy(zero_shot, numbers)["accuracy"])
        for method in QUICK:
            predictions = fit(method, vectors, bench.described, NAMES, bench.model).probabilities.argmax(1)
            found[TITLES[method]].append(accuracy(predictions, numbers)["accuracy"])
    return found


def table(results: dict[str, dict[str, Figures]], key: str = "accuracy") -> str:
    """Markdown table of percentages: rows are methods, columns domains (mean over the seeds) and their mean."""
    domains = list(dict.fromkeys(place.split("/")[0] for place in results))
    lines = [f"| {key} % | {' | '.join(domains)} | mean |", "|---" * (len(domains) + 2) + "|"]
    for name in dict.fromkeys(name for found in results.values() for name in found):
        cells = []
        for domain in domains:
            found = [
                row[name][key]
                for place, row in results.items()
                if place.split("/")[0] == domain and key in row.get(name, {})
            ]
            cells.append(fmean(found) if found else None)
        known = [cell for cell in cells if cell is not None]
        if known:
            shown = ["" if cell is None else f"{100 * cell:.1f}" for cell in cells]
            lines.append(f"| {name} | {' | '.join(shown)} | {100 * fmean(known):.1f} |")
    return "\n".join(lines)


def skewed_table(found: dict[str, dict[str, list[float]]]) -> str:
    """Markdown table: mean accuracy on skewed batches, and the difference from zero-shot: mean, worst domain, worst."""
    lines = ["| skewed batches | accuracy % | from zero-shot | worst domain and seed | worst batch |", "|---" * 5 + "|"]
    for name in next(iter(found.values())):
        every = [value for one in found.values() for value in one[name]]
        gaps = {place: [a - b for a, b in zip(one[name], one[ZERO_SHOT], strict=True)] for place, one in found.items()}
        numbers = [fmean(map(fmean, gaps.values())), min(map(fmean, gaps.values())), min(map(min, gaps.values()))]
        lines.append(f"| {name} | {100 * fmean(every):.1f} | {' | '.join(f'{100 * each:+.1f}' for each in numbers)} |")
    return "\n".join(lines)


def gains(results: dict[str, dict[str, Figures]]) -> Iterable[str]:
    """Lines with the points that NoLA gains over other rows: on average, and in the worst domain and seed."""
    complete = [row for row in results.values() if NOLA in row]
    for name in next(iter(complete), {}):
        if name != NOLA:
            points = [100 * (row[NOLA]["accuracy"] - row[name]["accuracy"]) for row in complete if name in row]
            yield f"NoLA above {name}: {fmean(points):+.1f} points on average, {min(points):+.1f} at worst"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domain", action="append", choices=list(DOMAINS), help="repeatable; default: all")
    parser.add_argument("--count", type=int, default=2_000, help="images per domain and seed (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3100, 3200], help="of the scenes (%(default)s)")
    parser.add_argument("--epochs", type=int, default=NolaSettings.epochs, help="of NoLA's tuning (%(default)s)")
    parser.add_argument("--batch", type=int, default=NolaSettings.batch, help="images per step of it (%(default)s)")
    parser.add_argument("--rate", type=float, default=NolaSettings.rate, help="its learning rate (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="without the rows that tune the vision tower")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="results so far, from which a run resumes")
    arguments = parser.parse_args()
    about = {name: getattr(arguments, name) for name in ("count", "epochs", "batch", "rate")}
    record = {**about, "results": {}, "skewed": {}}
    if arguments.json and arguments.json.is_file():
        record = json.loads(arguments.json.read_text())
        if {name: record.get(name) for name in about} != about:
            parser.error(f"{arguments.json} is of another count or other settings of NoLA; choose another file")

    def keep() -> None:
        if arguments.json:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            aside = arguments.json.with_suffix(".new")
            aside.write_text(json.dumps(record, indent=1) + "\n")
            aside.replace(arguments.json)

    settings = NolaSettings(epochs=arguments.epochs, batch=arguments.batch, rate=arguments.rate)
    bench = Bench.of(arguments.device, settings)
    places = [(domain, seed) for domain in arguments.domain or list(DOMAINS) for seed in arguments.seeds]
    passes = ("quick",) if arguments.quick else ("quick", "whole", "pieces")
    for part, (domain, seed) in product(passes, places):
        place = f"{domain}/{seed}"
        folder = arguments.json.with_suffix("") / f"{domain}-{seed}" if arguments.json else None
        data = drawn(bench, domain, seed, arguments.count, folder)
        known = record["results"].setdefault(place, {})
        chosen = quick_rows(bench, data) if part == "quick" else tuning_rows(bench, data, folder, part == "pieces")
        for name, measure in chosen.items():
            if name not in known:
                known[name] = measure()
                print(f"{place}: {name} {100 * known[name]['accuracy']:.1f}", flush=True)
                keep()
        if place not in record["skewed"]:
            record["skewed"][place] = skewed(bench, data, seed)
            keep()
    print(table(record["results"]), "", skewed_table(record["skewed"]), sep="\n")
    if not arguments.quick:
        print("", *gains(record["results"]), sep="\n")
        if arguments.json:
            print("", table(record["results"], "oracle"), sep="\n")


if __name__ == "__main__":
    main()
