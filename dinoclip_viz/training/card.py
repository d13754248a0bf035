"""Model cards of trained projectors and of CLIP-DINOiser's layers, written from the records of their training."""

from __future__ import annotations

import json
from pathlib import Path

from dinoclip_viz.disk import write_text

_CARD = """---
license: apache-2.0
library_name: dinoclip_viz
tags: [{tags}]
---
# A projector from {image} to {text}

Maps features of `{image}` (`{inputs}`) to the text space of `{text}`; both encoders are frozen. Head: `{head}`.
Load it as an image-text model with `dinoclip_viz.load_model("path/to/this/folder")`.

## Training

Recipe `{recipe}` on {images} images of `{source}` at {size} px; the weights are those of epoch {best} of {epochs}.
The features of `{image}` were computed in {image_dtype}, those of `{text}` in {text_dtype}; the training ran on
{device}, {dtype}. `training.json` holds all settings and the history, `learning_curve.png` the learning curve.

## Evaluation on held-out images of the same source

{table}
"""

_PAIR_CARD = """---
license: apache-2.0
library_name: dinoclip_viz
tags: [{tags}]
---
# An image-text model of {image} and {text}

Maps images of `{image}` (`{inputs}`) and texts of `{text}` to a space of their own; both encoders are frozen. Heads:
`{head}` and, on the text side, `{text_head}` of the text's {text_inputs}. Load it as an image-text model with
`dinoclip_viz.load_model("path/to/this/folder")`; prompts in a file templates.json replace those of the text encoder.

## Training

Recipe `{recipe}` on {images} images of `{source}` at {size} px; the weights are those of epoch {best} of {epochs}.
The features of `{image}` were computed in {image_dtype}, those of `{text}` in {text_dtype}; the training ran on
{device}, {dtype}. `training.json` holds all settings and the history.

## Evaluation on held-out images of the same source

{table}
"""

_DINOISER_CARD = """---
license: apache-2.0
library_name: dinoclip_viz
tags: [image-segmentation, open-vocabulary-segmentation]
---
# CLIP-DINOiser's layers for {clip}

Two convolutions on the third-last block of `{clip}`, distilled from `{guide}`; both encoders are frozen. They predict
which patches are similar and which belong to an object. Inference takes one forward pass of the CLIP and no DINO.
`dinoclip_viz.load_model("{clip}", dinoiser="path/to/this/folder/{head}")` adds the heat-map method "dinoiser".

## Training

{steps} steps of {batch} images of `{source}` ({images} images, {held} of them held out) at {size} px; the weights are
those of round {best} of {rounds}. Both encoders computed in {dtype}. `{run}` holds all settings, `learning_curve.png`
the learning curve.

## Evaluation on held-out images of the same source

{table}
"""


def save_card(folder: Path) -> Path:
    """Path of the README.md written for a projector, from its config.json and training.json.

    Args:
        folder: of the projector.

    Raises:
        ValueError: a file is missing or lacks a field.
    """
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        epochs = [row for row in record["history"] if "stage" not in row]
        best = max(epochs, key=lambda row: sum(value for name, value in row.items() if name.endswith("_R@1")))
        card = (_PAIR_CARD if settings.get("side") == "both" else _CARD).format(
            tags=", ".join(sorted({"image-text-retrieval", settings["image_encoder"].split("/")[-1]})),
            image=settings["image_encoder"],
            text=settings["text_encoder"],
            inputs=settings["inputs"],
            head=settings["head"],
            text_head=settings.get("text_head", ""),
            text_inputs={"tokens": "token vectors"}.get(settings.get("text_inputs", ""), "pooled vector"),
            recipe=record["recipe"]["name"],
            images=record["images"],
            source=record["stores"]["images"]["source"],
            size=record["stores"]["images"]["size"],
            best=int(best["epoch"]),
            epochs=len(epochs),
            table=_table(best),
            image_dtype=record["stores"]["images"]["dtype"] or "an unknown dtype",
            text_dtype=record["stores"]["targets"]["dtype"] or "an unknown dtype",
            device=record["device"],
            dtype=record["dtype"],
        )
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"{folder} holds no record of a training ({error}); expected config.json and training.json"
        ) from error
    file = folder / "README.md"
    write_text(file, card)
    return file


def save_dinoiser_card(folder: Path, source: str) -> Path:
    """Path of the README.md written for CLIP-DINOiser's layers, from the files that `fit_dinoiser` saved.

    Args:
        folder: of the run.
        source: name of the source of the training images.

    Raises:
        ValueError: a file is missing or lacks a field.
    """
    from dinoclip_viz.training.claim import RUN
    from dinoclip_viz.training.dinoiser import HEAD

    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
        history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
        best = min(history, key=lambda row: row["held_loss"])
        names = ("clip", "guide", "steps", "batch", "images", "held", "size", "dtype")
        known = {name: run[name] for name in names}
        known |= {"head": HEAD, "run": RUN, "source": source, "best": int(best["epoch"]), "rounds": len(history)}
        card = _DINOISER_CARD.format(**known, table=_table(best))
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"{folder} holds no record of a training ({error}); expected {RUN} and history.json"
        ) from error
    file = folder / "README.md"
    write_text(file, card)
    return file


def _table(best: dict[str, float]) -> str:
    rows = [(name.replace("_", " "), value) for name, value in best.items() if name not in ("epoch", "loss", "rate")]
    return "\n".join(["| metric | value |", "|---|---|", *(f"| {name} | {value:.4f} |" for name, value in rows)])
