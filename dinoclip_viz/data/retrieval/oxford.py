"""Revisited Oxford and Paris: ground truth as JSON, images in jpg/ next to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from PIL import Image

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.locations import found_in, is_image_name, shown
from dinoclip_viz.data.retrieval.instances import InstanceSet, Lists, SampleList
from dinoclip_viz.data.texts import read_json
from dinoclip_viz.images import ImageError, Levels, load_image

LISTS = ("easy", "hard", "junk")
_FORM = "expected {imlist: [name, ...], qimlist: [name, ...], gnd: [{bbx: [x0, y0, x1, y1], easy, hard, junk}, ...]}"


@dataclass(frozen=True)
class CroppedImage:
    """A part of an image, read when called.

    Attributes:
        path: the image's file.
        box: (x0, y0, x1, y1) in its pixels.
    """

    path: Path
    box: tuple[float, float, float, float]

    def __call__(self) -> Image.Image:
        """The part as RGB, as `read` returns it."""
        return self.read()

    def read(self, levels: Levels = None) -> Image.Image:
        """The part as RGB.

        Args:
            levels: the values shown as black and white, in the whole image, as in `load_image`.

        Raises:
            ImageError: the image cannot be read, or the box is outside it.
        """
        image = load_image(self.path, levels=levels)
        left, top = (max(0, round(value)) for value in self.box[:2])
        right, bottom = (min(side, round(value)) for side, value in zip(image.size, self.box[2:], strict=True))
        if left >= right or top >= bottom:
            raise ImageError(f"{shown(self.path)}: the query's box {self.box} is outside its {image.size} pixels")
        return image.crop((left, top, right, bottom))


def open_oxford(path: str | PathLike[str]) -> InstanceSet:
    """The queries, gallery and lists of a revisited data set (Radenović et al. 2018, https://arxiv.org/abs/1803.11285).

    Queries are cropped to their box, as the protocol requires. The published ground truth is a pickle, which may run
    code when it is opened, so only a JSON file of the same content is read.

    Args:
        path: the JSON file, such as gnd_roxford5k.json, with the images in jpg/ next to it; or its folder.

    Raises:
        SourceError: the file is a pickle (the message has the command that converts it), missing, or of another form.
    """
    file = _file(Path(path).expanduser())
    if file.suffix.lower() in (".pkl", ".pickle"):
        way_out = _conversion(shown(file), shown(file.with_suffix(".json")))
        raise SourceError(f"{shown(file)}: a pickle, which can run code; expected JSON, if you trust it: {way_out}")
    parsed = read_json(file)
    folder = file.parent / "jpg"
    if not folder.is_dir():
        raise SourceError(f"{shown(folder)}: no such folder; expected the data set's images there")
    names = [_names(file, parsed, key) for key in ("imlist", "qimlist")]
    known = parsed.get("gnd") if isinstance(parsed, Mapping) else None
    if not isinstance(known, list) or len(known) != len(names[1]):
        raise SourceError(f"{shown(file)}: gnd does not have one entry for each of {len(names[1])} queries; {_FORM}")
    gallery = tuple(Sample(name, _image(folder, name), path=shown(_image(folder, name))) for name in names[0])
    queries, ground_truth = [], []
    for number, (name, one) in enumerate(zip(names[1], known, strict=True)):
        box, lists = _query(file, number, one, len(gallery))
        path_of = _image(folder, name)
        queries.append(Sample(name, CroppedImage(path_of, box), path=shown(path_of)))
        ground_truth.append(lists)
    title = shown(file)
    return InstanceSet(title, SampleList(title, tuple(queries)), SampleList(title, gallery), tuple(ground_truth))


def is_oxford(path: Path) -> bool:
    """Whether a path is a ground truth of this kind, or a folder with one."""
    return path.name.startswith("gnd_") or (path.is_dir() and any(path.glob("gnd_*")))


def _file(path: Path) -> Path:
    if not path.is_dir():
        if not path.is_file():
            raise SourceError(f"{shown(path)}: no such file; expected a ground truth such as gnd_roxford5k.json")
        return path
    found = sorted(path.glob("gnd_*.json")) or sorted(path.glob("gnd_*.pkl"))
    if len(found) != 1:
        listed = ", ".join(shown(file.name) for file in found) or "none"
        raise SourceError(f"{shown(path)}: found {listed} in this folder; expected one gnd_*.json: give its path")
    return found[0]


def _conversion(pickled: str, target: str) -> str:
    """The command that converts the published file into JSON."""
    reading, writing = f"open({pickled!r}, 'rb')", f"open({target!r}, 'w')"
    dump = f"json.dump(pickle.load({reading}), {writing}, default=lambda value: value.tolist())"
    return f'python -c "import json, pickle; {dump}"'


def _names(file: Path, parsed: object, key: str) -> list[str]:
    names = parsed.get(key) if isinstance(parsed, Mapping) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise SourceError(f"{shown(file)}: {key} is no list of names; {_FORM}")
    return names


def _image(folder: Path, name: str) -> Path:
    return found_in(folder, name if is_image_name(name) else f"{name}.jpg")


def _query(file: Path, number: int, one: object, count: int) -> tuple[tuple[float, float, float, float], Lists]:
    """The box and the lists of one query."""
    box = one.get("bbx") if isinstance(one, Mapping) else None
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        raise SourceError(f"{shown(file)}: query {number} has no bbx of four numbers; {_FORM}")
    lists: dict[str, tuple[int, ...]] = {}
    for name in LISTS:
        rows = one.get(name, []) if isinstance(one, Mapping) else []
        if not isinstance(rows, list) or not all(type(row) is int and 0 <= row < count for row in rows):
            raise SourceError(
                f"{shown(file)}: query {number} has entries in {name} that are no index below {count}; {_FORM}"
            )
        lists[name] = tuple(rows)
    return (float(box[0]), float(box[1]), float(box[2]), float(box[3])), lists


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
