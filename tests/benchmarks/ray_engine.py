"""Two actors of Ray against a serial run: `python -m tests.benchmarks.ray_engine` (Markdown).

The same scenes are embedded serially, by two actors, and by two actors one of which is killed half-way. All files of
the three stores must be equal byte for byte; ends with 1 if one is not. The ratio of the times depends on the machine:
actors share its CPUs here.
"""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import dinoclip_viz as dv
from dinoclip_viz.scale import RayEngine


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.suffix in (".npy", ".parquet")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000, metavar="N", help="scenes (%(default)s)")
    parser.add_argument("--shard-size", type=int, default=250, metavar="N", help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of every process (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    source, killed = f"playground:2400:{arguments.count}", []

    def kill_half_way(done: int, count: int | None) -> None:
        if count and done >= count / 2 and not killed:
            found = subprocess.run(["pgrep", "-f", "ray::.*_Encode"], check=True, capture_output=True, text=True)
            killed.append(int(found.stdout.split()[0]))
            os.kill(killed[0], signal.SIGKILL)

    runs = {
        "serial": {},
        "two actors": {"engine": RayEngine(2)},
        "two actors, one killed half-way": {"engine": RayEngine(2), "watch": kill_half_way},
    }
    print("| run | images | seconds | images/s | files equal to the serial run's |\n|---|---|---|---|---|")
    equal = True
    with tempfile.TemporaryDirectory() as name:
        expected: dict[str, str] = {}
        for title, how in runs.items():
            folder = Path(name) / title.replace(" ", "-")
            report = dv.embed(
                source, "playground-dino", folder, "playground-clip", shard_size=arguments.shard_size, **how
            )
            found = digests(folder)
            expected = expected or found
            same = sum(found.get(file) == digest for file, digest in expected.items())
            equal &= found == expected
            rate = f"{report.images} | {report.seconds:.1f} | {report.images_per_second:.1f}"
            print(f"| {title} | {rate} | {same} of {len(expected)} |", flush=True)
    print(f"\nkilled: process {killed}")
    sys.exit(not (equal and killed))


if __name__ == "__main__":
    main()
