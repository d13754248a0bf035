"""The columns of a row by the names in common use: image, captions, key, label."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from dinoclip_viz.data.locations import shown

IMAGES = (
    "image",
    "image_path",
    "file_name",
    "filename",
    "filepath",
    "file_path",
    "image_name",
    "path",
    "url",
    "image_url",
)
CAPTIONS = ("caption", "captions", "sentences", "text", "texts", "title", "alt_text", "comment", "raw")
KEYS = ("key", "id", "image_id")
LABELS = ("label", "class")

_NUMBERED = re.compile(r"(caption|text|sentence)_?\d+")
_DEEPEST = 4  # levels of nested lists that may hold captions


def named(values: Mapping[str, object]) -> dict[str, object]:
    """The row with the names of its columns stripped and in lower case.

    Examples:
        >>> named({" Image_Name": "a.jpg"})
        {'image_name': 'a.jpg'}
    """
    return {name.strip().lower(): value for name, value in values.items()}


def is_caption_column(name: str) -> bool:
    """Whether a column holds captions, by its name from `named`.

    Examples:
        >>> [is_caption_column(name) for name in ("caption", "caption_0", "captioned")]
        [True, True, False]
    """
    return name in CAPTIONS or _NUMBERED.fullmatch(name) is not None


def image_in(row: Mapping[str, object]) -> str:
    """The path or address of a row's image, "" without one.

    Examples:
        >>> image_in({"image": None, "url": "https://a.org/cat.jpg", "caption": "a cat"})
        'https://a.org/cat.jpg'
    """
    return next((text.strip() for name in IMAGES if isinstance(text := row.get(name), str) and text.strip()), "")


def captions_in(row: Mapping[str, object]) -> tuple[str, ...]:
    """A row's captions, from the first column that has any, or from all numbered ones (caption_0, caption_1, ...).

    Examples:
        >>> captions_in({"sentences": [{"raw": "a cat"}, {"raw": "a pet"}], "title": "IMG 1"})
        ('a cat', 'a pet')
        >>> captions_in({"raw": '["a cat", "a pet"]'})
        ('a cat', 'a pet')
    """
    for name in CAPTIONS:
        if found := texts_in(row.get(name)):
            return found
    return tuple(text for name in row if _NUMBERED.fullmatch(name) for text in texts_in(row[name]))


def texts_in(value: object, deepest: int = _DEEPEST) -> tuple[str, ...]:
    """The texts in a cell: a string, a JSON list of strings, nested lists, or dicts with `raw`.

    Args:
        value: the cell.
        deepest: maximum depth of nested lists.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith('["') and text.endswith('"]'):
            try:
                return texts_in(json.loads(text), deepest=1)
            except (ValueError, RecursionError):
                return (text,)
        return (text,) if text else ()
    if isinstance(value, Mapping):
        return next((found for name in ("raw", *CAPTIONS) if (found := texts_in(value.get(name), deepest - 1))), ())
    if isinstance(value, (list, tuple)) and deepest:
        return tuple(text for part in value for text in texts_in(part, deepest - 1))
    return ()


def key_in(row: Mapping[str, object]) -> str:
    """The key of a row, "" without one.

    Examples:
        >>> key_in({"id": 0, "image": "a.jpg"}), key_in({"image": "a.jpg"})
        ('0', '')
    """
    return next((text for name in KEYS if (text := _plain(row.get(name)))), "")


def label_in(row: Mapping[str, object]) -> str | None:
    """The class of a row; for a playground scene, the class of its only object.

    Examples:
        >>> label_in({"class": "cat"}), label_in({"objects": [{"name": "cat"}]}), label_in({})
        ('cat', 'cat', None)
    """
    objects = row.get("objects")
    if isinstance(objects, list) and len(objects) == 1 and isinstance(objects[0], Mapping):
        return _plain(objects[0].get("name")) or None
    return next((text for name in LABELS if (text := _plain(row.get(name)))), None)


def _plain(value: object) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return shown(str(value).strip())
    return ""
