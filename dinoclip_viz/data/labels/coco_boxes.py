"""COCO's instance annotations: images with the boxes and classes of their objects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.locations import images_root, key_of_name, located, shown
from dinoclip_viz.data.texts import UTF8, read_json

_PEEK = 20  # images used to find their folder
_EXPECTED = "expected COCO's instance annotations, such as instances_val2017.json"


@dataclass(frozen=True)
class LabelledBox:
    """An annotated object.

    Attributes:
        label: name of its class.
        box: x0, y0, x1, y1 in pixels.
        crowd: whether the box stands for many objects.
    """

    label: str
    box: tuple[float, float, float, float]
    crowd: bool = False


@dataclass(frozen=True)
class BoxSample:
    """An image with its annotated objects: `sample` loads the image."""

    sample: Sample
    boxes: tuple[LabelledBox, ...]


@dataclass(frozen=True)
class BoxSource:
    """The images of a COCO instance file with their boxes, in the file's order; it is read into memory.

    Attributes:
        file: `instances_val2017.json` or another of its layout.
        images: folder of the images; by default the first of the usual folders next to the file.
        encoding: of the file.
    """

    file: Path
    images: Path | None = None
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The path of the annotation file."""
        return shown(self.file)

    def read(self) -> tuple[tuple[str, ...], list[BoxSample]]:
        """The class names in the file's order, and the images with their boxes.

        Raises:
            SourceError: the file cannot be read, or is not in COCO's layout.
        """
        parsed = read_json(self.file, self.encoding)
        rows = {name: self._rows(parsed, name) for name in ("images", "annotations", "categories")}
        classes = {row.get("id"): str(row["name"]) for row in rows["categories"] if row.get("name")}
        if len(classes) < len(rows["categories"]):
            raise SourceError(f"{self.name}: a category without an id or a name of its own; {_EXPECTED}")
        boxes: dict[object, list[LabelledBox]] = {row.get("id"): [] for row in rows["images"]}
        for number, row in enumerate(rows["annotations"], start=1):
            image, label = row.get("image_id"), classes.get(row.get("category_id"))
            if image not in boxes or label is None:
                missing = "image_id" if label is not None else "category_id"
                raise SourceError(f"{self.name}, annotation {number}: {missing} {row.get(missing)!r} is not listed")
            boxes[image].append(LabelledBox(label, self._box(row.get("bbox"), number), bool(row.get("iscrowd"))))
        return tuple(classes.values()), list(self._samples(rows["images"], boxes))

    def _rows(self, parsed: object, name: str) -> list[Mapping[str, object]]:
        rows = parsed.get(name) if isinstance(parsed, Mapping) else None
        if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
            raise SourceError(f"{self.name}: no list `{name}` of objects; {_EXPECTED}")
        return rows

    def _box(self, given: object, number: int) -> tuple[float, float, float, float]:
        numbers = [float(each) for each in given if isinstance(each, int | float)] if isinstance(given, list) else []
        if len(numbers) != 4 or not all(map(math.isfinite, numbers)) or min(numbers[2:]) < 0:
            found = shown(str(given))[:60]
            raise SourceError(
                f"{self.name}, annotation {number}: bbox {found}; expected [x, y, width, height] in pixels"
            )
        x, y, width, height = numbers
        return x, y, x + width, y + height

    def _samples(
        self, rows: list[Mapping[str, object]], boxes: Mapping[object, list[LabelledBox]]
    ) -> Iterator[BoxSample]:
        names = [name if isinstance(name := row.get("file_name"), str) and name.strip() else "" for row in rows]
        root = self.images or images_root(self.file.parent, names[:_PEEK])
        for number, (row, name) in enumerate(zip(rows, names, strict=True), start=1):
            known, key = tuple(boxes[row.get("id")]), shown(str(row.get("id", number)))
            if not name:
                reason = f"{self.name}, image {number}: no file_name; expected the image's path"
                yield BoxSample(Sample(key, Unreadable(reason)), known)
                continue
            image, path = located(root, name)
            yield BoxSample(Sample(key or key_of_name(name), image, path=path), known)
