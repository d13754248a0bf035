"""Lists of questions about images with their answers: JSON lines {"image", "question", "answer"}."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.locations import images_root, key_of_name, located, shown
from dinoclip_viz.data.texts import UTF8, is_utf8, lines_of

_PEEK = 20  # images used to find their folder
_EXPECTED = (
    'expected a JSON object per line: {"image": "1.jpg", "question": "what color is the car?", "answer": "red"}, where '
    "`answer` may be a list of right answers and `kind` a word"
)


@dataclass(frozen=True)
class QuestionSample:
    """A question about an image.

    Attributes:
        sample: loads the image; question: the text; answers: right answers, at least one; kind: of the question, "" by
            default.
    """

    sample: Sample
    question: str
    answers: tuple[str, ...]
    kind: str = ""


def read_questions(file: Path, images: Path | None = None, encoding: str = UTF8) -> list[QuestionSample]:
    """The questions of a JSON-lines file, in its order.

    Args:
        file: the list.
        images: folder that relative paths start from; None for the first of the usual folders next to the list.
        encoding: of the list.

    Raises:
        SourceError: the file cannot be read, has no lines, or a line is not of that form.
    """
    rows = [_row(file, number, line) for number, line in enumerate(lines_of(file, encoding), start=1) if line.strip()]
    if not rows:
        raise SourceError(f"{shown(file)}: no lines; {_EXPECTED}")
    root = images or images_root(file.parent, [row[0] for row in rows[:_PEEK]])
    found = []
    for name, question, answers, kind in rows:
        image, path = located(root, name)
        found.append(QuestionSample(Sample(key_of_name(name), image, path=path), question, answers, kind))
    return found


def _row(file: Path, number: int, line: str) -> tuple[str, str, tuple[str, ...], str]:
    where = f"{shown(file)}, line {number}"
    if not is_utf8(line):
        raise SourceError(f"{where}: not UTF-8 text; give its encoding with --encoding, or save it as UTF-8")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: not JSON ({shown(str(error))}); {_EXPECTED}") from error
    texts = {key: row.get(key) for key in ("image", "question")} if isinstance(row, dict) else {}
    answer = row.get("answer") if isinstance(row, dict) else None
    answers = [str(one) for one in (answer if isinstance(answer, list) else [answer]) if isinstance(one, str | int)]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts.values()) or not answers:
        missing = next((key for key, text in texts.items() if not isinstance(text, str) or not text.strip()), "answer")
        raise SourceError(f"{where}: no `{missing}`; {_EXPECTED}")
    return str(texts["image"]), str(texts["question"]), tuple(answers), str(row.get("kind") or "")
