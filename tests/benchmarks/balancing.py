"""Balancing of many captions: `python -m tests.benchmarks.balancing --json FILE`.

Synthetic captions of about 72 characters against 500,000 synthetic entries of one to four words, both of words by
Zipf's law. Every run is in a process of its own: captions per second, with and without reading and writing, and peak
memory. Then the kept captions of a plain loop over 50,000 captions, and those of 1, 2 and 4 processes, are compared.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from dinoclip_viz.curate import BalanceSettings, balance, balance_sources, read_entries, write_entries
from dinoclip_viz.curate.matching import build_matcher
from dinoclip_viz.curate.streaming import AT_ONCE, match_captions
from dinoclip_viz.data import Sample
from dinoclip_viz.data.captions.selection import Reference
from tests.curate.plain import plain_balance

VOCABULARY, WORDS = 200_000, 12


@cache
def cumulative() -> np.ndarray:
    frequency = 1 / (np.arange(VOCABULARY) + 2.7) ** 1.05
    return np.cumsum(frequency / frequency.sum())


@cache
def vocabulary() -> list[str]:
    """Words of two to eight letters, frequent ones the shortest."""

    def word(number: int) -> str:
        letters = ""
        number += 26
        while number:
            number, letter = divmod(number, 26)
            letters += chr(97 + letter)
        return letters + "aeiou"[len(letters) % 5] * (len(letters) // 2)

    return [word(number) for number in range(VOCABULARY)]


def phrases(chance: np.random.Generator, count: int, lengths: np.ndarray) -> list[str]:
    rows = np.minimum(np.searchsorted(cumulative(), chance.random((count, int(lengths.max())))), VOCABULARY - 1)
    words = vocabulary()
    return [" ".join([words[i] for i in row[:n]]) for row, n in zip(rows.tolist(), lengths.tolist(), strict=True)]


def make_entries(count: int) -> list[str]:
    chance, found = np.random.default_rng(0), set(vocabulary()[: count // 4])
    while len(found) < count:
        lengths = chance.integers(1, 5, 100_000)
        found.update(phrases(chance, 100_000, lengths)[: count - len(found)])
    return sorted(found)


def captions(block: int, count: int) -> list[str]:
    chance = np.random.default_rng([1, block])
    return phrases(chance, count, chance.integers(WORDS - 4, WORDS + 5, count))


@dataclass(frozen=True)
class Synthetic:
    """A source of captions that are made as they are read."""

    count: int

    @property
    def name(self) -> str:
        return "synthetic"

    def samples(self, start: int = 0) -> Iterator[Sample]:
        for first in range(start, self.count, AT_ONCE):
            for number, text in enumerate(captions(first, min(AT_ONCE, self.count - first)), start=first):
                yield Sample(str(number), f"https://a.org/{number}.jpg", (text,))


def megabytes() -> tuple[float, float]:
    """Peak memory of this process, and of the largest of its processes that ended."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def measure(arguments: argparse.Namespace) -> None:
    """One run, in a process of its own."""
    entries = read_entries(arguments.path)
    vocabulary(), cumulative()
    found: dict[str, object] = {}
    if arguments.run == "automaton":
        begun = time.perf_counter()
        matcher = build_matcher(entries)
        found = {"build_seconds": time.perf_counter() - begun, "megabytes": megabytes()[0]}
        batches = [[(str(n), (text,)) for n, text in enumerate(captions(block, AT_ONCE))] for block in range(8)]
        begun = time.perf_counter()
        matches = [match_captions(matcher, batch).matches for batch in batches]
        found["captions_per_second"] = len(batches) * AT_ONCE / (time.perf_counter() - begun)
        found["matches_per_caption"] = sum(len(each.ids) for each in matches) / (len(batches) * AT_ONCE)
        texts = [text for batch in batches for _, (text,) in batch]
        found["characters_per_caption"] = sum(map(len, texts)) / len(texts)
    else:
        source = Synthetic(arguments.captions)
        begun = time.perf_counter()
        for _ in Synthetic(min(arguments.captions, 100_000)).samples():
            pass
        found["reading_captions_per_second"] = min(arguments.captions, 100_000) / (time.perf_counter() - begun)
        out = arguments.path.parent / "kept.jsonl"
        settings = BalanceSettings(tail=0.06, workers=arguments.workers)
        begun = time.perf_counter()
        report = balance_sources([(source, Reference("synthetic"))], entries, out, settings)
        seconds = time.perf_counter() - begun
        own, worker = megabytes()
        found |= {
            "captions": report.captions, "workers": arguments.workers, "seconds": seconds,
            "captions_per_second": report.captions / seconds, "megabytes": own, "worker_megabytes": worker,
            "per_entry": report.per_entry, "kept": report.kept,
            "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        }  # fmt: skip
    print(json.dumps(found))


def run(name: str, path: Path, count: int = 0, workers: int = 1) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.benchmarks.balancing", "--run", name, "--path", str(path)]
    command += ["--captions", str(count), "--workers", str(workers)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    print(name, {key: value for key, value in found.items() if key != "sha256"}, file=sys.stderr)
    return found


def against_a_loop(count: int, entries: int) -> dict[str, object]:
    """The kept captions of `balance` and of a plain loop, with the most frequent words and some phrases as entries."""
    texts = [text for first in range(0, count, AT_ONCE) for text in captions(first, min(AT_ONCE, count - first))]
    chance = np.random.default_rng(2)
    known = sorted({*vocabulary()[: entries // 2], *phrases(chance, entries // 2, chance.integers(1, 4, entries // 2))})
    per_entry = count / 500
    ours = balance(texts, known, per_entry)
    begun = time.perf_counter()
    plain, _ = plain_balance(texts, known, per_entry)
    seconds = time.perf_counter() - begun
    return {
        "captions": count, "entries": len(known), "kept": int(ours.sum()), "equal": plain == ours.tolist(),
        "loop_captions_per_second": count / seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000_000, 10_000_000], metavar="N")
    parser.add_argument("--entries", type=int, default=500_000, metavar="E", help="(%(default)s)")
    parser.add_argument("--equal", type=int, default=200_000, metavar="N", help="captions for 1, 2 and 4 processes")
    parser.add_argument("--loop", type=int, default=50_000, metavar="N", help="captions for the loop (%(default)s)")
    parser.add_argument("--loop-entries", type=int, default=1000, metavar="E", help="(%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--run", choices=["automaton", "balance"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--captions", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        measure(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "entries.json"
        write_entries(path, make_entries(arguments.entries))
        automaton = run("automaton", path)
        sizes = [run("balance", path, size) for size in arguments.sizes]
        equal = [run("balance", path, arguments.equal, workers) for workers in (1, 2, 4)]
    figures = {
        "cpus": os.cpu_count(), "entries": arguments.entries, "automaton": automaton, "sizes": sizes, "workers": equal,
        "workers_equal": len({found["sha256"] for found in equal}) == 1,
        "loop": against_a_loop(arguments.loop, arguments.loop_entries),
    }  # fmt: skip
    text = json.dumps(figures, indent=1) + "\n"
    print(text, end="")
    if arguments.json:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
