"""Image inputs and outputs: uploads read by `load_image`, in their own format, and images enlarged for display."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import HELPER
from dinoclip_viz.app.handlers.files import ServedFiles
from dinoclip_viz.images import load_image
from dinoclip_viz.images.decoding import kind_of

LONGEST = 1536
"""Largest longer side in pixels of a given image; encoders use at most 1024."""
SHOWN = 768
"""Smallest longer side in pixels of a displayed image, which Gradio does not enlarge."""
MOST_IMAGES = 12
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIC")
"""Accepted formats of uploads; HEIC where pillow-heif is installed."""
FILE_TYPES = ["image", ".avif", ".heic", ".heif"]
"""File types offered for upload: the type of some formats is unknown to the operating system."""
HEADER = 4096
"""Number of bytes that determine the format of a file."""


@dataclass(frozen=True)
class GivenImage:
    """An image with the hash of its content."""

    image: Image.Image
    digest: str


def image_input(files: ServedFiles, label: str, value: Image.Image, name: str | None = None) -> gr.Image:
    """An input for one image: upload, camera or clipboard. The file is passed on unread and unconverted.

    `gr.Image` opens the file even for a path alone, and fails on a broken or HEIC file with a message that does not
    help. Gradio's checks of paths run before this step.
    """
    image = gr.Image(
        files.image(value, pinned=True),
        label=label,
        alt_text=label,
        type="filepath",
        image_mode=None,
        format="png",
        height=320,
        sources=["upload", "webcam", "clipboard"],
        elem_id=name,
        elem_classes=["image-input"],
    )
    decode = image.preprocess

    def as_given(payload: Any) -> str | None:
        inline = payload is None or payload.path is None or (payload.url or "").startswith("data:")
        path: str | None = decode(payload) if inline else payload.path
        return path

    image.preprocess = as_given
    shown_upload = functools.partial(_served, files, preview)
    image.upload(shown_upload, image, image, show_progress="hidden", **HELPER)
    return image


def images_input(files: ServedFiles, begin: list[Image.Image], most: int, columns: int, name: str) -> gr.Gallery:
    """An input for several images.

    Args:
        files: where the page's own images are written.
        begin: its first content.
        most: largest number of images, which the label states.
        columns: number of thumbnails per row.
        name: its id in the page.
    """
    images = gr.Gallery(
        [files.image(one, pinned=True) for one in begin],
        label=f"Images, up to {most}",
        type="filepath",
        format="png",
        columns=columns,
        height=220,
        object_fit="contain",
        file_types=FILE_TYPES,
        sources=["upload", "webcam", "clipboard"],
        interactive=True,
        elem_id=name,
        elem_classes=["images-input"],
    )
    shown_upload = functools.partial(_served, files, previews)
    images.upload(shown_upload, images, images, show_progress="hidden", **HELPER)
    return images


def preview(path: str | None) -> Any:
    """A HEIC upload as an image that every browser displays; no change for other files, and for invalid ones."""
    if not _is_heic(path):
        return gr.skip()
    try:
        return read(path).image
    except ValueError:  # reported by the handler that reads it
        return gr.skip()


def previews(items: Sequence[tuple[str, str | None]] | None) -> Any:
    """The images of a gallery, each HEIC replaced as in `preview`."""
    if not any(_is_heic(path) for path, _ in items or ()):
        return gr.skip()
    try:
        return [read(path).image if _is_heic(path) else path for path, _ in items or ()]
    except ValueError:  # reported by the handler that reads it
        return gr.skip()


def read(path: str | None) -> GivenImage:
    """The image of a file, at most `LONGEST` pixels long.

    Raises:
        ImageError: the file is no image of an accepted format.
        ValueError: there is no file.
    """
    if not path:
        raise ValueError("there is no image yet; upload one, or press “New scene”")
    image = load_image(path, formats=FORMATS)
    if max(image.size) > LONGEST:
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return GivenImage(image, digest_of(image))


def read_all(items: Sequence[tuple[str, str | None]] | None) -> list[GivenImage]:
    """The images of a gallery, in order.

    Raises:
        ImageError: a file is no image of an accepted format.
        ValueError: there is no file, or more than `MOST_IMAGES`.
    """
    if not items:
        raise ValueError("there are no images yet; upload some, or press “New scenes”")
    if len(items) > MOST_IMAGES:
        raise ValueError(f"found {len(items)} images; expected at most {MOST_IMAGES}; remove some")
    return [read(path) for path, _ in items]


def digest_of(image: Image.Image) -> str:
    """Hash of the pixels.

    Examples:
        >>> digest_of(Image.new("RGB", (1, 2))) == digest_of(Image.new("RGB", (2, 1)))
        False
    """
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()


def shown(image: Image.Image) -> Image.Image:
    """The image, enlarged for display."""
    return viz.enlarge(image, SHOWN, smooth=True)


def _served(files: ServedFiles, handler: Callable[[Any], Any], given: Any) -> Any:
    return files.served(handler(given))


def _is_heic(path: str | None) -> bool:
    try:
        with open(path or "", "rb") as file:
            return kind_of(file.read(HEADER)) == "HEIC"
    except OSError:
        return False
