"""`dinoclip dedupe`: groups of near duplicates in a store, and which of each to keep."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from dinoclip_viz.cli.answer import Answer
from dinoclip_viz.cli.parser import output_file
from dinoclip_viz.cli.retrieval.search import open_store
from dinoclip_viz.disk import replacing, write_text

SUMMARY = "find near duplicates in a store"
MOST_LINES, MOST_KEYS = 20, 5  # of the text for people


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("store", metavar="STORE", help="folder that `dinoclip embed` or clip-retrieval wrote")
    parser.add_argument(
        "--above", type=_cosine, required=True, metavar="C", help="cosine of near duplicates, such as .95"
    )
    parser.add_argument("--encoder", metavar="NAME", help="encoder to compare by, where STORE holds several stores")
    parser.add_argument("--out", type=_list_file, metavar="FILE", help=".csv, one line per duplicate, or .json")


def run(arguments: Namespace) -> Answer:
    """Groups of near duplicates."""
    from dinoclip_viz.tasks.retrieval.duplicates import near_duplicates
    from dinoclip_viz.tasks.retrieval.search import described

    store = open_store(arguments.store, arguments.encoder)
    store.check_finite()
    found = near_duplicates(store.pooled, arguments.above)
    rows = [row for group in found for row in (group.keep, *(row for row, _ in group.duplicates))]
    known = dict(zip(rows, described(store, rows), strict=True))
    groups = [
        {
            "keep": known[group.keep][0],
            "duplicates": [{"key": known[row][0], "similarity": round(cosine, 6)} for row, cosine in group.duplicates],
        }
        for group in found
    ]
    count = len(rows) - len(found)
    result = {"images": len(store), "groups": groups, "duplicates": count}
    lines = [[known[group.keep][0], *(known[row][0] for row, _ in group.duplicates)] for group in found]
    text = "\n".join(f"keep {first}: {_some(others)}" for first, *others in lines[:MOST_LINES])
    text += f"\nand {len(lines) - MOST_LINES} more groups" if len(lines) > MOST_LINES else ""
    summary = f"{count} of {len(store)} images are near duplicates of others"
    answer = Answer(result, f"{text}\n{summary}" if lines else summary)
    if arguments.out is None:
        return answer
    if arguments.out.suffix.lower() == ".json":
        write_text(arguments.out, answer.json() + "\n")
    else:
        _write_csv(
            arguments.out,
            [
                (known[group.keep][0], known[row][0], cosine, known[group.keep][1], known[row][1])
                for group in found
                for row, cosine in group.duplicates
            ],
        )
    return answer


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - MOST_KEYS} more" if len(keys) > MOST_KEYS else ""
    return ", ".join(keys[:MOST_KEYS]) + more


def _cosine(text: str) -> float:
    number = float(text)
    if not -1 <= number < 1:
        raise ArgumentTypeError(f"{text} is no cosine below 1; expected -1 to below 1, such as 0.95")
    return number


_cosine.__name__ = "cosine"


def _list_file(text: str) -> Path:
    path = output_file(text)
    if path.suffix.lower() not in (".csv", ".json"):
        raise ArgumentTypeError(f"{text!r} is no list; expected a name in .csv or .json")
    return path


def _write_csv(file: Path, rows: list[tuple[str, str, float, str, str]]) -> None:
    import csv

    with replacing(file) as aside, aside.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["keep", "duplicate", "similarity", "keep_path", "duplicate_path"])
        writer.writerows((keep, other, f"{cosine:.6f}", *paths) for keep, other, cosine, *paths in rows)
