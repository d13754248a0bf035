"""The interface of every data source: samples with image, captions and key, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from PIL import Image

from dinoclip_viz.images import ImageError, ImageLike, Levels, check_levels, load_image
from dinoclip_viz.images.scaled import Size, load_scaled


class SourceError(ValueError):
    """A data source cannot be read; the message states in one line what was found, what is expected and what to do."""


@runtime_checkable
class ImageFile(Protocol):
    """A function that reads an image from a file, with or without levels."""

    def read(self, levels: Levels = None) -> Image.Image:
        """The RGB image."""
        ...


@runtime_checkable
class Contents(Protocol):
    """A function that reads an image, and can give the bytes of its file."""

    def content(self) -> bytes:
        """The bytes of the file."""
        ...


@dataclass(frozen=True)
class Sample:
    """One image with its captions and label; it can be pickled, and nothing is decoded before `load`.

    Attributes:
        key: identifier within the source: a file's stem, a COCO id, a tar member's name.
        image: a path, an address, bytes or another image, or a function that returns the image.
        captions: zero or more.
        path: the image's path or address for display, "" without one.
        label: the name of its class, None without classes.
        levels: the values shown as black and white, as in `load_image`.
    """

    key: str
    image: ImageLike | Callable[[], Image.Image]
    captions: tuple[str, ...] = ()
    path: str = ""
    label: str | None = None
    levels: Levels = None

    def load(self, levels: Levels = None) -> Image.Image:
        """The RGB image.

        Functions without `read`, such as the playground's, draw 8-bit pixels and ignore the levels.

        Args:
            levels: the values shown as black and white; None for the sample's own.

        Raises:
            ImageError: the image is missing, broken or of an unsupported format.
            ValueError: the levels are invalid.
        """
        levels = self.levels if levels is None else check_levels(levels)
        if callable(self.image) and isinstance(self.image, ImageFile):  # an open file reads as well
            return self.image.read(levels)
        return self.image() if callable(self.image) else load_image(self.image, levels=levels)

    def load_scaled(self, resized: Callable[[Size], Size]) -> tuple[Image.Image, Size]:
        """The RGB image, a JPEG at a reduced scale, and the size of the whole image; see `images.scaled.load_scaled`.

        Args:
            resized: width and height in pixels -> those that the image will be resized to.

        Raises:
            ImageError: as `load`.
        """
        if isinstance(self.image, Contents):
            return load_scaled(self.image.content(), resized, levels=self.levels)
        if callable(self.image):
            image = self.load()
            return image, image.size
        return load_scaled(self.image, resized, levels=self.levels)


@dataclass(frozen=True)
class Unreadable:
    """The image of a sample that is known to be unreadable; calling it raises the reason.

    Attributes:
        reason: the message of the error, one line.
    """

    reason: str

    def __call__(self) -> Image.Image:
        """Raises an ImageError with the reason."""
        raise ImageError(self.reason)


@runtime_checkable
class Source(Protocol):
    """A source of images and captions.

    Attributes:
        name: such as "playground:2000:100" or the path of a folder.
        count: the number of samples, None if it is unknown before reading.
    """

    @property
    def name(self) -> str:
        """The source's name."""
        ...

    @property
    def count(self) -> int | None:
        """The number of samples, None if the source would have to be read to count them."""
        ...

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples from number `start` on, always in the same order, in constant memory.

        A sample whose image is known to be broken is included, with an `Unreadable` image: loading it raises an
        ImageError.

        Raises:
            SourceError: the source as a whole cannot be read.
        """
        ...
