"""Images as an animation file, with colours that are constant across frames."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dinoclip_viz.viz.inputs import AnyImage, as_image

ANIMATIONS = (".gif", ".mp4")
PAPER = (255, 255, 255)
_COLOURS = 256
_SAMPLE = 128  # longer side in pixels of the images that the palette is computed from


def save_animation(
    images: Iterable[AnyImage], path: str | Path, seconds: float = 0.1, palette: Sequence[AnyImage] = ()
) -> int:
    """Write the images as frames of equal duration and return the number of frames.

    A GIF has one palette for all frames, so that colours are constant; a video is encoded frame by frame. Every image
    is padded to the first one's size.

    Args:
        images: the frames in order; iterated once.
        path: a name that ends in .gif, or in .mp4, which requires the extra `video`.
        seconds: duration of a frame, 0.02 to 60.
        palette: images that the GIF's 256 colours are computed from; the first frame by default.

    Raises:
        ValueError: no images, another suffix, seconds out of range, or PyAV is missing for a video.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_animation([Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")], f"{folder}/a.gif")
        2
    """
    file = Path(path)
    if file.suffix.lower() not in ANIMATIONS:
        raise ValueError(f"{file.name} is not an animation; expected a name that ends in {' or '.join(ANIMATIONS)}")
    if not 0.02 <= seconds <= 60:
        raise ValueError(f"seconds={seconds:g}; expected 0.02 to 60 per frame")
    frames = iter(images)
    first = next(frames, None)
    if first is None:
        raise ValueError("no images; expected at least one frame")
    size = as_image(first).size
    fitted = (_fit(as_image(image), size) for image in chain([first], frames))
    if file.suffix.lower() == ".mp4":
        return _video(fitted, file, seconds)
    return _gif(fitted, file, seconds, _palette([as_image(image) for image in palette or [first]]))


def _fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else ImageOps.pad(image, size, Image.Resampling.BICUBIC, PAPER)


def _palette(images: Sequence[Image.Image]) -> Image.Image:
    """A palette image with 256 colours of these images, including white."""
    pixels = []
    for image in images:
        small = image.copy()
        small.thumbnail((_SAMPLE, _SAMPLE), Image.Resampling.NEAREST)  # adds no colours
        pixels.append(np.asarray(small).reshape(-1, 3))
    colours, counts = np.unique(np.concatenate(pixels), axis=0, return_counts=True)
    every = np.repeat(colours, np.ceil(np.sqrt(counts)).astype(int), axis=0)  # small regions get colours too
    found = Image.fromarray(every[None]).quantize(_COLOURS - 1, Image.Quantize.MEDIANCUT, kmeans=2)
    table = np.array((found.getpalette() or [])[: 3 * (_COLOURS - 1)], np.uint8).reshape(-1, 3)
    table[(table > 247).all(1)] = 255  # keep white exact
    holder = Image.new("P", (1, 1))
    holder.putpalette([*PAPER, *table.ravel().tolist()])
    return holder


def _gif(frames: Iterator[Image.Image], file: Path, seconds: float, palette: Image.Image) -> int:
    count = 0

    def counted() -> Iterator[Image.Image]:
        nonlocal count
        for frame in frames:
            count += 1
            yield frame.quantize(palette=palette, dither=Image.Dither.NONE)

    indexed = counted()
    next(indexed).save(
        file, save_all=True, append_images=indexed, duration=round(1000 * seconds), loop=0, optimize=False
    )
    return count


def _video(frames: Iterator[Image.Image], file: Path, seconds: float) -> int:
    from fractions import Fraction

    try:
        import av
    except ImportError as error:
        raise ValueError(
            f'{file.name} is a video, which requires PyAV; run: pip install "dinoclip-viz[video]"'
        ) from error
    count = 0
    try:
        with av.open(str(file), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(1 / seconds).limit_denominator(1000))
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                even = frame.width + frame.width % 2, frame.height + frame.height % 2  # yuv420p requires even sides
                whole = frame if frame.size == even else ImageOps.expand(frame, (0, 0, *_rest(frame)), PAPER)
                if not count:
                    stream.width, stream.height = even
                container.mux(stream.encode(av.VideoFrame.from_image(whole)))
                count += 1
            container.mux(stream.encode())
    except av.FFmpegError as error:
        reason = " ".join(str(error.strerror or error).split())
        raise ValueError(f"writing the video {file.name} failed ({reason}); use a .gif") from error
    return count


def _rest(frame: Image.Image) -> tuple[int, int]:
    return frame.width % 2, frame.height % 2
