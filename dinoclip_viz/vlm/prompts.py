"""PaliGemma's prompts (Beyer et al., 2024; Steiner et al., 2024), from texts that were checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MAXIMUM_CHARACTERS = 4000
"""Most characters of a prompt."""

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})?")
_SHOWN = 40


def caption_prompt(language: str = "en") -> str:
    """The prompt for a caption.

    Args:
        language: code of the language, such as "en", "de" or "zh".

    Raises:
        ValueError: it is no language code.

    Examples:
        >>> caption_prompt("de")
        'caption de'
    """
    return f"caption {_language(language)}"


def answer_prompt(question: str, language: str = "en") -> str:
    """The prompt for the answer to a question.

    Args:
        question: on any number of lines; they are joined.
        language: as in `caption_prompt`, of the question and the answer.

    Raises:
        ValueError: the question is empty or too long, or the language is no language code.

    Examples:
        >>> answer_prompt("What color is the car?")
        'answer en What color is the car?'
    """
    return f"answer {_language(language)} {_text(question, 'question')}"


def detect_prompt(names: str | Iterable[str]) -> str:
    """The prompt for the boxes of what is named; names and errors as in `names_of`.

    Examples:
        >>> detect_prompt(["cat", "red car"])
        'detect cat ; red car'
    """
    return f"detect {' ; '.join(names_of(names))}"


def segment_prompt(names: str | Iterable[str]) -> str:
    """The prompt for the masks of what is named; names and errors as in `names_of`."""
    return f"segment {' ; '.join(names_of(names))}"


def names_of(names: str | Iterable[str]) -> list[str]:
    """Names of objects, each once.

    Args:
        names: one or several: classes or expressions, such as "the red car left of the tree".

    Raises:
        ValueError: there is none, or one is empty, no text, or holds ";", which separates names.
    """
    listed = [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else [names]
    if not listed:
        raise ValueError("found no names; expected at least one, such as 'cat'")
    found = [_text(name, "name") for name in listed]
    for name in found:
        if ";" in name:
            raise ValueError(f"found ';' in the name {shortened(name)}; expected each name by itself, in a list")
    return list(dict.fromkeys(found))


def checked_prompt(prompt: str, special: Sequence[str] = ()) -> str:
    """A prompt without spaces around it, if it is one.

    Args:
        prompt: to check.
        special: tokens that stand for something else than text, such as "<image>" and "<eos>".

    Raises:
        ValueError: it is no text, empty, above 4,000 characters, not valid Unicode, or holds a special token.
    """
    found = _checked(prompt, "prompt").strip()
    for token in special:
        if token in found:
            raise ValueError(f"found the special token {token} in the prompt; expected text without it")
    return found


def shortened(text: str) -> str:
    """A text in quotes on one line, cut to 40 characters."""
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")


def _language(language: str) -> str:
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        shown = shortened(language) if isinstance(language, str) else type(language).__name__
        raise ValueError(f"found language {shown}; expected a code such as 'en' or 'de'")
    return language


def _text(text: object, what: str) -> str:
    """A text on one line."""
    return " ".join(_checked(text, what).split())


def _checked(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise ValueError(f"found {type(text).__name__} for a {what}; expected text")
    if not text.strip():
        raise ValueError(f"found an empty {what}; expected text")
    if len(text) > MAXIMUM_CHARACTERS:
        raise ValueError(f"found a {what} of {len(text)} characters; expected at most {MAXIMUM_CHARACTERS}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"found a {what} that is not valid Unicode; expected text") from error
    return text
