"""Balancing of the captions of data sources of any size, by several processes, in constant memory.

Sources are read once. The first pass matches captions and counts entries; t is solved where a size or a tail is wanted;
the second pass draws and writes the kept captions. Between the two, captions and matches are in a temporary folder.
"""

from __future__ import annotations

import math
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from dinoclip_viz.curate.balancing import (
    check_entries,
    check_per_entry,
    check_seed,
    entry_counts,
    entry_probabilities,
    hashes,
    keep_probabilities,
    kept,
    names_of,
    per_entry_of_size,
    per_entry_of_tail,
)
from dinoclip_viz.curate.entries import read_entries, write_entries
from dinoclip_viz.curate.matching import Matcher, build_matcher, match_texts, matcher_name
from dinoclip_viz.curate.report import BalanceReport, Examples
from dinoclip_viz.curate.spool import Block, Line, Spool, captions_of, lines_of_sources, rows_of_block
from dinoclip_viz.data import Source, SourceError
from dinoclip_viz.data.captions.selection import Reference
from dinoclip_viz.disk import replacing
from dinoclip_viz.pipeline.workers import Workers

AT_ONCE = 8192
"""Captions that are matched at a time."""

Watch = Callable[[int], None]
"""Called with the number of captions that were matched."""


@dataclass(frozen=True)
class BalanceSettings:
    """How much is kept; exactly one of the first three is given.

    Attributes:
        per_entry: t, as in `balance`.
        size: number of captions that is expected to be kept.
        tail: fraction of all matches that are of entries in fewer than t captions.
        seed: of the draws.
        workers: processes that match; 1 for this process alone. The result does not depend on it.
        mend: as in `build_matcher`.
    """

    per_entry: float | None = None
    size: int | None = None
    tail: float | None = None
    seed: int = 0
    workers: int = 1
    mend: bool = False

    def __post_init__(self) -> None:
        given = [value for value in (self.per_entry, self.size, self.tail) if value is not None]
        if len(given) != 1:
            raise ValueError(f"found {len(given)} of per_entry, size and tail; expected one of them")
        if self.per_entry is not None:
            check_per_entry(self.per_entry)
        if self.size is not None and self.size < 1:
            raise ValueError(f"size is {self.size}; expected 1 or more captions")
        if self.tail is not None and not 0 < self.tail < 1:
            raise ValueError(f"tail is {self.tail}; expected a fraction above 0 and below 1, such as 0.06")
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}; expected 1 or more")
        check_seed(self.seed)


def balance_sources(
    sources: Sequence[tuple[Source, Reference]],
    entries: Sequence[str],
    out: str | Path,
    settings: BalanceSettings,
    watch: Watch | None = None,
) -> BalanceReport:
    """Write the samples of which a caption is kept, with these captions, and return what was counted.

    The list has one JSON object per line, in the order of the sources: image, key, captions and label; or, if the
    images of a source are no files, a selection (`data.captions.selection`). `open_source` opens both. The caption of a
    sample is drawn by the sample's key and its own text, as `balance` does with these keys.

    Args:
        sources: each with the reference that opens it again.
        entries: as in `balance`.
        out: file of the list, .jsonl; it appears when it is complete.
        settings: how much is kept.
        watch: called after each batch.

    Raises:
        SourceError: a source cannot be read, or there is no caption.
        ValueError: invalid entries, none of which matches, or a size above the number of captions with an entry.
    """
    known = check_entries(entries)
    target = Path(out).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        spool = Spool(Path(folder))
        report = BalanceReport(known, settings.seed, matcher_name())
        for lines, block in _matched(sources, known, settings, Path(folder), report):
            spool.add(lines, block)
            report.count(block, entry_counts(block.matches, len(known)))
            if watch is not None:
                watch(len(block.texts))
        spool.close()
        _check_matched(report, sources)
        report.per_entry = _per_entry(settings, report, spool)
        with replacing(target) as aside:
            _write(spool, aside, report, [reference for _, reference in sources])
    return report


def _check_matched(report: BalanceReport, sources: Sequence[tuple[Source, Reference]]) -> None:
    names = ", ".join(source.name for source, _ in sources)
    if not report.captions:
        raise SourceError(
            f"{names[:200]}: none of the {report.read.samples} samples has a caption; expected captions to balance"
        )
    if not report.matched:
        raise ValueError(
            f"{names[:200]}: none of the {report.captions} captions contains one of the {len(report.entries)} entries, "
            f"such as {report.entries[0]!r}; expected entries as they are written in captions: case matters"
        )


def _per_entry(settings: BalanceSettings, report: BalanceReport, spool: Spool) -> float:
    if settings.per_entry is not None:
        return settings.per_entry
    if settings.tail is not None:
        return per_entry_of_tail(report.before, settings.tail)

    def expected(per_entry: float) -> float:
        if math.isinf(per_entry):
            return float(report.matched)
        probabilities = entry_probabilities(report.before, per_entry)
        return float(sum(keep_probabilities(block.matches, probabilities).sum() for block in spool.blocks()))

    return per_entry_of_size(expected, settings.size or 0, int(report.before.max()))


def _write(spool: Spool, file: Path, report: BalanceReport, references: Sequence[Reference]) -> None:
    """Draw, and write the samples of which a caption is kept."""
    probabilities = entry_probabilities(report.before, report.per_entry)
    entries = hashes(report.entries)
    lines = spool.lines()
    with file.open("w", encoding="utf-8") as out:
        for block in spool.blocks():
            chosen = kept(block.matches, probabilities, block.texts, entries, report.seed)
            report.expected += float(keep_probabilities(block.matches, probabilities).sum())
            after = block.matches.ids[chosen[block.matches.texts]]
            report.after += np.bincount(after, minlength=len(entries))
            report.kept += int(chosen.sum())
            examples = Examples.of(block, chosen)
            for start, text, row in rows_of_block(block, chosen, lines, None if spool.files else references):
                if examples.needs(start):
                    examples.read(start, captions_of(text))
                out.write(row)
                report.kept_samples += bool(row)
            report.examples = report.examples.merged(examples)


# Reading and matching

_Texts = tuple[str, tuple[str, ...]]


def _matched(
    sources: Sequence[tuple[Source, Reference]],
    entries: tuple[str, ...],
    settings: BalanceSettings,
    folder: Path,
    report: BalanceReport,
) -> Iterator[tuple[list[Line], Block]]:
    """Lines and blocks in the order of the sources."""
    batches = lines_of_sources([source for source, _ in sources], report.read, AT_ONCE)
    if settings.workers == 1:
        matcher, names = build_matcher(entries, settings.mend, report.matcher), _texts
        yield from ((lines, match_captions(matcher, names(lines))) for lines in batches)
        return
    file = folder / "entries.json"
    write_entries(file, entries)
    work = partial(match_in_process, str(file), settings.mend, report.matcher)
    with Workers(settings.workers) as pool:
        waiting: deque[tuple[list[Line], Future[Any]]] = deque()
        try:
            for lines in batches:
                waiting.append((lines, pool.submit(work, _texts(lines))))
                if len(waiting) > 2 * settings.workers:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _finished(lines: list[Line], future: Future[Any]) -> tuple[list[Line], Block]:
    try:
        return lines, future.result()
    except RuntimeError as error:
        raise RuntimeError("the processes that match captions ended; if memory ran out, use fewer workers") from error


def _texts(lines: Sequence[Line]) -> list[_Texts]:
    return [(line.key, line.captions) for line in lines]


def match_in_process(file: str, mend: bool, method: str, samples: Sequence[_Texts]) -> Block:
    """The block of samples, by the matcher of this process, which is built for the first samples.

    Args:
        file: of the entries, JSON.
        mend: as in `build_matcher`.
        method: of the matcher.
        samples: key and captions of each.
    """
    return match_captions(_matcher_of(file, mend, method), samples)


@lru_cache(maxsize=1)
def _matcher_of(file: str, mend: bool, method: str) -> Matcher:
    return build_matcher(read_entries(file), mend, method)


def match_captions(matcher: Matcher, samples: Sequence[_Texts]) -> Block:
    """The block of samples.

    Args:
        matcher: of the entries.
        samples: key and captions of each.
    """
    names = (name for key, captions in samples for name in names_of(key, captions))
    matches = match_texts(matcher, (caption for _, captions in samples for caption in captions))
    return Block(hashes(names), matches, np.array([len(captions) for _, captions in samples], np.int32))
