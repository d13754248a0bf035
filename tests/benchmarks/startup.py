"""Commands from start to end beside the bare imports that they need: `python -m tests.benchmarks.startup` (Markdown).

The baseline is `python -c "import torch; from transformers import Dinov2Model"`. One photograph, embedded models, warm
disk; rounds alternate, a ratio is the median of the rounds' ratios. `--json FILE` writes every round.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BASELINE = [sys.executable, "-c", "import torch; from transformers import Dinov2Model"]


def commands(image: str, out: str) -> dict[str, list[str]]:
    """Verb -> words of its command."""
    program = [sys.executable, "-m", "dinoclip_viz"]
    verbs = {
        "pca": [image, "--out", f"{out}/pca.png"],
        "classify": [image, "--labels", "cat,cup"],
        "heatmap": [image, "--prompt", "a cup", "--out", f"{out}/heatmap.png"],
        "match": [image, image, "--out", f"{out}/match.png"],
        "tokens": [image, "--out", f"{out}/tokens.png"],
    }
    return {verb: [*program, verb, *words] for verb, words in verbs.items()}


def seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    from PIL import Image
    from skimage import data

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="(%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = f"{folder}/photo.jpg"
        Image.fromarray(data.coffee()).save(image, quality=90)
        arms = {"baseline": BASELINE, **commands(image, folder)}
        for command in arms.values():
            seconds(command)
        taken: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(arguments.rounds):
            for name, command in arms.items():
                taken[name].append(seconds(command))
    bases = taken["baseline"]
    ratios = {
        name: round(median(own / base for own, base in zip(values, bases, strict=True)), 3)
        for name, values in taken.items()
        if name != "baseline"
    }
    print("| command | seconds | times the imports |\n|---|---|---|")
    print(f"| imports alone | {median(bases):.2f} | 1 |")
    for name, ratio in ratios.items():
        print(f"| `dinoclip {name}` | {median(taken[name]):.2f} | {ratio:.2f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"ratios": ratios, "seconds": taken}, indent=1) + "\n")


if __name__ == "__main__":
    main()
