"""Requests for descriptions of classes, for any large language model, and its answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

from dinoclip_viz.playground.captions import article
from dinoclip_viz.tasks.zero_shot.classify import check_labels

QUESTIONS: tuple[str, ...] = (
    "Describe in one sentence the appearance of {}.",
    "Name in one sentence the visible features by which {} is recognised in a photo.",
    "Describe in one sentence the shape, the colours and the parts of {}.",
    "Describe in one sentence a typical photo that shows {}.",
    "Write a caption of one sentence for an image of {}.",
    "Describe in one sentence how {} differs in appearance from similar things.",
)
"""Questions about a class, "{}" is its name with an article: the kinds of CuPL (Pratt et al. 2023), in other words."""

PER_QUESTION = 10
_SEPARATOR = "/"
_ANSWERS = ("answer", "text", "content", "completion")


def description_requests(class_names: Sequence[str], per_question: int = PER_QUESTION) -> list[dict[str, str]]:
    """Requests, one per class, question and repetition, each with "custom_id" and "prompt".

    "custom_id" is the class name, the number of the question and that of the repetition, with "/" between them;
    `read_answers` needs it.

    Args:
        class_names: C >= 1 names.
        per_question: answers per question, 1 or more; models answer differently at a temperature of about 1.

    Raises:
        ValueError: an invalid class name, or per_question below 1.

    Examples:
        >>> description_requests(["owl"], per_question=1)[0]
        {'custom_id': 'owl/1/1', 'prompt': 'Describe in one sentence the appearance of an owl.'}
    """
    if per_question < 1:
        raise ValueError(f"per_question is {per_question}; expected 1 or more")
    return [
        {
            "custom_id": _SEPARATOR.join((name, str(number), str(repetition))),
            "prompt": question.replace("{}", article(name)),
        }
        for name in check_labels(class_names)
        for number, question in enumerate(QUESTIONS, 1)
        for repetition in range(1, per_question + 1)
    ]


def read_answers(path: str | PathLike[str], class_names: Sequence[str]) -> dict[str, list[str]]:
    """Class name -> distinct descriptions, in the order of the names, from a model's answers.

    Each line is a JSON object with the "custom_id" of its request and the text, under "answer", "text", "content" or
    "completion", or as in the output of OpenAI's batch API (response.body.choices). Empty answers are skipped.

    Args:
        path: file of JSON lines.
        class_names: C names.

    Raises:
        ValueError: no such file, an invalid line, an answer about another class, or a class without an answer.
    """
    names, file = check_labels(class_names), Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"found no file {file}; expected answers as JSON lines")
    found: dict[str, list[str]] = {name: [] for name in names}
    for number, row in _lines(file):
        name = str(row.get("custom_id", "")).rsplit(_SEPARATOR, 2)[0]
        if name not in found:
            raise ValueError(
                f'{file}, line {number}: "custom_id" is {row.get("custom_id")!r}; expected that of a request about '
                f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
            )
        text = _text(row)
        if text is None:
            raise ValueError(f'{file}, line {number}: found no text; expected it under "answer"')
        if text.strip():
            found[name].append(" ".join(text.split()))
    without = [name for name, texts in found.items() if not texts]
    if without:
        raise ValueError(f"{file} has no answers about {', '.join(without[:5])}; expected one or more for each class")
    return {name: list(dict.fromkeys(texts)) for name, texts in found.items()}


def _lines(file: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        lines: Iterable[str] = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text ({error.reason}); expected JSON lines") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: not JSON ({error}); expected one object per line") from error
        if not isinstance(row, dict):
            raise ValueError(f"{file}, line {number}: found {type(row).__name__}; expected a JSON object")
        yield number, row


def _text(row: Mapping[str, object]) -> str | None:
    """The text of an answer, or None."""
    for key in _ANSWERS:
        value = row.get(key)
        if isinstance(value, str):
            return value
    choices: object = row
    for key in ("response", "body", "choices"):
        choices = choices.get(key) if isinstance(choices, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return None
    message = first.get("message")
    value = message.get("content") if isinstance(message, dict) else first.get("text")
    return value if isinstance(value, str) else None
