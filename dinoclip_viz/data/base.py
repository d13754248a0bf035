"""The one interface of every data source: samples of image, captions and key, in an order that never changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from PIL import Image

from dinoclip_viz.images import ImageError, ImageLike, Levels, load_image


class SourceError(ValueError):
    """A data source cannot be read; the one-line message states what came, what is expected and what to do."""


@runtime_checkable
class ImageFile(Protocol):
    """A function that makes an image from a file, and so can read it with levels."""

    def read(self, levels: Levels = None) -> Image.Image:
        """The RGB image."""
        ...


@dataclass(frozen=True)
class Sample:
    """One image with what is known of it; nothing is decoded before `load` is called, and it can be pickled.

    Attributes:
        key: names the sample within its source: a file's stem, a COCO id, a tar member's name.
        image: where the image is, or a function that makes it.
        captions: texts that describe it, none to many.
        path: the image's path or address as a person would look for it; "" where it has none.
        label: its class, where the source has classes.
        levels: how the values of its file become black and white, as in `load_image`.
    """

    key: str
    image: ImageLike | Callable[[], Image.Image]
    captions: tuple[str, ...] = ()
    path: str = ""
    label: str | None = None
    levels: Levels = None

    def load(self) -> Image.Image:
        """The image, RGB.

        Raises:
            ImageError: it is missing, broken or of no accepted kind.
        """
        if isinstance(self.image, ImageFile):
            return self.image.read(self.levels)
        return self.image() if callable(self.image) else load_image(self.image, levels=self.levels)


@dataclass(frozen=True)
class Unreadable:
    """Stands for the image of a sample that is known to be broken before it is opened.

    Attributes:
        reason: one line.
    """

    reason: str

    def __call__(self) -> Image.Image:
        """Raises the reason."""
        raise ImageError(self.reason)


@runtime_checkable
class Source(Protocol):
    """Where images and captions come from.

    Attributes:
        name: as a person would name it, such as "playground:2000:100" or a folder's path.
        count: how many samples there are, where that is known beforehand.
    """

    @property
    def name(self) -> str:
        """The source's name."""
        ...

    @property
    def count(self) -> int | None:
        """How many samples, None where it would have to be read to the end."""
        ...

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples from number `start` on, always in the same order; memory does not grow with their number.

        A sample whose image is known to be broken comes all the same, with an `Unreadable` image: whoever loads it
        gets an ImageError.

        Raises:
            SourceError: the source as a whole cannot be read.
        """
        ...
