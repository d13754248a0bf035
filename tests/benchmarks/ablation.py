"""Ablation of the projector's recipe: `python tests/benchmarks/ablation.py` writes `ablation.json`.

Every row is a recipe that differs in one setting from the base: a small residual MLP on CLS and mean token, cosine and
relation losses, few epochs, so that all rows take half an hour; "best" resulted from it. All are trained on the same
store. The best epoch is selected on held-out images of that store; the metrics are measured on scenes of a held-out
seed.

It requires three stores in a folder, created once (an hour on two cores):

    dinoclip embed playground:11:36000 --encoder playground-dino --encoder playground-clip --texts playground-clip \
        --out runs/stores/train
    dinoclip embed playground:3002:1000 ... --out runs/stores/eval3002
    dinoclip embed playground:13:8000 ... --out runs/stores/other        (for the rows that fine-tune)
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from dinoclip_viz.projector import Projector
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.retrieval.recall import recall
from dinoclip_viz.training import Pairs, Recipe, fit_projector, pick_stores
from dinoclip_viz.training.fit import score_pairs
from dinoclip_viz.training.pairs import Batch

HERE = Path(__file__).parent
BASE = Recipe(
    "base", hidden=256, cosine=1.0, relation=1.0, captions=2, batch=512, epochs=8, rate=5e-3, average="ema", patience=0
)
ROWS: dict[str, list[tuple[str, dict[str, object]]]] = {
    "loss": [
        ("cosine (unit-norm MSE) alone", {"relation": 0.0}),
        ("relation alone", {"cosine": 0.0}),
        ("cosine and CLIP's loss", {"relation": 0.0, "clip": 1.0}),
        ("cosine and SigLIP's loss", {"relation": 0.0, "siglip": 0.1}),
        ("CLIP's loss alone", {"cosine": 0.0, "relation": 0.0, "clip": 1.0}),
        ("CLIP's loss, learnt temperature", {"cosine": 0.0, "relation": 0.0, "clip": 1.0, "learn_temperature": True}),
    ],
    "input": [
        ("mean of all tokens", {"inputs": "mean"}),
        ("CLS", {"inputs": "pooled"}),
        ("raw, not scaled", {"scale_inputs": False}),
        ("noise of .1", {"noise": 0.1}),
    ],
    "head": [
        ("linear", {"head": "linear"}),
        ("MLP", {"head": "mlp", "hidden": 512}),
        ("gated (SAIL)", {"head": "gated", "hidden": 512}),
        ("residual MLP, 3 blocks", {"blocks": 3}),
        ("residual MLP, width 128", {"hidden": 128}),
        ("residual MLP, width 512", {"hidden": 512}),
    ],
    "batch": [("128", {"batch": 128}), ("2048", {"batch": 2048})],
    "learning rate": [("1e-3", {"rate": 1e-3}), ("1e-2", {"rate": 1e-2})],
    "captions an image": [("1", {"captions": 1}), ("4", {"captions": 4})],
    "temperature": [(".02", {"temperature": 0.02}), (".1", {"temperature": 0.1})],
    "averaging": [
        ("none", {"average": "none"}),
        ("mean of the last 5 epochs", {"average": "epochs", "averaged": 5}),
    ],
    "epochs": [("4", {"epochs": 4}), ("24", {"epochs": 24})],
}


def measured(projector: Projector, held: Batch) -> dict[str, float]:
    """R@1 in both directions on the evaluation store with all captions, and its ratio to the teacher's."""
    ours = score_pairs(projector, held)
    teacher = recall(held.targets, held.texts, held.owners)
    for way in ("image_to_text", "text_to_image"):
        ours[f"{way}_share"] = ours[f"{way}_R@1"] / teacher[way]["R@1"]
    return ours


def run(name: str, value: str, recipe: Recipe, stores: tuple[FeatureStore, FeatureStore], held: Batch, **how) -> dict:
    begun = time.monotonic()
    projector, history = fit_projector(*stores, recipe=recipe, **how)
    chosen = max(history, key=lambda row: row["image_to_text_R@1"] + row["text_to_image_R@1"])
    row = {
        "what": name,
        "value": value,
        "recipe": asdict(recipe),
        "parameters": sum(weights.numel() for weights in projector.pooled_head.parameters()),
        "epoch": chosen["epoch"],
        "held_out": {key: chosen[key] for key in ("image_to_text_R@1", "text_to_image_R@1", "cosine") if key in chosen},
        "measured": measured(projector, held),
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(name, value, {key: round(figure, 4) for key, figure in row["measured"].items()}, row["seconds"], flush=True)
    return row


def trained(what: str, folder: Path, held: Batch) -> dict:
    """The row of a projector that was trained before."""
    projector = Projector.find(folder)
    record = json.loads((folder / "training.json").read_text())
    history = [row for row in record["history"] if "stage" not in row]
    chosen = max(history, key=lambda row: row["image_to_text_R@1"] + row["text_to_image_R@1"])
    return {
        "what": what,
        "value": record["recipe"]["name"],
        "recipe": record["recipe"],
        "parameters": sum(weights.numel() for weights in projector.pooled_head.parameters()),
        "epoch": chosen["epoch"],
        "held_out": {key: chosen[key] for key in ("image_to_text_R@1", "text_to_image_R@1", "cosine")},
        "measured": measured(projector, held),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stores", type=Path, default=Path("runs/stores"))
    parser.add_argument("--out", type=Path, default=HERE / "ablation.json")
    parser.add_argument("--best", type=Path, help="folder of a projector trained by the recipe best")
    parser.add_argument("--published", type=Path, help="folder of a projector trained by the recipe dinov2-clip")
    parser.add_argument("--only", help="one group of rows, such as head")
    arguments = parser.parse_args()
    train = pick_stores(arguments.stores / "train", arguments.stores / "train")
    evaluation = pick_stores(arguments.stores / "eval3002", arguments.stores / "eval3002")
    held = Pairs(*evaluation, holdout=0).run(0, len(evaluation[0]))
    known = json.loads(arguments.out.read_text())["rows"] if arguments.out.is_file() else []
    rows = {(row["what"], row["value"]): row for row in known}

    def keep(row: dict) -> None:
        rows[row["what"], row["value"]] = row
        teacher = recall(held.targets, held.texts, held.owners)
        record = {"training": train[0].settings.source, "evaluation": evaluation[0].settings.source}
        record |= {"teacher": teacher, "threads": torch.get_num_threads(), "rows": list(rows.values())}
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")

    plan = [("base", "what every row below changes in one thing", BASE)]
    plan += [(group, value, replace(BASE, **changes)) for group, several in ROWS.items() for value, changes in several]
    for group, value, recipe in plan:
        done = rows.get((group, value))
        if arguments.only in (None, group) and not (done and done["recipe"] == asdict(recipe)):
            keep(run(group, value, recipe, train, held))
    if arguments.only in (None, "fine-tuning") and (arguments.stores / "other").is_dir():
        other = pick_stores(arguments.stores / "other", arguments.stores / "other")
        first, _ = fit_projector(*train, recipe=BASE)
        keep(run("fine-tuning", "another 8,000 images alone, random weights", BASE, other, held))
        gentle = replace(BASE, rate=1e-3)
        keep(run("fine-tuning", "another 8,000 images, from the base", gentle, other, held, init=first))
    for what, folder in (("best", arguments.best), ("published", arguments.published)):
        if folder:
            keep(trained(what, folder, held))


if __name__ == "__main__":
    main()
