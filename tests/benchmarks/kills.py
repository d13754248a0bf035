"""Kill `embed` and `train` at random times, resume them, and compare every file; prints JSON.

`python tests/benchmarks/kills.py [--times 10]`. The runs are `dinoclip embed` of synthetic scenes by two encoders and
`dinoclip train` on them; each is killed with SIGKILL this many times in a row and restarted each time.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dinoclip_viz.store.settings import sha256

TIMES_ALONE = {"log.jsonl"}
"""Files that contain times."""


def files(folder: Path) -> dict[str, str]:
    checkpoints = ("checkpoint.pt", "checkpoint-patches.pt")
    return {
        str(file.relative_to(folder)): sha256(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in TIMES_ALONE and file.name not in checkpoints
    }


def dinoclip(*words: object) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", "dinoclip_viz", *map(str, words)]
    return subprocess.Popen(command, start_new_session=True, **quiet)


def compare(words: list[object], folder: Path, times: int, chance: random.Random) -> dict[str, object]:
    begun = time.monotonic()
    assert dinoclip(*words, "--out", folder / "whole").wait() == 0
    whole = time.monotonic() - begun
    delays = []
    while len(delays) < times:
        process = dinoclip(*words, "--out", folder / "cut")
        delay = chance.uniform(0.3 * whole, whole) if len(delays) % 2 else chance.uniform(0.0, whole)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        delays.append(round(delay, 2))
    assert dinoclip(*words, "--out", folder / "cut").wait() == 0
    one, other = files(folder / "whole"), files(folder / "cut")
    different = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return {"seconds": round(whole, 1), "killed_after": delays, "files": len(one), "different": different}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pair = ["--encoder", "playground-dino", "--encoder", "playground-clip", "--texts", "playground-clip"]
        embed = ["embed", "playground:2200:200", *pair, "--shard-size", 16, "--workers", 1, "--patches", 4]
        figures = {"embed": compare(embed, folder / "embed", arguments.times, chance)}
        stores = folder / "embed" / "whole"
        train = ["train", "--images", stores, "--targets", stores, "--recipe", "best"]
        train += ["--epochs", 40, "--batch", 64, "--set", "patch_epochs=4", "--set", "patch_batch=256"]
        figures["train"] = compare(train, folder / "train", arguments.times, chance)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
