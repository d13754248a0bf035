"""Entries to balance: their files, and lists of them built from captions, titles and WordNet.

MetaCLIP's 500,000 entries (Xu et al. 2023, section 3.1) are the names of WordNet's synsets, the words and bigrams of
Wikipedia above a count and a pointwise mutual information (PMI), and its frequently viewed titles.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from dinoclip_viz.curate.matching import spaced
from dinoclip_viz.data import SourceError
from dinoclip_viz.data.locations import shown
from dinoclip_viz.data.texts import UTF8, is_utf8, lines_of, read_json
from dinoclip_viz.disk import write_text

SUFFIXES = (".json", ".txt")
"""The extensions of files of entries."""
NUMBERS = tuple(str(number) for number in range(100))
"""Entries of every built list, as in MetaCLIP's."""

_FORM = ".json with a list of texts or {text: ...}, or .txt with one per line"


def read_entries(file: str | Path, encoding: str = UTF8) -> list[str]:
    """The entries in a file, unchanged; of a .txt file, its lines without surrounding spaces.

    Args:
        file: .json with a list of texts, such as MetaCLIP's metadata.json, or an object of which the names are the
            entries; or .txt with one entry per line.
        encoding: of the file.

    Raises:
        SourceError: the file cannot be read, is of another kind, or has no entry or an empty one.
    """
    path = Path(file).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise SourceError(f"{shown(path)}: no file of entries by its name; expected {_FORM}")
    if path.suffix.lower() == ".txt":
        lines = [line.strip() for line in lines_of(path, encoding)]
        if bad := next((number for number, line in enumerate(lines, start=1) if not is_utf8(line)), None):
            raise SourceError(f"{shown(path)}, line {bad}: not UTF-8 text; expected UTF-8, or give its encoding")
        found: list[object] = [line for line in lines if line]
    else:
        parsed = read_json(path, encoding)
        if not isinstance(parsed, list | dict):
            raise SourceError(f"{shown(path)}: a JSON {type(parsed).__name__}; expected {_FORM}")
        found = list(parsed)
    if not found:
        raise SourceError(f"{shown(path)}: no entries; expected at least one: {_FORM}")
    for number, entry in enumerate(found, start=1):
        if not isinstance(entry, str) or not entry.strip():
            kind = "empty" if isinstance(entry, str) else f"a {type(entry).__name__}"
            raise SourceError(f"{shown(path)}: entry {number} of {len(found)} is {kind}; expected {_FORM}")
    return [str(entry) for entry in found]


def write_entries(file: str | Path, entries: Sequence[str]) -> None:
    """Write entries to a .json or .txt file, which appears when it is complete.

    Raises:
        ValueError: the file has another extension, or an entry for a .txt file has a line break.
    """
    path = Path(file).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{shown(path)}: no file of entries by its name; expected {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == ".txt":
        broken = next((entry for entry in entries if len(entry.splitlines()) > 1), None)
        if broken is not None:
            raise ValueError(f"the entry {broken!r} has a line break; expected none in a .txt file: write .json")
        text = "".join(f"{entry}\n" for entry in entries)
    else:
        text = json.dumps(list(entries), indent=0) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text, errors="surrogatepass")


def entries_hash(entries: Iterable[str]) -> str:
    """The SHA-256 checksum of a set of entries, in hexadecimal digits; their order does not matter.

    Examples:
        >>> entries_hash(["cat", "dog"]) == entries_hash(["dog", "cat", "dog"])
        True
    """
    text = "\0".join(sorted(set(entries)))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@dataclass
class EntryBuilder:
    """Counts of words and bigrams, from which entries are chosen; distinct ones are held in memory.

    Attributes:
        words: word -> number of times.
        bigrams: pair of neighbouring words -> number of times.
        total: number of words, punctuation marks included.
        captions: number of captions.
    """

    words: Counter[str] = field(default_factory=Counter)
    bigrams: Counter[tuple[str, str]] = field(default_factory=Counter)
    total: int = 0
    captions: int = 0

    def add(self, texts: Iterable[str], bigrams: bool = True) -> None:
        """Count the words of texts, which are separated as in matching; and their bigrams."""
        for text in texts:
            words = spaced(text).split()
            self.words.update(words)
            self.total += len(words)
            self.captions += 1
            if bigrams:
                self.bigrams.update(pairwise(words))

    def unigrams(self, count: int) -> list[str]:
        """The words that occur at least `count` times, sorted, without single punctuation marks.

        Examples:
            >>> builder = EntryBuilder()
            >>> builder.add(["a cat, a dog", "a cat"])
            >>> builder.unigrams(2)
            ['a', 'cat']
        """
        return sorted(word for word, number in self.words.items() if number >= count and not _is_mark(word))

    def collocations(self, pmi: float, count: int = 5) -> list[str]:
        """The bigrams of at least a PMI, sorted, without punctuation marks.

        PMI = log2(n_xy * N / (n_x * n_y)) with N words (Church and Hanks 1990), as nltk computes it. It is at most
        log2(N), so MetaCLIP's 30 needs billions of words.

        Args:
            pmi: the least value.
            count: how often a bigram occurs at least; the PMI of rarer ones is mostly noise.

        Examples:
            >>> builder = EntryBuilder()
            >>> builder.add(["hot dog", "hot dog", "a cat", "a dog"])
            >>> builder.collocations(pmi=1.0, count=2)
            ['hot dog']
        """
        return sorted(
            f"{first} {second}"
            for (first, second), number in self.bigrams.items()
            if number >= count
            and not _is_mark(first)
            and not _is_mark(second)
            and math.log2(number * self.total / (self.words[first] * self.words[second])) >= pmi
        )


def _is_mark(word: str) -> bool:
    """Whether a word is a single punctuation mark or sign."""
    return len(word) == 1 and not word.isalnum()


def read_titles(file: str | Path, encoding: str = UTF8) -> list[str]:
    """Titles, one per line; as in Wikipedia's, underscores are spaces, and those with a colon are skipped.

    Raises:
        SourceError: the file cannot be read or has no title.
    """
    path = Path(file).expanduser()
    titles = (line.strip().replace("_", " ") for line in lines_of(path, encoding) if is_utf8(line))
    found = sorted({title for title in titles if title and ":" not in title})
    if not found:
        raise SourceError(f"{shown(path)}: no titles; expected one per line, without a colon")
    return found


def wordnet_entries() -> list[str]:
    """The names of WordNet's synsets (Miller 1995), through nltk, sorted.

    Raises:
        ValueError: nltk or its copy of WordNet is not on this machine.
    """
    try:
        from nltk.corpus import wordnet
    except ImportError as error:
        raise ValueError("WordNet requires the package nltk; pip install nltk, or omit WordNet") from error
    try:
        return sorted({synset_entry(synset.name()) for synset in wordnet.all_synsets()})
    except LookupError as error:
        raise ValueError(
            "nltk is installed, but its copy of WordNet is not; run python -m nltk.downloader wordnet, or omit WordNet"
        ) from error


def synset_entry(name: str) -> str:
    """The entry of a synset: its name up to the first dot, with spaces.

    Examples:
        >>> synset_entry("hot_dog.n.01")
        'hot dog'
    """
    return name.partition(".")[0].replace("_", " ")


def joined(lists: Iterable[Sequence[str]]) -> list[str]:
    """The entries of all lists and `NUMBERS`, each once, sorted, so that equal data give an equal file.

    Examples:
        >>> [entry for entry in joined([["dog", "cat"], ["cat"]]) if not entry.isdigit()]
        ['cat', 'dog']
    """
    return sorted({*NUMBERS, *(entry for each in lists for entry in _without_blanks(each))})


def _without_blanks(entries: Sequence[str]) -> Iterator[str]:
    return (entry for entry in entries if entry.strip() and not _is_mark(entry))
