"""The entries that a text contains, by MetaCLIP's rules (Xu et al. 2023, "Demystifying CLIP Data", section 3).

A text is padded with spaces and its punctuation isolated; an entry matches where it occurs between two spaces.
Matching is case-sensitive. Entries are plain text: characters of regular expressions have no meaning.
"""

from __future__ import annotations

import importlib.util
import logging
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

PUNCTUATION = ",.;:?!`"
"""Characters that are isolated; quotation marks, brackets, hyphens and apostrophes are not."""
BREAKS = "\t\n\r"
"""Characters that become spaces."""
MATCHERS = ("aho-corasick", "n-grams")
INSTALL = 'pip install "dinoclip-viz[curate]"'

_AT_ONCE = 4096  # texts
_SEPARATOR = b"\xff"
_BYTES = "surrogatepass"  # captions from JSON may hold half of a pair of surrogates


@dataclass(frozen=True)
class Matches:
    """The entries that each of N texts contains.

    Attributes:
        ids: (M,) int32 numbers of entries, text by text, each at most once per text, ascending within a text.
        lengths: (N,) int32 number of entries of each text.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def texts(self) -> NDArray[np.int64]:
        """(M,) number of the text of each of `ids`."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


class Matcher(Protocol):
    """Finds entries in texts."""

    def find(self, text: str) -> set[int]:
        """Numbers of the entries that a text, as typed, contains."""
        ...

    def find_all(self, texts: Sequence[str]) -> Matches:
        """The entries that each of several texts contains."""
        ...


def spaced(text: str) -> str:
    """The text between spaces, with each punctuation mark between spaces, and line breaks and tabs as spaces.

    Examples:
        >>> spaced("a cat, asleep.")
        ' a cat ,  asleep .  '
    """
    text = f" {text} "
    for mark in PUNCTUATION:
        text = text.replace(mark, f" {mark} ")
    for mark in BREAKS:
        text = text.replace(mark, " ")
    return text


def mended(text: str) -> str:
    """The text as in `spaced`, with one space for each run of spaces, so that "St. Louis" can match.

    Examples:
        >>> mended("in St. Louis"), mended("St. Louis")
        (' in St . Louis ', ' St . Louis ')
    """
    return f" {' '.join(part for part in spaced(text).split(' ') if part)} "


def build_matcher(entries: Sequence[str], mend: bool = False, method: str | None = None) -> Matcher:
    """A matcher of entries.

    Args:
        entries: their numbers are their positions.
        mend: isolate punctuation in entries as in texts, and take a run of spaces for one. As published, an entry with
            punctuation inside, such as "St. Louis", never matches.
        method: of `MATCHERS`, which find the same; None for "aho-corasick", or "n-grams" without the package
            ahocorasick-rs.

    Raises:
        ValueError: an unknown method, or "aho-corasick" without its package.

    Examples:
        >>> sorted(build_matcher(["cat", "cat flap", "at"]).find("the cat flap"))
        [0, 1]
    """
    if method not in (None, *MATCHERS):
        raise ValueError(f"method is {method!r}; expected {', '.join(MATCHERS)}, or None")
    if method == MATCHERS[1] or (method is None and matcher_name() == MATCHERS[1]):
        return NgramMatcher(entries, mend)
    try:
        return AhoCorasickMatcher(entries, mend)
    except ImportError as error:
        raise ValueError(f"{MATCHERS[0]} requires the package ahocorasick-rs ({error}); {INSTALL}") from error


def matcher_name() -> str:
    """The method that `build_matcher` uses by default; without the package for the faster one, a warning is logged."""
    if importlib.util.find_spec("ahocorasick_rs") is None:
        log.warning("ahocorasick-rs is not installed: matching by n-grams, which is slower; %s", INSTALL)
        return MATCHERS[1]
    return MATCHERS[0]


class AhoCorasickMatcher:
    """Matching by an automaton of all entries (Aho and Corasick 1975), of the library ahocorasick-rs.

    Args:
        entries: as in `build_matcher`.
        mend: as in `build_matcher`.
    """

    def __init__(self, entries: Sequence[str], mend: bool = False) -> None:
        import ahocorasick_rs as library

        self._mend, self._entries = mend, len(entries)
        patterns = (mended(entry) if mend else f" {entry} " for entry in entries)
        kind = library.MatchKind.Standard  # of the kinds, the one that can find matches that share a space
        self._automaton = library.BytesAhoCorasick([one.encode(errors=_BYTES) for one in patterns], kind)

    def find(self, text: str) -> set[int]:
        """Numbers of the entries that a text contains."""
        return set(self.find_all([text]).ids.tolist())

    def find_all(self, texts: Sequence[str]) -> Matches:
        """The entries that each of several texts contains, by one pass over all of them.

        Texts are joined by a byte that no UTF-8 text and thus no entry contains.
        """
        prepared = [one.encode(errors=_BYTES) for one in map(mended if self._mend else spaced, texts)]
        ends = np.cumsum([len(one) + 1 for one in prepared])
        found = self._automaton.find_matches_as_indexes(_SEPARATOR.join(prepared), overlapping=True)
        flat = np.fromiter(chain.from_iterable(found), np.int64, 3 * len(found)).reshape(-1, 3)  # entry, start, end
        owners = np.searchsorted(ends, flat[:, 1], side="right")
        pairs = np.sort(owners * self._entries + flat[:, 0])  # text by text, ascending
        once = pairs[np.diff(pairs, prepend=-1) > 0]  # faster than np.unique, which hashes
        owners, ids = np.divmod(once, max(self._entries, 1))
        return Matches(ids.astype(np.int32), np.bincount(owners, minlength=len(prepared)).astype(np.int32))


class NgramMatcher:
    """Matching by a dictionary of n-grams of words; the same result as `AhoCorasickMatcher` without a library.

    Args:
        entries: as in `build_matcher`.
        mend: as in `build_matcher`.
    """

    def __init__(self, entries: Sequence[str], mend: bool = False) -> None:
        self._prepared = mended if mend else spaced
        self._numbers: dict[str, list[int]] = {}
        lengths: dict[str, set[int]] = {}
        for number, entry in enumerate(entries):
            pattern = mended(entry)[1:-1] if mend else entry
            self._numbers.setdefault(pattern, []).append(number)
            words = pattern.split(" ")
            lengths.setdefault(words[0], set()).add(len(words))
        self._lengths = {word: tuple(sorted(each)) for word, each in lengths.items()}

    def find(self, text: str) -> set[int]:
        """Numbers of the entries that a text contains."""
        words = self._prepared(text)[1:-1].split(" ")
        found: set[int] = set()
        for start, word in enumerate(words):
            for length in self._lengths.get(word, ()):
                if start + length > len(words):
                    break
                found.update(self._numbers.get(" ".join(words[start : start + length]), ()))
        return found

    def find_all(self, texts: Sequence[str]) -> Matches:
        """The entries that each of several texts contains."""
        ids, lengths = array("i"), array("i")
        for text in texts:
            found = self.find(text)
            lengths.append(len(found))
            ids.fromlist(sorted(found))
        return Matches(np.array(ids, np.int32), np.array(lengths, np.int32))


def match_texts(matcher: Matcher, texts: Iterable[str]) -> Matches:
    """The entries that each text contains.

    Args:
        matcher: from `build_matcher`.
        texts: N texts as typed.

    Examples:
        >>> match_texts(build_matcher(["cat", "dog"]), ["a dog", "", "cat, dog, cat"]).lengths.tolist()
        [1, 0, 2]
    """
    left, parts = iter(texts), list[Matches]()
    while some := list(islice(left, _AT_ONCE)):
        parts.append(matcher.find_all(some))
    empty = np.empty(0, np.int32)
    ids, lengths = ([getattr(part, name) for part in parts] for name in ("ids", "lengths"))
    return Matches(np.concatenate([empty, *ids]), np.concatenate([empty, *lengths]))
