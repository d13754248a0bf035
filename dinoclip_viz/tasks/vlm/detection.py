"""Average precision of detections by COCO's own evaluation, and their records in COCO's format."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.tasks.open_vocabulary.masks import compress, run_lengths

MOST = 100  # detections of one class in one image that COCO's evaluation counts
MISSING = (
    "the Python package pycocotools is not installed, which computes average precision; "
    'install it with pip install "dinoclip-viz[vlm]"'
)

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels; the right and bottom edges are exclusive."""


@dataclass(frozen=True, eq=False)
class Target:
    """An annotated object.

    Attributes:
        label: name of its class.
        box: x0, y0, x1, y1 in pixels.
        colour: a word; "" where it is not known.
        crowd: whether it stands for many objects, so that detections inside it are neither right nor wrong.
        mask: (h, w) bool; None where it is not known.
    """

    label: str
    box: Box
    colour: str = ""
    crowd: bool = False
    mask: NDArray[np.bool_] | None = None


class Detected(Protocol):
    """A detected object, as vision-language models return it."""

    @property
    def label(self) -> str:
        """The name that was asked for."""
        ...

    @property
    def box(self) -> Box:
        """x0, y0, x1, y1 in pixels."""
        ...

    @property
    def score(self) -> float:
        """0 to 1."""
        ...

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """(h, w) bool; None without one."""
        ...


@dataclass(frozen=True, eq=False)
class Prediction:
    """A detected object under the name that was asked for, whatever label the model wrote.

    Attributes:
        label: the name; box: x0, y0, x1, y1 in pixels; score: 0 to 1; mask: (h, w) bool, None without one.
    """

    label: str
    box: Box
    score: float
    mask: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, found: Detected, label: str) -> Prediction:
        """A detection under another label."""
        return cls(label, found.box, found.score, found.mask)


def average_precision(
    targets: Sequence[Sequence[Target]], predictions: Sequence[Sequence[Detected]], classes: Sequence[str]
) -> dict[str, float]:
    """COCO's average precision of boxes, 0 to 1 (Lin et al., 2014), computed by pycocotools.

    Args:
        targets: of each image.
        predictions: of each image.
        classes: names that are evaluated; other labels are ignored.

    Returns:
        "AP" over IoU .5 to .95, "AP50" and "AP75" at one IoU, and "AR100", the recall over IoU .5 to .95.

    Raises:
        ImportError: pycocotools is not installed.
        ValueError: another number of images, or no target of the classes.
    """
    check_pycocotools()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if len(targets) != len(predictions):
        raise ValueError(
            f"targets of {len(targets)} images, predictions of {len(predictions)}; expected both of each image"
        )
    truth, found = _annotations(targets, classes), _results(predictions, classes)
    if not any(not one["iscrowd"] for one in truth):
        raise ValueError(f"no object of the {len(classes)} classes in {len(targets)} images; expected one or more")
    if not found:
        return dict.fromkeys(("AP", "AP50", "AP75", "AR100"), 0.0)
    data = COCO()
    images = [{"id": number} for number in range(1, len(targets) + 1)]
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    data.dataset = {"info": {}, "images": images, "categories": categories, "annotations": truth}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        data.createIndex()
        evaluation = COCOeval(data, data.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = [float(value) for value in evaluation.stats]
    return {"AP": figures[0], "AP50": figures[1], "AP75": figures[2], "AR100": figures[8]}


def check_pycocotools() -> None:
    """Check that average precision can be computed.

    Raises:
        ImportError: pycocotools is not installed.
    """
    if find_spec("pycocotools") is None:
        raise ImportError(MISSING)


def _annotations(targets: Sequence[Sequence[Target]], classes: Sequence[str]) -> list[dict[str, Any]]:
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    rows: list[dict[str, Any]] = []
    for image, several in enumerate(targets, start=1):
        for one in several:
            if one.label in numbers:
                x0, y0, x1, y1 = one.box
                box, area = [x0, y0, x1 - x0, y1 - y0], (x1 - x0) * (y1 - y0)
                rows.append({"image_id": image, "category_id": numbers[one.label], "bbox": box, "area": area})
                rows[-1] |= {"iscrowd": int(one.crowd), "id": len(rows)}
    return rows


def _results(predictions: Sequence[Sequence[Detected]], classes: Sequence[str]) -> list[dict[str, Any]]:
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    return [
        {
            "image_id": image,
            "category_id": numbers[one.label],
            "bbox": [one.box[0], one.box[1], one.box[2] - one.box[0], one.box[3] - one.box[1]],
            "score": one.score,
        }
        for image, several in enumerate(predictions, start=1)
        for one in several
        if one.label in numbers
    ]


def detections_record(predictions: Sequence[Detected], size: tuple[int, int]) -> dict[str, object]:
    """The detections of one image as a JSON object, masks as COCO's compressed run lengths, which its tools read.

    Boxes are [x, y, width, height] in pixels, as in COCO; areas of masks in pixels.

    Args:
        predictions: with or without masks.
        size: width and height of the image in pixels.
    """
    width, height = size
    rows: list[Mapping[str, object]] = []
    for one in predictions:
        x0, y0, x1, y1 = one.box
        row: dict[str, object] = {"label": one.label, "score": one.score, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        if one.mask is not None:
            counts = compress(run_lengths(one.mask))
            row |= {"segmentation": {"size": [height, width], "counts": counts}, "area": int(one.mask.sum())}
        rows.append(row)
    return {"image": {"width": width, "height": height}, "annotations": rows}
