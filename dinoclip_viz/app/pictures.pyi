"""How pictures come in and how they are shown: uploads through our own loader, drawn ones, and the notice between."""

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
"""Pixels of the longer side that are kept of a picture: encoders take at most 1024."""
SHOWN = 768
"""Least longer side in pixels of a picture that is shown: Gradio enlarges none."""
DRAWN_SIZE = 192
FIRST_SEED = 1000
MOST_PICTURES = 12
NOTICE = (
    "*The playground's models know their drawn world alone, and this picture is from outside it: what they answer "
    "here tells little. For photographs load another model above.*"
)

@dataclass(frozen=True)
class Picture:
    """A picture with the hash of its content."""

    image: Image.Image
    digest: str

class Drawn:
    """Which pictures the playground has drawn here, by content."""

    def __init__(self, most: int = 4096) -> None:
        self._known: Shelf[bool] = Shelf(most)

    def draw(self, seed: int) -> Image.Image:
        """The scene of a seed, remembered as drawn."""
        image = playground.draw(seed, 1, DRAWN_SIZE)[0].image
        self._known.put(True, digest_of(image))
        return image

    def __contains__(self, picture: Picture) -> bool:
        return self._known.get(picture.digest) is True

class PictureInput(gr.Image):  # type: ignore[misc]
    """Gradio's image input, handing over the file as it came: our own loader decodes it, and says what is wrong."""

    def preprocess(self, payload: Any) -> str | None:
        """The path of the file, not opened yet."""
        if payload is not None and payload.path is not None and not (payload.url or "").startswith("data:"):
            return str(payload.path)
        path: str | None = super().preprocess(payload)
        return path
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, Any, Literal

    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def picture_input(label: str, value: Image.Image | None = None, **place: str) -> PictureInput:
    """An input for one picture: upload, camera or clipboard."""
    return PictureInput(
        value,
        label=label,
        alt_text=label,
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "webcam", "clipboard"],
        elem_classes=["picture-input"],
        **place,
    )

def read(path: str | None) -> Picture:
    """The picture of a file, at most `LONGEST` pixels long.

    Raises:
        ImageError: it is no picture that can be used.
        ValueError: there is none.
    """
    if not path:
        raise ValueError("there is no picture yet: upload one, or press “Draw another”")
    image = load_image(path)
    if max(image.size) > LONGEST:
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return Picture(image, digest_of(image))

def read_all(items: Sequence[tuple[str, str | None]] | None) -> list[Picture]:
    """The pictures of a gallery, in order.

    Raises:
        ImageError: one is no picture that can be used.
        ValueError: there is none, or more than `MOST_PICTURES`.
    """
    if not items:
        raise ValueError("there are no pictures yet: upload some, or press “Draw others”")
    if len(items) > MOST_PICTURES:
        raise ValueError(f"{len(items)} pictures are more than the {MOST_PICTURES} that are fitted at once; take fewer")
    return [read(path) for path, _ in items]

def digest_of(image: Image.Image) -> str:
    """Hash of the pixels.

    Examples:
        >>> digest_of(Image.new("RGB", (1, 2))) == digest_of(Image.new("RGB", (2, 1)))
        False
    """
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()

def shown(image: Image.Image) -> Image.Image:
    """The picture, large enough to look at."""
    return viz.enlarge(image, SHOWN, smooth=True)

def notice(model: ImageTextModel, drawn: Drawn, pictures: Sequence[Picture]) -> str:
    """One line where a playground model meets a picture that was not drawn; "" elsewhere."""
    stranger = any(picture not in drawn for picture in pictures)
    return NOTICE if stranger and model.images.space.startswith("playground") else ""
