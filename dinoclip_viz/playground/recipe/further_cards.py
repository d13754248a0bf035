"""Model cards of playground-siglip, -text, -paligemma and -masks, written from their own metrics."""

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
PALIGEMMA = """`PaliGemmaForConditionalGeneration`, 3.1 M parameters: the vision tower of `playground-siglip` (96 px, 144 tokens), one linear
layer, and a Gemma 2 of four blocks, width 192, with its own tokenizer: one token per word of the playground, 1,024 locations and 128
mask codes (`playground-masks`). It knows no other words and has met synthetic scenes only."""
PALIGEMMA_TRAINING = """Trained on questions about scenes of both worlds with known answers: captions, colours, numbers, classes, positions, backgrounds,
yes and no, detection of classes that are there and that are not, referring expressions, masks. Several questions share one image
in a sequence; each attends to the image and itself alone. Locations are learnt in steps of 2 pixels with soft targets. The vision
tower is trained at a tenth of the rate. Recipe: `dinoclip_viz/playground/recipe/paligemma/`."""
MASKS = """PaliGemma's mask codec at half its width: a vector-quantised autoencoder between 64 x 64 pixels within an object's box and 16
codes out of 128 (Ning et al. 2023). Both directions."""
MASKS_TRAINING = """Trained on the masks of objects of synthetic scenes with a binary loss, and a codebook of moving averages.
Recipe: `dinoclip_viz/playground/recipe/paligemma/masks.py`."""


def write_paligemma_cards(found: Mapping[str, Any], seed: int, count: int, machine: str) -> list[Path]:
    """The cards of playground-paligemma and playground-masks from `measure_paligemma`, next to their weights."""
    detection, blank = found["detection"], found["without_image"]
    rows = {
        "caption: F1 of class words": found["caption"]["f1"],
        "caption: colours right of the objects named": found["caption"]["colours_right"],
        "detection: recall at IoU .5 of classes that are there": detection["recall"],
        "the same without the image": blank["detection"]["recall"],
        "detection: nothing returned for a class that is not there": detection["refused"],
        f"referring expressions, IoU .5 (chance {100 * found['referring']['chance']:.1f})": found["referring"][
            "accuracy"
        ],
        "segmentation: mean IoU, objects that are the only ones of their class": found["segmentation"]["alone_iou"],
        "segmentation: mean IoU, all objects": found["segmentation"]["mean_iou"],
    } | {
        f"answers, {kind} (most frequent answer {100 * score['frequent_accuracy']:.1f}; without the image "
        f"{100 * blank['answers'][kind]:.1f})": score["accuracy"]
        for kind, score in found["answers"].items()
    }
    tags = ("transformers", "paligemma")
    texts = (PALIGEMMA, PALIGEMMA_TRAINING)
    whole = _write("playground-paligemma", "paligemma", tags, texts, rows, seed, count, machine)
    masks = {"mean IoU of masks decoded from their 16 codes": found["masks"]["mean_iou"]}
    return [
        whole,
        _write(
            "playground-masks", "paligemma", ("dinoclip-viz", "vq-vae"), (MASKS, MASKS_TRAINING), masks, seed, count, machine
        ),
    ]  # fmt: skip


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
