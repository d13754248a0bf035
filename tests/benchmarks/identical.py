"""Stores before and after a change, byte for byte: `python -m tests.benchmarks.identical --baseline COMMIT`.

The commit is checked out beside the repository, `embed` runs from both on the same images, in float32 on a CPU, and the
files of the stores are compared. Ends with 1 if any differs.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

import dinoclip_viz as dv

ROOT = Path(__file__).parents[2]

CODE = """
import json, sys
from pathlib import Path
import torch
import dinoclip_viz
from dinoclip_viz.encoders import load_encoder, load_text_encoder
from dinoclip_viz.pipeline import embed

if __name__ == "__main__":
    torch.set_num_threads(2)
    root, images, small, out = sys.argv[1:]
    assert dinoclip_viz.__file__.startswith(root), dinoclip_viz.__file__
    load = lambda name: load_encoder(name, "cpu", torch.float32)
    both = [load("playground-dino"), load("playground-clip")]
    texts = load_text_encoder("playground-clip", "cpu", torch.float32)
    embed("playground:2300:150", both, f"{out}/scenes", texts, patches=4, shard_size=40)
    embed("playground:2301:50:192", both, f"{out}/full", texts, patches="full", batch_size=16)
    embed(images, load(small), f"{out}/jpegs", batch_size=16, workers=2)
    embed(images, load(small), f"{out}/threads", size=336, batch_size=5)
"""


def photographs(folder: Path, count: int) -> None:
    """JPEGs of several sizes, upright and turned, and one broken file."""
    for index, scene in enumerate(dv.playground.stream(3001, count, 480)):
        size = [(640, 480), (480, 640), (1000, 400), (333, 777)][index % 4]
        exif = Image.Exif()
        exif[0x0112] = index % 8 + 1
        scene.image.resize(size).save(folder / f"{index:03d}.jpg", quality=90, exif=exif)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")


def digests(folder: Path) -> dict[str, str]:
    """File -> checksum, without manifests and records, which hold times and versions."""
    kinds = (".npy", ".parquet")
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in kinds]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baseline", required=True, metavar="COMMIT")
    parser.add_argument("--count", type=int, default=48, metavar="N", help="JPEG files (%(default)s)")
    arguments = parser.parse_args()
    from tests.benchmarks.speed import dinov2_small

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images, small = folder / "images", folder / "small"
        images.mkdir()
        photographs(images, arguments.count)
        dinov2_small(small)
        subprocess.run(["git", "worktree", "add", "-q", folder / "before", arguments.baseline], cwd=ROOT, check=True)
        found = []
        try:
            for root in (folder / "before", ROOT):
                script, out = folder / "run.py", folder / f"out{len(found)}"
                script.write_text(f"import sys\nsys.path.insert(0, {str(root)!r})\n{CODE}")
                subprocess.run([sys.executable, script, root, images, small, out], check=True, cwd=folder)
                found.append(digests(out))
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", folder / "before"], cwd=ROOT, check=True)
    before, after = found
    different = sorted(file for file in {*before, *after} if before.get(file) != after.get(file))
    print(json.dumps({"baseline": arguments.baseline, "files": len(before), "different": different}, indent=1))
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
