"""Verbs to vectors: the mean of a hand-written prompt and of a learnt context, both through the frozen text model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dinoclip_viz.encoders.base import TextEncoder
from dinoclip_viz.encoders.towers.context import context_width, encode_with_context

TEMPLATES = ("a part to {} with",)
"""Prompts of a verb."""
CONTEXT = 8
"""Learnt vectors before a verb, as in OOAL."""
SPREAD = 0.02


class VerbTexts(nn.Module):
    """Vectors of verbs, of which only the context and the centre are learnt.

    A verb passes through the text model whenever it is asked for: no vector of a verb is saved, so that another verb
    after loading has an effect. In the authors' code of OOAL it has none, as the token vectors of the training's verbs
    are restored with the weights. The learnt context helps with unseen objects and harms unseen verbs, as they report;
    therefore it is averaged with prompts that are not learnt. From the mean, the centre of the training's verbs is
    subtracted, since texts that share most words have nearly equal vectors.

    Args:
        encoder: of texts.
        templates: prompts, with one {} each.
        context: number of learnt vectors, 0 for none; without access to the encoder's token vectors there are none.
    """

    def __init__(self, encoder: TextEncoder, templates: Sequence[str] = TEMPLATES, context: int = CONTEXT) -> None:
        super().__init__()
        self.encoder, self.templates = encoder, tuple(templates)
        width = context_width(encoder) if context else 0
        self.context = nn.Parameter(SPREAD * torch.randn(context, width)) if width else None
        self.register_buffer("centre", torch.zeros(encoder.dimension))
        self.centre: Tensor
        self._known: dict[str, Tensor] = {}

    def forward(self, verbs: Sequence[str]) -> Tensor:
        """(V, E) vectors of verbs around the centre, float32, on the device of the centre."""
        return self.raw(verbs) - self.centre

    def raw(self, verbs: Sequence[str]) -> Tensor:
        """(V, E) vectors of verbs, before the centre is subtracted."""
        plain = self._prompts(verbs)
        if self.context is None:
            return plain
        learnt = encode_with_context(self.encoder, [f"{spoken(verb)}." for verb in verbs], self.context)
        return (plain + learnt.to(plain.device)) / 2

    def _prompts(self, verbs: Sequence[str]) -> Tensor:
        """(V, E) mean over the templates; they are frozen, so that each verb is encoded once."""
        new = [verb for verb in dict.fromkeys(verbs) if verb not in self._known]
        if new:
            texts = [template.format(spoken(verb)) for verb in new for template in self.templates]
            vectors = self.encoder.encode(texts).pooled.unflatten(0, (len(new), -1)).mean(1)
            if len(self._known) + len(new) > _REMEMBERED:
                self._known.clear()
            self._known.update(zip(new, vectors, strict=True))
        return torch.stack([self._known[verb] for verb in verbs]).to(self.centre.device)


_REMEMBERED = 10_000


def spoken(verb: str) -> str:
    """A verb as it is written in a text.

    Examples:
        >>> spoken("sit_on")
        'sit on'
    """
    return " ".join(verb.replace("_", " ").split())
