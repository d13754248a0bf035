"""UMD part affordances (Myers et al., ICRA 2015): photographs of tools with hard masks of seven affordances.

```
FOLDER/category_split.txt, novel_split.txt       (lines of 1 or 2, for training or test, and a tool)
FOLDER/tools/TOOL/TOOL_00000001_rgb.jpg, TOOL_00000001_label.mat     (gt_label, the number of an affordance per pixel)
```
A tool is a class and a number, as in knife_01. Of the frames every third is annotated by hand, from the first; the
labels of the others were propagated, and are read only where asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.affordances.base import AffordanceImage
from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.locations import shown
from dinoclip_viz.images import ImageError, load_image

VERBS = ("grasp", "cut", "scoop", "contain", "pound", "support", "wrap-grasp")
"""Affordances in the order of the labels, of which 0 is the background."""
SPLITS = ("category", "novel")
ANNOTATED = 3
_TRAIN, _TEST = "1", "2"


@dataclass(frozen=True)
class UmdSource:
    """Frames of the test tools of one split.

    Attributes:
        folder: that holds tools and the splits.
        split: "category" for unseen tools of seen classes, "novel" for unseen classes.
        every: frames from one that is read to the next; 3 for those annotated by hand.
    """

    folder: Path
    split: str = "category"
    every: int = ANNOTATED

    @property
    def name(self) -> str:
        """The folder's path and the split."""
        return f"umd:{shown(self.folder)}:{self.split}"

    @property
    def verbs(self) -> tuple[str, ...]:
        """All seven affordances."""
        return VERBS

    @property
    def hard(self) -> bool:
        """True: targets are masks."""
        return True

    @property
    def count(self) -> int:
        """Number of frames of the test tools."""
        return len(self._test_files)

    def images(self) -> Iterator[AffordanceImage]:
        """The frames in order, without those that have no label."""
        for file in self._test_files:
            found = _frame(file, whole=False)
            if found.targets:
                yield found

    def examples(self, draw: int = 0, classes: Sequence[str] | None = None) -> list[AffordanceImage]:
        """One frame of one training tool per class."""
        tools: dict[str, list[str]] = {}
        for tool in self._tools(_TRAIN):
            tools.setdefault(_class_of(tool), []).append(tool)
        unknown = sorted(set(classes or ()) - set(tools))
        if unknown:
            raise SourceError(f"{self.name}: no class {unknown[0]!r}; expected some of {', '.join(sorted(tools))}")
        found = []
        for number, name in enumerate(sorted(tools)):
            if classes is not None and name not in classes:
                continue
            chance = np.random.default_rng([draw, number])
            files = self._frames(str(chance.choice(tools[name])))
            found.append(_frame(files[int(chance.integers(len(files)))], whole=True))
        return found

    @cached_property
    def _test_files(self) -> list[Path]:
        found = [file for tool in self._tools(_TEST) for file in self._frames(tool)]
        if not found:
            raise SourceError(f"{self.name}: no test frames; expected tools/TOOL/TOOL_00000001_label.mat")
        return found

    def _frames(self, tool: str) -> list[Path]:
        """The label files of a tool."""
        found = sorted((self.folder / "tools" / tool).glob(f"{tool}_*_label.mat"))[:: self.every]
        if not found:
            raise SourceError(f"{self.name}: tool {shown(tool)} has no labels in tools/{shown(tool)}")
        return found

    def _tools(self, part: str) -> list[str]:
        """The tools of training or test."""
        file = self.folder / f"{self.split}_split.txt"
        try:
            rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except OSError as error:
            raise SourceError(f"{shown(file)}: no such file; expected the folder of UMD part affordances") from error
        wrong = [row for row in rows if len(row) != 2 or row[0] not in (_TRAIN, _TEST)]
        if wrong:
            raise SourceError(f"{shown(file)}: found the line {' '.join(wrong[0])[:60]!r}; expected 1 or 2, and a tool")
        return sorted(tool for number, tool in rows if number == part)


def _frame(file: Path, whole: bool) -> AffordanceImage:
    """The frame of a label file; `whole` keeps verbs without a pixel."""
    stem = file.name.removesuffix("_label.mat")
    image = load_image(file.with_name(f"{stem}_rgb.jpg"))
    labels = _labels(file)
    if labels.shape != (image.height, image.width):
        found = " x ".join(map(str, reversed(labels.shape)))
        raise ImageError(f"{shown(file)}: labels of {found} for an image of {image.width} x {image.height} pixels")
    masks = {verb: (labels == number).astype(np.float32) for number, verb in enumerate(VERBS, start=1)}
    present = {verb: mask for verb, mask in masks.items() if whole or mask.any()}
    return AffordanceImage(stem, _class_of(file.parent.name), image, present, dict.fromkeys(present, labels > 0))


def _labels(file: Path) -> NDArray[np.int64]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        values = np.asarray(loadmat(file)["gt_label"]).astype(np.int64)
    except (OSError, KeyError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise ImageError(f"{shown(file)}: no labels can be read; expected a MATLAB file with gt_label") from error
    if values.ndim != 2 or values.min() < 0 or values.max() > len(VERBS):
        raise ImageError(
            f"{shown(file)}: labels {values.min()} to {values.max()}; expected 0 to {len(VERBS)} per pixel"
        )
    return values


def _class_of(tool: str) -> str:
    """The class of a tool, such as knife of knife_01."""
    return tool.rsplit("_", 1)[0]
