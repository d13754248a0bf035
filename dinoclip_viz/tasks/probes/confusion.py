"""The confusion table of a segmentation, accumulated over images, with mIoU and accuracies."""

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

from dinoclip_viz.disk import write_text

Labels = Tensor | NDArray[np.generic]
"""Integer labels of pixels, of any shape."""

NOTHING = -1
"""Label of a pixel without a prediction, such as outside a crop."""


class Confusion:
    """Number of pixels of each class that are predicted as each class; memory does not grow with the images.

    Measures are over all pixels, as in the benchmarks of Pascal VOC and ADE20k, not means over images.

    Args:
        classes: their names in the order of the labels, or their number.

    Attributes:
        names: one per class.
        table: (C, C + 1) int64, rows for the ground truth, columns for predictions; the last column is for none.

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
            raise ValueError("found no classes; expected their names or their number")
        self.table = torch.zeros(len(self.names), len(self.names) + 1, dtype=torch.long)

    @classmethod
    def of(cls, table: Tensor, names: Sequence[str] | None = None) -> Confusion:
        """A table from existing counts.

        Args:
            table: (C, C) or (C, C + 1) counts, rows for the ground truth.
            names: of the classes; None uses their numbers.

        Raises:
            ValueError: an invalid shape, negative counts, or another number of names.
        """
        rows, columns = table.shape if table.ndim == 2 else (0, 0)
        if not rows or columns - rows not in (0, 1) or bool((table < 0).any()):
            raise ValueError(f"the table has shape {tuple(table.shape)}; expected counts (C, C) or (C, C + 1)")
        made = cls(rows if names is None else names)
        if len(made.names) != rows:
            raise ValueError(f"{len(made.names)} names for {rows} classes; expected one each")
        made.table[:, :columns] = table
        return made

    def add(self, predicted: Labels, target: Labels, ignore: int | None = 255) -> Confusion:
        """Add the pixels of one or several images.

        Args:
            predicted: labels 0 to C - 1 in the shape of `target`; -1 for no prediction, which counts as wrong.
            target: ground-truth labels 0 to C - 1.
            ignore: label of `target` whose pixels are skipped; None for none.

        Raises:
            ValueError: shapes differ, or a label is not a class.
        """
        given, known = (torch.as_tensor(np.asarray(values)).long() for values in (predicted, target))
        if given.shape != known.shape:
            raise ValueError(f"predicted {tuple(given.shape)} and target {tuple(known.shape)}; expected equal shapes")
        if ignore is not None:
            counted = known != ignore
            given, known = given[counted], known[counted]
        given, known = given.flatten(), known.flatten()
        count = len(self.names)
        self._check("predicted", given, NOTHING)
        self._check("target", known, 0)
        columns = torch.where(given == NOTHING, count, given)
        self.table += torch.bincount(known * (count + 1) + columns, minlength=self.table.numel()).view_as(self.table)
        return self

    def merge(self, other: Confusion) -> Confusion:
        """Add the pixels of another table, such as one of another process.

        Raises:
            ValueError: a table of other classes.
        """
        if other.names != self.names:
            raise ValueError(f"tables of {_shown(self.names)} and of {_shown(other.names)}; expected the same classes")
        self.table += other.table
        return self

    @property
    def pixels(self) -> int:
        """Number of counted pixels."""
        return int(self.table.sum())

    @property
    def iou(self) -> Tensor:
        """(C,) intersection over union of each class, float64; NaN where the ground truth has none of it."""
        hits, present = self._hits(), self.table.sum(1).double()
        union = present + self.table[:, :-1].sum(0) - hits
        return torch.where(present > 0, hits / union, torch.nan)

    @property
    def miou(self) -> float:
        """Mean IoU of the classes in the ground truth, 0 to 1; NaN for an empty table."""
        return float(self.iou.nanmean())

    @property
    def accuracy(self) -> float:
        """Fraction of pixels with the correct label, 0 to 1."""
        return float(self._hits().sum() / self.pixels) if self.pixels else math.nan

    @property
    def class_accuracy(self) -> float:
        """Fraction of a class's pixels with the correct label, mean over the classes in the ground truth, 0 to 1."""
        return float((self._hits() / self.table.sum(1)).nanmean())

    def figures(self) -> dict[str, float]:
        """`miou`, `accuracy` and `class_accuracy` by name.

        Raises:
            ValueError: an empty table.
        """
        if not self.pixels:
            raise ValueError("found no counted pixels; expected ground truth that is not ignored everywhere")
        return {"miou": self.miou, "accuracy": self.accuracy, "class_accuracy": self.class_accuracy}

    def per_class(self) -> dict[str, float]:
        """IoU by name, of the classes in the ground truth."""
        found = zip(self.names, self.iou.tolist(), strict=True)
        return {name: value for name, value in found if not math.isnan(value)}

    def save(self, path: str | PathLike[str]) -> None:
        """Write names and counts as JSON."""
        write_text(path, json.dumps({"names": self.names, "table": self.table.tolist()}))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Confusion:
        """A table from a file written by `save`.

        Raises:
            ValueError: the file is missing or not a saved table.
        """
        try:
            saved = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as a table; expected a file written by Confusion.save") from error
        try:
            if isinstance(saved, Mapping):
                return cls.of(torch.tensor(saved["table"], dtype=torch.long), saved["names"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a confusion table ({error}); expected a file written by Confusion.save"
            ) from error
        raise ValueError(f"{path} is not a confusion table; expected a file written by Confusion.save")

    def _hits(self) -> Tensor:
        return self.table.diagonal().double()

    def _check(self, name: str, labels: Tensor, lowest: int) -> None:
        if not len(labels):
            return
        low, high = int(labels.min()), int(labels.max())
        if low < lowest or high >= len(self.names):
            wrong = low if low < lowest else high
            raise ValueError(
                f"{name} contains the label {wrong}; expected {lowest} to {len(self.names) - 1}, the {len(self.names)} "
                "classes of this table"
            )


def _shown(names: Sequence[str]) -> str:
    more = f", ... ({len(names)})" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
