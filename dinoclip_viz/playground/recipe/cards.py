"""The model cards beside the embedded weights, written from what `measure_all` found."""

# ruff: noqa: E501 (the cards are Markdown, whose lines are long)

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dinoclip_viz.encoders.catalog import PLAYGROUND

_HEAD = """---
license: apache-2.0
library_name: {library}
tags: [{tags}]
---
# {name}

{about}

It knows the drawn world of `dinoclip_viz.playground` alone: photographs are out of its world.

## Training
{training}

## Measured
On drawn scenes of seeds {seed} to {last} (training seeds are below 1000), {count} scenes a figure, {dense} for dense ones,
by `dinoclip playground measure --seed {seed} --count {count}`, once.

{table}
"""

_CLIP = """`CLIPModel`, 1.9 M parameters: vision width 128, 6 layers, 4 heads, patch 8, 96 px; text width 128, 3 layers, its own
byte-pair tokeniser; joint space of 128."""
_CLIP_TRAINING = """Drawn images and their captions: CLIP's loss, and a binary loss a word on the image and, as
multiple-instance learning, on the patches of MaskCLIP's value path; no mask, box or part. `dinoclip_viz/playground/recipe/clip.py`.

`dinoiser.safetensors`, float16, holds CLIP-DINOiser's two convolutions on the tokens of the fourth block, taught by
playground-dino on 1,200 scenes of seed 14 at 192 px (1,200 steps of 8; correlations of its values above .2, FOUND's background).
Patches mix from a similarity of .85, chosen on seeds 1601 to 1605. `dinoclip_viz/playground/recipe/words.py`."""
_DINO = "`Dinov2Model`, 1.2 M parameters: width 128, 6 layers, 4 heads, patch 8, 96 px."
_DINO_TRAINING = """Self-supervised, from images alone; **not DINOv2's own training**. Every layout is drawn in two looks; patches
and CLS tokens are matched across them (InfoNCE, SwAV clusters), shared edges are predicted (also where patches are masked
or dropped), CLS keeps colours and textures, what patches carry of their position is penalised. No label of any kind.
`dinoclip_viz/playground/recipe/dino.py`."""
_PROJECTOR = """Two residual MLPs from `playground-dino` into `playground-clip`'s space, float16: one for CLS and mean tokens together
(1.5 M parameters), one for patches (0.3 M)."""
_PROJECTOR_TRAINING = """Recipe `best` of `dinoclip_viz.training`, both encoders frozen, from feature stores that `dinoclip embed` writes.
The first head, on 36,000 scenes of seed 11 at 96 px: cosine to CLIP's vectors, and to stand to the captions as they do. The
second, on 2,500 scenes of seed 12 at 192 px: patches follow CLIP's own of the same place (MaskCLIP's value path), averaged over
the patches that DINO finds alike, by cosine and by how they stand to captions. `dinoclip_viz/playground/recipe/projectors.py`."""


_MAP = """A linear layer, tanh and a linear layer (33 k parameters) from `playground-clip`'s text vectors to `playground-dino`'s own patches:
heat maps native to DINO's grid."""
_MAP_TRAINING = """Talk2DINO's loss, both encoders frozen: 4,000 scenes of seed 14 at 192 px with their captions; an image is its patches
averaged by each head's attention of CLS, and scores as its best head. `dinoclip_viz/playground/recipe/words.py`.
DINO's patches hold less of the class than CLIP's do (a linear layer with labels: see `dinoclip evaluate frozen`), which bounds it."""


_WORDS = {
    "miou": "mIoU of the objects' pixels",
    "accuracy": "accuracy of the objects' pixels",
    "miou_with_background": "mIoU with the background as a class",
}


def write_cards(figures: Mapping[str, Any], machine: str) -> list[Path]:
    """README.md beside each embedded model.

    Args:
        figures: what `measure_all` returned.
        machine: where the models were trained, in words.
    """
    probes, dense, foreground = (figures[k] for k in ("probes", "segmentation_192px", "pca_foreground_192px"))
    shared = {
        "k-NN class, k 20 (`pooled`)": {n: p["knn_class"] for n, p in probes.items()},
        "linear class (`pooled` and `mean`)": {n: p["linear_class"] for n, p in probes.items()},
        "linear colour, 11": {n: p["linear_colour"] for n, p in probes.items()},
        "linear background, 8": {n: p["linear_background"] for n, p in probes.items()},
        "linear segmentation at 192 px, foreground mIoU": {n: p["foreground_miou"] for n, p in dense.items()},
        "linear segmentation at 192 px, class mIoU": {n: p["class_miou"] for n, p in dense.items()},
        "linear segmentation at 192 px, part mIoU": {n: p["part_miou"] for n, p in dense.items()},
        "PatchPCA foreground at 192 px, IoU": {n: p["iou"] for n, p in foreground.items()},
        "PatchPCA foreground at 192 px, right polarity": {n: p["right_polarity"] for n, p in foreground.items()},
    }
    texts: dict[str, dict[str, float]] = {}
    for model in ("playground-clip", "playground"):
        for name, value in figures["zero_shot"][model].items():
            texts.setdefault(f"zero-shot, 20 classes, {name}", {})[model] = value
        for way, values in figures["retrieval"][model].items():
            row = f"{way.replace('_', ' ')}, caption 0, R@1 (oracle {100 * figures['retrieval_ceiling']:.1f})"
            texts.setdefault(row, {})[model] = values["R@1"]
    words = figures["words_192px"].items()
    pointing = {
        f"heat maps of the 20 names against the masks, 192px, {told}": {method: value[name] for method, value in words}
        for name, told in _WORDS.items()
    } | {
        f"hottest pixel on the object, {size} (chance {100 * figures[f'pointing_{size}']['chance']['hit']:.1f})": {
            method: value["hit"]
            for method, value in figures[f"pointing_{size}"].items()
            if method not in ("chance", "default")
        }
        for size in ("96px", "192px")
    }
    cards = {
        "playground-clip": ("transformers", "clip", _CLIP, _CLIP_TRAINING, [texts, pointing, shared]),
        "playground-dino": ("transformers", "dinov2", _DINO, _DINO_TRAINING, [shared]),
        "playground-projector": ("dinoclip_viz", "dinov2, clip", _PROJECTOR, _PROJECTOR_TRAINING, [texts, pointing]),
        "playground-text-to-dino": ("dinoclip_viz", "dinov2, clip", _MAP, _MAP_TRAINING, [pointing]),
    }
    written = []
    for name, (library, tags, about, training, tables) in cards.items():
        seed, count = figures["seed"], figures["count"]
        facts = _facts(PLAYGROUND / name / "training.json", machine)
        card = _HEAD.format(
            library=library, tags=tags, name=name, about=about, training=f"{training}\n{facts}", seed=seed,
            last=seed + 5, count=count, dense=count // 5, table="\n\n".join(_table(rows) for rows in tables),
        )  # fmt: skip
        path = PLAYGROUND / name / "README.md"
        path.write_text(card)
        written.append(path)
    return written


def _facts(file: Path, machine: str) -> str:
    """Seed and time of a training, where they were written beside the weights."""
    if not file.is_file():
        return ""
    record = json.loads(file.read_text())
    minutes = f"{record['minutes']} minutes" if "minutes" in record else "half an hour"
    return f"Seed {record['recipe']['seed']}, {minutes} on {machine}."


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table of percentages, one column a model or method."""
    columns = list(dict.fromkeys(name for values in rows.values() for name in values))
    lines = ["| % | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row, values in rows.items():
        cells = [f"{100 * values[name]:.1f}" if name in values else "" for name in columns]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
