"""The folders that the blocks of the documentation run in, and the reader of blocks of docs/."""

import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

PHOTOGRAPHS = ("photo", "left", "right", "street", "query")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder with the files that pages name as a reader's own: photographs, captions, a video, data sets."""
    import numpy as np
    import pyarrow as pa
    from PIL import Image
    from pyarrow import parquet
    from skimage import data

    import dinoclip_viz as dv
    from dinoclip_viz.viz import save_animation

    folder = tmp_path_factory.mktemp("prepared")
    picture = Image.fromarray(data.astronaut()).resize((256, 256))
    for name in PHOTOGRAPHS:
        picture.save(folder / f"{name}.jpg")
    scenes = dv.playground.draw(seed=1700, count=48, size=96)
    rows = []
    for place in ("photos", "coco", "scenes/images"):
        (folder / place).mkdir(parents=True)
    for number, scene in enumerate(scenes):
        scene.image.save(folder / f"coco/{number}.png")
        rows.append({"image": f"coco/{number}.png", "captions": scene.captions})
    for number, scene in enumerate(scenes[:8]):
        scene.image.save(folder / f"photos/{number}.png")
        scene.image.save(folder / f"scenes/images/{number:06d}.png")
    frames = [frame.image for frame in dv.playground.draw(seed=1701, count=3, size=192)]
    save_animation(frames, folder / "clip.mp4", seconds=0.2)

    splits = ["test" if number % 3 == 0 else "train" for number in range(len(rows))]
    images = [
        {"filename": Path(row["image"]).name, "split": split, "sentences": [{"raw": text} for text in row["captions"]]}
        for row, split in zip(rows, splits, strict=True)
    ]
    (folder / "coco/dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": images}))
    for image in images:
        image["filename"] = f"coco/{image['filename']}"
    (folder / "dataset_flickr30k.json").write_text(json.dumps({"dataset": "flickr30k", "images": images}))
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parquet.write_table(pa.Table.from_pylist(rows), folder / "captions.parquet")
    (folder / "classes.txt").write_text("\n".join(dv.playground.CLASSES))

    broken = folder / "broken"
    broken.mkdir()
    (broken / "notes.jpg").write_text("no image")
    (broken / "cut.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:900])
    Image.new("RGB", (8000, 6000)).save(broken / "huge.png")
    deep = (np.arange(96 * 96).reshape(96, 96) % 3000).astype(np.uint16)
    Image.fromarray(deep).save(broken / "deep.tif")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def workshop(prepared, tmp_path):
    """A fresh copy of the prepared folder."""
    return Path(shutil.copytree(prepared, tmp_path / "work"))
