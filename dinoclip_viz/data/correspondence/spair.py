"""SPair-71k (Min et al. 2019), read from its published files: pairs of images of one class with common keypoints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.locations import shown

SPLITS = ("trn", "val", "test")
_LAYOUTS = ("large", "small")
_LARGEST = 1 << 24  # bytes of a file of annotations that is read


@dataclass(frozen=True, eq=False)
class KeypointPair:
    """Two images of one class with corresponding points.

    Attributes:
        key: identifier of the pair within its source.
        category: the class.
        source: the image with the query points.
        target: the image in which they are located.
        source_points: (N, 2) x and y of the points in pixels of the source, float32.
        target_points: (N, 2) the corresponding points in pixels of the target.
        source_box: (x0, y0, x1, y1) of the object in the source, in pixels.
        target_box: likewise for the target.
        names: the name of each point; empty if unknown.
        source_parts: (height, width) parts in the source, 0 for the background; None if unknown.
        target_parts: likewise for the target.
    """

    key: str
    category: str
    source: Sample
    target: Sample
    source_points: NDArray[np.float32]
    target_points: NDArray[np.float32]
    source_box: tuple[float, float, float, float]
    target_box: tuple[float, float, float, float]
    names: tuple[str, ...] = ()
    source_parts: NDArray[np.uint8] | None = None
    target_parts: NDArray[np.uint8] | None = None

    @property
    def side(self) -> float:
        """The longer side of the object's box in the target; PCK's threshold is a fraction of it."""
        x0, y0, x1, y1 = self.target_box
        return max(x1 - x0, y1 - y0)


@dataclass(frozen=True)
class SPairSource:
    """The pairs of SPair-71k, in the order of its lists.

    The unpacked folder has `Layout/large/test.txt` with one pair per line, `PairAnnotation/test/<pair>.json` and
    `JPEGImages/<category>/<image>.jpg`.

    Attributes:
        folder: the folder of `Layout`, `PairAnnotation` and `JPEGImages`.
        split: trn, val or test.
        layout: large or small, one of the data set's lists.

    Raises:
        SourceError: the folder has another layout, or the split does not exist.
    """

    folder: Path
    split: str = "test"
    layout: str = "large"

    def __post_init__(self) -> None:
        """Checks that the files exist, so that errors are raised at once."""
        if self.split not in SPLITS or self.layout not in _LAYOUTS:
            wrong = self.split if self.split not in SPLITS else self.layout
            known = SPLITS if self.split not in SPLITS else _LAYOUTS
            raise SourceError(f"{self.name}: no {shown(wrong)!r} in SPair-71k; expected one of {', '.join(known)}")
        missing = [name for name in ("JPEGImages", "PairAnnotation") if not (self.folder / name).is_dir()]
        missing += [] if self._list.is_file() else [str(self._list.relative_to(self.folder))]
        if missing:
            raise SourceError(
                f"{shown(self.folder)}: no {', no '.join(missing)} in it; expected SPair-71k's folder with Layout, "
                "PairAnnotation and JPEGImages"
            )

    @property
    def name(self) -> str:
        """The folder's path, and the split."""
        return f"{shown(self.folder)} ({shown(self.split)})"

    @property
    def count(self) -> int:
        """The number of pairs."""
        return len(self._keys())

    def pairs(self) -> Iterator[KeypointPair]:
        """The pairs in order; images are read when they are loaded.

        Raises:
            SourceError: an annotation is missing or invalid; the message names the file.
        """
        return (self._pair(key) for key in self._keys())

    @property
    def _list(self) -> Path:
        return self.folder / "Layout" / self.layout / f"{self.split}.txt"

    def _keys(self) -> list[str]:
        keys = [line.strip() for line in _text(self._list).splitlines() if line.strip()]
        odd = next((key for key in keys if Path(key).name != key), None)
        if odd is not None or not keys:
            found = f"{shown(odd)[:80]!r}" if odd is not None else "nothing"
            raise SourceError(
                f"{shown(self._list)}: {found} in it; expected names such as 000001-a-b:aeroplane, one per line"
            )
        return keys

    def _pair(self, key: str) -> KeypointPair:
        file = self.folder / "PairAnnotation" / self.split / f"{key}.json"
        try:
            row = json.loads(_text(file))
        except json.JSONDecodeError as error:
            raise SourceError(f"{shown(file)}: no JSON ({error}); expected an annotation of SPair-71k") from error
        if not isinstance(row, Mapping):
            raise SourceError(f"{shown(file)}: no object; expected an annotation of SPair-71k")
        category = _word(row, "category", file)
        source, target = (
            _sample(self.folder / "JPEGImages" / category, _word(row, name, file))
            for name in ("src_imname", "trg_imname")
        )
        points = [_numbers(row, name, file, 2) for name in ("src_kps", "trg_kps")]
        if len(points[0]) != len(points[1]):
            raise SourceError(
                f"{shown(file)}: {len(points[0])} src_kps and {len(points[1])} trg_kps; expected one per src_kps"
            )
        boxes = [_box(row, name, file) for name in ("src_bndbox", "trg_bndbox")]
        names = row.get("kps_ids")
        names = tuple(map(str, names)) if isinstance(names, list) and len(names) == len(points[0]) else ()
        return KeypointPair(shown(key), category, source, target, points[0], points[1], boxes[0], boxes[1], names)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST:
            raise SourceError(f"{shown(file)}: larger than {_LARGEST >> 20} MB; expected a file of SPair-71k")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SourceError(f"{shown(file)}: cannot be read ({reason}); expected SPair-71k's unpacked files") from error


def _sample(folder: Path, name: str) -> Sample:
    path = folder / name
    return Sample(f"{folder.name}/{shown(name)}", path, path=shown(path))


def _word(row: Mapping[str, object], name: str, file: Path) -> str:
    """A name of a file or folder, without a path."""
    value = row.get(name)
    if not isinstance(value, str) or not value or Path(value).name != value:
        raise SourceError(f"{shown(file)}: {name} is {str(value)[:60]!r}; expected a name")
    return value


def _numbers(row: Mapping[str, object], name: str, file: Path, width: int) -> NDArray[np.float32]:
    """Finite numbers (N, width)."""
    try:
        values = np.array(row.get(name), dtype=np.float32).reshape(-1, width)
    except (TypeError, ValueError) as error:
        found = f"{str(row.get(name))[:60]}; expected rows of {width} numbers"
        raise SourceError(f"{shown(file)}: {name} is {found}") from error
    if not np.isfinite(values).all():
        raise SourceError(f"{shown(file)}: {name} has values that are not finite; expected rows of {width} numbers")
    return values


def _box(row: Mapping[str, object], name: str, file: Path) -> tuple[float, float, float, float]:
    values = _numbers(row, name, file, 4)
    if len(values) != 1 or not (values[0, 2:] > values[0, :2]).all():
        raise SourceError(f"{shown(file)}: {name} is {row.get(name)}; expected x0, y0, x1, y1 of a box")
    x0, y0, x1, y1 = values[0].tolist()
    return x0, y0, x1, y1
