"""Errors, CPU seconds per request and memory of `dinoclip demo` under load: `python -m tests.benchmarks.app_load`.

Clients call every API endpoint for `--minutes`, half with equal and half with distinct requests, and check that every
returned file is complete and decodes. `--baseline COMMIT` runs the same load on that commit too, alternating rounds;
the ratio counts the endpoints that both have. Prints a Markdown table; `--json FILE` writes the figures. Linux alone.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count as count_from
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from gradio_client import Client, handle_file
from PIL import Image

from dinoclip_viz import playground
from tests.benchmarks.app_server import ROOT, cpu_seconds, megabytes, served, worktree

EQUAL_SEED, DISTINCT_SEED, SIDE = 1900, 2000, 256
WORDS = ("cat", "dog", "car", "tree", "boat", "bird")
KEPT_SECONDS = 60
"""Length of the start that growth of memory is measured from."""

Inputs = dict[str, Any]


class Pictures:
    """Scenes as files: one for equal requests, and a new one for every distinct request."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._numbers, self._lock = folder, count_from(DISTINCT_SEED), threading.Lock()
        self.same = self._draw(EQUAL_SEED)

    def new(self) -> Path:
        with self._lock:
            seed = next(self._numbers)
        return self._draw(seed)

    def _draw(self, seed: int) -> Path:
        path = self.folder / f"{seed}.png"
        playground.draw(seed, 1, SIDE)[0].image.save(path)
        return path


def prompted(image: Any, words: str) -> Inputs:
    return {"image": image, "prompts": [words, "the sky"]}


def pointed(image: Any, words: str) -> Inputs:
    return {"image": image, "x": 100, "y": 120}


def named(task: str) -> Callable[[Any, str], Inputs]:
    return lambda image, words: {"image": image, "task": task, "names": [words]}


INPUTS: dict[str, tuple[Callable[[Any, str], Inputs], ...]] = {
    "/classify": (lambda image, words: {"image": image, "labels": [words, "cat", "car"]},),
    "/heatmap": (prompted, lambda image, words: {**prompted(image, words), "format": "npy", "method": "projector"}),
    "/pca": (lambda image, words: {"images": [image]},),
    "/match": (lambda image, words: {"first": image, "second": image},),
    "/search": (lambda image, words: {"text": words}, lambda image, words: {"image": image}),
    "/similarity": (pointed, lambda image, words: {**pointed(image, words), "other": image, "format": "npy"}),
    "/ask": (
        lambda image, words: {"image": image},
        lambda image, words: {"image": image, "task": "answer", "question": f"is there {words} ?"},
        named("detect"),
        named("segment"),
    ),
    "/afford": (lambda image, words: {"image": image, "verbs": ["hold", "cut", words]},),
    "/models": (lambda image, words: {},),
}
"""Endpoint -> functions of the image and a text that give its inputs, used in turn."""


@dataclass
class Load:
    """What one round of load counted.

    Attributes:
        requests: number of answered requests by endpoint; errors: number by kind; files: number of checked files.
        size: bytes of all files; seconds: latency of each request; cpu: CPU seconds of the server.
        memory: (seconds, MB) of the server, one per second.
    """

    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    files: int = 0
    size: int = 0
    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0
    memory: list[tuple[float, float]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    @property
    def cpu_per_request(self) -> float:
        return self.cpu / max(1, sum(self.requests.values()))

    @property
    def growth(self) -> float:
        """Memory in the last fifth relative to that in the fifth after the first minute, medians, minus 1.

        Buffers of requests under way make single samples differ by a tenth; medians of a fifth show what stays.
        """
        if not self.memory:
            return float("nan")
        begin = min(KEPT_SECONDS, self.memory[-1][0] / 5)
        values = [megabytes for at, megabytes in self.memory if at >= begin]
        few = max(1, len(values) // 5)
        return median(values[-few:]) / median(values[:few]) - 1

    @property
    def every_minute(self) -> list[int]:
        """Median memory in MB of each minute: it shows whether growth ends, as that of caches does."""
        minutes: dict[int, list[float]] = {}
        for at, size in self.memory:
            minutes.setdefault(int(at // 60), []).append(size)
        return [round(median(sizes)) for sizes in minutes.values()]

    def figures(self) -> dict[str, Any]:
        ordered = sorted(self.seconds) or [float("nan")]
        return {
            "requests": sum(self.requests.values()),
            "by_endpoint": dict(self.requests),
            "errors": dict(self.errors),
            "files": self.files,
            "kilobytes_per_request": self.size / 1e3 / max(1, sum(self.requests.values())),
            "cpu_seconds_per_request": self.cpu_per_request,
            "median_latency_seconds": median(ordered),
            "p95_latency_seconds": ordered[int(0.95 * (len(ordered) - 1))],
            "megabytes": round(self.memory[-1][1]) if self.memory else None,
            "memory_growth": self.growth,
            "megabytes_every_minute": self.every_minute,
        }


def endpoints(address: str) -> dict[str, list[str]]:
    """The names of the API, each with those of its parameters."""
    known = httpx.get(f"{address}/gradio_api/info", timeout=60).json()["named_endpoints"]
    return {name: [each["parameter_name"] for each in one["parameters"]] for name, one in known.items()}


def check_inputs(names: Iterable[str]) -> None:
    """Ends the run where an endpoint has no inputs here."""
    missing = [name for name in names if name not in INPUTS]
    if missing:
        raise SystemExit(f"no inputs for {', '.join(missing)}; add them to INPUTS in {Path(__file__).name}")


def addresses(value: Any) -> Iterator[str]:
    """The address of every file in an answer."""
    if isinstance(value, dict):
        if value.get("url") and value.get("path"):
            yield value["url"]
        else:
            for part in value.values():
                yield from addresses(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from addresses(part)


def check_file(http: httpx.Client, url: str) -> int:
    """Bytes of a file, which is complete and decodes; raises where it does not."""
    answer = http.get(url).raise_for_status()
    kind = answer.headers.get("content-type", "")
    if not answer.content:
        raise ValueError("empty file")
    if kind.startswith("image/") or url.endswith((".png", ".webp")):
        Image.open(io.BytesIO(answer.content)).load()
    elif url.endswith(".json"):
        json.loads(answer.content)
    return len(answer.content)


def request(client: Client, http: httpx.Client, name: str, inputs: Inputs, load: Load) -> None:
    """One request and its files, counted."""
    start = time.perf_counter()
    try:
        answer = client.predict(**inputs, api_name=name)
        with load.lock:
            load.seconds.append(time.perf_counter() - start)
            load.requests[name] += 1
        for url in addresses(answer):
            size = check_file(http, url)
            with load.lock:
                load.files += 1
                load.size += size
    except Exception as error:  # counted by kind, whatever it is
        line = (str(error).splitlines() or [""])[0][:90]
        with load.lock:
            load.errors[f"{name}: {type(error).__name__}: {line}"] += 1


def visit(
    address: str, names: list[str], pictures: Pictures, load: Load, number: int, more: Callable[[int], bool]
) -> None:
    """One client: endpoints in turn, equal and distinct requests alternating, while `more(requests made)`."""
    client = Client(address, verbose=False, download_files=False, httpx_kwargs={"timeout": 120})
    same = handle_file(str(pictures.same))
    with httpx.Client(timeout=120) as http:
        made = 0
        while more(made):
            turn = made // 2
            name = names[(turn + number // 4) % len(names)]  # four clients at a time ask for the same endpoint
            ways = INPUTS[name]
            equal = made % 2 == 0
            image = same if equal else handle_file(str(pictures.new()))
            words = f"a {WORDS[0]}" if equal else f"a {WORDS[turn % len(WORDS)]} {number} {turn}"
            request(client, http, name, ways[(turn // len(names)) % len(ways)](image, words), load)
            made += 1
    client.close()


def warm(address: str, names: list[str], pictures: Pictures) -> Load:
    """Both kinds of request of every way of every endpoint, by one client: loads and embeds what is embedded once."""
    load, rounds = Load(), max(len(ways) for ways in INPUTS.values())
    visit(address, names, pictures, load, 0, lambda made: made < 2 * rounds * len(names))
    return load


def measure(process: int, address: str, names: list[str], pictures: Pictures, clients: int, minutes: float) -> Load:
    """The load of some clients for some minutes."""
    load, begin = Load(), time.monotonic()
    cpu = cpu_seconds(process)
    end = begin + 60 * minutes
    threads = [
        threading.Thread(
            target=visit, args=(address, names, pictures, load, number, lambda made: time.monotonic() < end)
        )
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        load.memory.append((time.monotonic() - begin, megabytes(process)))
        time.sleep(1)
    load.cpu = cpu_seconds(process) - cpu
    return load


def compare(tree: Path | None, scratch: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The rounds of the working tree, and of the baseline where there is one."""
    arms = {"this": ROOT, **({"baseline": tree} if tree else {})}
    pictures = Pictures(scratch)
    names, warmed = {}, {}
    for arm, home in arms.items():
        with served(home, scratch, given.option if arm == "this" else []) as (_, address):
            names[arm] = endpoints(address)
    check_inputs(names["this"])
    # an endpoint of another commit with other parameters is another one
    common = [name for name, given in names["this"].items() if all(each.get(name) == given for each in names.values())]
    if not common:
        raise SystemExit("no endpoint of the baseline has the parameters of this working tree; measure without it")
    rounds: dict[str, list[Load]] = {arm: [] for arm in arms}
    for number in range(given.rounds):
        for arm in list(arms)[:: 1 if number % 2 == 0 else -1]:
            with served(arms[arm], scratch, given.option if arm == "this" else []) as (process, address):
                warmed[arm] = warm(address, list(names[arm]) if arm == "this" else common, pictures)
                rounds[arm].append(measure(process, address, common, pictures, given.clients, given.minutes))
    found: dict[str, Any] = {
        arm: {"warm": warmed[arm].figures(), "rounds": [load.figures() for load in loads]}
        for arm, loads in rounds.items()
    }
    if tree:
        pairs = zip(rounds["this"], rounds["baseline"], strict=True)
        found["cpu_ratio"] = median(mine.cpu_per_request / theirs.cpu_per_request for mine, theirs in pairs)
    return found


def table(found: dict[str, Any]) -> str:
    lines = [
        "| | requests | errors | files | kB / request | CPU s / request | median s | 95 % s | MB | growth |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in ("this", "baseline"):
        for number, one_round in enumerate(found.get(arm, {}).get("rounds", []), 1):
            errors = sum(one_round["errors"].values())
            lines.append(
                f"| {arm}, round {number} | {one_round['requests']} | {errors} | {one_round['files']} | "
                f"{one_round['kilobytes_per_request']:.0f} | {one_round['cpu_seconds_per_request']:.3f} | "
                f"{one_round['median_latency_seconds']:.2f} | {one_round['p95_latency_seconds']:.2f} | "
                f"{one_round['megabytes']} | {one_round['memory_growth']:+.1%} |"
            )
    for arm in ("this", "baseline"):
        kinds = Counter()
        for one_round in [found.get(arm, {}).get("warm", {"errors": {}}), *found.get(arm, {}).get("rounds", [])]:
            kinds.update(one_round["errors"])
        lines += [f"- {arm}: {number} x {kind}" for kind, number in kinds.most_common()]
    if "cpu_ratio" in found:
        lines.append(f"\nCPU seconds per request, this / baseline: {found['cpu_ratio']:.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="length of a round (%(default)s)")
    parser.add_argument("--clients", type=int, default=16, help="number of clients at the same time (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="number of rounds of each (%(default)s)")
    parser.add_argument("--baseline", metavar="COMMIT", help="also measure this commit, alternating rounds")
    parser.add_argument("--option", action="append", default=[], help="option of `dinoclip demo`, repeatable")
    parser.add_argument("--json", metavar="FILE", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="app-load-") as scratch:
        if given.baseline:
            with worktree(given.baseline, Path(scratch)) as tree:
                found = compare(tree, Path(scratch), given)
        else:
            found = compare(None, Path(scratch), given)
    print(table(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if any(one_round["errors"] for one_round in [found["this"]["warm"], *found["this"]["rounds"]]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
