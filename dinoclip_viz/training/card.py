"""The model cards beside trained projectors and CLIP-DINOiser's layers, written from their records."""

from __future__ import annotations

import json
from pathlib import Path

_CARD = """---
license: apache-2.0
library_name: dinoclip_viz
tags: [{tags}]
---
# A projector from {image} to {text}

Carries the features of `{image}` ({inputs}) into the space of `{text}`'s texts, both frozen: a `{head}` head.
`dinoclip_viz.load_model("this folder")` makes an image-text model of it.

## Training

Recipe `{recipe}` on {images} images of `{source}` at {size} px; epoch {best} of {epochs} was kept. All settings are
in `training.json`, the course of the training in `learning_curve.png`.

## Measured on held-out images of the same source

{table}
"""

_DINOISER_CARD = """---
license: apache-2.0
library_name: dinoclip_viz
tags: [image-segmentation, open-vocabulary-segmentation]
---
# CLIP-DINOiser's layers for {clip}

Two convolutions on the third-last block of `{clip}`, taught by `{guide}`, both frozen: which patches are alike, and
which belong to an object. At inference there is one pass of the CLIP and no DINO.
`dinoclip_viz.load_model("{clip}", dinoiser="this folder/{head}")` serves the heat-map method "dinoiser".

## Training

{steps} steps of {batch} images of `{source}` ({images} images, {held} of them held out) at {size} px; round
{best} of {rounds} was kept. All settings are in `{run}`, the course of the training in `learning_curve.png`.

## Measured on held-out images of the same source

{table}
"""


def save_card(folder: Path) -> Path:
    """README.md of the projector in a folder, from its config.json and training.json.

    Raises:
        ValueError: a file is missing or not as training leaves it.
    """
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        epochs = [row for row in record["history"] if "stage" not in row]
        best = max(epochs, key=lambda row: sum(value for name, value in row.items() if name.endswith("_R@1")))
        card = _CARD.format(
            tags=", ".join(sorted({"image-text-retrieval", settings["image_encoder"].split("/")[-1]})),
            image=settings["image_encoder"],
            text=settings["text_encoder"],
            inputs=settings["inputs"],
            head=settings["head"],
            recipe=record["recipe"]["name"],
            images=record["images"],
            source=record["stores"]["images"]["source"],
            size=record["stores"]["images"]["size"],
            best=int(best["epoch"]),
            epochs=len(epochs),
            table=_table(best),
        )
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{folder} holds no record of a training ({error}); expected training.json") from error
    file = folder / "README.md"
    file.write_text(card, encoding="utf-8")
    return file


def save_dinoiser_card(folder: Path, source: str) -> Path:
    """README.md of CLIP-DINOiser's layers in a folder, from what `fit_dinoiser` left there.

    Args:
        folder: of the run.
        source: of its images, by name.

    Raises:
        ValueError: a file is missing or not as training leaves it.
    """
    from dinoclip_viz.training.claim import RUN
    from dinoclip_viz.training.dinoiser import HEAD

    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
        history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
        best = min(history, key=lambda row: row["held_loss"])
        names = ("clip", "guide", "steps", "batch", "images", "held", "size")
        known = {name: run[name] for name in names}
        known |= {"head": HEAD, "run": RUN, "source": source, "best": int(best["epoch"]), "rounds": len(history)}
        card = _DINOISER_CARD.format(**known, table=_table(best))
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{folder} holds no record of a training ({error}); expected {RUN}, history.json") from error
    file = folder / "README.md"
    file.write_text(card, encoding="utf-8")
    return file


def _table(best: dict[str, float]) -> str:
    rows = [(name.replace("_", " "), value) for name, value in best.items() if name not in ("epoch", "loss", "rate")]
    return "\n".join(["| figure | value |", "|---|---|", *(f"| {name} | {value:.4f} |" for name, value in rows)])
