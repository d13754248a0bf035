"""The images that `dinoclip pca` colours: files, addresses, folders, and the frames of what moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dinoclip_viz.cli.answer import Failure

if TYPE_CHECKING:
    from PIL import Image

    from dinoclip_viz.images import Levels


class Shown(NamedTuple):
    """An image or a frame.

    Attributes:
        name: as it was given; of a frame with its number behind a #.
        image: RGB.
        seconds: when a frame begins in its file; None for an image.
    """

    name: str
    image: Image.Image
    seconds: float | None = None


def stills(
    sources: Sequence[str], most: int, levels: Levels = None
) -> tuple[list[str], list[Image.Image], list[Failure]]:
    """Names and images of the sources that can be read, and those that cannot; of an animation the first frame.

    Raises:
        ValueError: more images than `most`, or a video.
    """
    from dinoclip_viz.data.frames import is_video_name

    for source in sources:
        if is_video_name(source) and Path(source).is_file():
            raise ValueError(f"{source} is a video, which no single image shows; name an --out in .gif or .mp4")
    failed: dict[str, Failure] = {}
    names: list[str] = []
    images: list[Image.Image] = []
    for name, image, _ in _images(sources, 1, failed, levels=levels):
        if len(names) == most:
            raise ValueError(
                f"there are more than {most} images, too many for a sheet; an --out in .gif or .mp4 shows any number"
            )
        names.append(name)
        images.append(image)
    return names, images, list(failed.values())


def moving(
    sources: Sequence[str], every: int, most: int, failed: dict[str, Failure], levels: Levels = None
) -> Iterator[Shown]:
    """The images and frames of all sources, in order, one in memory at a time.

    Args:
        sources: files, addresses, folders, animated images and videos.
        every: takes every n-th frame of a file, and image of a folder.
        most: how many at most.
        failed: takes the sources that cannot be read.
    """
    return islice(_images(sources, every, failed, most, levels), most)


def _images(
    sources: Sequence[str], every: int, failed: dict[str, Failure], frames_of_each: int = 0, levels: Levels = None
) -> Iterator[Shown]:
    """The same; where `frames_of_each` is 0, animated images stand still."""
    from dinoclip_viz.data.base import SourceError
    from dinoclip_viz.data.captions.folders import FolderSource
    from dinoclip_viz.data.frames import frames, is_moving
    from dinoclip_viz.data.levels import with_levels
    from dinoclip_viz.images import ImageError, load_image

    for source in sources:
        try:
            if Path(source).expanduser().is_dir():
                for sample in islice(
                    with_levels(FolderSource(Path(source).expanduser()), levels).samples(), 0, None, every
                ):
                    name = sample.path or sample.key
                    try:
                        yield Shown(name, sample.load())
                    except ImageError as error:
                        failed[name] = Failure(name, str(error))
            elif frames_of_each and is_moving(source):
                for frame in frames(source, frames_of_each, every, levels):
                    yield Shown(f"{source}#{frame.number}", frame.image, frame.seconds)
            else:
                yield Shown(source, load_image(source, levels=levels))
        except (ImageError, SourceError) as error:
            failed[source] = Failure(source, str(error))
