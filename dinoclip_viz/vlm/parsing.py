"""PaliGemma's answers with location and segmentation tokens, as objects; text of any form is read or reported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from dinoclip_viz.vlm.locations import BINS
from dinoclip_viz.vlm.masks.tokens import CODES, TOKENS

_TOKEN = re.compile(r"<(loc|seg)([0-9]*)>")
_RUN = re.compile(rf"{_TOKEN.pattern}(?:\s*{_TOKEN.pattern})*".replace("(loc|seg)", "(?:loc|seg)"))
_LONGEST = 60

Token = tuple[str, str, int]
"""Kind ("loc" or "seg"), digits, and number of the token among all of the text."""


@dataclass(frozen=True)
class Found:
    """One object of an answer.

    Attributes:
        label: its text; "" without one.
        numbers: of its location tokens, y0, x0, y1, x1, each in 0..1023.
        codes: 16 numbers of its segmentation tokens, each in 0..127; None without them.
        span: positions of the first and the last of its location and segmentation tokens in the list of tokens; None
            if no list was given.
    """

    label: str
    numbers: tuple[int, int, int, int]
    codes: tuple[int, ...] | None
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class Parsed:
    """An answer.

    Attributes:
        objects: its objects, in order.
        problems: one line for each part that is no object, with the reason.
    """

    objects: tuple[Found, ...]
    problems: tuple[str, ...]


def parse(text: str, tokens: Sequence[str] = ()) -> Parsed:
    """The objects of an answer; invalid parts are reported and never raise.

    An object is four location tokens, then 16 segmentation tokens or none, then a label of any characters, which ends
    at ";" or at the next location or segmentation token (Beyer et al., 2024). Spaces between tokens are ignored.

    Args:
        text: decoded answer of a model.
        tokens: the tokens that the text was decoded from, for `Found.span`.

    Examples:
        >>> parse("<loc0010><loc0020><loc0030><loc0040> red car ; <loc0001> dog").objects
        (Found(label='red car', numbers=(10, 20, 30, 40), codes=None, span=None),)
        >>> parse("<loc0010><loc0020><loc0030><loc0040> red car ; <loc0001> dog").problems
        ("'dog': found 1 location token; expected 4",)
    """
    objects: list[Found] = []
    runs = list(_RUN.finditer(text))
    problems = _strays(text[: runs[0].start()] if runs else text)
    positions = _positions(runs, tokens)
    count = 0
    for run, following in zip_longest(runs, runs[1:]):
        label, _, rest = text[run.end() : following.start() if following else len(text)].partition(";")
        found = [(kind, digits, count + index) for index, (kind, digits) in enumerate(_TOKEN.findall(run[0]))]
        count += len(found)
        groups = _groups(found)
        for group in groups:
            label_of = label.strip() if group is groups[-1] else ""
            problem = _problem(group)
            if problem:
                problems.append(f"{_shown(label_of)}: {problem}" if label_of else problem)
            else:
                objects.append(_object(group, label_of, positions))
        problems += _strays(rest)
    return Parsed(tuple(objects), tuple(problems))


def _positions(runs: Sequence[re.Match[str]], tokens: Sequence[str]) -> list[int]:
    """Position in the list of tokens of each location and segmentation token; empty if the list is another text's."""
    listed = [(index, token.strip()) for index, token in enumerate(tokens) if _TOKEN.fullmatch(token.strip())]
    written = [token[0] for run in runs for token in _TOKEN.finditer(run[0])]
    return [index for index, _ in listed] if written == [token for _, token in listed] else []


def _groups(tokens: list[Token]) -> list[list[Token]]:
    """A run of tokens, cut where a location token follows a segmentation token."""
    groups = [tokens[:1]]
    for before, token in pairwise(tokens):
        if before[0] == "seg" and token[0] == "loc":
            groups.append([])
        groups[-1].append(token)
    return groups


def _problem(group: list[Token]) -> str:
    """The reason why tokens are no object; "" if they are."""
    locations, segments = _digits(group, "loc"), _digits(group, "seg")
    for kind, found, digits, last in (("loc", locations, 4, BINS - 1), ("seg", segments, 3, CODES - 1)):
        wrong = [text for text in found if len(text) != digits or int(text) > last]
        if wrong:
            return f"found <{kind}{wrong[0][:8]}>; expected <{kind}{0:0{digits}d}> to <{kind}{last}>"
    if len(locations) != 4:
        return f"found {len(locations)} location token{'s' * (len(locations) != 1)}; expected 4"
    if len(segments) not in (0, TOKENS):
        return f"found {len(segments)} segmentation token{'s' * (len(segments) != 1)}; expected {TOKENS} or none"
    y0, x0, y1, x1 = (int(text) for text in locations)
    if y1 <= y0 or x1 <= x0:
        return f"found a box from y {y0}, x {x0} to y {y1}, x {x1}; expected it to end below and right of its start"
    return ""


def _object(group: list[Token], label: str, positions: list[int]) -> Found:
    y0, x0, y1, x1 = (int(text) for text in _digits(group, "loc"))
    codes = tuple(int(text) for text in _digits(group, "seg")) or None
    span = (positions[group[0][2]], positions[group[-1][2]]) if positions else None
    return Found(label, (y0, x0, y1, x1), codes, span)


def _digits(group: list[Token], kind: str) -> list[str]:
    return [digits for each, digits, _ in group if each == kind]


def _strays(text: str) -> list[str]:
    """A problem for each part of a text that belongs to no object."""
    return [f"found text without location tokens: {_shown(part.strip())}" for part in text.split(";") if part.strip()]


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")
