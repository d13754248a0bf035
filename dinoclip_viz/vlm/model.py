"""Vision-language models: captions, answers, boxes and masks from one model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from dinoclip_viz.images import ImageLike, ImagesLike, is_image, load_image, load_images
from dinoclip_viz.vlm.generation import Generator, Stream
from dinoclip_viz.vlm.masks.files import ADDRESS, PUBLISHED
from dinoclip_viz.vlm.prompts import answer_prompt, caption_prompt, detect_prompt, names_of, segment_prompt
from dinoclip_viz.vlm.results import Detection, Generation, detections_of

if TYPE_CHECKING:
    from dinoclip_viz.vlm.masks.codec import MaskCodec

__all__ = ["Detection", "Generation", "VisionLanguageModel"]


@dataclass(frozen=True, eq=False)
class VisionLanguageModel:
    """A model that answers about images with text, boxes and masks; answers are the most probable ones, greedily.

    Its methods accept one image or several and return one result or a list; images are processed in batches. Images of
    any size are squashed to the model's square, as they were in training.

    Attributes:
        name: name as the user wrote it.
        device: device on which the model computes.
        dtype: floating-point type in which the model computes.
        size: side of its square input in pixels.
        revision: commit on the hub; None for a local folder.
    """

    name: str
    device: torch.device
    dtype: torch.dtype
    size: int
    revision: str | None
    _generator: Generator = field(repr=False)
    _codec: MaskCodec | None = field(default=None, repr=False)

    def generate(
        self, images: ImagesLike, prompt: str, max_tokens: int | None = None, stream: Stream | None = None
    ) -> str | list[str]:
        """The answer to any prompt, with location and segmentation tokens as text.

        Args:
            images: one or several.
            prompt: in PaliGemma's form, such as "caption en" or "detect cat ; dog".
            max_tokens: most tokens of an answer; None for 256, or what the context has room for.
            stream: receives each new piece of text; only with a single image.

        Raises:
            ImageError: an image cannot be read.
            ValueError: the prompt is empty, above 4,000 characters, has a special token, or does not fit the context;
                the number of tokens is not positive; or several images are to be streamed.
        """
        found = self.generate_with_scores(images, prompt, max_tokens, stream)
        return [each.text for each in found] if isinstance(found, list) else found.text

    def generate_with_scores(
        self, images: ImagesLike, prompt: str, max_tokens: int | None = None, stream: Stream | None = None
    ) -> Generation | list[Generation]:
        """The answer with the probability of each token; arguments and errors as in `generate`."""
        found = self._generator.generate(load_images(images), prompt, max_tokens, stream)
        return found[0] if is_image(images) else found

    def caption(
        self, images: ImagesLike, language: str = "en", max_tokens: int | None = None, stream: Stream | None = None
    ) -> str | list[str]:
        """A caption.

        Args:
            images: one or several.
            language: code of the language, such as "en" or "de".
            max_tokens: as in `generate`; stream: likewise.

        Raises:
            ImageError: an image cannot be read.
            ValueError: the language is no language code, or as in `generate`.
        """
        return self.generate(images, caption_prompt(language), max_tokens, stream)

    def answer(
        self,
        images: ImagesLike,
        question: str,
        language: str = "en",
        max_tokens: int | None = None,
        stream: Stream | None = None,
    ) -> str | list[str]:
        """The answer to a question about each image.

        Args:
            images: one or several.
            question: without special tokens.
            language: code of the language of the question and the answer.
            max_tokens: as in `generate`; stream: likewise.

        Raises:
            ImageError: an image cannot be read.
            ValueError: the question is empty, or as in `caption`.
        """
        return self.generate(images, answer_prompt(question, language), max_tokens, stream)

    def detect(
        self, images: ImagesLike, names: str | Iterable[str], max_tokens: int | None = None
    ) -> list[Detection] | list[list[Detection]]:
        """The objects that are named, with their boxes.

        Args:
            images: one or several.
            names: one or several classes or expressions, such as "the red car left of the tree".
            max_tokens: as in `generate`.

        Raises:
            ImageError: an image cannot be read.
            ValueError: there is no name, one is empty or holds ";", they do not fit the context, or as in `generate`.
        """
        names = names_of(names)
        return self._detections(images, names, detect_prompt(names), max_tokens, None)

    def segment(
        self, images: ImagesLike, names: str | Iterable[str], max_tokens: int | None = None
    ) -> list[Detection] | list[list[Detection]]:
        """The objects that are named, with their boxes and masks.

        Args:
            images: one or several.
            names: as in `detect`.
            max_tokens: as in `generate`.

        Raises:
            ImageError: an image cannot be read.
            ValueError: the model was loaded without a mask codec, or as in `detect`.
        """
        names = names_of(names)
        codec = self._mask_codec()
        return self._detections(images, names, segment_prompt(names), max_tokens, codec)

    def detections(self, generation: Generation, image: ImageLike) -> list[Detection]:
        """The objects in an answer of `generate_with_scores` to "detect ..." or "segment ...".

        Args:
            generation: the answer.
            image: that it is about.

        Raises:
            ImageError: the image cannot be read.
            ValueError: the answer has masks, and the model was loaded without a mask codec.
        """
        masks = any(found.codes for found in generation.parsed.objects)
        return detections_of(generation, load_image(image).size, self._mask_codec() if masks else None)

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that the model does not know, each once; empty for a tokenizer that can write any text.

        Args:
            text: a question, a name or a prompt.
        """
        return self._generator.unknown_words(text)

    def _detections(
        self, images: ImagesLike, names: list[str], prompt: str, max_tokens: int | None, codec: MaskCodec | None
    ) -> list[Detection] | list[list[Detection]]:
        loaded = load_images(images)
        label = names[0] if len(names) == 1 else ""
        found = [
            detections_of(generation, image.size, codec, label)
            for generation, image in zip(self._generator.generate(loaded, prompt, max_tokens), loaded, strict=True)
        ]
        return found[0] if is_image(images) else found

    def _mask_codec(self) -> MaskCodec:
        if self._codec is None:
            raise ValueError(
                f"{self.name} was loaded without a mask codec, which masks need; download {ADDRESS} and give it as "
                f'load_vlm("{self.name}", masks="{PUBLISHED}"), or put it into the folder of the weights'
            )
        return self._codec
