"""The answer of a verb: an object for machines, a text for people, and the inputs that failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from dinoclip_viz.images import Levels


@dataclass(frozen=True)
class Failure:
    """An input that could not be used.

    Attributes:
        name: as it was given.
        reason: one line: what came, what was expected.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Answer:
    """The answer of a verb.

    Attributes:
        result: the JSON object, without the failed inputs.
        text: the same for people.
        failed: inputs that could not be used, while others could.
        kind: what the inputs are, as JSON calls them in the list of those that failed.
        listed_as: what JSON calls that list.
        afterwards: what to do once it is printed, such as serving the demo.
    """

    result: Mapping[str, object]
    text: str
    failed: Sequence[Failure] = ()
    kind: str = "image"
    listed_as: str = "failed"
    afterwards: Callable[[], None] | None = None

    def json(self) -> str:
        """One JSON object on one line; it lists the inputs that failed, where some did."""
        listed = [{self.kind: failure.name, "error": failure.reason} for failure in self.failed]
        return json.dumps({**self.result, self.listed_as: listed} if listed else dict(self.result), allow_nan=False)


def open_images(sources: Sequence[str], levels: Levels = None) -> tuple[list[str], list[Image.Image], list[Failure]]:
    """Names and images of the sources that can be read, and those that cannot; `levels` as in `load_image`."""
    from dinoclip_viz.images import ImageError, load_image

    names: list[str] = []
    images: list[Image.Image] = []
    failed: list[Failure] = []
    for source in sources:
        try:
            images.append(load_image(source, levels=levels))
            names.append(source)
        except ImageError as error:
            failed.append(Failure(source, str(error)))
    return names, images, failed


def check_some(done: int, failed: Sequence[Failure]) -> None:
    """Nothing, if any input could be used.

    Raises:
        ValueError: none could be read; one line with the reason.
    """
    if done or not failed:
        return
    if len(failed) == 1:
        raise ValueError(failed[0].reason)
    raise ValueError(f"none of the {len(failed)} inputs could be used; the first is {failed[0].reason}")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of aligned columns.

    Examples:
        >>> print(table([["cat", "0.9"], ["horse", "0.1"]]))
        cat    0.9
        horse  0.1
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
