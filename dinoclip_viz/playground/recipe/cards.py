"""Model cards of the embedded weights, written from the metrics of `measure_all`."""

# ruff: noqa: E501 (the cards are Markdown, whose lines are long)

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground.photographs import PHOTOGRAPHS

_HEAD = """---
license: apache-2.0
library_name: {library}
tags: [{tags}]
---
# {name}

{about}

Trained on synthetic scenes of `dinoclip_viz.playground` only; photographs are out of distribution.

## Training
{training}

## Evaluation
On held-out synthetic scenes (seeds {seed} to {last}; training seeds are below 1000): {count} scenes per metric, {dense} for dense
metrics, evaluated once. Reproduce with `dinoclip playground measure --seed {seed} --count {count}`.

{table}
"""

_CLIP = """`CLIPModel`, 1.9 M parameters: vision width 128, 6 layers, 4 heads, patch 8, 96 px; text width 128, 3 layers, with its own
byte-pair tokenizer; joint space of 128 dimensions."""
_CLIP_TRAINING = """Trained on synthetic scenes and their captions with CLIP's loss and a binary loss per caption word, on the image and, as
multiple-instance learning, on the patches of MaskCLIP's value path; no masks, boxes or parts. First on world 1, then for 1,300
steps on world 2, whose captions mention actions and whose backgrounds and fills include photographs of scikit-image
({photographs}). Recipe: `dinoclip_viz/playground/recipe/clip/`.

`dinoiser.safetensors`, float16, holds CLIP-DINOiser's two convolutions on the tokens of the fourth block, distilled from
playground-dino on 1,200 scenes of seed 14 at 192 px (1,200 steps of 8; correlations of its values above 0.2, FOUND's background).
The similarity threshold for pooling, 0.85, was selected on seeds 1601 to 1605. Recipe: `dinoclip_viz/playground/recipe/words.py`."""
_DINO = "`Dinov2Model`, 1.2 M parameters: width 128, 6 layers, 4 heads, patch 8, 96 px."
_DINO_TRAINING = """Self-supervised on images only; **not DINOv2's training**. Every layout is rendered in two looks. Patches and CLS
tokens are matched across them (InfoNCE, SwAV clusters), patches off the edges are drawn together, common edges are predicted
(also at masked patches), CLS and the mean predict colours and textures linearly, and position information in the patches is
penalised. No labels are used.

Runs on one core, each from the weights of the one before: 84 minutes on world 1; then on world 2, whose backgrounds and
fills include photographs of scikit-image ({photographs}), 1,100 steps of 96 with colours predicted from CLS alone (seed 2, 77
minutes, 10 % of the pairs crops of these photographs), 1,160 steps with the present prediction of colours (49 minutes), and
840 steps with the patches off the edges drawn together (240, 240 and 360, seeds 41 to 43, 42 minutes; rate 1e-3, `look_weight` 0.6
and in the last run 0.8, no pairs of one look; the second run without the coarse edges; each with the heads of the one before).
`dinoclip playground train --only dino` is one run from random weights, with `--continue` one like the last. Recipe: `dinoclip_viz/playground/recipe/dino/`. The last run:"""
_PROJECTOR = """Two residual MLPs from `playground-dino` into `playground-clip`'s space, float16: one for CLS and mean tokens together
(1.5 M parameters), one for patches (0.3 M)."""
_PROJECTOR_TRAINING = """Recipe `best` of `dinoclip_viz.training`, both encoders frozen, from feature stores that `dinoclip embed` writes.
The first head is trained on 36,000 scenes of seed 11 at 96 px, with the cosine to CLIP's vectors and their relation to captions.
The second is trained on 2,500 scenes of seed 12 at 192 px, with the cosine of patches to CLIP's patches at the same positions
(MaskCLIP's value path), averaged over patches that DINO finds similar, and their relation to captions. Recipe:
`dinoclip_viz/playground/recipe/projectors.py`."""


_MAP = """A linear layer, tanh and a linear layer (33 k parameters) from `playground-clip`'s text vectors to `playground-dino`'s patch
space, for heat maps on DINO's patches."""
_MAP_TRAINING = """Trained with Talk2DINO's loss, both encoders frozen, on 4,000 scenes of seed 14 at 192 px with their captions. An image is
represented by its patches averaged by the CLS attention of each head, and scored by its best head. Recipe:
`dinoclip_viz/playground/recipe/words.py`.
Accuracy is bounded by DINO's patches, which encode the class less well than CLIP's (linear probes: `dinoclip evaluate frozen`)."""


_TEXTURES = "; ".join(f"{file} ({by})" for file, by in PHOTOGRAPHS.items())
_CLIP_TRAINING, _DINO_TRAINING = (text.replace("{photographs}", _TEXTURES) for text in (_CLIP_TRAINING, _DINO_TRAINING))

_WORDS = {
    "miou": "mIoU without background",
    "accuracy": "pixel accuracy without background",
    "miou_with_background": "mIoU with background",
}


def write_cards(figures: Mapping[str, Any], machine: str) -> list[Path]:
    """Paths of the README.md files written next to the embedded models.

    Args:
        figures: the metrics of `measure_all`.
        machine: description of the hardware of the training.
    """
    probes, dense, foreground = (figures[k] for k in ("probes", "segmentation_192px", "pca_foreground_192px"))
    shared = {
        "k-NN class, k 20 (`pooled`)": {n: p["knn_class"] for n, p in probes.items()},
        "linear class (`pooled` and `mean`)": {n: p["linear_class"] for n, p in probes.items()},
        "linear colour, 11 classes": {n: p["linear_colour"] for n, p in probes.items()},
        "linear background, 8 classes": {n: p["linear_background"] for n, p in probes.items()},
        "linear segmentation at 192 px, foreground mIoU": {n: p["foreground_miou"] for n, p in dense.items()},
        "linear segmentation at 192 px, class mIoU": {n: p["class_miou"] for n, p in dense.items()},
        "linear segmentation at 192 px, part mIoU": {n: p["part_miou"] for n, p in dense.items()},
        "PatchPCA foreground at 192 px, IoU": {n: p["iou"] for n, p in foreground.items()},
        "PatchPCA foreground at 192 px, correct polarity": {n: p["right_polarity"] for n, p in foreground.items()},
    }
    texts: dict[str, dict[str, float]] = {}
    for model in ("playground-clip", "playground"):
        for name, value in figures["zero_shot"][model].items():
            texts.setdefault(f"zero-shot, 20 classes, {name.replace('_', ' ')}", {})[model] = value
        for way, values in figures["retrieval"][model].items():
            row = f"{way.replace('_', ' ')}, first caption, R@1 (oracle {100 * figures['retrieval_ceiling']:.1f})"
            texts.setdefault(row, {})[model] = values["R@1"]
    words = figures["words_192px"].items()
    pointing = {
        f"segmentation by heat maps of the 20 names at 192 px, {metric}": {
            method: value[name] for method, value in words
        }
        for name, metric in _WORDS.items()
    } | {
        f"pointing accuracy at {size.replace('px', ' px')} (chance {100 * figures[f'pointing_{size}']['chance']['hit']:.1f})": {
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
        told = facts(PLAYGROUND / name / "training.json", machine)
        card = _HEAD.format(
            library=library, tags=tags, name=name, about=about, training=f"{training}\n{told}", seed=seed,
            last=seed + 5, count=count, dense=count // 5, table="\n\n".join(_table(rows) for rows in tables),
        )  # fmt: skip
        path = PLAYGROUND / name / "README.md"
        path.write_text(card)
        written.append(path)
    return written


def facts(file: Path, machine: str) -> str:
    """Seed and duration of a training, if recorded next to the weights."""
    if not file.is_file():
        return ""
    record = json.loads(file.read_text())
    runs = [*record.get("before", []), record]
    if len(runs) > 1:
        several = [f"{run['steps']:,} steps with seed {_run(run)}" for run in runs]
        return f"{', continued by '.join(several)}, on {machine}; `--continue` is one run like the last."
    return f"Seed {_run(record)} on {machine}."


def _run(record: Mapping[str, Any]) -> str:
    """Seed and duration of one run."""
    minutes = f"{record['minutes']} minutes" if "minutes" in record else "half an hour"
    return f"{record['recipe']['seed']}, {minutes}"


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table of percentages, one column per model or method."""
    columns = list(dict.fromkeys(name for values in rows.values() for name in values))
    lines = ["| % | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row, values in rows.items():
        cells = [f"{100 * values[name]:.1f}" if name in values else "" for name in columns]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
