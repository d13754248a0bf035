"""The tokenizer and processor of playground-paligemma: one token per word, location and mask tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from dinoclip_viz.playground.questions import RELATIONS, Facts, questions
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.vocabulary import BACKGROUNDS, CLASSES, COLOURS, plural

if TYPE_CHECKING:
    from transformers import PaliGemmaProcessor

SAMPLE = 4000
"""Scenes whose questions the words are taken from."""

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


def words_of(facts: Iterable[Facts], seed: int) -> list[str]:
    """The words of the questions about scenes, and all classes, colours, numbers and relations, sorted."""
    texts = [
        *CLASSES,
        *map(plural, CLASSES),
        *COLOURS,
        *BACKGROUNDS,
        *RELATIONS,
        *map(str, range(10)),
        "big small ; , . ?",
    ]
    for number, one in enumerate(facts):
        for asked in questions(one, Chance(np.random.default_rng([seed, number]))):
            texts += [asked.prompt, asked.answer, "segment"]
    return sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text.lower())})


def make_processor(words: Iterable[str], side: int, patches: int) -> PaliGemmaProcessor:
    """The processor of a model with images of `side` pixels and a number of patches.

    Words are lower-cased and split from punctuation; unknown ones become <unk>.
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PaliGemmaProcessor, PreTrainedTokenizerFast
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.normalizer, raw.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.add_tokens([AddedToken("\n", normalized=False)])  # the end of a prompt, which the splitting would drop
    images = SiglipImageProcessorPil(size={"height": side, "width": side}, do_convert_rgb=True)
    images.image_seq_length = patches
    return PaliGemmaProcessor(images, tokenizer)
