"""Several questions behind one image in one sequence: token ids, positions and attention mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """One question and its answer as token ids: the prompt, which ends in a line break, and the answer with its end."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True)
class Packed:
    """A batch of B images with their questions, in sequences of T tokens that begin with the N tokens of an image.

    Attributes:
        ids: (B, T) token ids; 0 for the image and for padding.
        positions: (B, T) from 1; every question continues from the image.
        visible: (B, T, T) bool, whether a token attends to another: the image to itself; a prompt to the image and
            itself; an answer to the image, its prompt and what precedes it; padding to itself.
        rows, columns: (S,) indices of the tokens whose next token belongs to an answer.
        wanted: (S,) those next tokens.
        weights: (S,) weights of the loss: of an answer of n tokens n to the power of -1/2 each.
    """

    ids: Tensor
    positions: Tensor
    visible: Tensor
    rows: Tensor
    columns: Tensor
    wanted: Tensor
    weights: Tensor


def pack(asked: Sequence[Sequence[Tokens]], patches: int, multiple: int = 1) -> Packed:
    """The batch of some images.

    Args:
        asked: for each image its questions.
        patches: N, number of tokens of an image.
        multiple: T is padded to a multiple of this; few lengths let the kernels' caches stay small.
    """
    length = patches + max(sum(len(one.prompt) + len(one.answer) for one in questions) for questions in asked)
    length = -(-length // multiple) * multiple
    ids = torch.zeros(len(asked), length, dtype=torch.long)
    positions = torch.ones(len(asked), length, dtype=torch.long)
    block = torch.full((len(asked), length), -1)  # 0 the image, 1 and more a question, -1 padding
    prompt = torch.zeros(len(asked), length, dtype=torch.bool)
    positions[:, :patches] = torch.arange(1, patches + 1)
    block[:, :patches] = 0
    places: list[tuple[int, int, int, float]] = []
    for row, questions in enumerate(asked):
        start = patches
        for number, one in enumerate(questions, start=1):
            tokens = one.prompt + one.answer
            end, first = start + len(tokens), start + len(one.prompt)
            ids[row, start:end] = torch.tensor(tokens)
            positions[row, start:end] = torch.arange(patches + 1, patches + 1 + len(tokens))
            block[row, start:end] = number
            prompt[row, start:first] = True
            weight = len(one.answer) ** -0.5
            places += [(row, at - 1, token, weight) for at, token in enumerate(one.answer, start=first)]
            start = end
    rows, columns, wanted, weights = zip(*places, strict=True)
    return Packed(
        ids=ids,
        positions=positions,
        visible=_visible(block, prompt),
        rows=torch.tensor(rows),
        columns=torch.tensor(columns),
        wanted=torch.tensor(wanted),
        weights=torch.tensor(weights),
    )


def _visible(block: Tensor, prompt: Tensor) -> Tensor:
    """(B, T, T) bool from (B, T) numbers of blocks and whether a token is of a prompt."""
    length = block.shape[1]
    mine, other = block[:, :, None], block[:, None, :]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    image = (other == 0) & (mine >= 0)
    own = (mine == other) & (mine > 0) & (prompt[:, None, :] | earlier)
    return image | own | torch.eye(length, dtype=torch.bool)
