"""How images come in and how they are shown: uploads through our own loader, drawn ones, and the notice between."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from dinoclip_viz import playground, viz
from dinoclip_viz.app.cache import Shelf
from dinoclip_viz.images import load_image
from dinoclip_viz.models import ImageTextModel

LONGEST = 1536
"""Pixels of the longer side that are kept of an image: encoders take at most 1024."""
SHOWN = 768
"""Least longer side in pixels of an image that is shown: Gradio enlarges none."""
DRAWN_SIZE = 192
FIRST_SEED = 1002
"""A scene with a car, a flower and two mushrooms; the seeds after it are drawn next."""
MOST_IMAGES = 12
NOTICE = (
    "*The playground's models know their drawn world alone, and this image is from outside it: what they answer "
    "here tells little. For photographs load another model above.*"
)


@dataclass(frozen=True)
class GivenImage:
    """An image with the hash of its content."""

    image: Image.Image
    digest: str


class Drawn:
    """Which images the playground has drawn here, by content."""

    def __init__(self, most: int = 4096) -> None:
        self._known: Shelf[int] = Shelf(most)

    def draw(self, seed: int) -> Image.Image:
        """The scene of a seed, remembered as drawn."""
        image = playground.draw(seed, 1, DRAWN_SIZE)[0].image
        self._known.put(seed, digest_of(image))
        return image

    def scene(self, image: GivenImage) -> playground.Scene | None:
        """The scene that the image shows, with its truth; None where it was not drawn here."""
        seed = self._known.get(image.digest)
        return None if seed is None else playground.draw(seed, 1, DRAWN_SIZE)[0]

    def next(self, last: int) -> tuple[int, Image.Image]:
        """The seed after the last one, and its scene."""
        return last + 1, self.draw(last + 1)

    def several(self, count: int, last: int) -> tuple[int, list[Image.Image]]:
        """The last seed used, and so many scenes of the seeds after the last one."""
        return last + count, [self.draw(seed) for seed in range(last + 1, last + count + 1)]

    def __contains__(self, image: GivenImage) -> bool:
        return self._known.get(image.digest) is not None


def image_input(label: str, value: Image.Image | None = None, name: str | None = None) -> gr.Image:
    """An input for one image: upload, camera or clipboard, handed over as it came.

    Gradio opens a file even where it only passes its path on, and fails on a broken one without a word that helps; here
    our own loader is the first to open it. Its security checks of paths come before this step and stay.
    """
    image = gr.Image(
        value,
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

    def as_it_came(payload: Any) -> str | None:
        inline = payload is None or payload.path is None or (payload.url or "").startswith("data:")
        path: str | None = decode(payload) if inline else payload.path
        return path

    image.preprocess = as_it_came
    return image


def images_input(begin: list[Image.Image], most: int, columns: int, name: str) -> gr.Gallery:
    """An input for several images.

    Args:
        begin: what it holds at first.
        most: how many may be compared; the label says so.
        columns: of the thumbnails.
        name: its id in the page.
    """
    return gr.Gallery(
        begin,
        label=f"Images, up to {most}",
        type="filepath",
        format="png",
        columns=columns,
        height=220,
        object_fit="contain",
        file_types=["image"],
        sources=["upload", "webcam", "clipboard"],
        interactive=True,
        elem_id=name,
        elem_classes=["images-input"],
    )


def read(path: str | None) -> GivenImage:
    """The image of a file, at most `LONGEST` pixels long.

    Raises:
        ImageError: it is no image that can be used.
        ValueError: there is none.
    """
    if not path:
        raise ValueError("there is no image yet: upload one, or press “Draw another”")
    image = load_image(path)
    if max(image.size) > LONGEST:
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return GivenImage(image, digest_of(image))


def read_all(items: Sequence[tuple[str, str | None]] | None) -> list[GivenImage]:
    """The images of a gallery, in order.

    Raises:
        ImageError: one is no image that can be used.
        ValueError: there is none, or more than `MOST_IMAGES`.
    """
    if not items:
        raise ValueError("there are no images yet: upload some, or press “Draw others”")
    if len(items) > MOST_IMAGES:
        raise ValueError(f"{len(items)} images are more than the {MOST_IMAGES} that are fitted at once; take fewer")
    return [read(path) for path, _ in items]


def digest_of(image: Image.Image) -> str:
    """Hash of the pixels.

    Examples:
        >>> digest_of(Image.new("RGB", (1, 2))) == digest_of(Image.new("RGB", (2, 1)))
        False
    """
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()


def shown(image: Image.Image) -> Image.Image:
    """The image, large enough to look at."""
    return viz.enlarge(image, SHOWN, smooth=True)


def notice(model: ImageTextModel, drawn: Drawn, images: Sequence[GivenImage]) -> str:
    """One line where a playground model meets an image that was not drawn; "" elsewhere."""
    stranger = any(image not in drawn for image in images)
    return NOTICE if stranger and model.images.space.startswith("playground") else ""
