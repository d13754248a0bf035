"""Commands from start to end beside the bare imports that they need: `python -m tests.benchmarks.startup` (Markdown).

The baseline is `python -c "import torch; from transformers import Dinov2Model"`. One photograph, embedded models, warm
disk, bytecode compiled, as in an installed package; rounds alternate, a ratio is the median of the rounds' ratios.
`--json FILE` writes every round.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BASELINE = [sys.executable, "-c", "import torch; from transformers import Dinov2Model"]
PROGRAM = [sys.executable, "-m", "dinoclip_viz"]
WITHOUT_MODELS = {
    "import dinoclip_viz": [sys.executable, "-c", "import dinoclip_viz"],
    "dinoclip --help": [*PROGRAM, "--help"],
}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def commands(folder: Path) -> dict[str, list[str]]:
    """Verb -> words of its command, for the photograph in a folder."""
    image, out = str(folder / "images" / "photo.jpg"), str(folder)
    verbs = {
        "pca": [image, "--out", f"{out}/pca.png"],
        "classify": [image, "--labels", "cat,cup"],
        "heatmap": [image, "--prompt", "a cup", "--out", f"{out}/heatmap.png"],
        "match": [image, image, "--out", f"{out}/match.png"],
        "tokens": [image, "--out", f"{out}/tokens.png"],
        "embed": [f"{out}/images", "--out", f"{out}/store"],
        "search": [f"{out}/gallery", "--image", image],
    }
    return {verb: [*PROGRAM, verb, *words] for verb, words in verbs.items()}


def prepare(folder: Path) -> None:
    """Write the photograph, and a store to search."""
    from PIL import Image
    from skimage import data

    (folder / "images").mkdir()
    Image.fromarray(data.coffee()).save(folder / "images" / "photo.jpg", quality=90)
    seconds([*PROGRAM, "embed", str(folder / "images"), "--out", str(folder / "gallery")])


def seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="(%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        verbs = commands(folder)
        arms = {"baseline": BASELINE, **verbs, **WITHOUT_MODELS}
        taken: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(arguments.rounds + 1):
            for name, command in arms.items():
                shutil.rmtree(folder / "store", ignore_errors=True)
                taken[name].append(seconds(command))
    taken = {name: values[1:] for name, values in taken.items()}  # the first round warms up
    bases = taken["baseline"]
    ratios = {
        name: round(median(own / base for own, base in zip(values, bases, strict=True)), 3)
        for name, values in taken.items()
    }
    print("| command | seconds | times the imports |\n|---|---|---|")
    print(f"| imports alone | {median(bases):.2f} | 1 |")
    for name in (*verbs, *WITHOUT_MODELS):
        title = name if name in WITHOUT_MODELS else f"dinoclip {name}"
        print(f"| `{title}` | {median(taken[name]):.2f} | {ratios[name]:.2f} |")
    if arguments.json:
        of_verbs = {name: ratios[name] for name in verbs}
        arguments.json.write_text(json.dumps({"ratios": of_verbs, "seconds": taken}, indent=1) + "\n")


if __name__ == "__main__":
    main()
