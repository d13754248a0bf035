"""`dinoclip curate --by entries`: MetaCLIP's balancing of captions."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.curate.sources import failures, open_sources, write_text
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from dinoclip_viz.curate.report import BalanceReport


def balance(arguments: Namespace) -> Answer:
    """How many captions were kept.

    Raises:
        ValueError: entries or target are missing, or as in `balance_sources`.
    """
    from tqdm import tqdm

    from dinoclip_viz.curate import BalanceSettings, balance_sources, read_entries
    from dinoclip_viz.curate.entries import entries_hash

    if arguments.entries is None:
        raise ValueError("found no --entries; expected a .json or .txt file, as --build-entries makes one")
    if arguments.per_entry is arguments.size is arguments.tail is None:
        raise ValueError("found no --per-entry, --size or --tail; expected one of them, such as --tail .06")
    settings = BalanceSettings(
        arguments.per_entry, arguments.size, arguments.tail, arguments.seed or 0, arguments.workers or 1, arguments.mend
    )
    entries = read_entries(arguments.entries, arguments.encoding)
    sources = open_sources(arguments)
    with tqdm(unit=" captions", dynamic_ncols=True, delay=1) as bar:
        report = balance_sources(sources, entries, arguments.out, settings, bar.update)
    result = {
        "out": str(arguments.out), **report.numbers(), "entries_sha256": entries_hash(entries), "mend": settings.mend,
    }  # fmt: skip
    if arguments.report:
        _write_report(arguments.report, report)
        result["report"] = str(arguments.report)
    return Answer(result, _text(report, arguments.out), failures(report.read), listed_as="failures")


def _text(report: BalanceReport, out: Path) -> str:
    numbers = report.numbers()
    rows = [
        ["entries", f"{numbers['entries']:,}", f"{numbers['entries_matched']:,} match"],
        ["captions", f"{report.captions:,}", f"{report.captions - report.matched:,} without an entry"],
        ["matches", f"{report.matches:,}", f"{numbers['tail_fraction']:.1%} of entries in fewer than t captions"],
        ["t", f"{report.per_entry:,.6g}", f"{numbers['entries_head']:,} entries above"],
        ["kept", f"{report.kept:,}", f"{numbers['kept_fraction']:.1%} of captions; {report.expected:,.0f} expected"],
        ["images", f"{report.kept_samples:,}", f"of {report.read.samples:,}, in {out}"],
    ]
    return table(rows)


def _write_report(folder: Path, report: BalanceReport) -> None:
    """`report.json`, `counts.csv` with every entry, and `counts.png`."""
    from dinoclip_viz.viz import rank_frequency

    write_text(folder / "report.json", json.dumps(report.details(), indent=1) + "\n")
    write_text(folder / "counts.csv", report.table())
    counts = {"before": report.before, "after": report.after}
    if not report.kept:
        del counts["after"]
    with replacing(folder / "counts.png") as aside:
        rank_frequency(counts, report.per_entry).save(aside)
