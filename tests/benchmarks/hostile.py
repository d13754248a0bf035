"""Two hundred hostile images through `load_image` and, a sample of them, through the app; fails beyond 5 s or 1 GB.

`python tests/benchmarks/hostile.py [--app] [--json FILE]` prints a table of kind, worst seconds of computing, worst
memory and outcome.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.app_server import megabytes, served  # noqa: E402
from tests.images.hostile import every, hostile  # noqa: E402
from tests.images.hostile_run import MOST_MEGABYTES, MOST_SECONDS, Measured, measured  # noqa: E402

SAMPLE = (
    "gif comments", "gif application blocks", "png tiny chunks", "png profile bombs", "png overlapping exif",
    "png of 40 megapixels, 16 bits", "jpeg comments", "jpeg 490 scans of 40 megapixels", "jpeg photoshop resources",
    "tiff strips of one pixel", "webp profile of many elements", "bmp runs of one",
)  # fmt: skip


def table(found: list[Measured]) -> list[dict[str, object]]:
    rows = []
    for kind, group in groupby(sorted(found, key=lambda one: one.kind), key=lambda one: one.kind):
        each = list(group)
        rows.append({
            "kind": kind,
            "images": len(each),
            "seconds": round(max(one.seconds for one in each), 2),
            "megabytes": round(max(one.megabytes for one in each)),
            "outcome": each[0].outcome[:110],
            "faults": [one.fault for one in each if one.fault],
        })  # fmt: skip
    return rows


def through_the_app() -> list[dict[str, object]]:
    """Upload and classify each of the sample; the app's seconds, its memory above the start, and its line."""
    from gradio_client import Client, handle_file

    rows = []
    with tempfile.TemporaryDirectory() as name, served(ROOT, Path(name), []) as (process, address):
        client = Client(address, verbose=False)
        for kind in SAMPLE:
            file = Path(name) / "upload.png"
            file.write_bytes(hostile(kind, 1))
            before, begun = megabytes(process), time.monotonic()
            try:
                client.predict(handle_file(str(file)), ["cat", "dog"], api_name="/classify")
                outcome = "answered"
            except Exception as error:  # the line that a visitor reads
                outcome = str(error)
            seconds = time.monotonic() - begun
            row = {"kind": kind, "seconds": round(seconds, 2), "megabytes": round(megabytes(process) - before)}
            rows.append({**row, "outcome": outcome[:110], "faults": [] if "\n" not in outcome else ["several lines"]})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--app", action="store_true", help="a sample through the app as well")
    parser.add_argument("--json", type=Path, help="file of every measurement")
    arguments = parser.parse_args()
    found = list(measured(every()))
    rows = table(found)
    apps = through_the_app() if arguments.app else []
    for row in [*rows, *({**each, "kind": f"app: {each['kind']}"} for each in apps)]:
        print(f"{row['kind']:44} {row['seconds']:7} s {row['megabytes']:6} MB  {row['outcome']}")
    if arguments.json:
        content = {"images": [asdict(one) for one in found], "app": apps}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    faults = [f"{row['kind']}: {row['faults']}" for row in [*rows, *apps] if row["faults"]]
    worst = max(one.seconds for one in found), max(one.megabytes for one in found)
    print(
        f"{len(found)} images: worst {worst[0]:.2f} s, {worst[1]:.0f} MB; limits {MOST_SECONDS} s, {MOST_MEGABYTES} MB"
    )
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    main()
