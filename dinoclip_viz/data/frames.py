"""The frames of an animated image or a video, decoded one at a time on demand."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from dinoclip_viz.data.locations import shown
from dinoclip_viz.images import MAXIMUM_BYTES, MAXIMUM_PIXELS, ImageError, Levels, check_levels, load_image
from dinoclip_viz.images.blocks import check_animation, check_blocks

MOST_FRAMES = 300
"""The default limit on the number of frames."""
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".flv")
"""The extensions of videos, in lower case."""

_MOVING = {b"GIF8": "GIF", b"\x89PNG": "PNG", b"RIFF": "WEBP"}
_INSTALL = 'pip install "dinoclip-viz[video]"'
# Containers of a single file: no playlists, which refer to other files and addresses.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,ogg,flv"
_EXPECTED = "an animated GIF, WebP or PNG, or a video such as .mp4, .webm, .mov or .avi"
_DEFAULT_SECONDS = 0.1  # duration of a frame that declares none, as in browsers


@dataclass(frozen=True)
class Frame:
    """One frame of an animated image or a video.

    Attributes:
        image: RGB, upright.
        number: its index in the file, from 0.
        seconds: its start time, relative to the first frame.
    """

    image: Image.Image
    number: int
    seconds: float


def frames(
    path: str | os.PathLike[str], most: int = MOST_FRAMES, every: int = 1, levels: Levels = None
) -> Iterator[Frame]:
    """The frames of a file in order; one is in memory at a time.

    The type of the file is detected from its content. The limits of `load_image` apply to an animated image as a whole
    and to each frame of a video. A still GIF, WebP or PNG has one frame. Videos need the extra `video`.

    Args:
        path: an animated GIF, WebP or PNG, or a video.
        most: maximum number of frames, 1 or more; the rest is not decoded.
        every: step between frames: 1 for every frame, 2 for every second one.
        levels: the values shown as black and white in every frame, as in `load_image`.

    Raises:
        ImageError: the file is missing, broken, too large or of an unsupported format, or it is a video and PyAV is not
            installed.
        ValueError: `most` or `every` is below 1, or the levels are invalid.
    """
    if most < 1 or every < 1:
        raise ValueError(f"most={most} and every={every}; expected 1 or more of both")
    return _frames(os.fspath(path), most, every, check_levels(levels))


def is_moving(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a video, by its name, or an image of several frames, by its content.

    False for a file that cannot be read.
    """
    name = os.fspath(path)
    if is_video_name(name):
        return True
    try:
        with open(_regular(name), "rb") as file:
            kind = _kind(file.read(16))
            if kind is None or os.fstat(file.fileno()).st_size > MAXIMUM_BYTES:
                return False
            file.seek(0)
            data = file.read()
        check_blocks(data, kind, name)
        check_animation(data, name)
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # Pillow's plugins raise errors of any type on broken files
        return False


def is_video_name(name: str) -> bool:
    """Whether a file name has the extension of a video.

    Examples:
        >>> [is_video_name(name) for name in ("walk.MP4", "walk.gif")]
        [True, False]
    """
    return name.lower().endswith(VIDEO_SUFFIXES)


def _frames(name: str, most: int, every: int, levels: Levels) -> Iterator[Frame]:
    with open(_regular(name), "rb") as file:
        kind = _kind(file.read(16))
        if kind is None:
            file.seek(0)
            for frame in _of_video(file, name, most, every):
                yield frame if levels is None else replace(frame, image=load_image(frame.image, levels=levels))
            return
    yield from _of_image(name, kind, most, every, levels)


def _regular(name: str) -> Path:
    """The path of a regular file; pipes and devices are not opened."""
    try:
        path = Path(name).expanduser()
        state = path.stat()
    except (OSError, ValueError, RuntimeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"a path that cannot be read ({error})"
        raise ImageError(f"{shown(name)}: found {reason}; expected {_EXPECTED}") from error
    if not stat.S_ISREG(state.st_mode):
        raise ImageError(f"{shown(name)}: found no regular file; expected {_EXPECTED}")
    if not os.access(path, os.R_OK):
        raise ImageError(f"{shown(name)}: found a file that cannot be read; expected {_EXPECTED}")
    return path


def _kind(head: bytes) -> str | None:
    """The format of an image that Pillow reads as frames, None for any other file."""
    if head.startswith(b"RIFF") and head[8:12] != b"WEBP":
        return None
    return next((kind for start, kind in _MOVING.items() if head.startswith(start)), None)


def _of_image(name: str, kind: str, most: int, every: int, levels: Levels) -> Iterator[Frame]:
    path = _regular(name)
    first = load_image(path, levels=levels)  # checks the limits before Pillow reads every frame
    try:
        data = path.read_bytes()
        check_animation(data, shown(name))
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            if not getattr(image, "is_animated", False):
                yield Frame(first, 0, 0.0)  # from the file, which may have 16 bits per channel
                return
            seconds = 0.0
            for number in range(most * every):
                try:
                    image.seek(number)
                except EOFError:
                    return
                if number % every == 0:
                    yield Frame(load_image(image, levels=levels), number, seconds)
                seconds += float(image.info.get("duration") or 1000 * _DEFAULT_SECONDS) / 1000
    except ImageError as error:
        raise ImageError(f"{shown(name)}: {error}" if shown(name) not in str(error) else str(error)) from error
    except Exception as error:  # Pillow's plugins raise errors of any type on broken files
        raise ImageError(f"{shown(name)}: found a broken {kind} ({error}); expected {_EXPECTED}") from error


def _of_video(file: BinaryIO, name: str, most: int, every: int) -> Iterator[Frame]:
    try:
        import av
    except ImportError as error:
        raise ImageError(f"{shown(name)}: videos are read by PyAV, which is not installed; run: {_INSTALL}") from error
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": ""}
    try:
        with av.open(file, options=options) as container:
            if not container.streams.video:
                raise ImageError(f"{shown(name)}: found no video stream; expected {_EXPECTED}")
            stream = container.streams.video[0]
            _check_pixels(stream.codec_context.width, stream.codec_context.height, name)
            first: float | None = None
            for number, frame in enumerate(container.decode(stream)):
                if number >= most * every:
                    return
                first = (frame.time or 0.0) if first is None else first
                if number % every == 0:
                    yield Frame(_upright(frame, name), number, max((frame.time or 0.0) - first, 0.0))
    except av.FFmpegError as error:
        reason = " ".join(str(error.strerror or error).split())
        raise ImageError(f"{shown(name)}: found no video that can be read ({reason}); expected {_EXPECTED}") from error


def _check_pixels(width: int, height: int, name: str) -> None:
    if width * height > MAXIMUM_PIXELS:
        raise ImageError(
            f"{shown(name)}: found frames of {width} x {height} = {width * height / 1e6:.1f} megapixels; "
            f"expected at most {MAXIMUM_PIXELS / 1e6:.0f}"
        )


def _upright(frame: Any, name: str) -> Image.Image:
    """The frame as RGB, rotated upright by its metadata."""
    _check_pixels(frame.width, frame.height, name)
    turn = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    image: Image.Image = frame.to_image()
    angle = round(float(getattr(frame, "rotation", 0) or 0)) % 360
    return image.transpose(turn[angle]) if angle in turn else image
