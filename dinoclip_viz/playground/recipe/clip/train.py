"""Training of playground-clip: a CLIP of 1.9 M parameters on synthetic scenes and their captions.

Three losses: CLIP's; a binary loss per caption word on the image's vector; and the same on the patches of MaskCLIP's
value path, where an image contains a word if some patch does (multiple-instance learning). Words are scored against
the text tower's vectors of prompts such as "cat" or "a photo of a cat", so that common prompts work. No masks, boxes or
parts are used.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoclip_viz.playground.recipe import views
from dinoclip_viz.playground.recipe.clip.tokenizer import CONTEXT, train_tokenizer
from dinoclip_viz.playground.recipe.images import Images
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.optimiser import Optimiser
from dinoclip_viz.playground.vocabulary import BACKGROUNDS, CLASSES, COLOURS, plural

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer

log = logging.getLogger(__name__)

BACKGROUND_PROMPTS = {
    "grass": ("grass", "on grass", "green grass"),
    "sea": ("sea", "the sea", "on the sea"),
    "sand": ("sand", "on sand"),
    "sky": ("sky", "the sky", "in the sky"),
    "brick": ("a brick wall", "brick wall", "by a brick wall", "brick"),
    "night": ("night", "at night"),
    "plain": ("a plain background", "plain background", "on a plain background"),
    "snow": ("snow", "in the snow", "the snow"),
}
CLASS_PROMPTS = (
    "{}",
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a picture of a {}",
    "a drawing of a {}",
    "an image of a {}",
)
CAPTION_WEIGHTS = (0.2, 0.14, 0.13, 0.13, 0.12, 0.1, 0.18)
"""Frequencies of the seven captions of an image."""
WORDS = (*CLASSES, *COLOURS, *BACKGROUNDS)


@dataclass(frozen=True)
class ClipRecipe:
    """Settings of the training.

    Attributes:
        steps: optimiser steps; batch: images per step.
        rate: learning rate of Muon and AdamW; decay: weight decay; clip: largest gradient norm.
        seed: of weights, order and views.
        phases: (starting fraction of the run, side in pixels, fraction of patch tokens kept).
        word_weight: initial weight of the two word losses; it decays to 0.4 of this.
    """

    steps: int = 4000
    batch: int = 96
    rate: float = 2e-3
    decay: float = 0.05
    clip: float = 2.0
    seed: int = 1
    phases: tuple[tuple[float, int, float], ...] = ((0.0, 64, 0.5), (0.75, 96, 0.5), (0.92, 96, 1.0))
    word_weight: float = 10.0

    @classmethod
    def on(cls, device: str, again: bool = False) -> ClipRecipe:
        """The recipe of a device: on a GPU, fewer steps of larger batches; `again` continues from trained weights."""
        if device != "cpu":
            return cls(steps=1500, batch=1024, rate=4e-3)
        if again:
            return cls(steps=1300, rate=1.2e-3, phases=((0.0, 64, 0.5), (0.6, 96, 0.5), (0.88, 96, 1.0)))
        return cls()


def new_model(tokenizer: CLIPTokenizer, seed: int) -> CLIPModel:
    """The model before training."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3,
        "num_attention_heads": 4, "max_position_embeddings": CONTEXT, "projection_dim": 128, "hidden_act": "gelu",
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {
        "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4,
        "image_size": 96, "patch_size": 8, "projection_dim": 128, "hidden_act": "gelu",
    }  # fmt: skip
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


class Towers:
    """The model's forward passes in training, with dropped tokens and patches by the value path."""

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer

    def images(self, pixels: Tensor, keep: float, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Unit vectors of the images (B, D) and of their kept patches (B, N, D) by MaskCLIP's value path."""
        vision = self.model.vision_model
        tokens = vision.embeddings(pixels, interpolate_pos_encoding=pixels.shape[-1] != vision.config.image_size)
        if keep < 1:
            count = tokens.shape[1] - 1
            rows = views.rand(chance, len(tokens), count).argsort(1)[:, : int(count * keep)] + 1
            kept = tokens.gather(1, rows[..., None].expand(-1, -1, tokens.shape[2]))
            tokens = torch.cat([tokens[:, :1], kept], dim=1)
        hidden = vision.pre_layrnorm(tokens)
        *trunk, last = vision.encoder.layers
        for layer in trunk:
            hidden = _first(layer(hidden, attention_mask=None))
        out = _first(last(hidden, attention_mask=None))
        attention = last.self_attn
        values = attention.out_proj(attention.v_proj(last.layer_norm1(hidden[:, 1:]))) + hidden[:, 1:]
        values = values + last.mlp(last.layer_norm2(values))
        joint = self.model.visual_projection(vision.post_layernorm(torch.cat([out[:, :1], values], dim=1)))
        joint = F.normalize(joint, dim=-1)
        return joint[:, 0], joint[:, 1:]

    def texts(self, texts: list[str]) -> Tensor:
        """Unit vectors of texts (T, D)."""
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
        return F.normalize(self.model.get_text_features(**batch.to(self.model.device)).pooler_output, dim=-1)


class WordScores(nn.Module):
    """Cosines with word prompts -> logits that the word describes the image or one of its patches."""

    def __init__(self, frequency: Tensor) -> None:
        super().__init__()
        prior = torch.log(frequency / (1 - frequency))
        self.whole_bias, self.patch_bias = nn.Parameter(prior.clone()), nn.Parameter(prior - 2.5)
        self.whole_scale, self.patch_scale = nn.Parameter(torch.tensor(2.3)), nn.Parameter(torch.tensor(2.5))

    def forward(self, images: Tensor, patches: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the images and of their patches, each (B, W)."""
        whole = self.whole_scale.exp() * images @ words.T + self.whole_bias
        each = self.patch_scale.exp() * patches @ words.T + self.patch_bias  # (B, N, W)
        return whole, each.logsumexp(1) - math.log(each.shape[1]) / 2


def word_targets(captions: list[list[list[str]]]) -> Tensor:
    """(N, 2, W) 1 if the first caption of an image contains a word of `WORDS`, singular or plural."""
    numbers = {word: index for index, word in enumerate(WORDS)}
    numbers |= {plural(name): numbers[name] for name in CLASSES}
    targets = np.zeros((len(captions), 2, len(WORDS)), np.uint8)
    for row, looks in enumerate(captions):
        for look, texts in enumerate(looks):
            for word in texts[0].split():
                if word in numbers:
                    targets[row, look, numbers[word]] = 1
    return torch.from_numpy(targets)


def word_prompts(chance: torch.Generator) -> list[str]:
    """One random prompt for each of `WORDS`."""

    def choose(options: tuple[str, ...]) -> str:
        return options[int(views.below(chance, len(options), 1))]

    names = [choose(CLASS_PROMPTS).format(name) for name in CLASSES]
    names = [text.replace(" a e", " an e").replace(" a u", " an u") for text in names]
    names = [text if views.rand(chance, 1) < 0.9 else plural(name) for text, name in zip(names, CLASSES, strict=True)]
    return [*names, *COLOURS, *(choose(BACKGROUND_PROMPTS[name]) for name in BACKGROUNDS)]


def train_clip(
    scenes: Images, folder: Path, recipe: ClipRecipe, device: str | torch.device = "cpu", start: Path | None = None
) -> Path:
    """Train in `folder`, resuming an earlier call, and return the folder of the float16 model.

    Args:
        scenes: training images with their captions.
        folder: for the checkpoint and the model.
        recipe: settings.
        device: of the training; on a GPU the forward passes are in bfloat16.
        start: folder of an earlier model to start from (`adopt`); None starts from random weights.
    """
    tokenizer = train_tokenizer([text for looks in scenes.captions[:12000] for texts in looks for text in texts])
    model = new_model(tokenizer, recipe.seed)
    if start is not None:
        adopt(model, tokenizer, start)
    targets = word_targets(scenes.captions).to(device)
    frequency = targets.float().mean((0, 1)).clamp(min=1e-3)
    model, scores = model.to(device), WordScores(frequency).to(device)
    named = [*model.named_parameters(), *((f"scores.{name}", p) for name, p in scores.named_parameters())]
    optimiser = Optimiser(named, recipe.rate, recipe.decay, recipe.clip)
    mixed = torch.device(device).type == "cuda"
    loop = Loop(folder, {"model": model, "scores": scores}, optimiser, recipe.steps, recipe.seed, device, mixed)
    towers, scenes = Towers(model, tokenizer), scenes.to(device)
    weights = (1 / frequency.clamp(min=0.02)).sqrt()
    for step in loop.run():
        batch = _batch(loop, scenes, recipe)
        with loop.precision():
            vectors = towers.images(batch.pixels, batch.keep, batch.chance)
            captions, words = towers.texts(batch.texts), towers.texts(word_prompts(batch.chance))
        scale = model.logit_scale.exp().clamp(max=100)
        contrast = _contrast(scale * vectors[0].float() @ captions.float().T)
        wanted = targets[batch.rows, batch.looks].float()
        word_loss = torch.stack(
            [
                F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weights)
                for logits in scores(*(vector.float() for vector in (*vectors, words)))
            ]
        ).sum()
        loss = contrast + recipe.word_weight * (1 - 0.6 * loop.progress) * word_loss
        loss.backward()
        loop.update()
        if step % 100 == 99:
            loop.record(contrast=contrast.item(), words=word_loss.item(), scale=scale.item())
    return save_clip(loop, tokenizer, recipe)


def adopt(model: CLIPModel, tokenizer: CLIPTokenizer, start: Path) -> None:
    """Copy the weights of an earlier model, and its token embeddings to the same tokens of another vocabulary."""
    from transformers import CLIPModel, CLIPTokenizer

    weights = CLIPModel.from_pretrained(start, dtype=torch.float32).state_dict()
    table = "text_model.embeddings.token_embedding.weight"
    earlier, now = CLIPTokenizer.from_pretrained(start).get_vocab(), tokenizer.get_vocab()
    rows = model.state_dict()[table].clone()
    known = [token for token in now if token in earlier]
    rows[[now[token] for token in known]] = weights[table][[earlier[token] for token in known]]
    model.load_state_dict(weights | {table: rows})


@dataclass(frozen=True)
class _Batch:
    """Images of one step (B, 3, S, S), normalised, their captions, and where they are in the training images."""

    pixels: Tensor
    texts: list[str]
    rows: Tensor
    looks: Tensor
    keep: float
    chance: torch.Generator


def _batch(loop: Loop, scenes: Images, recipe: ClipRecipe) -> _Batch:
    chance, count = loop.generator(), recipe.batch
    side, keep = next((side, keep) for start, side, keep in reversed(recipe.phases) if loop.progress >= start)
    rows, looks = views.below(chance, len(scenes), count).sort().values, views.below(chance, 2, count)
    choices = torch.multinomial(torch.tensor(CAPTION_WEIGHTS, device=chance.device), count, True, generator=chance)
    which = zip(rows.tolist(), looks.tolist(), choices.tolist(), strict=True)
    texts = [scenes.captions[row][look][choice] for row, look, choice in which]
    pixels = views.crop(scenes.pick(rows, looks), views.random_boxes(count, 0.7, 1.0, 0.1, chance), side)
    return _Batch(views.normalise(views.jitter(pixels, chance, 0.4), views.CLIP), texts, rows, looks, keep, chance)


def _contrast(logits: Tensor) -> Tensor:
    """CLIP's loss of (B, B) logits."""
    same = torch.arange(len(logits), device=logits.device)
    ways = [F.cross_entropy(part, same, label_smoothing=0.02) for part in (logits, logits.T)]
    return (ways[0] + ways[1]) / 2


def save_clip(loop: Loop, tokenizer: CLIPTokenizer, recipe: ClipRecipe) -> Path:
    """Save the averaged weights and return their folder, in transformers' format."""
    import copy

    from transformers import CLIPImageProcessor

    target = loop.folder / "model"
    copy.deepcopy(loop.average).cpu().half().save_pretrained(target)  # type: ignore[operator]
    tokenizer.save_pretrained(target)
    CLIPImageProcessor(size={"shortest_edge": 96}, crop_size={"height": 96, "width": 96}).save_pretrained(target)
    (target / "templates.json").write_text(json.dumps(["{}", "a {}", "a photo of a {}", "a drawing of a {}"]))
    record = {"recipe": asdict(recipe), "steps": loop.step, "minutes": round(loop.seconds / 60, 1)}
    (target / "training.json").write_text(json.dumps(record, indent=1))
    return target


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
