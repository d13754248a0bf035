"""The source that a name or path refers to."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from dinoclip_viz.data.base import Source, SourceError
from dinoclip_viz.data.captions import tars
from dinoclip_viz.data.captions.files import SUFFIXES, source_of_file
from dinoclip_viz.data.captions.folders import FolderSource, caption_file
from dinoclip_viz.data.captions.hub import HubSource, hub_of, is_stored_data_set
from dinoclip_viz.data.captions.parquet import SUFFIX as PARQUET
from dinoclip_viz.data.captions.parquet import ParquetSource
from dinoclip_viz.data.captions.remote import source_of_address
from dinoclip_viz.data.captions.selection import SelectionSource, is_selection
from dinoclip_viz.data.filesystems import is_remote
from dinoclip_viz.data.locations import is_image_name, shown
from dinoclip_viz.data.playground import playground_of
from dinoclip_viz.data.texts import UTF8, is_plain_utf8

ACCEPTED = (
    "playground[:SEED:COUNT[:SIZE[:OBJECTS]]], hub:NAME[:CONFIG], a folder, "
    "a list (.json, .jsonl, .csv, .tsv, .txt, .token), a .parquet, tar shards (train-{0000..0012}.tar, *.tar), or the "
    "address of one of these (s3://, gs://, hf://, ...)"
)


def open_source(
    text: str | os.PathLike[str], split: str | None = None, images: Path | None = None, encoding: str = UTF8
) -> Source:
    """The source that a name or path refers to; its first sample is read, so that errors are raised at once.

    Args:
        text: "playground" or "playground:SEED:COUNT[:SIZE[:OBJECTS]]"; "hub:NAME" or "hub:NAME:CONFIG", which is not
            read here; a folder of images, of tar shards, of Parquet files, or written by `datasets`; a list of
            captions; a Parquet file; tar shards; or the address of one of these on a file system of fsspec, such as s3://.
        split: one or more splits of the source: "train", "test", "train+restval"; None for all.
        images: folder of a list's images; None for a usual folder next to the list.
        encoding: text encoding of a list of captions, of text files next to images, of the captions in tar shards.

    Raises:
        SourceError: the source does not exist, cannot be read, or does not have one of the options.

    Examples:
        >>> open_source("playground:2000:3").count
        3
    """
    name = os.fspath(text)
    source = _named(name, split, images, encoding)
    if not isinstance(source, HubSource):
        next(source.samples(), None)
    return source


def _named(name: str, split: str | None, images: Path | None, encoding: str) -> Source:
    is_plain_utf8(encoding)
    if images is not None and not images.is_dir():
        raise SourceError(f"{shown(images)}: no such folder; expected the folder of the images")
    if (source := _by_prefix(name, split, images, encoding)) is not None:
        return source
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, with a null character, of an unknown user
        raise SourceError(
            f"{shown(name)[:200]!r}: no path ({getattr(error, 'strerror', None) or error}); expected {ACCEPTED}"
        ) from error
    if is_folder and name:
        return _of_folder(path, split, images, encoding)
    if name.lower().endswith(tars.SUFFIXES) and (is_file or "{" in name or glob.has_magic(name)):
        _refuse(name, split, images)
        return tars.tars_of(str(path), encoding)
    if is_file and path.suffix.lower() == PARQUET:
        _refuse(name, split, images, encoding)
        return ParquetSource((str(path),), shown(path))
    if is_file and is_selection(path, encoding):
        _refuse(name, split, images)
        return SelectionSource(path, open_source, encoding)
    if is_file and path.suffix.lower() in SUFFIXES:
        return source_of_file(path, images, split, encoding)
    if is_file and is_image_name(path.name):
        raise SourceError(f"{shown(path)}: a single image; expected {ACCEPTED}: name the folder that it is in")
    found = "a file of no known kind" if is_file else "no such file or folder"
    raise SourceError(f"{shown(name)[:200]!r}: {found}; expected {ACCEPTED}")


def _by_prefix(name: str, split: str | None, images: Path | None, encoding: str) -> Source | None:
    """The source of a name that is no path; None for a path."""
    if name == "playground" or name.startswith("playground:"):
        _refuse(name, split, images, encoding)
        return playground_of(name)
    if name.startswith("hub:"):
        _refuse(name, None, images, encoding)
        return hub_of(name, split)
    if is_remote(name):
        _refuse(name, None, images)
        return source_of_address(name, split, encoding)
    return None


def _of_folder(folder: Path, split: str | None, images: Path | None, encoding: str) -> Source:
    """The source of a folder: captions, shards, a stored data set, or images."""
    captions = caption_file(folder)
    if captions is not None:
        if split is None and images is None:
            return FolderSource(folder, encoding)
        return source_of_file(captions, images, split, encoding)
    _refuse(shown(folder), None, images)
    try:
        inside = sorted(os.listdir(folder))
    except OSError as error:
        raise SourceError(f"{shown(folder)}: cannot be read ({error.strerror}); expected {ACCEPTED}") from error
    if tars.tars_in(folder) and not any(map(is_image_name, inside)):
        _refuse(shown(folder), split, None)
        return tars.tars_of(str(folder), encoding)
    if is_stored_data_set(folder):
        _refuse(shown(folder), None, None, encoding)
        return HubSource(str(folder), split=split)
    if split is None:
        return FolderSource(folder, encoding)
    part = folder / split
    if os.path.basename(split) != split or split.startswith(".") or not part.is_dir():
        folders = ", ".join([entry for entry in inside if (folder / entry).is_dir()][:10])
        raise SourceError(f"{shown(folder)}: no split {shown(split)}; folders in it: {shown(folders) or 'none'}")
    return _of_folder(part, None, None, encoding)


def _refuse(name: str, split: str | None, images: Path | None, encoding: str = UTF8) -> None:
    """Raises a SourceError for an option that the source does not have."""
    if split is not None:
        raise SourceError(f"{shown(name)}: has no splits; omit split {shown(split)}")
    if images is not None:
        raise SourceError(f"{shown(name)}: has no folder of images; images is for lists of captions")
    if not is_plain_utf8(encoding):
        raise SourceError(f"{shown(name)}: has no text files; omit encoding {encoding}")
