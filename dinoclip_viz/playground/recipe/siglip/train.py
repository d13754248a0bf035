"""Training of playground-siglip: a SigLIP of 2 M parameters on synthetic scenes and their captions.

Three losses: the sigmoid loss with learnt temperature and bias (Zhai et al., 2023), where equal captions are positives
of each other's images; and playground-clip's two binary losses per caption word, on the image's vector and on its
patches, where an image contains a word if some patch does. A patch's vector is what the attention pooling returns for
that patch alone. No masks, boxes or parts are used.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.playground.recipe import views
from dinoclip_viz.playground.recipe.clip.train import WordScores, word_prompts, word_targets
from dinoclip_viz.playground.recipe.images import Images
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.optimiser import Optimiser
from dinoclip_viz.playground.recipe.text.tokenizer import caption_ids, token_ids, train_tokenizer

if TYPE_CHECKING:
    from transformers import BertTokenizer, SiglipModel

CONTEXT, SIDE, PATCH = 32, 96, 8
SAMPLE = 12_000
"""Layouts from which the vocabulary is taken."""

STATISTICS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation of SigLIP's images."""

TEMPLATES = ("{}", "a {}", "a photo of a {}", "a drawing of a {}")


@dataclass(frozen=True)
class SiglipRecipe:
    """Settings of the training.

    Attributes:
        steps: optimiser steps; batch: images per step.
        rate: learning rate of Muon and AdamW; decay: weight decay; clip: largest gradient norm.
        seed: of weights, order and views.
        phases: (starting fraction of the run, side in pixels, fraction of patch tokens kept).
        word_weight: initial weight of the two word losses; it decays to 0.4 of this; 0 for the sigmoid loss alone.
    """

    steps: int = 4000
    batch: int = 96
    rate: float = 2e-3
    decay: float = 0.05
    clip: float = 2.0
    seed: int = 4
    phases: tuple[tuple[float, int, float], ...] = ((0.0, 64, 0.5), (0.75, 96, 0.5), (0.92, 96, 1.0))
    word_weight: float = 10.0

    @classmethod
    def on(cls, device: str, again: bool = False) -> SiglipRecipe:
        """The recipe of a device: on a GPU, fewer steps of larger batches; `again` has trained vision layers."""
        if device != "cpu":
            return cls(steps=1500, batch=1024, rate=4e-3)
        if again:
            return cls(steps=1600, rate=1.5e-3, phases=((0.0, 64, 0.5), (0.7, 96, 0.5), (0.9, 96, 1.0)))
        return cls()


def new_model(tokenizer: BertTokenizer, seed: int) -> SiglipModel:
    """The model before training, with the published initial temperature, 10, and bias, -10."""
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(seed)
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3,
        "num_attention_heads": 4, "max_position_embeddings": CONTEXT, "projection_size": 128,
        "bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {
        "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4,
        "image_size": SIDE, "patch_size": PATCH,
    }  # fmt: skip
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    with torch.no_grad():
        model.logit_scale.fill_(math.log(10))
        model.logit_bias.fill_(-10)
    return model


def adopt_vision(model: SiglipModel, start: Path) -> None:
    """Copy the vision layers of a CLIP: patch and position embeddings, blocks and last norm, without CLS."""
    from transformers import CLIPModel

    vision = CLIPModel.from_pretrained(start, dtype=torch.float32).vision_model
    own = model.vision_model
    with torch.no_grad():
        own.embeddings.patch_embedding.weight.copy_(vision.embeddings.patch_embedding.weight)
        own.embeddings.position_embedding.weight.copy_(vision.embeddings.position_embedding.weight[1:])
    own.encoder.load_state_dict(vision.encoder.state_dict())
    own.post_layernorm.load_state_dict(vision.post_layernorm.state_dict())


class Towers:
    """The model's forward passes in training, with dropped tokens and vectors of patches."""

    def __init__(self, model: SiglipModel) -> None:
        self.model = model

    def images(self, pixels: Tensor, keep: float, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Unit vectors of the images (B, D) and of their kept patches (B, N, D)."""
        vision = self.model.vision_model
        tokens = vision.embeddings(pixels, interpolate_pos_encoding=pixels.shape[-1] != SIDE)  # (B, N, D)
        if keep < 1:
            count = tokens.shape[1]
            rows = views.rand(chance, len(tokens), count).argsort(1)[:, : int(count * keep)]
            tokens = tokens.gather(1, rows[..., None].expand(-1, -1, tokens.shape[2]))
        hidden = vision.post_layernorm(vision.encoder(inputs_embeds=tokens).last_hidden_state)
        return F.normalize(vision.head(hidden), dim=-1), F.normalize(self.patches(hidden), dim=-1)

    def patches(self, hidden: Tensor) -> Tensor:
        """(B, N, D) output of the attention pooling for each patch (B, N, D) alone, whose attention is then 1."""
        head = self.model.vision_model.head
        width = hidden.shape[-1]
        weight, bias = head.attention.in_proj_weight[2 * width :], head.attention.in_proj_bias[2 * width :]
        values = head.attention.out_proj(F.linear(hidden, weight, bias))
        joint: Tensor = values + head.mlp(head.layernorm(values))
        return joint

    def texts(self, ids: Tensor) -> Tensor:
        """Unit vectors (T, D) of token ids (T, CONTEXT); the model attends to padding, as SigLIP does."""
        return F.normalize(self.model.get_text_features(input_ids=ids).pooler_output, dim=-1)


def sigmoid_loss(logits: Tensor, positive: Tensor) -> Tensor:
    """The sigmoid loss, summed over pairs and divided by the number of images (Zhai et al., 2023, equation 1).

    Args:
        logits: (B, T) of images and texts.
        positive: (B, T) bool, whether the text describes the image.

    Examples:
        >>> round(sigmoid_loss(torch.zeros(2, 2), torch.eye(2).bool()).item(), 4)  # 2 ln 2
        1.3863
    """
    return -F.logsigmoid(torch.where(positive, logits, -logits)).sum() / len(logits)


def train_siglip(
    images: Images, folder: Path, recipe: SiglipRecipe, device: str | torch.device = "cpu", start: Path | None = None
) -> Path:
    """Train in `folder`, resuming an earlier call, and return the folder of the float16 model.

    Args:
        images: rendered scenes with captions.
        folder: for the checkpoint, the log and the model.
        recipe: settings.
        device: to train on; on a GPU the forward passes are in bfloat16.
        start: folder of a CLIP of the same sizes, whose vision layers the tower starts from; None for random ones.
    """
    tokenizer = train_tokenizer((one for looks in images.captions[:SAMPLE] for each in looks for one in each), CONTEXT)
    ids = caption_ids(tokenizer, images.captions, CONTEXT).to(device)
    targets = word_targets(images.captions).to(device)
    frequency = targets.float().mean((0, 1)).clamp(min=1e-3)
    model = new_model(tokenizer, recipe.seed)
    if start is not None:
        adopt_vision(model, start)
    model.to(torch.device(device))
    scores = WordScores(frequency).to(device)
    named = [*model.named_parameters(), *((f"scores.{name}", p) for name, p in scores.named_parameters())]
    optimiser = Optimiser(named, recipe.rate, recipe.decay, recipe.clip)
    mixed = torch.device(device).type == "cuda"
    loop = Loop(folder, {"model": model, "scores": scores}, optimiser, recipe.steps, recipe.seed, device, mixed)
    batches = Batches(images.to(device), ids, targets, tokenizer, recipe)
    weights = (1 / frequency.clamp(min=0.02)).sqrt()
    for step in loop.run():
        contrast, words = losses(loop, Towers(model), scores, batches.draw(loop), weights)
        loss = contrast + recipe.word_weight * (1 - 0.6 * loop.progress) * words
        loss.backward()
        loop.update()
        if step % 50 == 49:
            scale, bias = model.logit_scale.exp().item(), model.logit_bias.item()
            loop.record(contrast=contrast.item(), words=words.item(), scale=scale, bias=bias)
    return save_siglip(loop, tokenizer, recipe)


@dataclass(frozen=True)
class Batch:
    """One batch of B images.

    Attributes:
        pixels: (B, 3, side, side) normalised.
        keep: fraction of patch tokens to keep.
        captions: (B, CONTEXT) token ids of one caption per image.
        positive: (B, B) bool, where captions are equal.
        words: (W, CONTEXT) token ids of word prompts.
        wanted: (B, W) 1 where the scene has the word.
        chance: random generator of the step.
    """

    pixels: Tensor
    keep: float
    captions: Tensor
    positive: Tensor
    words: Tensor
    wanted: Tensor
    chance: torch.Generator


@dataclass(frozen=True)
class Batches:
    """Random batches of images and captions.

    Attributes:
        images: rendered scenes.
        ids: (N, looks, captions, CONTEXT) token ids of their captions.
        targets: (N, looks, W) 1 where a scene has a word.
        tokenizer: for word prompts.
        recipe: settings.
    """

    images: Images
    ids: Tensor
    targets: Tensor
    tokenizer: BertTokenizer
    recipe: SiglipRecipe

    def draw(self, loop: Loop) -> Batch:
        """The batch of a step."""
        chance, size = loop.generator(), self.recipe.batch
        side, keep = next((side, keep) for at, side, keep in reversed(self.recipe.phases) if loop.progress >= at)
        layouts, looks, count, _ = self.ids.shape
        rows = views.below(chance, layouts, size).sort().values
        look, choice = views.below(chance, looks, size), views.below(chance, count, size)
        captions = self.ids[rows, look, choice].long()
        pixels = views.crop(self.images.pick(rows, look), views.random_boxes(size, 0.7, 1.0, 0.1, chance), side)
        prompts = token_ids(self.tokenizer, word_prompts(chance), CONTEXT).long().to(captions.device)
        return Batch(
            pixels=views.normalise(views.jitter(pixels, chance, 0.4), STATISTICS),
            keep=keep,
            captions=captions,
            positive=(captions[:, None] == captions[None]).all(2),
            words=prompts,
            wanted=self.targets[rows, look].float(),
            chance=chance,
        )


def losses(loop: Loop, towers: Towers, scores: WordScores, batch: Batch, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The sigmoid loss and the sum of the two word losses of a batch.

    Args:
        loop: of the training.
        towers: of the model.
        scores: logits of words.
        batch: images and captions.
        weights: (W,) weight of the positives of each word.
    """
    with loop.precision():
        images, patches = towers.images(batch.pixels, batch.keep, batch.chance)
        captions, words = towers.texts(batch.captions), towers.texts(batch.words)
    images, patches, captions, words = (vectors.float() for vectors in (images, patches, captions, words))
    logits = towers.model.logit_scale.exp() * images @ captions.T + towers.model.logit_bias  # (B, B)
    found = scores(images, patches, words)
    described = [F.binary_cross_entropy_with_logits(one, batch.wanted, pos_weight=weights) for one in found]
    return sigmoid_loss(logits, batch.positive), described[0] + described[1]


def save_siglip(loop: Loop, tokenizer: BertTokenizer, recipe: SiglipRecipe) -> Path:
    """Save the averaged weights and return their folder, in transformers' format."""
    from transformers import SiglipImageProcessor

    target = loop.folder / "model"
    copy.deepcopy(loop.average).half().save_pretrained(target)  # type: ignore[operator]
    tokenizer.save_pretrained(target)
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, do_convert_rgb=True).save_pretrained(target)
    (target / "templates.json").write_text(json.dumps(TEMPLATES))
    record = {"recipe": asdict(recipe), "steps": loop.step, "minutes": round(loop.seconds / 60, 1)}
    (target / "training.json").write_text(json.dumps(record, indent=1))
    return target
