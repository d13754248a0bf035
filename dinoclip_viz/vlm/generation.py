"""Greedy generation with a PaliGemma of transformers: batches, probabilities of tokens, streamed text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.vlm.prompts import checked_prompt
from dinoclip_viz.vlm.results import Generation

if TYPE_CHECKING:
    from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

Stream = Callable[[str], object]
"""Receives each new piece of text."""

BATCH = 8
"""Images per batch."""

DEFAULT_TOKENS = 256
"""Most tokens of an answer, unless another number is given or the context has room for fewer."""

LEAST_TOKENS = 16
"""Tokens of an answer for which a prompt leaves room, unless another number is given."""

_UNFINISHED = "\ufffd"


@dataclass(frozen=True, eq=False)
class Generator:
    """A PaliGemma with its processor.

    Attributes:
        model: in evaluation mode, on its device.
        processor: with transformers' PIL image processor.
    """

    model: PaliGemmaForConditionalGeneration
    processor: PaliGemmaProcessor

    @property
    def context(self) -> int:
        """Most tokens of image, prompt and answer together."""
        return int(self.model.config.text_config.max_position_embeddings)

    @property
    def image_tokens(self) -> int:
        """Number of tokens that an image takes."""
        return int(self.processor.image_seq_length)

    @property
    def end(self) -> int:
        """Id of the token that ends an answer."""
        return int(self.processor.tokenizer.eos_token_id)

    def generate(
        self, images: Sequence[Image.Image], prompt: str, max_tokens: int | None = None, stream: Stream | None = None
    ) -> list[Generation]:
        """The most probable answer, token by token, for each image.

        Args:
            images: RGB images of any sizes.
            prompt: for all images.
            max_tokens: most tokens of an answer; None for 256, or what the context has room for.
            stream: receives each new piece of text; only with a single image.

        Raises:
            ValueError: the prompt is invalid or too long for the context, the number of tokens is not positive, or
                several images are to be streamed.
        """
        if stream is not None and len(images) > 1:
            raise ValueError(f"found {len(images)} images to stream text for; expected one")
        prompt = checked_prompt(prompt, self.processor.tokenizer.all_special_tokens)
        limit = self.limit(prompt, max_tokens)
        found: list[Generation] = []
        for first in range(0, len(images), BATCH):
            found += self._batch(images[first : first + BATCH], prompt, limit, stream)
        return found

    def limit(self, prompt: str, max_tokens: int | None) -> int:
        """Most tokens of an answer to a prompt; arguments and errors as in `generate`."""
        if max_tokens is not None and (isinstance(max_tokens, bool) or not isinstance(max_tokens, int)):
            raise ValueError(f"found {type(max_tokens).__name__} for max_tokens; expected a whole number")
        if max_tokens is not None and max_tokens < 1:
            raise ValueError(f"found max_tokens={max_tokens}; expected 1 or more")
        least = max_tokens or LEAST_TOKENS
        room = self.context - self.image_tokens
        used = len(self._ids(f"{self.processor.tokenizer.bos_token}{prompt}\n"))
        if used + least > room:
            raise ValueError(
                f"found a prompt of {used} tokens; expected at most {max(room - least, 0)}, since the model's context "
                f"holds {self.context} tokens: {self.image_tokens} of the image, the prompt, and {least} of the answer"
            )
        return max_tokens or min(DEFAULT_TOKENS, room - used)

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text, each once, for which the tokenizer has no token; empty if it can write any text."""
        tokenizer = self.processor.tokenizer
        if tokenizer.unk_token_id is None or not text:
            return []
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return list(dict.fromkeys(text[start:end] for token, (start, end) in spans if token == tokenizer.unk_token_id))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, location and segmentation tokens included."""
        return str(self.processor.tokenizer.decode(list(ids), skip_special_tokens=False)).strip()

    def _batch(self, images: Sequence[Image.Image], prompt: str, limit: int, stream: Stream | None) -> list[Generation]:
        from transformers import GenerationConfig, LogitsProcessorList

        inputs = self.processor(
            images=list(images),
            text=[f"{self.processor.image_token}{prompt}"] * len(images),
            return_tensors="pt",
        ).to(self.model.device, self.model.dtype)
        inputs.pop("labels", None)
        pad = self.processor.tokenizer.pad_token_id
        settings = GenerationConfig(
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
            eos_token_id=self.end,
            pad_token_id=self.end if pad is None else pad,
        )
        probabilities = _Probabilities()
        generated = self.model.generate(
            **inputs,
            generation_config=settings,
            logits_processor=LogitsProcessorList([probabilities]),
            streamer=None if stream is None else _Streamer(self, stream),
        )
        rows: list[list[int]] = generated[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._generation(ids, each) for ids, each in zip(rows, probabilities.rows(), strict=True)]

    def _generation(self, ids: list[int], probabilities: list[float]) -> Generation:
        complete = self.end in ids
        count = ids.index(self.end) + 1 if complete else len(ids)
        tokens = tuple(str(token) for token in self.processor.tokenizer.convert_ids_to_tokens(ids[:count]))
        text = self.decode(ids[: count - complete])
        return Generation(text, tokens, tuple(probabilities[:count]), complete)

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found


@dataclass
class _Probabilities:
    """Records, as the last of transformers' logits processors, the probability of the token that is chosen greedily."""

    steps: list[Tensor] = field(default_factory=list)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.steps.append(scores.amax(-1) - scores.logsumexp(-1))
        return scores

    def rows(self) -> list[list[float]]:
        """The probabilities of each image's tokens."""
        found: list[list[float]] = torch.stack(self.steps, dim=1).exp().tolist()
        return found


@dataclass
class _Streamer:
    """Passes on the text of one image's tokens, with transformers' interface of streamers."""

    generator: Generator
    stream: Stream
    ids: list[int] = field(default_factory=list)
    passed: str = ""
    started: bool = False

    def put(self, value: Tensor) -> None:
        """Add tokens; the first call has those of the prompt."""
        if not self.started:
            self.started = True
            return
        self.ids += [token for token in value.flatten().tolist() if token != self.generator.end]
        text = self.generator.decode(self.ids)
        if not text.endswith(_UNFINISHED):  # a character of several tokens
            self._pass_on(text)

    def end(self) -> None:
        """Pass on what is left."""
        self._pass_on(self.generator.decode(self.ids))

    def _pass_on(self, text: str) -> None:
        if text.startswith(self.passed) and len(text) > len(self.passed):
            piece, self.passed = text[len(self.passed) :], text
            self.stream(piece)
