"""Recipe of playground-affordance: OOAL's head, trained on one scene of one object per class."""

# ruff: noqa: E501 (the card is Markdown, whose lines are long)

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dinoclip_viz.affordance.example import AffordanceExample
from dinoclip_viz.affordance.fitting import AffordanceRecipe, fit_affordance
from dinoclip_viz.affordance.model import AffordanceModel
from dinoclip_viz.affordance.views import ViewSettings
from dinoclip_viz.data.affordances.drawn import EXAMPLE_SEED, DrawnAffordances
from dinoclip_viz.encoders import load_encoder, load_text_encoder
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground.recipe.projectors import CLIP, DINO, called, named
from dinoclip_viz.playground.vocabulary import CLASSES

NAME = "playground-affordance"
DRAW = 4
"""Draw of the examples: of 0 to 5 the one with the highest NSS on 40 scenes of seed 1500."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrawnAffordanceRecipe:
    """Settings of the training.

    Attributes:
        draw: of the examples, whose seed is 700 and more.
        seed: of everything else that is random.
        fitting: of the head, selected on seed 1500.
    """

    draw: int = DRAW
    seed: int = DRAW
    fitting: AffordanceRecipe = field(
        default_factory=lambda: AffordanceRecipe(steps=400, size=288, views=ViewSettings(size=192))
    )


def train_affordance(
    folder: Path, recipe: DrawnAffordanceRecipe, encoders: tuple[Path, Path] | None = None, device: str = "cpu"
) -> Path:
    """Train the model and return the folder of its weights; a finished one is kept.

    Args:
        folder: for the trained weights.
        recipe: settings.
        encoders: folders of the CLIP, whose text side is used, and of the DINO; by default the embedded ones.
        device: to train on.
    """
    target = folder / "model"
    if (target / "training.json").is_file():
        return target
    clip, dino = (str(path) for path in encoders) if encoders else (CLIP, DINO)
    begun = time.monotonic()
    model = fit_drawn(
        recipe, named(load_encoder(dino, device, "float32"), DINO),
        called(load_text_encoder(clip, device, "float32"), CLIP),
    )  # fmt: skip
    model.save(target)
    minutes = round((time.monotonic() - begun) / 60, 1)
    record = {"recipe": {**asdict(recipe), "seed": EXAMPLE_SEED + recipe.draw}, "minutes": minutes}
    (target / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    return target


def fit_drawn(
    recipe: DrawnAffordanceRecipe, images: ImageEncoder | str = DINO, texts: TextEncoder | str = CLIP,
    classes: Sequence[str] = CLASSES, verbs: Sequence[str] | None = None,
) -> AffordanceModel:  # fmt: skip
    """A model trained on one scene per class.

    Args:
        recipe: settings.
        images: the image encoder.
        texts: the text encoder.
        classes: that have an example; others are left for the test.
        verbs: that are annotated; None for all.
    """
    examples = [
        AffordanceExample(
            one.image, {verb: mask for verb, mask in one.targets.items() if verbs is None or verb in verbs}, one.name
        )
        for one in DrawnAffordances().examples(recipe.draw, classes)
    ]

    def passed(step: int, steps: int, loss: float) -> None:
        if step % 100 == 0:
            log.info("step %d of %d, loss %.4f", step, steps, loss)

    return fit_affordance(examples, images, texts, "ooal", None, recipe.seed, passed, recipe.fitting)


CARD = """---
license: apache-2.0
library_name: dinoclip_viz
tags: [affordance, image-segmentation, one-shot]
---
# {name}

Which part of an object answers a verb: OOAL's head (Li et al., CVPR 2024) between the last three layers of `playground-dino`
and the texts of `playground-clip`, both frozen. {parameters:,} parameters, float16. `dv.load_affordance()` loads it, `dinoclip
afford IMAGE --verb cut --out FILE` draws its maps. Trained on synthetic scenes only; photographs are out of distribution.

## Training
**One** scene of one object per class, 20 in all (seed {seed}, the first of each class that shows all parts that afford an
action), with the masks of {verbs} actions: {count} views of each (crops, flips, other colours, mosaics) at {view} px, {steps} steps of
{batch}, the last of which is kept. On 40 scenes of seed 1500 the settings were selected, and the draw of the examples among six,
as figures depend on it. {minutes} minutes on {machine}. Recipe: `dinoclip_viz/playground/recipe/affordance.py`.

## Evaluation
On {scenes} held-out scenes at 192 px (seed {tested}), {maps} pairs of a scene and an action that it affords, evaluated once:
`python -m tests.benchmarks.affordance`. KLD, SIM and NSS are those of AGD20K; AP is the average precision of the pixels; mIoU
counts pixels above half of a map's range. Mean +- standard deviation where there are several draws of the examples.

{table}

"Mask of the object" is the ground-truth mask of the whole objects that afford the action. Heat maps have the verb alone as
prompt.
"""

_COLUMNS = (("kld", "KLD", 1), ("sim", "SIM", 1), ("nss", "NSS", 1), ("ap", "AP %", 100), ("miou", "mIoU %", 100))


def card(figures: Mapping[str, Any], machine: str) -> str:
    """The model card, as Markdown.

    Args:
        figures: of `python -m tests.benchmarks.affordance`.
        machine: description of the hardware of the training.
    """
    record = json.loads((PLAYGROUND / NAME / "training.json").read_text())
    recipe, fitting = record["recipe"], record["recipe"]["fitting"]
    return CARD.format(
        name=NAME, parameters=figures["parameters"], seed=recipe["seed"], verbs=figures["verbs"],
        count=fitting["views"]["count"], view=fitting["views"]["size"], steps=fitting["steps"], batch=fitting["batch"],
        minutes=record["minutes"], machine=machine, scenes=figures["scenes"], tested=figures["seed"],
        maps=figures["maps"], table=figures_table(figures["tables"]),
    )  # fmt: skip


def figures_table(tables: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown tables of figures.

    Args:
        tables: title -> method -> figures, with NAME_sd for a standard deviation.
    """
    lines = []
    for title, methods in tables.items():
        lines += [f"**{title}**", "", "| | " + " | ".join(name for _, name, _ in _COLUMNS) + " |", "|---" * 6 + "|"]
        for method, row in methods.items():
            lines.append(f"| {method} | " + " | ".join(_cell(row, key, scale) for key, _, scale in _COLUMNS) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _cell(row: Mapping[str, float], key: str, scale: int) -> str:
    if key not in row:
        return ""
    digits = 2 if scale == 1 else 1
    spread = row.get(f"{key}_sd")
    more = f" +- {scale * spread:.{digits}f}" if spread is not None else ""
    return f"{scale * row[key]:.{digits}f}{more}"
