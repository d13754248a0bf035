"""The tokenizer of playground-text and playground-siglip: the words of the captions, as a BertTokenizer."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.playground.vocabulary import BACKGROUNDS, CLASSES, COLOURS, PARTS, plural

if TYPE_CHECKING:
    from transformers import BertTokenizer

PAD, UNKNOWN, START, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Special tokens; their ids are 0 to 4."""

_LEAST = 2
_CHUNK = 20_000


def train_tokenizer(captions: Iterable[str], context: int, size: int = 1024) -> BertTokenizer:
    """A BertTokenizer (WordPiece) with one token per frequent word; other words are spelt with characters.

    Args:
        captions: training texts.
        context: maximum number of tokens per text, with the special tokens.
        size: maximum size of the vocabulary.
    """
    from transformers import BertTokenizer

    counts = Counter(word for text in captions for word in re.findall(r"\w+|[^\w\s]", text.lower()))
    known = " ".join([*CLASSES, *map(plural, CLASSES), *PARTS, *COLOURS, *BACKGROUNDS.values()]).split()
    frequent = [word for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= _LEAST]
    characters = string.ascii_lowercase + string.digits
    pieces = [*characters, *string.punctuation, *(f"##{character}" for character in characters)]
    tokens = list(dict.fromkeys([*SPECIAL, *pieces, *sorted(set(known)), *frequent]))[:size]
    return BertTokenizer(vocab={token: number for number, token in enumerate(tokens)}, model_max_length=context)


def token_ids(tokenizer: BertTokenizer, texts: Sequence[str], context: int) -> Tensor:
    """(T, context) int16 token ids of texts, truncated or padded to the context."""
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(context)
    backend.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token, length=context)
    rows: list[NDArray[np.int16]] = []
    for start in range(0, len(texts), _CHUNK):
        encoded = backend.encode_batch_fast(list(texts[start : start + _CHUNK]))
        rows.append(np.array([one.ids for one in encoded], np.int16))
    backend.no_padding()
    backend.no_truncation()
    return torch.from_numpy(np.concatenate(rows))


def caption_ids(tokenizer: BertTokenizer, captions: Sequence[Sequence[Sequence[str]]], context: int) -> Tensor:
    """(N, looks, captions, context) int16 token ids of the captions of N layouts.

    Args:
        tokenizer: of `train_tokenizer`.
        captions: per layout and look a list of captions, as many for each.
        context: maximum number of tokens per text.

    Raises:
        ValueError: there are no captions, or the numbers of looks or captions differ.
    """
    shapes = {(len(looks), *map(len, looks)) for looks in captions}
    if len(shapes) != 1 or len(set(next(iter(shapes))[1:])) != 1:
        found = ", ".join(map(str, sorted(shapes)[:3])) or "no layout"
        raise ValueError(f"found {found} as numbers of looks and captions; expected one number of each for all layouts")
    looks, count = next(iter(shapes))[:2]
    flat = [text for layout in captions for look in layout for text in look]
    return token_ids(tokenizer, flat, context).view(len(captions), looks, count, context)
