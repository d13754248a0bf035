"""The rows of a JSON, JSONL, CSV or TSV file, one at a time; an invalid row does not stop the iteration."""

from __future__ import annotations

import csv
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
from dinoclip_viz.data.texts import NOT_UTF8, UTF8, is_utf8, lines_of, read_json

_HEAD = 20  # lines read to detect the layout of a file
_DELIMITERS = ("\t", "|", ",", ";", " ")
_ODD_COMMENT = re.compile(r"\s*(\d+)\s+(.*)", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One row of a list.

    Attributes:
        number: its line, or its position in a .json file, from 1.
        values: column -> cell, with names from `named`.
        fault: why the row is invalid, "" if it is valid.
    """

    number: int
    values: Mapping[str, object]
    fault: str = ""


def rows_of(file: Path, encoding: str = UTF8) -> Iterator[Row]:
    """The rows of a list of images; the layout is detected from the extension and the first lines.

    A .json file is read into memory: a list, the `scenes` of `playground draw`, or {image: captions}. All others are
    read line by line. In a file without a header, the column that looks like images is the image, and the next one
    the caption.

    Args:
        file: .json, .jsonl, .ndjson; .csv, .tsv, .txt with tabs, bars, commas or semicolons, with or without a header.
        encoding: of the file.

    Raises:
        SourceError: the file cannot be read, or is not a list of images.
    """
    suffix = file.suffix.lower()
    if suffix == ".json":
        return _json(file, encoding)
    return _json_lines(file, encoding) if suffix in (".jsonl", ".ndjson") else _table(file, encoding)


# JSON


def _json(file: Path, encoding: str) -> Iterator[Row]:
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
    # Published lists without a header never quote, and an unpaired quotation mark would absorb the lines after it.
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
    """The delimiter, and the names of the columns if the first line is a header."""
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
    """Column -> cell; surplus cells belong to the last column, a caption with commas."""
    if len(cells) > len(header):
        cells = [*cells[: len(header) - 1], delimiter.join(cells[len(header) - 1 :])]
    values: dict[str, object] = dict(zip(header, cells, strict=False))
    if "comment_number" in values and "comment" not in values:  # one row of Flickr30k's results.csv lacks a bar
        odd = _ODD_COMMENT.fullmatch(str(values["comment_number"]))
        if odd:
            values["comment"] = odd[2]
    return values


def _by_looks(delimiter: str, cells: list[str]) -> dict[str, object]:
    """Image and caption of a row without a header, detected from the cells.

    With tabs or bars, the caption is the first other cell. Captions may contain commas, so with commas it is the other
    cells joined.
    """
    column = next((number for number, cell in enumerate(cells) if _looks_like_image(cell)), None)
    others = [cell for number, cell in enumerate(cells) if number != column]
    caption = others[0] if others and delimiter in "\t|" else delimiter.join(others)
    values: dict[str, object] = {"caption": _unquoted(caption)}
    return values if column is None else {**values, "image": _unquoted(cells[column])}


def _unquoted(cell: str) -> str:
    text = cell.strip()
    whole = len(text) > 1 and text.startswith('"') and text.endswith('"')
    return text[1:-1].replace('""', '"') if whole else text
