"""One question to a vision-language model with everything that its answer shows: text, tokens, boxes and masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.vlm.generation import Stream
from dinoclip_viz.vlm.model import VisionLanguageModel
from dinoclip_viz.vlm.prompts import answer_prompt, caption_prompt, detect_prompt, names_of, segment_prompt
from dinoclip_viz.vlm.results import Detection, Generation, detections_of

Task = Literal["caption", "answer", "detect", "segment", "prompt"]
"""Kind of a question: "prompt" is a prompt as the model takes it."""


@dataclass(frozen=True, eq=False)
class Reply:
    """The answer to one question about one image.

    Attributes:
        prompt: that the model was given.
        generation: the generated text and its tokens.
        detections: objects in the text; () for captions and answers.
        problems: a line for each part of the answer to "detect" and "segment" that is no object.
        unknown: words of the question that the model's tokenizer does not know.
    """

    prompt: str
    generation: Generation
    detections: tuple[Detection, ...]
    problems: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def text(self) -> str:
        """The generated text, location and segmentation tokens included."""
        return self.generation.text


def ask(
    model: VisionLanguageModel,
    image: ImageLike,
    task: Task,
    text: str | Iterable[str] = "",
    language: str = "en",
    stream: Stream | None = None,
    max_tokens: int | None = None,
) -> Reply:
    """The answer of a model, greedily generated.

    Args:
        model: of `load_vlm`.
        image: the image.
        task: kind of the question.
        text: the question, one or several names, or the prompt; not read for captions.
        language: code of the language of a caption or an answer.
        stream: receives each new piece of text.
        max_tokens: most tokens of the answer, as in `VisionLanguageModel.generate`.

    Raises:
        ImageError: the image cannot be read.
        ValueError: the task is unknown, the text is empty or does not fit the context, or masks are asked for of a
            model without a mask codec.
    """
    if task not in get_args(Task):
        raise ValueError(f"found task {task!r}; expected one of {', '.join(get_args(Task))}")
    image = load_image(image)
    names = names_of(text) if task in ("detect", "segment") else []
    codec = model._mask_codec() if task == "segment" else model._codec
    prompt = _prompt(task, text, names, language)
    generation = model._generator.generate([image], prompt, max_tokens, stream)[0]
    if task in ("caption", "answer"):
        found: list[Detection] = []
    else:
        found = detections_of(generation, image.size, None if task == "detect" else codec)
    if len(names) == 1:
        found = [replace(one, label=one.label or names[0]) for one in found]
    problems = generation.problems if names else ()
    known = " ".join(names) if names else text if isinstance(text, str) and task == "answer" else ""
    return Reply(prompt, generation, tuple(found), problems, tuple(model.unknown_words(known)))


def _prompt(task: Task, text: str | Iterable[str], names: list[str], language: str) -> str:
    if task == "caption":
        return caption_prompt(language)
    if names:
        return detect_prompt(names) if task == "detect" else segment_prompt(names)
    if not isinstance(text, str):
        raise ValueError(f"found {type(text).__name__} for a {task}; expected text")
    return text if task == "prompt" else answer_prompt(text, language)
