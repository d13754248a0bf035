"""`dinoclip propagate`: the objects or points of the first frame of a clip, found in every frame."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some
from dinoclip_viz.cli.loading import computed, encoder_of
from dinoclip_viz.cli.parser import ANIMATION_FILES, add_device, add_levels, output_folder, whole_number
from dinoclip_viz.cli.pca.sources import Shown, moving
from dinoclip_viz.cli.propagation.options import add_settings, settings_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from dinoclip_viz.tasks.propagation.propagate import PropagatedFrame

SUMMARY = "follow masks or points through the frames of a clip"
SHOWN = 384  # least longer side in pixels of a frame in the result
SLOW = 0.1  # seconds of a frame of a folder
SAMPLE = 16  # most frames that a GIF's colours are computed from


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("clip", metavar="CLIP", help="video, animated GIF, WebP or PNG, or folder of frames")
    parser.add_argument(
        "--mask", type=Path, metavar="FILE",
        help="PNG of the first frame's size: 0 is background, each other number an object",
    )  # fmt: skip
    parser.add_argument(
        "--point", type=point, action="append", metavar="X,Y", help="pixel of the first frame; may be repeated"
    )
    parser.add_argument(
        "--out", required=True, type=clip_or_folder, metavar="FILE|FOLDER",
        help="clip to write, .gif or .mp4, or folder for its frames",
    )  # fmt: skip
    parser.add_argument("--masks", type=output_folder, metavar="FOLDER", help="write the mask of each frame as PNG")
    parser.add_argument("--encoder", metavar="NAME", default="playground-dino", help="vision encoder (%(default)s)")
    parser.add_argument("--every", type=whole_number, default=1, metavar="N", help="take every N-th frame (1)")
    parser.add_argument("--frames", type=whole_number, metavar="N", help="at most so many frames (300)")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long a frame stays (as it came)")
    add_settings(parser)
    add_levels(parser)
    add_device(parser)


def run(arguments: Namespace) -> Answer:
    """The positions of the points and the area of each object in every frame; the overlay is written."""
    from dinoclip_viz.data.videos import read_objects
    from dinoclip_viz.tasks.propagation.propagate import propagate

    _check(arguments)
    mask = None if arguments.mask is None else read_objects(arguments.mask)
    failed: dict[str, Failure] = {}
    frames = _frames(arguments, failed)
    opening = list(islice(frames, 2))
    check_some(len(opening), list(failed.values()))
    if len(opening) < 2:
        raise ValueError(f"{arguments.clip}: found {len(opening)} frame; expected a clip of two frames or more")
    seconds = _pace(opening) if arguments.seconds is None else arguments.seconds
    encoder = encoder_of(arguments, arguments.encoder)
    images = (shown.image for shown in chain(opening, frames))
    found = propagate(images, mask, points=arguments.point, encoder=encoder, settings=settings_of(arguments))
    painter = _Painter(arguments, 0 if mask is None else int(mask.max()))
    _write(arguments, painter, found, seconds)
    result: dict[str, object] = {"clip": arguments.clip, "frames": painter.count, "seconds": seconds}
    result |= {"objects": painter.objects, "areas": painter.areas} if painter.areas else {}
    result |= {"points": painter.points, "similarity": painter.similarity} if painter.points else {}
    result |= {"encoder": arguments.encoder, **computed(encoder), "out": str(arguments.out)}
    result |= {"masks": str(arguments.masks)} if arguments.masks else {}
    return Answer(result, painter.text(arguments), list(failed.values()))


def point(text: str) -> tuple[float, float]:
    """The position X,Y."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no point; expected X,Y in pixels, such as 120,85") from error
    return x, y


def clip_or_folder(text: str) -> Path:
    """The path of an animation, or of a folder, to write."""
    path = Path(text).expanduser()
    if path.suffix.lower() in ANIMATION_FILES:
        if path.is_dir():
            raise ArgumentTypeError(f"{text!r} is a folder; expected the name of a file to write")
        return path
    if path.suffix and not path.is_dir():
        raise ArgumentTypeError(
            f"{text!r} is no clip; expected a name in {' or '.join(ANIMATION_FILES)}, or a folder for the frames"
        )
    return output_folder(text)


class _Painter:
    """Draws frames, and keeps what the verb reports of them."""

    def __init__(self, arguments: Namespace, highest: int) -> None:
        from dinoclip_viz.viz import class_palette

        self.palette = class_palette(max(highest, len(arguments.point or ())))
        self.masks: Path | None = arguments.masks
        self.count = self.objects = 0
        self.areas: list[dict[str, float]] = []
        self.points: list[list[list[float]]] = []
        self.similarity: list[list[float]] = []

    def frames(self, found: Iterator[PropagatedFrame]) -> Iterator[Image.Image]:
        """The drawn frames; masks are written."""
        import numpy as np

        kinds: list[int] = []
        for frame in found:
            self.count += 1
            if frame.mask is not None:
                kinds = kinds or np.unique(frame.mask[frame.mask > 0]).tolist()
                self.objects = len(kinds)
                self.areas.append({str(kind): float((frame.mask == kind).mean()) for kind in kinds})
                if self.masks is not None:
                    write_mask(frame.mask, self.palette, self.masks / f"{frame.number:05d}.png")
            if frame.points is not None and frame.similarity is not None:
                self.points.append(frame.points.tolist())
                self.similarity.append(frame.similarity.tolist())
            yield self.draw(frame.image, frame.mask)

    def draw(self, image: Image.Image, mask: NDArray[np.uint8] | None) -> Image.Image:
        """A frame with its mask and the way of its points so far."""
        import numpy as np

        from dinoclip_viz.viz import enlarge, mask_outline, mask_overlay, track_image

        shown = enlarge(image, SHOWN, smooth=True)
        if mask is not None:
            shown = mask_outline(mask_overlay(shown, mask, self.palette, 0.35), mask, self.palette)
        if not self.points:
            return shown
        scale = np.array(shown.size) / image.size
        tracks = np.array(self.points).transpose(1, 0, 2) * scale  # (N, T, 2)
        return track_image(shown, tracks, self.palette[: len(tracks)])

    def text(self, arguments: Namespace) -> str:
        """What was done, for people."""
        words = [f"{self.count} frames"]
        words += [f"{self.objects} object{'s' * (self.objects > 1)}"] if self.areas else []
        words += [f"{len(self.points[0])} point{'s' * (len(self.points[0]) > 1)}"] if self.points else []
        lines = [", ".join(words)]
        for number, (x, y) in enumerate(self.points[-1] if self.points else [], start=1):
            lines.append(f"point {number} ends at ({x:.1f}, {y:.1f}), cosine {self.similarity[-1][number - 1]:.3f}")
        lines += [f"wrote {arguments.masks}"] if arguments.masks else []
        return "\n".join([*lines, f"wrote {arguments.out}"])


def write_mask(mask: NDArray[np.uint8], palette: NDArray[np.uint8], file: Path) -> None:
    """Write a mask as a PNG whose palette indices are the objects, as DAVIS has them."""
    from PIL import Image

    image = Image.fromarray(mask)
    image.putpalette([0, 0, 0, *palette.ravel().tolist()])
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


def _write(arguments: Namespace, painter: _Painter, found: Iterator[PropagatedFrame], seconds: float) -> None:
    """Write the drawn frames as a clip, or one by one."""
    from dinoclip_viz.viz import save_animation

    out: Path = arguments.out
    if out.suffix.lower() not in ANIMATION_FILES:
        for number, image in enumerate(painter.frames(found)):
            out.mkdir(parents=True, exist_ok=True)
            image.save(out / f"{number:05d}.png")
        return
    drawn = painter.frames(found)
    first = next(drawn)
    palette = [first, *(_sample(arguments) if out.suffix.lower() == ".gif" else [])]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        save_animation(chain([first], drawn), partial, seconds, palette)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _frames(arguments: Namespace, failed: dict[str, Failure]) -> Iterator[Shown]:
    from dinoclip_viz.data.frames import MOST_FRAMES

    return moving([arguments.clip], arguments.every, arguments.frames or MOST_FRAMES, failed, arguments.levels)


def _sample(arguments: Namespace) -> list[Image.Image]:
    """Small frames spread evenly over the clip, which is read once more."""
    kept: list[Image.Image] = []
    step = 1
    for number, shown in enumerate(_frames(arguments, {})):
        if number % step == 0:
            shown.image.thumbnail((SHOWN, SHOWN))
            kept.append(shown.image)
        if len(kept) == 2 * SAMPLE:
            kept, step = kept[::2], 2 * step
    return kept


def _pace(opening: list[Shown]) -> float:
    """How long a frame stays: the time between the first two, within what an animation can have."""
    first, second = (shown.seconds for shown in opening)
    gap = SLOW if first is None or second is None else second - first
    return min(max(gap, 0.02), 60.0)


def _check(arguments: Namespace) -> None:
    """Nothing, if the options go together.

    Raises:
        ValueError: they do not.
    """
    if arguments.mask is None and not arguments.point:
        raise ValueError("found neither --mask nor --point; add --mask FILE or --point X,Y: what to follow")
    if arguments.masks and arguments.mask is None:
        raise ValueError("--masks writes the masks that --mask begins; add --mask FILE, or omit it")
    if arguments.seconds is not None and arguments.out.suffix.lower() not in ANIMATION_FILES:
        raise ValueError(f"--seconds belongs to a clip, but --out is the folder {arguments.out}; omit it")
