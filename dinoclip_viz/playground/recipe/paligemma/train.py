"""Training of playground-paligemma: a PaliGemma of 3 M parameters on questions about synthetic scenes.

The vision tower is playground-siglip's and is trained at a lower rate after the first steps; the decoder is a Gemma 2
of four layers from random weights. Several questions are packed behind one image, each attends to the image and itself
only, and locations are learnt with soft targets over neighbouring pixels. Masks are those of playground-masks.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from dinoclip_viz.playground.questions import Asked, questions
from dinoclip_viz.playground.recipe.loop import Loop, has_bfloat16
from dinoclip_viz.playground.recipe.optimiser import Optimiser
from dinoclip_viz.playground.recipe.paligemma.packing import Packed, Tokens, pack
from dinoclip_viz.playground.recipe.paligemma.scenes import SIDE, Drawn
from dinoclip_viz.playground.recipe.paligemma.targets import Locations, Texts, mask_codes
from dinoclip_viz.playground.recipe.paligemma.vocabulary import SAMPLE, make_processor, words_of
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.vlm.masks import MaskCodec

if TYPE_CHECKING:
    from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

log = logging.getLogger(__name__)

PATCH = 8
PATCHES = (SIDE // PATCH) ** 2
MULTIPLE = 32
"""Sequences are padded to a multiple of this."""
OFTEN = {
    "caption": 0.7, "colour": 1.2, "count": 0.5, "what": 0.5, "where": 0.3, "background": 0.15, "yes-no": 0.9,
    "detect": 1.0, "absent": 0.4, "refer": 0.9, "segment": 0.8,
}  # fmt: skip
"""Mean number of questions of a kind per image."""
OFTEN_AGAIN = {**OFTEN, "segment": 1.8, "colour": 0.8, "yes-no": 0.6, "absent": 0.3}
"""The same where trained weights are continued: more masks, which are learnt last."""


@dataclass(frozen=True)
class PaligemmaRecipe:
    """Settings of the training.

    Attributes:
        steps: optimiser steps; batch: images per step.
        rate: learning rate of Muon and AdamW; decay: weight decay; clip: largest gradient norm.
        seed: of weights, order and questions.
        tower: rate of the vision tower relative to the decoder's; frozen: fraction of the run before it is trained.
        hidden, layers, heads, inner: width, blocks, heads and inner width of the decoder.
        often: kind of question -> mean number per image.
    """

    steps: int = 6000
    batch: int = 16
    rate: float = 4e-3
    decay: float = 0.01
    clip: float = 2.0
    seed: int = 6
    tower: float = 0.1
    frozen: float = 0.05
    hidden: int = 192
    layers: int = 4
    heads: int = 4
    inner: int = 512
    often: dict[str, float] = field(default_factory=lambda: dict(OFTEN))

    @classmethod
    def on(cls, device: str, again: bool = False) -> PaligemmaRecipe:
        """The recipe of a device: on a GPU, fewer steps of larger batches; `again` continues from trained weights."""
        if device != "cpu":
            return cls(steps=2500, batch=256, rate=6e-3)
        return cls(steps=1000, rate=2.5e-3, frozen=0.0, seed=7, often=dict(OFTEN_AGAIN)) if again else cls()


def new_model(processor: PaliGemmaProcessor, tower: Path, recipe: PaligemmaRecipe) -> PaliGemmaForConditionalGeneration:
    """The model before training, with the vision tower of a SigLIP.

    Args:
        processor: of the model.
        tower: folder of the SigLIP.
        recipe: settings.
    """
    from transformers import (
        Gemma2Config,
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        SiglipModel,
        SiglipVisionConfig,
    )  # fmt: skip

    torch.manual_seed(recipe.seed)
    tokenizer = processor.tokenizer
    siglip = SiglipModel.from_pretrained(tower, dtype=torch.float32)
    vision = {**siglip.config.vision_config.to_dict(), "vision_use_head": False, "dtype": "float32"}
    width = recipe.hidden // recipe.heads
    text = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=recipe.hidden, intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers, num_attention_heads=recipe.heads, num_key_value_heads=1, head_dim=width,
        query_pre_attn_scalar=width, sliding_window=4096, attn_logit_softcapping=None, final_logit_softcapping=30.0,
        max_position_embeddings=1024, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    config = PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**vision), text_config=text, projection_dim=recipe.hidden,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"), hidden_size=recipe.hidden,
        vocab_size=len(tokenizer),
    )  # fmt: skip
    model = PaliGemmaForConditionalGeneration(config)
    own = model.model.vision_tower
    weights = siglip.vision_model.state_dict()
    own.load_state_dict({name: weights[name] for name in own.state_dict()})
    return model


class TwoRates(Optimiser):
    """The optimiser of the decoder, and of the vision tower at a lower rate once `trains_tower` is set."""

    def __init__(self, model: nn.Module, recipe: PaligemmaRecipe) -> None:
        named = list(model.named_parameters())
        tower = [pair for pair in named if "vision_tower" in pair[0]]
        rest = [pair for pair in named if "vision_tower" not in pair[0]]
        super().__init__(rest, recipe.rate, recipe.decay, recipe.clip)
        self.tower = Optimiser(tower, recipe.rate * recipe.tower, recipe.decay, recipe.clip)
        self.trains_tower = False

    def step(self, factor: float) -> None:
        """One update at `factor` times the learning rates."""
        super().step(factor)
        if self.trains_tower:
            self.tower.step(factor)

    def state(self) -> dict[str, object]:
        """The state for a checkpoint."""
        return {"decoder": super().state(), "tower": self.tower.state()}

    def restore(self, state: dict[str, object]) -> None:
        """Load the state from a checkpoint."""
        super().restore(state["decoder"])  # type: ignore[arg-type]
        self.tower.restore(state["tower"])  # type: ignore[arg-type]


def logits_of(model: PaliGemmaForConditionalGeneration, pixels: Tensor, packed: Packed) -> Tensor:
    """(S, V) logits of the tokens that belong to answers.

    Args:
        model: to train.
        pixels: (B, 3, 96, 96) normalised.
        packed: the questions, on the same device.
    """
    inner = model.model
    images = inner.multi_modal_projector(inner.vision_tower(pixels).last_hidden_state)  # (B, N, hidden)
    inputs = inner.get_input_embeddings()(packed.ids[:, images.shape[1] :])
    inputs = torch.cat([images.to(inputs.dtype), inputs], dim=1)
    mask = torch.zeros(packed.visible.shape, dtype=inputs.dtype, device=inputs.device)
    mask = mask.masked_fill_(~packed.visible, torch.finfo(inputs.dtype).min)[:, None]
    masks = {"full_attention": mask, "sliding_attention": mask}
    hidden = inner.language_model(
        inputs_embeds=inputs, position_ids=packed.positions, attention_mask=masks, use_cache=False
    ).last_hidden_state
    logits = model.lm_head(hidden[packed.rows, packed.columns])
    limit = model.config.text_config.final_logit_softcapping
    capped: Tensor = torch.tanh(logits / limit) * limit
    return capped


def train_paligemma(
    drawn: Drawn, codec: MaskCodec, folder: Path, recipe: PaligemmaRecipe, tower: Path,
    device: str | torch.device = "cpu", start: Path | None = None,
) -> Path:  # fmt: skip
    """Train in `folder`, resuming an earlier call, and return the folder of the float16 model.

    Args:
        drawn: the scenes.
        codec: of the masks.
        folder: for the checkpoint, the log and the model.
        recipe: settings.
        tower: folder of the SigLIP whose vision tower it starts from.
        device: to train on; forward passes are in bfloat16 where the device is faster with it.
        start: folder of a trained model to continue from; None starts from random weights of the decoder.
    """
    processor, model = _started(drawn, recipe, tower, start)
    model.to(torch.device(device))
    optimiser = TwoRates(model, recipe)
    loop = Loop(folder, {"model": model}, optimiser, recipe.steps, recipe.seed, device, has_bfloat16(device))
    texts, locations = Texts(processor, drawn, mask_codes(drawn, codec)), Locations(processor, loop.device)
    losses: list[float] = []
    for step in loop.run():
        optimiser.trains_tower = loop.progress >= recipe.frozen
        model.model.vision_tower.requires_grad_(optimiser.trains_tower)
        rows, packed = batch(texts, recipe, loop)
        with loop.precision():
            logits = logits_of(model, _pixels(drawn, rows, loop.device), packed)
        loss = (locations.loss(logits, packed.wanted) * packed.weights).sum() / packed.weights.sum()
        loss.backward()
        loop.update()
        losses.append(loss.item())
        if step % 50 == 49:
            loop.record(loss=float(np.mean(losses[-50:])))
    return _save(loop, processor, recipe, len(drawn.facts), start)


def _started(
    drawn: Drawn, recipe: PaligemmaRecipe, tower: Path, start: Path | None
) -> tuple[PaliGemmaProcessor, PaliGemmaForConditionalGeneration]:
    """The processor and the model before training."""
    from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

    if start is not None:
        model = PaliGemmaForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
        return PaliGemmaProcessor.from_pretrained(start, backend="pil"), model
    processor = make_processor(words_of(drawn.facts[:SAMPLE], recipe.seed), SIDE, PATCHES)
    return processor, new_model(processor, tower, recipe)


def batch(texts: Texts, recipe: PaligemmaRecipe, loop: Loop) -> tuple[Sequence[int], Packed]:
    """Scenes and packed questions of a step; an epoch has every scene once, in random order."""
    count = len(texts.drawn.facts)
    rows: list[int] = []
    for place in range(loop.step * recipe.batch, (loop.step + 1) * recipe.batch):
        rows.append(_order(recipe.seed, place // count, count)[place % count])
    asked = []
    for row in rows:
        chance = Chance(np.random.default_rng([recipe.seed, loop.step, row]))
        some = (texts.of(row, one) for one in questions(texts.drawn.facts[row], chance, recipe.often))
        asked.append([one for one in some if one is not None] or [_fallback(texts, row)])
    packed = pack(asked, PATCHES, MULTIPLE)
    return rows, Packed(**{name: values.to(loop.device) for name, values in vars(packed).items()})


_ORDERS: dict[tuple[int, int, int], list[int]] = {}


def _order(seed: int, epoch: int, count: int) -> list[int]:
    """The order of the scenes in an epoch; the last one asked for is kept."""
    key = (seed, epoch, count)
    if key not in _ORDERS:
        _ORDERS.clear()
        _ORDERS[key] = np.random.default_rng([seed, epoch]).permutation(count).tolist()
    return _ORDERS[key]


def _fallback(texts: Texts, row: int) -> Tokens:
    found = texts.of(row, Asked("count", "answer en how many objects?", str(len(texts.drawn.facts[row].objects))))
    if found is None:
        raise ValueError(f"scene {row} has no question")
    return found


def _pixels(drawn: Drawn, rows: Sequence[int], device: torch.device) -> Tensor:
    """(B, 3, 96, 96) in [-1, 1], as SigLIP's processor gives them."""
    return torch.from_numpy(drawn.pixels[list(rows)]).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def _save(loop: Loop, processor: PaliGemmaProcessor, recipe: PaligemmaRecipe, scenes: int, start: Path | None) -> Path:
    """Save the averaged weights and return their folder, in transformers' format.

    The record of the training keeps those of the weights that it continued.
    """
    target = loop.folder / "model"
    copy.deepcopy(loop.average).half().save_pretrained(target)  # type: ignore[operator]
    processor.save_pretrained(target)
    record = {"recipe": asdict(recipe), "steps": loop.step, "minutes": round(loop.seconds / 60, 1), "scenes": scenes}
    if start is not None and (start / "training.json").is_file():
        earlier = json.loads((start / "training.json").read_text())
        record["before"] = [*earlier.pop("before", []), earlier]
    (target / "training.json").write_text(json.dumps(record, indent=1))
    return target
