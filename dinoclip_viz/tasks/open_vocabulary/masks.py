"""Masks as files: COCO run lengths, boxes and areas per class, and images of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary

MOST_COLOURS = 255
"""Largest number of classes in an image of labels, without "none"."""

_SHIFT = 48  # the letter of 0: "0"
_BITS, _MORE, _SIGN = 5, 0x20, 0x10


def mask_record(
    labels: ArrayLike, vocabulary: Vocabulary, method: str, threshold: float | None = None
) -> dict[str, object]:
    """The masks of an image as a JSON object, one annotation per class that occurs.

    Areas are in pixels, "share" is the fraction of the image, 0 to 1, boxes are [x, y, width, height] in pixels, and
    the segmentation is COCO's compressed run lengths, which its tools read.

    Args:
        labels: (height, width) class of each pixel, negative for none, as from `hard_labels`.
        vocabulary: the classes.
        method: the heat-map method of the labels.
        threshold: cosine below which pixels have no class.

    Raises:
        ValueError: labels without two axes, or beyond the classes.
    """
    numbers = _labels(labels, len(vocabulary.names))
    height, width = numbers.shape
    annotations: list[dict[str, object]] = []
    for number, (name, prompts) in enumerate(zip(vocabulary.names, vocabulary.prompts, strict=True)):
        mask = numbers == number
        area = int(mask.sum())
        if not area:
            continue
        annotations.append(
            {
                "class": name,
                "prompts": list(prompts),
                "segmentation": {"size": [height, width], "counts": compress(run_lengths(mask))},
                "area": area,
                "share": area / mask.size,
                "bbox": list(bounding_box(mask)),
            }
        )
    return {
        "image": {"width": width, "height": height},
        "method": method,
        "threshold": threshold,
        "prompts": [name for name in vocabulary.names if name not in vocabulary.background],
        "background": [name for name in vocabulary.names if name in vocabulary.background],
        "annotations": annotations,
    }


def label_image(labels: ArrayLike, colours: Sequence[Sequence[int]]) -> Image.Image:
    """A palette image whose pixels are label + 1, and 0 for no class.

    Args:
        labels: (height, width) class of each pixel, negative for none.
        colours: red, green and blue of each class, 0 to 255; "no class" is black.

    Raises:
        ValueError: more classes than `MOST_COLOURS`, labels without two axes, or beyond the colours.

    Examples:
        >>> image = label_image([[0, -1]], [(230, 159, 0)])
        >>> image.mode, [image.getpixel((x, 0)) for x in (0, 1)], image.convert("RGB").getpixel((0, 0))
        ('P', [1, 0], (230, 159, 0))
    """
    if len(colours) > MOST_COLOURS:
        raise ValueError(f"found {len(colours)} classes; expected at most {MOST_COLOURS} in an image of labels")
    numbers = _labels(labels, len(colours))
    image = Image.fromarray((np.maximum(numbers, -1) + 1).astype(np.uint8), mode="L")
    image.putpalette([0, 0, 0, *(int(value) for colour in colours for value in colour)])
    return image


def run_lengths(mask: ArrayLike) -> list[int]:
    """COCO run lengths: the numbers of pixels that are 0, then 1, then 0, ..., column by column; the first may be 0.

    Args:
        mask: (height, width) of 0 and 1.

    Raises:
        ValueError: the mask does not have two axes.

    Examples:
        >>> run_lengths([[0, 1, 1], [0, 1, 0]]), run_lengths([[1, 0]])
        ([2, 3, 1], [0, 1, 1])
    """
    pixels = np.asarray(mask)
    if pixels.ndim != 2:
        raise ValueError(f"the mask has shape {pixels.shape}; expected (height, width)")
    column = pixels.astype(bool).ravel(order="F")
    changes = np.flatnonzero(np.diff(column, prepend=False)) if column.size else np.empty(0, int)
    counts: list[int] = np.diff(changes, prepend=0, append=column.size).tolist()
    return counts


def mask_of(counts: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) bool mask of run lengths.

    Raises:
        ValueError: a negative count, or counts that do not sum to height x width.

    Examples:
        >>> mask_of([2, 3, 1], height=2, width=3).astype(int).tolist()
        [[0, 1, 1], [0, 1, 0]]
    """
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise ValueError(f"the run lengths sum to {sum(counts)} pixels; expected {height} x {width}, none negative")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")


def compress(counts: Sequence[int]) -> str:
    """Run lengths compressed to letters, as COCO's tools write them.

    From the fourth count on, each count is replaced by its difference to the count two before. A number is divided into
    groups of 5 bits, the lowest first, in two's complement; a sixth bit marks that another group follows; 48 is added,
    which makes every group a printable letter.

    Args:
        counts: 0 or more each.

    Examples:
        >>> compress([2, 3, 1]), compress([0, 100, 3, 99])
        ('231', '0T33O')
    """
    letters = []
    for position, count in enumerate(counts):
        left = int(count) - (int(counts[position - 2]) if position > 2 else 0)
        more = True
        while more:
            group, left = left & (_MORE - 1), left >> _BITS
            more = left != (-1 if group & _SIGN else 0)
            letters.append(chr(group + (_MORE if more else 0) + _SHIFT))
    return "".join(letters)


def decompress(letters: str) -> list[int]:
    """Run lengths from COCO's compressed letters.

    Raises:
        ValueError: an invalid letter, or a string that ends within a number.

    Examples:
        >>> decompress("0T33O")
        [0, 100, 3, 99]
    """
    counts: list[int] = []
    number, bits = 0, 0
    for letter in letters:
        group = ord(letter) - _SHIFT
        if not 0 <= group < 2 * _MORE:
            raise ValueError(f"found the letter {letter!r}; expected COCO's compressed run lengths")
        number |= (group & (_MORE - 1)) << bits
        bits += _BITS
        if group & _MORE:
            continue
        if group & _SIGN:
            number -= 1 << bits
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number, bits = 0, 0
    if bits:
        raise ValueError("the run lengths end within a number; expected the whole string")
    return counts


def bounding_box(mask: ArrayLike) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the smallest box around the pixels of a mask; zeros for an empty mask.

    Args:
        mask: (height, width) of 0 and 1.

    Examples:
        >>> bounding_box([[0, 0, 0], [0, 1, 1]])
        (1, 1, 2, 1)
    """
    rows, columns = np.nonzero(np.asarray(mask))
    if not len(rows):
        return 0, 0, 0, 0
    x, y = int(columns.min()), int(rows.min())
    return x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1


def _labels(labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    numbers = np.asarray(labels)
    if numbers.ndim != 2:
        raise ValueError(f"labels have shape {numbers.shape}; expected (height, width)")
    if numbers.size and int(numbers.max()) >= classes:
        raise ValueError(f"found the label {int(numbers.max())}; expected less than {classes}, the number of classes")
    return numbers.astype(np.int64)
