"""Text and JSON files in any encoding, with errors that name the file and the byte."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.locations import shown

UTF8 = "utf-8"
LONGEST_LINE = 1_000_000
"""Characters of a line; the rest of a longer one is dropped."""

_GIVE_ENCODING = "give its encoding, such as --encoding latin-1 (encoding= in Python), or save it as UTF-8"
NOT_UTF8 = f"not UTF-8 text; {_GIVE_ENCODING}"
"""The fault of a line that is not UTF-8."""

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def lines_of(file: Path, encoding: str = UTF8) -> Iterator[str]:
    """The lines of a text file, without line ends and byte order mark.

    In UTF-8, invalid bytes become surrogates, which `is_utf8` finds, so that one bad line does not lose the others.

    Args:
        file: the text file.
        encoding: its encoding; in any but UTF-8 the whole file must be valid.

    Raises:
        SourceError: the file cannot be read, is UTF-16 while UTF-8 is expected, or is not valid in the encoding.
    """
    plain = is_plain_utf8(encoding)
    try:
        with file.open("rb") as stream:
            if plain and stream.peek(2)[:2] in _UTF16_MARKS:
                raise SourceError(_utf16(file))
            text = io.TextIOWrapper(stream, UTF8 if plain else encoding, "surrogateescape" if plain else "strict")
            first = True
            while line := text.readline(LONGEST_LINE):
                yield (line.removeprefix("\ufeff") if first else line).rstrip("\r\n")
                first = False
                while not line.endswith("\n") and (line := text.readline(LONGEST_LINE)):
                    continue  # the rest of a line that is too long
    except UnicodeError as error:
        raise _invalid(file, encoding, error) from error
    except OSError as error:
        raise SourceError(f"{shown(file)}: cannot be read ({error.strerror}); expected a text file") from error


def read_json(file: Path, encoding: str = UTF8) -> object:
    """The value in a JSON file.

    Args:
        file: the file.
        encoding: its encoding.

    Raises:
        SourceError: the file cannot be read, or is not JSON in this encoding.
    """
    plain = is_plain_utf8(encoding)
    try:
        data = file.read_bytes()
        if plain and data[:2] in _UTF16_MARKS:
            raise SourceError(_utf16(file))
        parsed: object = json.loads(data.decode("utf-8-sig" if plain else encoding).removeprefix("\ufeff"))
    except OSError as error:
        raise SourceError(f"{shown(file)}: cannot be read ({error.strerror}); expected a JSON file") from error
    except UnicodeError as error:
        raise _invalid(file, encoding, error) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, SourceError):
            raise
        way_out = "name it .jsonl if it has one object per line" if "Extra data" in str(error) else "correct the file"
        raise SourceError(f"{shown(file)}: not JSON ({shown(str(error))}); {way_out}") from error
    return parsed


def is_utf8(text: str) -> bool:
    """Whether a text from `lines_of` was valid UTF-8 in the file."""
    return _NOT_UTF8.search(text) is None


def is_plain_utf8(encoding: str) -> bool:
    """Whether an encoding is UTF-8, with or without a byte order mark.

    Raises:
        SourceError: there is no such text encoding.

    Examples:
        >>> is_plain_utf8("UTF8"), is_plain_utf8("latin-1")
        (True, False)
    """
    try:
        known = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, ValueError, TypeError) as error:
        raise SourceError(f"encoding {encoding!r}: unknown; expected a name such as utf-8, latin-1, cp1252") from error
    return known.name in ("utf-8", "utf-8-sig")


def _utf16(file: Path) -> str:
    return f"{shown(file)}: UTF-16 text, not UTF-8; give its encoding, --encoding utf-16, or save it as UTF-8"


def _invalid(file: Path, encoding: str, error: UnicodeError) -> SourceError:
    name = "UTF-8" if is_plain_utf8(encoding) else encoding
    position = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
    return SourceError(f"{shown(file)}: not {name} text{position}; {_GIVE_ENCODING}")
