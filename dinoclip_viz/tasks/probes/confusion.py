"""The confusion table of a segmentation, filled image by image: mIoU and the accuracies are read off it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Labels = Tensor | NDArray[np.generic]
"""Whole numbers of any shape: the label of each pixel."""

NOTHING = -1
"""What a prediction holds where it says nothing, as outside the part of an image that was looked at."""


class Confusion:
    """How many pixels of each class were given to each class; memory does not grow with the images.

    Figures are over all pixels added, as the benchmarks of Pascal VOC and ADE20k count them, not means over images.

    Args:
        classes: their names in the order of the labels, or how many there are.

    Attributes:
        names: one a class.
        table: (C, C + 1) int64, truth by row, prediction by column; the last column is for no prediction.

    Raises:
        ValueError: no class.

    Examples:
        >>> table = Confusion(2).add(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 255]))
        >>> table.pixels, table.accuracy, table.miou
        (3, 0.6666666666666666, 0.5)
    """

    def __init__(self, classes: int | Sequence[str]) -> None:
        self.names = tuple(map(str, range(classes))) if isinstance(classes, int) else tuple(classes)
        if not self.names:
            raise ValueError("no class was given; expected their names, or how many there are")
        self.table = torch.zeros(len(self.names), len(self.names) + 1, dtype=torch.long)

    @classmethod
    def of(cls, table: Tensor, names: Sequence[str] | None = None) -> Confusion:
        """The figures of counts that were made elsewhere.

        Args:
            table: (C, C) or (C, C + 1) counts, truth by row.
            names: of the classes; their numbers by default.

        Raises:
            ValueError: another shape, negative counts, or another number of names.
        """
        rows, columns = table.shape if table.ndim == 2 else (0, 0)
        if not rows or columns - rows not in (0, 1) or bool((table < 0).any()):
            raise ValueError(f"a table of shape {tuple(table.shape)}; expected counts (C, C) or (C, C + 1)")
        made = cls(rows if names is None else names)
        if len(made.names) != rows:
            raise ValueError(f"{len(made.names)} names for {rows} classes; expected one each")
        made.table[:, :columns] = table
        return made

    def add(self, predicted: Labels, truth: Labels, ignore: int | None = 255) -> Confusion:
        """Count the pixels of an image, or of several.

        Args:
            predicted: labels 0 to C - 1 in the shape of `truth`; -1 says nothing, which is never right.
            truth: labels 0 to C - 1.
            ignore: a label of `truth` whose pixels do not count; None for none.

        Raises:
            ValueError: shapes differ, or a label is no class.
        """
        given, known = (torch.as_tensor(np.asarray(values)).long() for values in (predicted, truth))
        if given.shape != known.shape:
            raise ValueError(f"predicted {tuple(given.shape)} and truth {tuple(known.shape)}; expected equal shapes")
        if ignore is not None:
            counted = known != ignore
            given, known = given[counted], known[counted]
        given, known = given.flatten(), known.flatten()
        count = len(self.names)
        self._check("predicted", given, NOTHING)
        self._check("truth", known, 0)
        columns = torch.where(given == NOTHING, count, given)
        self.table += torch.bincount(known * (count + 1) + columns, minlength=self.table.numel()).view_as(self.table)
        return self

    def merge(self, other: Confusion) -> Confusion:
        """Add the pixels of another table, as one filled by another process.

        Raises:
            ValueError: its classes are others.
        """
        if other.names != self.names:
            raise ValueError(f"tables of {_shown(self.names)} and of {_shown(other.names)}; expected the same classes")
        self.table += other.table
        return self

    @property
    def pixels(self) -> int:
        """How many were counted."""
        return int(self.table.sum())

    @property
    def iou(self) -> Tensor:
        """(C,) intersection over union of each class, float64; NaN where the truth has none of it."""
        hits, there = self._hits(), self.table.sum(1).double()
        union = there + self.table[:, :-1].sum(0) - hits
        return torch.where(there > 0, hits / union, torch.nan)

    @property
    def miou(self) -> float:
        """Mean IoU of the classes that occur in the truth, 0 to 1; NaN before anything was added."""
        return float(self.iou.nanmean())

    @property
    def accuracy(self) -> float:
        """Share of the pixels with the right label."""
        return float(self._hits().sum() / self.pixels) if self.pixels else math.nan

    @property
    def class_accuracy(self) -> float:
        """Share of a class's pixels with the right label, mean over the classes that occur in the truth."""
        return float((self._hits() / self.table.sum(1)).nanmean())

    def figures(self) -> dict[str, float]:
        """`miou`, `accuracy` and `class_accuracy` by name.

        Raises:
            ValueError: nothing was counted, so there is no figure.
        """
        if not self.pixels:
            raise ValueError("no pixel was counted; expected truth that is not ignored everywhere")
        return {"miou": self.miou, "accuracy": self.accuracy, "class_accuracy": self.class_accuracy}

    def per_class(self) -> dict[str, float]:
        """IoU by name, of the classes that occur in the truth."""
        found = zip(self.names, self.iou.tolist(), strict=True)
        return {name: value for name, value in found if not math.isnan(value)}

    def save(self, path: str | PathLike[str]) -> None:
        """Write names and counts as JSON."""
        Path(path).write_text(json.dumps({"names": self.names, "table": self.table.tolist()}), encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Confusion:
        """A table that `save` wrote.

        Raises:
            ValueError: the file is missing or is no saved table.
        """
        try:
            saved = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} holds no table that can be read; expected a file of Confusion.save") from error
        try:
            if isinstance(saved, Mapping):
                return cls.of(torch.tensor(saved["table"], dtype=torch.long), saved["names"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no confusion table ({error}); expected a file of Confusion.save") from error
        raise ValueError(f"{path} is no confusion table; expected a file of Confusion.save")

    def _hits(self) -> Tensor:
        return self.table.diagonal().double()

    def _check(self, name: str, labels: Tensor, lowest: int) -> None:
        if not len(labels):
            return
        low, high = int(labels.min()), int(labels.max())
        if low < lowest or high >= len(self.names):
            wrong = low if low < lowest else high
            raise ValueError(
                f"{name} holds the label {wrong}; expected {lowest} to {len(self.names) - 1}, the {len(self.names)} "
                "classes of this table"
            )


def _shown(names: Sequence[str]) -> str:
    more = f", ... ({len(names)})" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
