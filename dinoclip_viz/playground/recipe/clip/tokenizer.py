"""The tokenizer of playground-clip: byte-pair encoding of the captions, as a CLIPTokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dinoclip_viz.playground.vocabulary import BACKGROUNDS, CLASSES, COLOURS, PARTS, plural

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

START, END, CONTEXT = "<|startoftext|>", "<|endoftext|>", 32
_SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
_COMMON = (
    "a photo of a {}", "a photo of the {}", "a picture of a {}", "a drawing of a {}", "an image of a {}",
    "a blurry photo of many {}", "a close-up of the small {}", "a cropped photo of my big {}",
    "there is one {} in the scene", "this is a dark bright clean good bad nice large little tiny toy {}", "grey {}",
)  # fmt: skip


def train_tokenizer(captions: Sequence[str], size: int = 1280) -> CLIPTokenizer:
    """A CLIPTokenizer trained on captions and common prompts, with special tokens last, as in CLIP.

    Args:
        captions: training texts.
        size: of the vocabulary.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    words = [*CLASSES, *map(plural, CLASSES), *PARTS, *COLOURS, *BACKGROUNDS]
    texts = [*captions, *[template.format(word) for template in _COMMON for word in words] * 20]
    learner = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix="</w>", continuing_subword_prefix=""))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        special_tokens=[START, END],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    learnt = json.loads(learner.to_str())["model"]
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in learnt["merges"]]
    tokens = [token for token in sorted(learnt["vocab"], key=learnt["vocab"].get) if token not in (START, END)]
    tokens += [byte + "</w>" for byte in alphabet if byte + "</w>" not in tokens]  # so that every text can be encoded
    numbers = {token: index for index, token in enumerate([*tokens, START, END])}
    return CLIPTokenizer(vocab=numbers, merges=merges, model_max_length=CONTEXT)
