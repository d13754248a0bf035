"""Loads hostile images one by one, each in a process of its own with limits; prints a JSON line per image.

`python -m tests.images.hostile_run` reads lines of "variant kind". The parent has loaded every library; each child only
decodes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

MOST_SECONDS, MOST_MEGABYTES = 5.0, 1000.0
_KILLED_AFTER = 20  # seconds of computing
_MOST_DATA = 4 << 30  # bytes


@dataclass(frozen=True)
class Measured:
    """One load: seconds of computing, memory above that of the waiting process, and how it ended.

    Attributes:
        kind, variant: of the image.
        size: bytes of the file.
        seconds: of this process's processors together.
        waited: seconds by the clock.
        megabytes: peak memory.
        outcome: "image W x H", an error line, or "crash ...".
    """

    kind: str
    variant: int
    size: int
    seconds: float
    waited: float
    megabytes: float
    outcome: str

    @property
    def fault(self) -> str:
        """What is wrong with it, "" if nothing."""
        if self.outcome.startswith("crash"):
            return self.outcome
        if min(self.seconds, self.waited) > MOST_SECONDS or self.megabytes > MOST_MEGABYTES:
            return f"{self.seconds:.1f} s and {self.megabytes:.0f} MB"
        return "" if "\n" not in self.outcome else "an error of several lines"


def measured(images: Iterable[tuple[str, int]]) -> Iterator[Measured]:
    """Each image's load, measured in one further process, which forks for each."""
    asked = "".join(f"{variant} {kind}\n" for kind, variant in images)
    command = [sys.executable, "-m", "tests.images.hostile_run"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, cwd=root, check=True)
    yield from (Measured(**json.loads(line)) for line in done.stdout.splitlines())


def main() -> None:
    from PIL import Image, ImageCms

    from tests.images.hostile import hostile

    warnings.simplefilter("ignore")
    Image.init()
    ImageCms.createProfile("sRGB")
    for module in ("torchvision.io", "pillow_heif.as_plugin", "dinoclip_viz.images"):
        import_module(module)  # what the children would otherwise import in their time
    for line in sys.stdin:
        variant, kind = line.rstrip("\n").split(" ", 1)
        sys.stdout.write(json.dumps(asdict(_one(kind, int(variant), hostile(kind, int(variant))))) + "\n")
        sys.stdout.flush()


def _one(kind: str, variant: int, data: bytes) -> Measured:
    reading, writing = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if not child:
        os.close(reading)
        _load(data, writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    _, state, used = os.wait4(child, 0)
    waited = time.monotonic() - begun
    if not text:
        text = json.dumps([used.ru_utime + used.ru_stime, 0.0, f"crash: signal {os.waitstatus_to_exitcode(state)}"])
    seconds, megabytes, outcome = json.loads(text)
    return Measured(kind, variant, len(data), seconds, waited, megabytes, outcome)


def _load(data: bytes, told: int) -> None:
    """In the child: loads, tells, ends."""
    from dinoclip_viz.images import ImageError, load_image

    resource.setrlimit(resource.RLIMIT_CPU, (_KILLED_AFTER, _KILLED_AFTER))
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_DATA, _MOST_DATA))
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    begun = time.process_time()
    try:
        outcome = "image {} x {}".format(*load_image(data).size)
    except ImageError as error:
        outcome = f"{error}"
    except BaseException as error:
        outcome = f"crash: {type(error).__name__}: {error}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    os.write(told, json.dumps([time.process_time() - begun, peak / 1e6, outcome]).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
