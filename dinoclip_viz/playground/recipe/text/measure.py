"""Evaluation of playground-text: paraphrases of held-out scenes, next to a bag of words."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.encoders import load_text_encoder
from dinoclip_viz.encoders.base import TextEncoder
from dinoclip_viz.playground.world import sample, words

NAME = "playground-text"

_TIE = 1e-6


def measure_text(
    encoder: str | TextEncoder = NAME, seed: int = 3000, count: int = 1000, device: str = "auto"
) -> dict[str, float]:
    """R@1 of paraphrases: the first caption of the same scene is found among those of `count` scenes.

    Args:
        encoder: text encoder or its name.
        seed: of the scenes, 1000 or more; the model was trained on seeds below.
        count: number of scenes, 50 or more.
        device: as in `load_encoder`.

    Returns:
        "R@1" of the encoder, "bag_of_words_R@1" of TF-IDF cosines on the same texts, and "ceiling", the R@1 of an
        oracle: scenes with equal first captions are indistinguishable. Fractions, 0 to 1.

    Raises:
        ValueError: a seed below 1000, or fewer than 50 scenes.
    """
    if seed < 1000:
        raise ValueError(f"seed is {seed}, which the model was trained on; expected 1000 or more")
    if count < 50:
        raise ValueError(f"count is {count}; expected 50 scenes or more")
    texts = load_text_encoder(encoder, device, "float32") if isinstance(encoder, str) else encoder
    captions, paraphrases = held_out(seed, count)
    bags = bags_of_words(captions, paraphrases)
    return {
        "R@1": first_hits(texts.encode(paraphrases).pooled, texts.encode(captions).pooled, captions),
        "bag_of_words_R@1": first_hits(*bags, captions),
        "ceiling": ceiling(captions),
    }


def held_out(seed: int, count: int) -> tuple[list[str], list[str]]:
    """First captions of the scenes of a seed, and their paraphrases."""
    every = []
    for index in range(count):
        layout, look = sample(seed, index)
        every.append(words(seed, index, layout, look, world=2))
    return [texts[0] for texts in every], [texts[-1] for texts in every]


def bags_of_words(captions: list[str], paraphrases: list[str]) -> tuple[Tensor, Tensor]:
    """TF-IDF vectors of paraphrases and captions (T, words), with frequencies from both."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    bag = TfidfVectorizer(token_pattern=r"\w+").fit([*captions, *paraphrases])
    queries, candidates = (
        torch.from_numpy(bag.transform(texts).toarray()).float() for texts in (paraphrases, captions)
    )
    return queries, candidates


def first_hits(queries: Tensor, candidates: Tensor, captions: list[str]) -> float:
    """R@1 of query i among the candidates, of which i is correct; equal captions are one candidate.

    With k equal captions, a hit counts 1 / k, as for the oracle of `ceiling`; so it does with k equal best scores.

    Args:
        queries: (T, D) raw vectors.
        candidates: (T, D) raw vectors of the captions.
        captions: T texts.
    """
    number = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
    unique = torch.stack([candidates[captions.index(caption)] for caption in number])
    targets = torch.tensor([number[caption] for caption in captions])
    scores = F.normalize(queries, dim=1) @ F.normalize(unique, dim=1).T  # (T, C)
    best = scores >= scores.amax(1, keepdim=True) - _TIE
    hits = best.gather(1, targets[:, None]).squeeze(1) / best.sum(1)
    weights = torch.tensor([1 / captions.count(caption) for caption in captions])
    return float((hits * weights).mean())


def ceiling(captions: list[str]) -> float:
    """R@1 of an oracle that distinguishes all captions but equal ones."""
    return float(np.mean([1 / captions.count(caption) for caption in captions]))
