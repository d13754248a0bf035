"""The frames of an animated image or a video, one at a time, decoded as they are asked for."""

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

MOST_FRAMES = 300
"""Frames that are given unless more are asked for."""
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".flv")
"""How the names of videos end, in small letters."""

_MOVING = {b"GIF8": "GIF", b"\x89PNG": "PNG", b"RIFF": "WEBP"}
_INSTALL = 'pip install "dinoclip-viz[video]"'
# Containers whose file is all there is to read: no playlists, which name other files and addresses.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,ogg,flv"
_EXPECTED = "an animated GIF, WebP or PNG, or a video such as .mp4, .webm, .mov or .avi"
_DEFAULT_SECONDS = 0.1  # of a frame without a duration, as in browsers


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: RGB, upright.
        number: in the file, from 0.
        seconds: when it begins, counted from the first frame's beginning.
    """

    image: Image.Image
    number: int
    seconds: float


def frames(
    path: str | os.PathLike[str], most: int = MOST_FRAMES, every: int = 1, levels: Levels = None
) -> Iterator[Frame]:
    """The frames of a file, in order; one is in memory at a time.

    The content decides what the file is. An animated image is bound by the limits of `load_image`; of a video each
    frame is, while its length on disk is not. An image that stands still is one frame. Videos need the extra `video`.

    Args:
        path: an animated GIF, WebP or PNG, or a video.
        most: how many frames at most; the rest is not decoded.
        every: 1 gives each frame, 2 every second one.
        levels: as in `load_image`, for every frame.

    Raises:
        ImageError: the file is missing, broken, too large or of another kind, or PyAV is missing for a video.
        ValueError: most or every is below 1.
    """
    if most < 1 or every < 1:
        raise ValueError(f"most={most} and every={every}; expected 1 or more of both")
    found = _frames(os.fspath(path), most, every)
    if check_levels(levels) is None:
        return found
    return (replace(frame, image=load_image(frame.image, levels=levels)) for frame in found)


def is_moving(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a video by its name, or an animated image of several frames by its content.

    A file that cannot be read is not; loading it raises the reason.
    """
    name = os.fspath(path)
    if is_video_name(name):
        return True
    try:
        with open(_regular(name), "rb") as file:
            head = file.read(16)
            if _kind(head) is None or os.fstat(file.fileno()).st_size > MAXIMUM_BYTES:
                return False
        with Image.open(name, formats=[_kind(head) or "GIF"]) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # Pillow's plugins raise whatever a broken file makes them stumble over
        return False


def is_video_name(name: str) -> bool:
    """Whether a file's name ends as a video's does.

    Examples:
        >>> [is_video_name(name) for name in ("walk.MP4", "walk.gif")]
        [True, False]
    """
    return name.lower().endswith(VIDEO_SUFFIXES)


def _frames(name: str, most: int, every: int) -> Iterator[Frame]:
    with open(_regular(name), "rb") as file:
        kind = _kind(file.read(16))
        if kind is None:
            file.seek(0)
            yield from _of_video(file, name, most, every)
            return
    yield from _of_image(name, kind, most, every)


def _regular(name: str) -> Path:
    """The path of a regular file; pipes and devices are not even opened."""
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
    """What Pillow is to read, None for all else."""
    if head.startswith(b"RIFF") and head[8:12] != b"WEBP":
        return None
    return next((kind for start, kind in _MOVING.items() if head.startswith(start)), None)


def _of_image(name: str, kind: str, most: int, every: int) -> Iterator[Frame]:
    path = _regular(name)
    load_image(path)  # its limits and its words: what it takes, is safe to open
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=[kind]) as image:
            seconds = 0.0
            for number in range(most * every):
                try:
                    image.seek(number)
                except EOFError:
                    return
                if number % every == 0:
                    yield Frame(load_image(image), number, seconds)
                seconds += float(image.info.get("duration") or 1000 * _DEFAULT_SECONDS) / 1000
    except ImageError as error:
        raise ImageError(f"{shown(name)}: {error}") from error
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them stumble over
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
                raise ImageError(f"{shown(name)}: found no images in it, perhaps sound alone; expected {_EXPECTED}")
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
    """The frame's pixels as RGB, turned as the camera was held."""
    _check_pixels(frame.width, frame.height, name)
    turn = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    image: Image.Image = frame.to_image()
    angle = round(float(getattr(frame, "rotation", 0) or 0)) % 360
    return image.transpose(turn[angle]) if angle in turn else image
