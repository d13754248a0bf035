"""Texts that begin with learnt vectors in place of words, as in CoOp; gradients reach the vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident

import torch
from torch import Tensor, nn

from dinoclip_viz.encoders.base import EncoderError, TextEncoder
from dinoclip_viz.encoders.towers.batching import BatchedTextEncoder

_FILLER = "x"  # stands in the text where a learnt vector goes; tokenizers give it one token, known or not


def context_width(encoder: TextEncoder) -> int:
    """D of the learnt vectors that `encode_with_context` accepts; 0 if the encoder's token vectors cannot be reached.

    Args:
        encoder: of texts.
    """
    layer = encoder.embedding if isinstance(encoder, BatchedTextEncoder) else None
    width = getattr(layer, "embedding_dim", 0)
    return int(width) if isinstance(width, int) else 0


def encode_with_context(encoder: TextEncoder, texts: Sequence[str], context: Tensor) -> Tensor:
    """(T, D) unnormalised vectors of texts after learnt token vectors, which all texts share, float32.

    The vectors enter the frozen text model between the token that begins a text, where it has one, and the text's own
    tokens (CoOp, Zhou et al. 2022). The result is differentiable with respect to the context.

    Args:
        encoder: of texts, with `context_width` above 0.
        texts: T >= 1 texts.
        context: (N, W) learnt vectors, N >= 1.

    Raises:
        EncoderError: the encoder's token vectors cannot be reached, or have another width.
    """
    width = context_width(encoder)
    if not isinstance(encoder, BatchedTextEncoder) or encoder.embedding is None or not width:
        raise EncoderError(f"{encoder.name}: its token vectors cannot be reached; expected a text model of tokens")
    if context.ndim != 2 or context.shape[1] != width:
        raise EncoderError(f"{encoder.name}: a context of shape {tuple(context.shape)}; expected (N, {width})")
    fillers = " ".join([_FILLER] * len(context))
    with _replaced(encoder.embedding, context, encoder.name):
        return encoder.tower([f"{fillers} {text}" for text in texts]).float()


@contextmanager
def _replaced(layer: nn.Module, context: Tensor, name: str) -> Iterator[None]:
    """Put the context where the fillers are, in the passes of this thread."""
    thread, count = get_ident(), len(context)

    def hook(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if get_ident() != thread:
            return None
        starts = _first_run(given[0], count, name)  # (T,)
        positions = starts[:, None] + torch.arange(count, device=starts.device)  # (T, N)
        rows = torch.arange(len(starts), device=starts.device)[:, None]
        values = context.to(output.device, output.dtype).expand(len(starts), -1, -1)
        return output.index_put((rows, positions), values)

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _first_run(tokens: Tensor, count: int, name: str) -> Tensor:
    """(T,) position of the first `count` equal tokens in a row, from (T, L) token numbers."""
    if tokens.shape[1] >= count:
        windows = tokens.unfold(1, count, 1)  # (T, L - N + 1, N)
        equal = (windows == windows[..., :1]).all(-1)
        if bool(equal.any(1).all()):
            return equal.int().argmax(1)
    raise EncoderError(f"{name}: the tokenizer does not give {count} fillers one token each; use no learnt context")
