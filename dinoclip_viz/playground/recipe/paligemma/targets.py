"""What playground-paligemma learns to write: questions and answers as tokens, masks as codes, soft locations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dinoclip_viz.playground.questions import Asked
from dinoclip_viz.playground.recipe.paligemma.packing import Tokens
from dinoclip_viz.playground.recipe.paligemma.scenes import SIDE, Drawn
from dinoclip_viz.vlm.locations import location_tokens
from dinoclip_viz.vlm.masks import MaskCodec, mask_tokens

if TYPE_CHECKING:
    from transformers import PaliGemmaProcessor

STEP = 2
"""Locations are learnt in steps of this many pixels: fewer tokens, each more probable, so that none loses to the end of
the answer only because its probability is divided among its neighbours."""

SPREAD = 1.0
"""Standard deviation in pixels of the soft targets of a location."""

_CODES_AT_ONCE = 2048


class Texts:
    """Questions as token ids; answers with location and mask tokens.

    Args:
        processor: of the model.
        drawn: the scenes.
        codes: (scene, index of the object) -> 16 mask codes.
    """

    def __init__(self, processor: PaliGemmaProcessor, drawn: Drawn, codes: dict[tuple[int, int], list[int]]) -> None:
        self.tokenizer, self.drawn, self.codes = processor.tokenizer, drawn, codes

    def of(self, row: int, asked: Asked) -> Tokens | None:
        """The tokens of a question about a scene; None where an object has no mask tokens."""
        answer = self.answer(row, asked)
        if answer is None:
            return None
        prompt = self.tokenizer.bos_token + asked.prompt + "\n"
        return Tokens(*(tuple(self._ids(text)) for text in (prompt, answer + self.tokenizer.eos_token)))

    def answer(self, row: int, asked: Asked) -> str | None:
        """The answer as text with location and mask tokens."""
        if not asked.found:
            return asked.answer
        facts = self.drawn.facts[row]
        places = {number: one["box"] for number, one in zip(facts.numbers, facts.objects, strict=True)}
        masks = asked.prompt.startswith("segment")
        if masks and any((row, number) not in self.codes for _, number in asked.found):
            return None
        return " ; ".join(
            location_tokens(snapped(places[number]), (SIDE, SIDE))
            + (mask_tokens(self.codes[row, number]) if masks else "")
            + f" {label}"
            for label, number in asked.found
        )

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return found


def snapped(box: Sequence[float]) -> list[int]:
    """A box with its edges at multiples of `STEP`, at least one step wide and high.

    Examples:
        >>> snapped((3, 10, 4, 21))
        [4, 10, 6, 20]
    """
    left, top, right, bottom = (STEP * round(edge / STEP) for edge in box)
    return [left, top, max(right, left + STEP), max(bottom, top + STEP)]


@torch.no_grad()
def mask_codes(drawn: Drawn, codec: MaskCodec) -> dict[tuple[int, int], list[int]]:
    """(scene, index of the object) -> 16 codes, of all visible objects."""
    found: dict[tuple[int, int], list[int]] = {}
    part: list[tuple[tuple[int, int], Tensor]] = []

    def encode() -> None:
        codes = codec.encode(torch.stack([mask for _, mask in part])).tolist()
        found.update(zip((key for key, _ in part), codes, strict=True))
        part.clear()

    for one in drawn.crops():
        part.append(one)
        if len(part) == _CODES_AT_ONCE:
            encode()
    if part:
        encode()
    return found


class Locations:
    """Soft targets of location tokens: neighbouring ones count a little, with a normal distribution.

    Args:
        processor: of the model.
        device: of the logits.
    """

    def __init__(self, processor: PaliGemmaProcessor, device: torch.device) -> None:
        known = range(0, SIDE + 1, STEP)
        names = [location_tokens((0, at, SIDE, SIDE), (SIDE, SIDE))[: len("<loc0000>")] for at in known]
        self.ids = torch.tensor(processor.tokenizer.convert_tokens_to_ids(names), device=device)  # (49,)
        places = torch.tensor(list(known), dtype=torch.float32, device=device)
        self.targets = (-((places[:, None] - places) ** 2) / (2 * SPREAD**2)).softmax(1)  # (49, 49)
        self.rows = torch.full((int(self.ids.max()) + 1,), -1, device=device)
        self.rows[self.ids] = torch.arange(len(known), device=device)

    def loss(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """(S,) cross-entropy of (S, V) logits with (S,) tokens."""
        chances = logits.float().log_softmax(1)
        plain = -chances.gather(1, wanted[:, None])[:, 0]
        row = torch.where(wanted < len(self.rows), self.rows[wanted.clamp_max(len(self.rows) - 1)], -1)
        located = row >= 0
        soft = -(self.targets[row[located]] * chances[located][:, self.ids]).sum(1)
        return plain.masked_scatter(located, soft)
