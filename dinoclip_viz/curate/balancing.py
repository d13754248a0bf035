"""MetaCLIP's balancing (Xu et al. 2023, "Demystifying CLIP Data", section 3): frequent entries are thinned out.

With count_e texts that contain entry e, a text is kept if at least one of its entries draws below
p_e = t / max(count_e, t): about t texts of each frequent entry stay, and all texts with a rare one. Draws are a hash of
the seed, the text and the entry, so that they depend on neither the order of the texts nor the number of processes.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.curate.matching import Matches, build_matcher, match_texts

LARGEST_SEED = 2**64 - 1
_STEPS = 200  # of the bisection; it stops sooner


def balance(
    texts: Sequence[str],
    entries: Sequence[str],
    per_entry: float,
    seed: int = 0,
    keys: Sequence[str] | None = None,
    mend: bool = False,
) -> NDArray[np.bool_]:
    """(N,) True for the texts that are kept; those without any entry are not.

    Args:
        texts: N texts as typed.
        entries: words and phrases to balance; matched as in `curate.matching`.
        per_entry: t, above 0: about so many texts of each frequent entry stay; infinity keeps every text with an entry.
        seed: of the draws, 0 or more. With one seed, what is kept at a smaller t is kept at a larger one; texts that
            were balanced before need another seed.
        keys: N names of the texts, such as those of their images; None for none. Texts with one key draw the same
            wherever they are; equal texts of one key are numbered, and draw differently.
        mend: as in `build_matcher`.

    Raises:
        ValueError: no entries, an empty one, a `per_entry` that is not above 0, a negative seed, or another number of
            keys than texts.

    Examples:
        >>> balance(["a cat", "a bird", "no animal"], ["cat", "bird"], per_entry=10).tolist()
        [True, True, False]
    """
    known = check_entries(entries)
    check_per_entry(per_entry)
    if isinstance(texts, str):
        raise ValueError(f"texts is the text {texts[:100]!r}; expected a list of texts")
    if keys is not None and len(keys) != len(texts):
        raise ValueError(f"found {len(keys)} keys and {len(texts)} texts; expected one key per text")
    check_seed(seed)
    matches = match_texts(build_matcher(known, mend), texts)
    probabilities = entry_probabilities(entry_counts(matches, len(known)), per_entry)
    names = hashes(_numbered(zip(keys if keys is not None else [""] * len(texts), texts, strict=True)))
    return kept(matches, probabilities, names, hashes(known), seed)


def check_entries(entries: Sequence[str]) -> tuple[str, ...]:
    """The entries without repetitions, in their order.

    Raises:
        ValueError: no entry, one that is empty or no text, or a single text instead of a sequence.
    """
    if isinstance(entries, str):
        raise ValueError(f"entries is the text {entries[:100]!r}; expected a list of texts")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, str) or not entry.strip():
            found = "empty" if isinstance(entry, str) else f"a {type(entry).__name__}"
            raise ValueError(f"entry {number} of {len(entries)} is {found}; expected a word or phrase")
    if not len(entries):
        raise ValueError("found no entries; expected at least one word or phrase")
    return tuple(dict.fromkeys(entries))


def check_per_entry(per_entry: float) -> None:
    """Check that t is a number above 0, or infinity.

    Raises:
        ValueError: it is not.
    """
    if not per_entry > 0:
        raise ValueError(f"per_entry is {per_entry}; expected a number of texts above 0")


def check_seed(seed: int) -> None:
    """Check that a seed is from 0 to 2^64 - 1.

    Raises:
        ValueError: it is not.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed is {seed}; expected a whole number from 0 to {LARGEST_SEED}")


def entry_counts(matches: Matches, entries: int) -> NDArray[np.int64]:
    """(E,) number of texts that contain each of E entries; a text counts once per entry."""
    return np.bincount(matches.ids, minlength=entries).astype(np.int64)


def entry_probabilities(counts: NDArray[np.int64], per_entry: float) -> NDArray[np.float64]:
    """(E,) p = t / max(count, t) of each entry.

    Examples:
        >>> entry_probabilities(np.array([5, 10, 40]), per_entry=10).tolist()
        [1.0, 1.0, 0.25]
    """
    return np.minimum(1.0, per_entry / np.maximum(counts, 1))


def keep_probabilities(matches: Matches, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) probability that a text is kept: 1 - product of (1 - p) over its entries; 0 without any.

    Args:
        matches: of N texts.
        probabilities: (E,) p of each entry.

    Examples:
        >>> two = Matches(np.array([0, 1, 1]), np.array([2, 0, 1]))
        >>> keep_probabilities(two, np.array([0.5, 0.25])).round(6).tolist()
        [0.625, 0.0, 0.25]
    """
    with np.errstate(divide="ignore"):
        misses = np.log1p(-probabilities)  # log of 0 where p is 1
    total = np.bincount(matches.texts, misses[matches.ids], len(matches))
    return np.asarray(0.0 - np.expm1(total))


def kept(
    matches: Matches,
    probabilities: NDArray[np.float64],
    texts: NDArray[np.uint64],
    entries: NDArray[np.uint64],
    seed: int,
) -> NDArray[np.bool_]:
    """(N,) True for texts of which some entry draws below its probability.

    Args:
        matches: of N texts.
        probabilities: (E,) p of each entry.
        texts: (N,) hash of each text and its key.
        entries: (E,) hash of each entry.
        seed: of the draws.
    """
    owners = matches.texts
    low = draws(texts[owners], entries[matches.ids], seed) < probabilities[matches.ids]
    result = np.zeros(len(matches), bool)
    result[owners[low]] = True
    return result


def draws(texts: NDArray[np.uint64], entries: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """(M,) numbers in [0, 1), uniform and determined by the seed and by the hashes of text and entry.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014) mixes the three.

    Args:
        texts: (M,) hashes.
        entries: (M,) hashes.
        seed: 0 to 2^64 - 1.
    """
    start = _mixed(np.array([seed], np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    bits = _mixed(_mixed(texts ^ start) + entries)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def hashes(names: Iterable[str]) -> NDArray[np.uint64]:
    """(N,) 64 bits of the BLAKE2 hash of each name, the same on every machine."""
    digests = (hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def names_of(key: str, texts: Sequence[str]) -> list[str]:
    """A name per text of one key: the key, the text itself, and how many equal texts come before.

    Examples:
        >>> [name.split(chr(0)) for name in names_of("7", ["a cat", "a cat"])]
        [['7', 'a cat', '0'], ['7', 'a cat', '1']]
    """
    if len(texts) == 1:
        return [_name(key, texts[0], 0)]
    return list(_numbered((key, text) for text in texts))


def _numbered(texts: Iterable[tuple[str, str]]) -> Iterator[str]:
    seen: Counter[tuple[str, str]] = Counter()
    for pair in texts:
        yield _name(*pair, seen[pair])
        seen[pair] += 1


def _name(key: str, text: str, times: int) -> str:
    return f"{key}\0{text}\0{times}"


def tail_fraction(counts: NDArray[np.int64], per_entry: float) -> float:
    """Fraction of all matches that are of entries in fewer than t texts.

    Examples:
        >>> tail_fraction(np.array([1, 2, 97]), per_entry=10)
        0.03
    """
    total = int(counts.sum())
    return float(counts[counts < per_entry].sum() / total) if total else 0.0


def per_entry_of_tail(counts: NDArray[np.int64], fraction: float) -> float:
    """The t at which the matches of less frequent entries reach a fraction of all matches.

    It is the count of an entry at which the cumulative sum of ascending counts reaches the fraction. MetaCLIP's t is
    the one of 6 %, at 400 million pairs as at 2.5 billion.

    Args:
        counts: (E,) number of texts per entry.
        fraction: above 0, below 1.

    Raises:
        ValueError: a fraction outside of that range, or no count above 0.

    Examples:
        >>> per_entry_of_tail(np.array([1, 2, 7, 40, 50]), fraction=0.1)
        7.0
    """
    if not 0 < fraction < 1:
        raise ValueError(f"the tail is {fraction}; expected a fraction above 0 and below 1, such as 0.06")
    ascending = np.sort(counts[counts > 0])
    if not len(ascending):
        raise ValueError("no entry matches; expected at least one that does")
    reached = np.searchsorted(np.cumsum(ascending), fraction * ascending.sum())
    return float(ascending[reached])


def per_entry_of_size(expected: Callable[[float], float], size: int, largest: int) -> float:
    """The t at which a number of texts is expected to be kept, by bisection.

    It stops where the expected number is within a thousandth of the size, and within half a text.

    Args:
        expected: t -> expected number of kept texts; it increases, and is the number of matched texts at `largest`.
        size: the wanted number.
        largest: the largest count of an entry.

    Raises:
        ValueError: the size is not 1 to the number of matched texts.

    Examples:
        >>> round(per_entry_of_size(lambda t: 3 * min(1, t / 100), size=2, largest=100))
        67
    """
    most = expected(math.inf)
    if not 1 <= size <= most + 0.5:
        raise ValueError(f"the size is {size}; expected 1 to {round(most)}, the number of texts with an entry")
    if size > most - 0.5:
        return float(largest)
    low, high, near = 0.0, float(largest), min(0.5, size / 1000)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = expected(middle)
        if abs(found - size) < near or middle in (low, high):
            break
        low, high = (middle, high) if found < size else (low, middle)
    return middle
