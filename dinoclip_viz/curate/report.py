"""What balancing counted: entries, matches, head and tail, the kept fraction, and examples."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.curate.balancing import tail_fraction
from dinoclip_viz.curate.spool import Block, SourceCounts

EXAMPLES = 10
"""Captions of each kind in a report."""
HEAD = 20
"""Most frequent entries in a report."""
KINDS = ("kept", "dropped", "unmatched")

_Found = tuple[int, str]  # hash and caption


@dataclass(frozen=True)
class Examples:
    """Captions with the smallest hashes of each kind, the same in every run.

    Attributes:
        wanted: position of a sample's first caption in its block -> position in the sample, kind and hash of each.
        found: kind -> hash and caption, ascending.
    """

    wanted: dict[int, list[tuple[int, str, int]]] = field(default_factory=dict)
    found: dict[str, list[_Found]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    @classmethod
    def of(cls, block: Block, chosen: NDArray[np.bool_]) -> Examples:
        """The examples to read from a block.

        Args:
            block: of N captions.
            chosen: (N,) whether each is kept.
        """
        unmatched = block.matches.lengths == 0
        ends = np.cumsum(block.captions)
        wanted: dict[int, list[tuple[int, str, int]]] = {}
        for kind, mask in zip(KINDS, (chosen, ~chosen & ~unmatched, unmatched), strict=True):
            rows = np.flatnonzero(mask)
            for row in rows[np.argsort(block.texts[rows], kind="stable")[:EXAMPLES]].tolist():
                sample = int(np.searchsorted(ends, row, "right"))
                start = int(ends[sample] - block.captions[sample])
                wanted.setdefault(start, []).append((row - start, kind, int(block.texts[row])))
        return cls(wanted)

    def needs(self, start: int) -> bool:
        """Whether a caption of the sample that begins at caption `start` of a block is an example."""
        return start in self.wanted

    def read(self, start: int, captions: Sequence[str]) -> None:
        """Note the examples among the captions of the sample that begins at caption `start`."""
        for position, kind, number in self.wanted[start]:
            self.found[kind].append((number, captions[position]))

    def merged(self, other: Examples) -> Examples:
        """The examples with the smallest hashes of both."""
        return Examples({}, {kind: sorted(self.found[kind] + other.found[kind])[:EXAMPLES] for kind in KINDS})


@dataclass
class BalanceReport:
    """What was read, matched and kept.

    Attributes:
        entries: E entries.
        seed: of the draws.
        matcher: how captions were matched.
        read: what was read from the sources.
        captions, matched, matches: number of captions, of captions with an entry, and of pairs of the two.
        before, after: (E,) number of captions, and of kept captions, with each entry.
        per_entry: t.
        expected, kept, kept_samples: expected and actual number of kept captions; number of samples with one.
        examples: of captions.
    """

    entries: Sequence[str]
    seed: int
    matcher: str
    read: SourceCounts = field(default_factory=SourceCounts)
    captions: int = 0
    matched: int = 0
    matches: int = 0
    before: NDArray[np.int64] = field(init=False)
    after: NDArray[np.int64] = field(init=False)
    per_entry: float = 0.0
    expected: float = 0.0
    kept: int = 0
    kept_samples: int = 0
    examples: Examples = field(default_factory=Examples)

    def __post_init__(self) -> None:
        self.before = np.zeros(len(self.entries), np.int64)
        self.after = np.zeros(len(self.entries), np.int64)

    def count(self, block: Block, counts: NDArray[np.int64]) -> None:
        """Add a block of captions, and its (E,) counts of entries."""
        self.before += counts
        self.captions += len(block.texts)
        self.matched += int((block.matches.lengths > 0).sum())
        self.matches += len(block.matches.ids)

    def numbers(self) -> dict[str, object]:
        """The counts, for JSON: entries by frequency, captions, t, and what was kept."""
        head = self.before > self.per_entry
        return {
            "entries": len(self.entries),
            "entries_matched": int((self.before > 0).sum()),
            "entries_head": int(head.sum()),
            "samples": self.read.samples,
            "without_captions": self.read.without_captions,
            "failed": self.read.failed,
            "captions": self.captions,
            "captions_matched": self.matched,
            "captions_unmatched": self.captions - self.matched,
            "matches": self.matches,
            "matches_head_fraction": _ratio(int(self.before[head].sum()), self.matches),
            "tail_fraction": tail_fraction(self.before, self.per_entry),
            "per_entry": self.per_entry if np.isfinite(self.per_entry) else "infinity",
            "kept_expected": round(self.expected, 1),
            "kept": self.kept,
            "kept_fraction": _ratio(self.kept, self.captions),
            "kept_samples": self.kept_samples,
            "largest_before": int(self.before.max(initial=0)),
            "largest_after": int(self.after.max(initial=0)),
            "seed": self.seed,
            "matcher": self.matcher,
        }

    def details(self) -> dict[str, object]:
        """`numbers`, the most frequent entries, and examples of captions."""
        order = np.argsort(-self.before, kind="stable")[:HEAD].tolist()
        head = [
            {"entry": self.entries[entry], "before": int(self.before[entry]), "after": int(self.after[entry])}
            for entry in order
            if self.before[entry]
        ]
        examples = {kind: [caption for _, caption in found] for kind, found in self.examples.found.items()}
        return {**self.numbers(), "most_frequent": head, "examples": examples}

    def table(self) -> str:
        """CSV with the counts of every entry before and after, most frequent first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["entry", "before", "after"])
        for entry in np.argsort(-self.before, kind="stable").tolist():
            writer.writerow([self.entries[entry], int(self.before[entry]), int(self.after[entry])])
        return text.getvalue()


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
