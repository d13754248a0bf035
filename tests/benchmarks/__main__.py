"""The project's speeds beside its peers', each a ratio of one run: `python -m tests.benchmarks`, under 15 minutes.

Every benchmark runs in a process of its own, its arms alternating; above 1 is faster than the peer. Prints one Markdown
table and writes `figures.json` with machine and versions; `--page` copies the table into docs/speed.md.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIGURES = Path(__file__).with_name("figures.json")
PAGE = ROOT / "docs/speed.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
LIBRARIES = ("torch", "torchvision", "transformers", "scikit-learn", "pillow", "numpy", "timm", "open_clip_torch")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    peer: str
    ratio: float


@dataclass(frozen=True)
class Benchmark:
    """A module of this folder, and the rows that its JSON gives."""

    module: str
    words: tuple[str, ...]
    rows: Callable[[dict[str, Any]], Iterable[Row]]
    writes: bool = True  # to --json FILE; else the JSON is printed


def throughput(found: dict[str, Any]) -> Iterable[Row]:
    alone = next(iter(found["nothing"]["ratios"].values()))
    yield Row("embed with an encoder that costs nothing", "decode, resize and crop alone", alone)
    titles = {"small": "640 x 480 JPEGs", "large": "12-megapixel JPEGs"}
    for kind, title in titles.items():
        for pair, ratio in found[kind]["ratios"].items():
            ours, peer = pair.split(" / ")
            yield Row(f"DINOv2-S 224 px, {title}: {ours}", peer, ratio)


def startup(found: dict[str, Any]) -> Iterable[Row]:
    for verb, ratio in found["ratios"].items():
        yield Row(f"command {verb}, one photograph, start to end", "importing torch and Dinov2Model", 1 / ratio)


def recall(found: dict[str, Any]) -> Iterable[Row]:
    peer = "one dense product, as CLIP_benchmark does"
    yield Row("recall of 5,000 images and 25,000 texts: speed", peer, 1 / found["time_ratio"])
    yield Row("recall of 5,000 images and 25,000 texts: memory saved", peer, 1 / found["memory_ratio"])


def neighbours(found: dict[str, Any]) -> Iterable[Row]:
    for count, ratio in found["times_faster"].items():
        yield Row(f"k-NN, gallery of 50,000, k = {count}", "scikit-learn, brute force", ratio)


def training(found: dict[str, Any]) -> Iterable[Row]:
    for size in ("playground", "dinov2_base_to_clip_b16"):
        for head, figures in found.get(size, {}).items():
            ratio = figures["to_the_faster_loader"]
            yield Row(
                f"projector training, {size.replace('_', ' ')}, {head} head", "DataLoader loop, 0 or 2 workers", ratio
            )


BENCHMARKS = (
    Benchmark("throughput", (), throughput),
    Benchmark("startup", (), startup),
    Benchmark("recall", (), recall, writes=False),
    Benchmark("neighbours", (), neighbours, writes=False),
    Benchmark("training", (), training, writes=False),
)


def run(benchmark: Benchmark) -> dict[str, Any]:
    """The JSON of a benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        words = (*benchmark.words, *(("--json", str(file)) if benchmark.writes else ()))
        command = [sys.executable, "-m", f"tests.benchmarks.{benchmark.module}", *words]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, Any] = json.loads(file.read_text() if benchmark.writes else done.stdout)
    return found


def table(rows: Iterable[dict[str, Any]]) -> str:
    """The Markdown table of the page on speed."""
    lines = ["| what | compared with | ratio |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {row['what']} | {row['peer']} | {row['ratio']:.2f} |" for row in rows)])


def machine() -> dict[str, object]:
    cpu = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.+)", cpu.read_text()) if cpu.is_file() else None
    return {
        "cpu": named[1] if named else platform.processor(),
        "cpus": os.cpu_count(),
        "amx": "amx_bf16" in cpu.read_text() if cpu.is_file() else False,
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def show_on_page(text: str) -> None:
    """Replace the table of the page on speed."""
    whole = PAGE.read_text()
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[one.module for one in BENCHMARKS])
    parser.add_argument("--page", action="store_true", help="copy the table into docs/speed.md")
    arguments = parser.parse_args()
    begun, rows, raw = time.monotonic(), [], {}
    for benchmark in BENCHMARKS:
        if arguments.only in (None, benchmark.module):
            raw[benchmark.module] = run(benchmark)
            rows += [asdict(row) for row in benchmark.rows(raw[benchmark.module])]
            print(f"{benchmark.module}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(table(rows))
    if arguments.only is None:
        figures = {"date": str(date.today()), "machine": machine(), "seconds": round(time.monotonic() - begun)}
        FIGURES.write_text(json.dumps({**figures, "rows": rows, "benchmarks": raw}, indent=1) + "\n")
        if arguments.page:
            show_on_page(table(rows))


if __name__ == "__main__":
    main()
