"""Text encoder with a projector into the space of an image encoder, or into one that images are mapped to as well."""

from __future__ import annotations

from collections.abc import Sequence

from dinoclip_viz.encoders.base import EncoderError, TextEncoder, TextFeatures, TokenTextEncoder
from dinoclip_viz.projector import Projector

_PLAIN = ("{}",)
PAIR_TEMPLATES = ("photo of {}",)
"""freeze-align's prompt, for pairs with a text encoder that is published without prompts."""


class ProjectedTexts:
    """A `TextEncoder` whose vectors are projected; attributes as documented there.

    Args:
        texts: text encoder that the projector was trained with.
        projector: on the text side, or on both.
        templates: prompts of its own; () for the text encoder's.

    Raises:
        EncoderError: the projector reads token vectors, which the text encoder does not return.
    """

    def __init__(self, texts: TextEncoder, projector: Projector, templates: tuple[str, ...] = ()) -> None:
        self._texts, self._projector, side = texts, projector, projector.text_side
        self._of_tokens = texts if side is not None and side.tokens is not None else None
        if self._of_tokens is not None and not isinstance(self._of_tokens, TokenTextEncoder):
            raise EncoderError(f"{texts.name} returns no token vectors, which its projector reads; use another encoder")
        self.name, self.space = texts.name, projector.joint_space()
        self.dimension = projector.outputs
        prompts = PAIR_TEMPLATES if side is not None and texts.templates == _PLAIN else texts.templates
        self.templates = templates or prompts
        self.logit_scale = texts.logit_scale if side is None else float(side.logit_scale)
        self.device, self.dtype = texts.device, texts.dtype

    def encode(self, texts: Sequence[str], batch_size: int = 256) -> TextFeatures:
        """Unnormalised vectors of texts in the space of the projector; see `TextEncoder.encode`."""
        encoder = self._of_tokens
        if isinstance(encoder, TokenTextEncoder):
            return TextFeatures(self._projector.project_texts(encoder.encode_tokens(texts, batch_size)), self.space)
        return TextFeatures(self._projector.project_texts(self._texts.encode(texts, batch_size)), self.space)
