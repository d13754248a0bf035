"""Arguments of API endpoints: images, texts and numbers of a stranger's JSON, checked with one clear line each."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import unquote

from gradio.data_classes import FileDataMeta
from gradio.utils import get_upload_folder
from PIL import Image

from dinoclip_viz.app.images import FORMATS, LONGEST, MOST_IMAGES, GivenImage, digest_of
from dinoclip_viz.app.workbench import Workbench, key_of
from dinoclip_viz.images import MAXIMUM_BYTES, load_image


class Upload(TypedDict):
    """An uploaded file: the path that the upload was answered with, and Gradio's mark of files."""

    path: str
    meta: FileDataMeta


ImageInput = str | Upload
"""An uploaded file, or a text: a data URI or an http(s) address."""

EXPECTED = "an uploaded file, a data URI (data:image/png;base64,...) or an http(s) address"
LONGEST_TEXT = 200
"""Number of characters of a label, a prompt or a question."""
SHOWN = 60
SERVED = "/gradio_api/file="


@dataclass(frozen=True)
class Given:
    """An image as the app computes with it.

    Attributes:
        image: at most `LONGEST` pixels long.
        size: width and height in pixels of the image as given.
    """

    image: GivenImage
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Pixels of the image as given per pixel of the one that is computed with."""
        return self.size[0] / self.image.image.width


def image_of(bench: Workbench, value: object, name: str = "image") -> Given:
    """The image of an argument. Paths of the server are refused.

    Args:
        bench: the workbench.
        value: as in `ImageInput`, from JSON.
        name: of the argument.

    Raises:
        ImageError: it is no image of an accepted format.
        ValueError: it is neither an uploaded file nor a data URI nor an address.
    """
    image = load_image(_source(bench, value, name), formats=FORMATS)
    size = image.size
    if max(size) > LONGEST:
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return Given(GivenImage(image, digest_of(image)), size)


def images_of(bench: Workbench, value: object, name: str = "images") -> list[Given]:
    """The images of an argument, 1 to `MOST_IMAGES`.

    Raises:
        ImageError, ValueError: as in `image_of`, the message begins with the image's number; there is none, or too
            many.
    """
    if not isinstance(value, list):
        raise ValueError(f"found {_shown(value)} as {name}; expected a list of 1 to {MOST_IMAGES} images")
    if not 1 <= len(value) <= MOST_IMAGES:
        raise ValueError(f"found {len(value)} {name}; expected 1 to {MOST_IMAGES}")
    return [image_of(bench, one, f"{name}[{number}]") for number, one in enumerate(value)]


def text_of(value: object, name: str) -> str:
    """The text of an argument, without spaces at its ends.

    Raises:
        ValueError: it is no text, empty or too long.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"found {_shown(value)} as {name}; expected a text")
    text = value.strip()
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"found {len(text)} characters in {name}; expected at most {LONGEST_TEXT}")
    return text


def texts_of(value: object, name: str, least: int, most: int) -> list[str]:
    """The distinct texts of an argument.

    Raises:
        ValueError: it is no list, has too few or too many items, or one that is no text, empty, too long or repeated.

    Examples:
        >>> texts_of(["a cat ", "grass"], "prompts", 1, 24)
        ['a cat', 'grass']
    """
    expected = f"{least} to {most} texts"
    if not isinstance(value, list):
        raise ValueError(f"found {_shown(value)} as {name}; expected a list of {expected}")
    if not least <= len(value) <= most:
        raise ValueError(f"found {len(value)} {name}; expected {expected}")
    texts = [text_of(one, f"{name}[{number}]") for number, one in enumerate(value)]
    for text in texts:
        if texts.count(text) > 1:
            raise ValueError(f"found {_shown(text)} {texts.count(text)} times in {name}; expected each once")
    return texts


def number_of(value: object, name: str, low: float, high: float) -> float:
    """The number of an argument.

    Raises:
        ValueError: it is no finite number in low..high.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"found {_shown(value)} as {name}; expected a number, {low:g} to {high:g}")
    if not low <= value <= high:
        raise ValueError(f"found {name} {value:g}; expected {low:g} to {high:g}")
    return float(value)


def count_of(value: object, name: str, most: int) -> int:
    """The whole number of an argument, 1 to most.

    Raises:
        ValueError: it is another value.
    """
    number = number_of(value, name, 1, most)
    if number != int(number):
        raise ValueError(f"found {name} {number:g}; expected a whole number, 1 to {most}")
    return int(number)


def flag_of(value: object, name: str) -> bool:
    """The flag of an argument.

    Raises:
        ValueError: it is neither true nor false.
    """
    if not isinstance(value, bool):
        raise ValueError(f"found {_shown(value)} as {name}; expected true or false")
    return value


def choice_of(value: object, name: str, choices: Sequence[str]) -> str:
    """The choice of an argument.

    Raises:
        ValueError: it is none of the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"found {_shown(value)} as {name}; expected one of: {', '.join(choices)}")
    return value


def key_of_model(bench: Workbench, value: object) -> str:
    """The key of a model of an argument; "" is the page's own model with its guide.

    Raises:
        EncoderError: the page does not offer it, or it cannot be loaded.
        ValueError: it is no text.
    """
    if not isinstance(value, str):
        raise ValueError(f"found {_shown(value)} as model; expected a name that the endpoint models lists")
    if value in ("", bench.first_name):
        return bench.first_key
    key = key_of(value[:LONGEST_TEXT], None)
    bench.model(key)
    return key


def _source(bench: Workbench, value: object, name: str) -> str | bytes:
    """What `load_image` reads: the path of an upload, the bytes of a data URI, or an address."""
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        return _uploaded(bench, value["path"], name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"found {_shown(value)} as {name}; expected {EXPECTED}")
    text = value.strip()
    if text[:5].lower() == "data:":
        return _decoded(text, name)
    if not re.match(r"(?i)https?://", text):
        raise ValueError(f"found {_shown(text)} as {name}; expected {EXPECTED}")
    if SERVED in text:  # an address of this server, which an upload has answered with
        return _uploaded(bench, unquote(text.partition(SERVED)[2].partition("?")[0]), name)
    return text


def _uploaded(bench: Workbench, path: str, name: str) -> str:
    """The path of a file that was uploaded, or that this page has made."""
    if re.match(r"(?i)https?://", path):
        return path
    try:
        found = Path(path).resolve()
        mine = any(found.is_relative_to(Path(home).resolve()) for home in (get_upload_folder(), bench.files.folder))
        if mine and found.is_file():
            return str(found)
    except (OSError, ValueError):  # a path that no system has, such as one with a null character
        mine = False
    gone = f"{_shown(found.name)}, an upload that is no longer there" if mine else "a path that was not uploaded here"
    raise ValueError(f"found {gone} as {name}; expected {EXPECTED}")


def _decoded(text: str, name: str) -> bytes:
    """The bytes of a data URI."""
    head, comma, body = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise ValueError(f"found a data URI without base64 data as {name}; expected {EXPECTED}")
    if len(body) > MAXIMUM_BYTES * 4 / 3 + 4:
        raise ValueError(f"found a data URI of {len(body) * 0.75 / 1e6:.0f} MB as {name}; expected at most 20 MB")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise ValueError(f"found a data URI with damaged base64 data as {name}; expected {EXPECTED}") from error


def _shown(value: Any) -> str:
    """A value for a message, on one line and short."""
    if isinstance(value, str):
        flat = " ".join(value.split())
        return repr(flat if len(flat) <= SHOWN else f"{flat[:SHOWN]}...")
    kinds = {type(None): "nothing", bool: str(value).lower(), dict: "an object", list: f"a list of {_length(value)}"}
    return kinds.get(type(value), f"{value}"[:SHOWN])


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0
