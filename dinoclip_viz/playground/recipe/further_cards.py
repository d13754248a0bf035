"""Model cards of playground-siglip and playground-text, written from their own metrics."""

# ruff: noqa: E501 (the cards are Markdown, whose lines are long)

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground.photographs import PHOTOGRAPHS
from dinoclip_viz.playground.recipe.cards import facts

_HEAD = """---
license: apache-2.0
library_name: {library}
tags: [{tags}]
---
# {name}

{about}

## Training
{training}

## Evaluation
On held-out synthetic scenes (training seeds are below 1000), evaluated once. Reproduce with
`dinoclip playground measure --only {stage} --seed {seed} --count {count}`.

{table}
"""

SIGLIP = """`SiglipModel`, 2.0 M parameters: vision width 128, 6 layers, 4 heads, patch 8, 96 px, attention pooling; text width 128, 3
layers, 32 positions, with its own WordPiece tokenizer; joint space of 128 dimensions. The vision tower loads alone as
`SiglipVisionModel`. Trained on synthetic scenes only; photographs are out of distribution."""
SIGLIP_TRAINING = """Trained on scenes of world 2 and their captions with the sigmoid loss (Zhai et al. 2023; learnt temperature and bias, equal
captions count as positives) and a binary loss per caption word, on the image and, as multiple-instance learning, on the
patches through the attention pooling. The vision layers start from those of
`playground-clip` after 1,300 further steps on world 2. No masks, boxes or parts are used.
Backgrounds include photographs of scikit-image: {photographs}. Recipe: `dinoclip_viz/playground/recipe/siglip/`."""
TEXT = """`ModernBertModel`, 0.7 M parameters: width 128, 4 layers, 4 heads, mean pooling, unit length, with its own WordPiece
tokenizer, in the folder layout of sentence-transformers. It has met the captions of the playground only."""
TEXT_TRAINING = """Trained on captions alone, no images: words are masked and predicted, and pairs of captions of one scene, half of them a
first caption and its paraphrase, are matched by InfoNCE, equal texts excluded. Recipe: `dinoclip_viz/playground/recipe/text/`."""


def write_siglip_card(found: Mapping[str, Any], seed: int, count: int, machine: str) -> Path:
    """The card of playground-siglip from `measure_siglip`, next to its weights."""
    rows = {
        "zero-shot, 20 classes, bare names": found["zero_shot"]["top1_bare_names"],
        "zero-shot, 20 classes, templates": found["zero_shot"]["top1_templates"],
    } | {
        f"{way.replace('_', ' ')}, first caption, R@1 (oracle {100 * found['retrieval_ceiling']:.1f})": values["R@1"]
        for way, values in found["retrieval"].items()
    }
    training = SIGLIP_TRAINING.format(photographs="; ".join(f"{file} ({by})" for file, by in PHOTOGRAPHS.items()))
    return _write(
        "playground-siglip", "siglip", ("transformers", "siglip"), (SIGLIP, training), rows, seed, count, machine
    )


def write_text_card(found: Mapping[str, Any], seed: int, count: int, machine: str) -> Path:
    """The card of playground-text from `measure_text`, next to its weights."""
    rows = {
        f"paraphrase to first caption, R@1 among {count} (oracle {100 * found['ceiling']:.1f})": found["R@1"],
        "the same by a bag of words (TF-IDF)": found["bag_of_words_R@1"],
    }
    tags = ("sentence-transformers", "sentence-similarity")
    return _write("playground-text", "text", tags, (TEXT, TEXT_TRAINING), rows, seed, count, machine)


def _write(
    name: str, stage: str, tags: tuple[str, str], texts: tuple[str, str], rows: Mapping[str, float], seed: int,
    count: int, machine: str,
) -> Path:  # fmt: skip
    folder = PLAYGROUND / name
    table = "\n".join(["| % | |", "|---|---|", *(f"| {row} | {100 * value:.1f} |" for row, value in rows.items())])
    training = f"{texts[1]}\n{facts(folder / 'training.json', machine)}"
    card = _HEAD.format(
        library=tags[0], tags=tags[1], name=name, about=texts[0], training=training, stage=stage, seed=seed, count=count,
        table=table,
    )  # fmt: skip
    path = folder / "README.md"
    path.write_text(card, encoding="utf-8")
    return path
