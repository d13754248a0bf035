"""Time and peak memory of `embed` on 2,000 and 20,000 synthetic scenes: `python tests/benchmarks/embedding.py` (JSON).

Each run is a separate process; its peak is the largest resident size of the process and of its decoding worker.
"""

import argparse
import json
import subprocess
import sys
import tempfile

CODE = """
import json, resource, sys
from dinoclip_viz.pipeline import embed
if __name__ == "__main__":
    report = embed("playground:2300:{count}", "playground-dino", sys.argv[1], texts="playground-clip", workers=1)
    print(json.dumps(dict(
        images=report.images, seconds=report.seconds,
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        worker_megabytes=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    )))
"""


def run(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        script = f"{folder}/run.py"
        with open(script, "w") as file:
            file.write(CODE.format(count=count))
        done = subprocess.run([sys.executable, script, f"{folder}/store"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=2000)
    small = parser.parse_args().small
    few, many = run(small), run(10 * small)
    figures = {
        "few": few,
        "many": many,
        "time_ratio": many["seconds"] / few["seconds"],
        "memory_ratio": many["megabytes"] / few["megabytes"],
        "worker_memory_ratio": many["worker_megabytes"] / few["worker_megabytes"],
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
