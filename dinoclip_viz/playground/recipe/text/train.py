"""Training of playground-text: a ModernBERT of 0.7 M parameters on captions of synthetic scenes, without images.

Two losses: prediction of masked words (BERT, Devlin et al., 2019), and InfoNCE between the mean vectors of two captions
of one scene, with the other scenes of the batch as negatives (SimCSE, Gao et al., 2021). In half of the pairs one
caption is a paraphrase of the other in other words; the other pairs omit words or mention actions. Candidates with the
text of either caption are no negatives.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.playground.recipe import views
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.optimiser import Optimiser
from dinoclip_viz.playground.recipe.text.tokenizer import SPECIAL, caption_ids, train_tokenizer

if TYPE_CHECKING:
    from transformers import BertTokenizer, ModernBertForMaskedLM

CONTEXT = 64
SAMPLE = 12_000
"""Layouts from which the vocabulary is taken."""

_PAD, _MASK = 0, len(SPECIAL) - 1
_LIBRARY = "sentence_transformers.models"


@dataclass(frozen=True)
class TextRecipe:
    """Settings of the training.

    Attributes:
        steps: optimiser steps; batch: pairs of captions per step.
        rate: learning rate of Muon and AdamW; decay: weight decay; clip: largest gradient norm.
        seed: of weights, order and masks.
        temperature: of InfoNCE.
        exact: fraction of the pairs that are a first caption and its paraphrase.
        masked: fraction of the words that are masked; mask_weight: weight of their prediction relative to InfoNCE.
    """

    steps: int = 400
    batch: int = 96
    rate: float = 2e-3
    decay: float = 0.05
    clip: float = 2.0
    seed: int = 3
    temperature: float = 0.05
    exact: float = 0.5
    masked: float = 0.2
    mask_weight: float = 0.5


def new_model(tokenizer: BertTokenizer, seed: int) -> ModernBertForMaskedLM:
    """The model before training, with its head that predicts masked words."""
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    torch.manual_seed(seed)
    config = ModernBertConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=CONTEXT, layer_types=["full_attention"] * 4, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id,
        cls_token_id=tokenizer.cls_token_id, sep_token_id=tokenizer.sep_token_id,
    )  # fmt: skip
    return ModernBertForMaskedLM(config)


def train_text(
    captions: list[list[list[str]]], folder: Path, recipe: TextRecipe, device: str | torch.device = "cpu"
) -> Path:
    """Train in `folder`, resuming an earlier call, and return the folder of the float16 model.

    Args:
        captions: per layout and look a list of captions, as many for each; the last is a paraphrase of the first.
        folder: for the checkpoint, the log and the model.
        recipe: settings.
        device: to train on, in float32.

    Raises:
        ValueError: fewer than two captions per look, or the numbers of looks or captions differ.
    """
    tokenizer = train_tokenizer((text for looks in captions[:SAMPLE] for texts in looks for text in texts), CONTEXT)
    ids = caption_ids(tokenizer, captions, CONTEXT)
    if ids.shape[2] < 2:
        raise ValueError(f"found {ids.shape[2]} caption per look; expected two or more, the last a paraphrase")
    ids = ids.to(device)
    model = new_model(tokenizer, recipe.seed)
    model.to(torch.device(device))
    optimiser = Optimiser(model.named_parameters(), recipe.rate, recipe.decay, recipe.clip)
    loop = Loop(folder, {"model": model}, optimiser, recipe.steps, recipe.seed, device)
    for step in loop.run():
        chance = loop.generator()
        left, right = pairs(ids, recipe, chance)
        both = trimmed(torch.cat([left, right]))
        vectors = F.normalize(mean_vectors(model, both), dim=1)
        contrast = info_nce(vectors, both, recipe.temperature)
        words = masked_loss(model, trimmed(right), recipe.masked, chance)
        (contrast + recipe.mask_weight * words).backward()
        loop.update()
        if step % 50 == 49:
            loop.record(contrast=contrast.item(), words=words.item())
    return save_text(loop, tokenizer, recipe)


def pairs(ids: Tensor, recipe: TextRecipe, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two different captions (B, L) of each of B random looks, in random order.

    Args:
        ids: (N, looks, captions, L) from `caption_ids`.
        recipe: settings.
        chance: random generator on the device of `ids`.
    """
    layouts, looks, count, _ = ids.shape
    row, look = (views.below(chance, limit, recipe.batch) for limit in (layouts, looks))
    first = views.below(chance, count, recipe.batch)
    second = (first + 1 + views.below(chance, count - 1, recipe.batch)) % count
    exact = views.rand(chance, recipe.batch) < recipe.exact
    turned = views.rand(chance, recipe.batch) < 0.5
    first = torch.where(exact, torch.where(turned, 0, count - 1), first)
    second = torch.where(exact, torch.where(turned, count - 1, 0), second)
    return ids[row, look, first].long(), ids[row, look, second].long()


def trimmed(ids: Tensor) -> Tensor:
    """Token ids (T, L) without the columns that are padding in every row."""
    return ids[:, : int((ids != _PAD).sum(1).max())]


def mean_vectors(model: ModernBertForMaskedLM, ids: Tensor) -> Tensor:
    """(T, D) mean of the token vectors, without padding."""
    kept = ids != _PAD
    hidden = model.model(input_ids=ids, attention_mask=kept).last_hidden_state
    weights = kept.to(hidden.dtype)[..., None]
    mean: Tensor = (hidden * weights).sum(1) / weights.sum(1)
    return mean


def info_nce(vectors: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """InfoNCE of B pairs in both directions, where pairs with an equal text are no negatives.

    Args:
        vectors: (2 B, D) unit vectors; caption i is paired with caption B + i.
        ids: (2 B, L) token ids of the captions.
        temperature: of the softmax.
    """
    left, right = vectors.chunk(2)
    equal = (ids[:, None] == ids[None]).all(2)  # (2 B, 2 B)
    same = equal.unflatten(0, (2, -1)).any(0).unflatten(1, (2, -1)).any(1).fill_diagonal_(False)
    logits = (left @ right.T / temperature).masked_fill(same, -torch.inf)  # (B, B)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def masked_loss(model: ModernBertForMaskedLM, ids: Tensor, fraction: float, chance: torch.Generator) -> Tensor:
    """Cross-entropy of masked words: of these, 80 % are the mask token, 10 % a random one and 10 % unchanged."""
    chosen = (views.rand(chance, *ids.shape) < fraction) & (ids >= len(SPECIAL))
    draw = views.rand(chance, *ids.shape)
    other = views.below(chance, len(model.get_input_embeddings().weight), ids.numel()).view_as(ids)
    seen = torch.where(chosen & (draw < 0.8), _MASK, torch.where(chosen & (draw > 0.9), other, ids))
    hidden = model.model(input_ids=seen, attention_mask=ids != _PAD).last_hidden_state
    logits = model.decoder(model.head(hidden[chosen]))  # (M, vocabulary)
    return F.cross_entropy(logits, ids[chosen], reduction="sum") / chosen.sum().clamp(min=1)


def save_text(loop: Loop, tokenizer: BertTokenizer, recipe: TextRecipe) -> Path:
    """Save the averaged weights and return their folder, in sentence-transformers' layout."""
    import transformers

    target = loop.folder / "model"
    average: ModernBertForMaskedLM = copy.deepcopy(loop.average)
    encoder = average.model.half()
    encoder.save_pretrained(target)
    tokenizer.save_pretrained(target)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    width = encoder.config.hidden_size
    settings = {
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": f"{_LIBRARY}.{kind}"}
            for number, (kind, path) in enumerate(modules)
        ],
        "sentence_bert_config.json": {"max_seq_length": CONTEXT, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True},
        "config_sentence_transformers.json": {
            "__version__": {"transformers": transformers.__version__, "pytorch": torch.__version__},
            "prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine",
        },
        "templates.json": ["{}", "a {}", "a photo of a {}", "a drawing of a {}"],
        "training.json": {"recipe": asdict(recipe), "steps": loop.step, "minutes": round(loop.seconds / 60, 1)},
    }  # fmt: skip
    (target / "1_Pooling").mkdir(exist_ok=True)
    for name, content in settings.items():
        (target / name).write_text(json.dumps(content, indent=1))
    return target
