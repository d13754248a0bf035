"""Settings of an affordance model, saved next to its weights."""

from __future__ import annotations

from dataclasses import dataclass

from dinoclip_viz.affordance.words import CONTEXT, TEMPLATES

HEADS = ("ooal", "film")
"""Names of the heads."""


@dataclass(frozen=True)
class AffordanceSettings:
    """What config.json of a saved model holds.

    Attributes:
        encoder: name of the image encoder.
        texts: name of the text encoder's model.
        space: name of the space of the encoder's patches.
        text_space: name of the space of the text vectors.
        verbs: of the training, in its order.
        width: D of the patches.
        text_width: E of the texts.
        head: one of `HEADS`.
        layers: number of last layers that the head reads.
        size: longer side in pixels at which images are encoded.
        templates: prompts of a verb, with one {} each.
        context: number of learnt vectors before a verb, 0 for none.
        sharpness: factor of the head's answers before they become probabilities.
    """

    encoder: str
    texts: str
    space: str
    text_space: str
    verbs: tuple[str, ...]
    width: int
    text_width: int
    head: str = "ooal"
    layers: int = 3
    size: int = 448
    templates: tuple[str, ...] = TEMPLATES
    context: int = CONTEXT
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise ValueError(f"there is no head {self.head!r}; expected one of {', '.join(HEADS)}")
        wrong = [template for template in self.templates if template.count("{}") != 1]
        if not self.templates or wrong:
            raise ValueError(f"found the template {wrong[0] if wrong else ''!r}; expected texts with one {{}} each")
        if not self.sharpness > 0:
            raise ValueError(f"found the sharpness {self.sharpness}; expected a factor above 0")
        if self.context < 0 or min(self.layers, self.size, self.width, self.text_width) < 1:
            raise ValueError(
                f"found {self.layers} layers, size {self.size}, widths {self.width} and {self.text_width}, context "
                f"{self.context}; expected 1 or more, and a context of 0 or more"
            )
