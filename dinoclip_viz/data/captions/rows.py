"""The rows of a JSON, JSONL, CSV or TSV file, one at a time; what is wrong with one of them does not lose the rest."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.captions.columns import IMAGES, named
from dinoclip_viz.data.locations import is_address, is_image_name, key_of_name, shown

UTF8 = "utf-8"
NOT_UTF8 = "not UTF-8 text; give the file's encoding, such as --encoding latin-1 (encoding= in Python)"
LONGEST_LINE = 1_000_000
"""Bytes of a line; what is longer is cut there."""

_HEAD = 20  # lines that are looked at to detect the layout of a file
_DELIMITERS = ("\t", "|", ",", ";", " ")
_ODD_COMMENT = re.compile(r"\s*(\d+)\s+(.*)", re.DOTALL)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class Row:
    """One row of a list.

    Attributes:
        number: its line, or in a .json file its position, counted from 1.
        values: its cells by column, names as `named` gives them.
        fault: what is wrong with it; "" where nothing is.
    """

    number: int
    values: Mapping[str, object]
    fault: str = ""


def rows_of(file: Path, encoding: str = UTF8) -> Iterator[Row]:
    """Every row of a list of images, by the file's ending and its first lines.

    A .json file is read whole: a list, a drawn folder's `scenes`, or {image: captions}. All others are read a line at
    a time. A file without a header has one column that looks like images; the next is taken for the captions.

    Args:
        file: .json, .jsonl, .ndjson; .csv, .tsv, .txt with tabs, bars, commas or semicolons, with a header or without.
        encoding: of the text.

    Raises:
        SourceError: the file cannot be read or is no list of images.
    """
    suffix = file.suffix.lower()
    if suffix == ".json":
        return _whole(file, encoding)
    return _json_lines(file, encoding) if suffix in (".jsonl", ".ndjson") else _table(file, encoding)


def lines_of(file: Path, encoding: str = UTF8) -> Iterator[str]:
    """The lines of a text file without their ends, nor the byte order mark; bytes that are not UTF-8 are surrogates.

    Args:
        file: the text.
        encoding: how it is written; with another than UTF-8, every line must be so.

    Raises:
        SourceError: the file cannot be read, is UTF-16 without being declared so, or is not in the encoding.
    """
    plain = is_plain_utf8(encoding)
    try:
        with file.open("rb") as stream:
            if plain and stream.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise SourceError(f"{shown(file)}: found UTF-16 text; expected UTF-8: give --encoding utf-16")
            text = io.TextIOWrapper(stream, "utf-8" if plain else encoding, "surrogateescape" if plain else "strict")
            first = True
            while line := text.readline(LONGEST_LINE):
                yield (line.removeprefix("\ufeff") if first else line).rstrip("\r\n")
                first = False
                while not line.endswith("\n") and (line := text.readline(LONGEST_LINE)):
                    continue  # the rest of a line that is too long
    except UnicodeError as error:
        raise _of_another_encoding(file, encoding, error) from error
    except OSError as error:
        raise SourceError(f"{shown(file)}: cannot be read ({error.strerror}); expected a text file") from error


def is_plain_utf8(encoding: str) -> bool:
    """Whether an encoding is UTF-8, with or without a byte order mark.

    Raises:
        SourceError: there is no such encoding of text.

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


def _of_another_encoding(file: Path, encoding: str, error: UnicodeError) -> SourceError:
    where = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
    return SourceError(f"{shown(file)}: not {encoding} text{where}; give the file's own encoding: --encoding NAME")


def name_with_split(file: Path, split: str | None) -> str:
    """What a source of captions is called: its file's path, and the split in brackets.

    Examples:
        >>> name_with_split(Path("dataset_coco.json"), "test")
        'dataset_coco.json (test)'
    """
    return shown(file) + (f" ({split})" if split else "")


def is_utf8(text: str) -> bool:
    """Whether a text that `lines_of` gave was UTF-8 in the file."""
    return _NOT_UTF8.search(text) is None


def read_json(file: Path, encoding: str = UTF8) -> object:
    """What a JSON file holds.

    Args:
        file: the file.
        encoding: how it is written.

    Raises:
        SourceError: it cannot be read, or is not JSON in this encoding.
    """
    plain = is_plain_utf8(encoding)
    try:
        parsed: object = json.loads(file.read_bytes().decode("utf-8-sig" if plain else encoding))
    except OSError as error:
        raise SourceError(f"{shown(file)}: cannot be read ({error.strerror}); expected a JSON file") from error
    except UnicodeError as error:
        raise _of_another_encoding(file, "UTF-8" if plain else encoding, error) from error
    except (ValueError, RecursionError) as error:
        way_out = "name it .jsonl if it has one object per line" if "Extra data" in str(error) else "write it anew"
        raise SourceError(f"{shown(file)}: not JSON ({shown(str(error))}); {way_out}") from error
    return parsed


# JSON


def _whole(file: Path, encoding: str) -> Iterator[Row]:
    parsed = read_json(file, encoding)
    if isinstance(parsed, dict) and isinstance(scenes := parsed.get("scenes"), list):
        yield from (_named_by_stem(row) for row in _checked(scenes))
    elif isinstance(parsed, dict) and parsed and all(is_address(name) or is_image_name(name) for name in parsed):
        pairs = enumerate(parsed.items(), start=1)
        yield from (Row(number, {"image": name, "captions": value}) for number, (name, value) in pairs)
    elif isinstance(parsed, list):
        yield from _checked(parsed)
    else:
        found = f"an object of {', '.join(map(repr, list(parsed)[:5]))}" if isinstance(parsed, dict) else repr(parsed)
        raise SourceError(f"{shown(file)}: {shown(found[:200])}; expected a list of rows or {{image: captions}}")


def _checked(values: Sequence[object]) -> Iterator[Row]:
    return (_row(number, value) for number, value in enumerate(values, start=1))


def _row(number: int, value: object) -> Row:
    if isinstance(value, Mapping):
        return Row(number, named(value))
    if isinstance(value, str):
        return Row(number, {"image": value})
    return Row(number, {}, f"a {type(value).__name__}; expected an object with an image and its captions")


def _named_by_stem(row: Row) -> Row:
    image = row.values.get("image")
    if not isinstance(image, str):
        return row
    return Row(row.number, {"key": key_of_name(Path(image).name), **row.values}, row.fault)


def _json_lines(file: Path, encoding: str) -> Iterator[Row]:
    for number, line in enumerate(lines_of(file, encoding), start=1):
        if not line.strip():
            continue
        if not is_utf8(line):
            yield Row(number, {}, NOT_UTF8)
            continue
        try:
            yield _row(number, json.loads(line))
        except (ValueError, RecursionError) as error:
            yield Row(number, {}, f"not JSON ({error})")


# Tables


def _table(file: Path, encoding: str) -> Iterator[Row]:
    lines = lines_of(file, encoding)
    head = [line for _, line in zip(range(_HEAD), lines, strict=False)]
    if not any(line.strip() for line in head):
        return
    delimiter, header = _layout(file, head)
    # Published lists without a header never quote, and a stray quotation mark would swallow the lines after it.
    quoted = header is not None and delimiter != "|"
    reader = csv.reader(
        (line + "\n" for line in chain(head, lines)),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    to_values: Callable[[list[str]], dict[str, object]] = (
        partial(_by_header, header, delimiter) if header else partial(_by_looks, delimiter)
    )
    if header:
        next(reader)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(reader.line_num, {}, f"not a row ({error})")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        fault = "" if all(map(is_utf8, cells)) else NOT_UTF8
        yield Row(reader.line_num, {} if fault else to_values(cells), fault)


def _layout(file: Path, head: Sequence[str]) -> tuple[str, list[str] | None]:
    """What separates the columns, and their names where the first line gives them."""
    for delimiter in _DELIMITERS[:-1]:
        names = [name.strip().strip('"').strip().lower() for name in head[0].split(delimiter)]
        if not any(map(_looks_like_image, names)) and any(name in IMAGES for name in names):
            return delimiter, names
    for delimiter in _DELIMITERS:
        if any(_looks_like_image(cell) for line in head for cell in line.split(delimiter)):
            return delimiter, None
    names_known = ", ".join(IMAGES)
    found = shown(head[0][:100])
    raise SourceError(f"{shown(file)}: first line {found!r}; expected a header with a column of {names_known}")


def _looks_like_image(cell: str) -> bool:
    text = cell.strip().strip('"')
    return is_address(text) or is_image_name(text)


def _by_header(header: Sequence[str], delimiter: str, cells: list[str]) -> dict[str, object]:
    """Cells by the names of their columns; what is too many belongs to the last one, a caption with commas."""
    if len(cells) > len(header):
        cells = [*cells[: len(header) - 1], delimiter.join(cells[len(header) - 1 :])]
    values: dict[str, object] = dict(zip(header, cells, strict=False))
    if "comment_number" in values and "comment" not in values:  # one row of Flickr30k's results.csv lacks its bar
        odd = _ODD_COMMENT.fullmatch(str(values["comment_number"]))
        if odd:
            values["comment"] = odd[2]
    return values


def _by_looks(delimiter: str, cells: list[str]) -> dict[str, object]:
    """Image and caption of a row without a header, distinguished by their form.

    Between tabs and bars the caption is the first of the other cells; commas may be its own, so it is all of them.
    """
    place = next((place for place, cell in enumerate(cells) if _looks_like_image(cell)), None)
    others = [cell for number, cell in enumerate(cells) if number != place]
    caption = others[0] if others and delimiter in "\t|" else delimiter.join(others)
    values: dict[str, object] = {"caption": _unquoted(caption)}
    return values if place is None else {**values, "image": _unquoted(cells[place])}


def _unquoted(cell: str) -> str:
    text = cell.strip()
    whole = len(text) > 1 and text.startswith('"') and text.endswith('"')
    return text[1:-1].replace('""', '"') if whole else text
