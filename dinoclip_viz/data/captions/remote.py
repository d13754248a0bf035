"""Folders, lists and Parquet files on other file systems, by address; tar shards there are in `tars`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from dinoclip_viz.data.base import Sample, Source, SourceError
from dinoclip_viz.data.captions import tars
from dinoclip_viz.data.captions.files import SUFFIXES, source_of_file
from dinoclip_viz.data.captions.parquet import SUFFIX, ParquetSource
from dinoclip_viz.data.filesystems import RemoteFile, file_system, files_in, full_address, open_file
from dinoclip_viz.data.locations import is_image_name, shown
from dinoclip_viz.data.texts import UTF8, is_plain_utf8

_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class RemoteFolder:
    """The images below an address; lines of a text file of the same stem are the captions of an image.

    Attributes:
        name: the address.
        images: their addresses, sorted.
        texts: addresses of the text files.
        encoding: of the text files.
    """

    name: str
    images: tuple[str, ...]
    texts: frozenset[str] = frozenset()
    encoding: str = UTF8

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.images)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples, sorted by address."""
        root = full_address(self.name) + "/"
        for address in self.images[start:]:
            key = shown(os.path.splitext(address.removeprefix(root))[0])
            yield Sample(key, RemoteFile(address), self._captions(address), shown(address))

    def _captions(self, address: str) -> tuple[str, ...]:
        text = f"{os.path.splitext(address)[0]}.txt"
        if text not in self.texts:
            return ()
        with open_file(text) as file:
            lines = file.read(_CHUNK).decode(self.encoding, "replace").splitlines()
        return tuple(line.strip() for line in lines if line.strip())


@dataclass(frozen=True)
class RemoteList:
    """A list of images and captions by address; relative names start from its folder.

    Attributes:
        name: the address.
        split, encoding: as in `open_source`.
    """

    name: str
    split: str | None = None
    encoding: str = UTF8

    @property
    def count(self) -> int | None:
        """None: the list would have to be read."""
        return None

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples in the list's order; the list is copied to this machine first.

        Raises:
            SourceError: the list cannot be read.
        """
        root, _, file = self.name.rpartition("/")
        with tempfile.TemporaryDirectory(prefix="dinoclip-list-") as folder:
            copy = Path(folder) / file
            system, path = file_system(self.name)
            try:
                system.get_file(path, str(copy))
            except Exception as error:  # every file system has its own errors
                raise SourceError(f"{shown(self.name)}: cannot be read ({error}); expected a list of images") from error
            for sample in islice(source_of_file(copy, None, self.split, self.encoding).samples(), start, None):
                yield self._located(sample, Path(folder), root)

    def _located(self, sample: Sample, folder: Path, root: str) -> Sample:
        if not isinstance(sample.image, Path):
            return sample
        address = f"{root}/{sample.image.relative_to(folder).as_posix()}"
        return replace(sample, image=RemoteFile(address), path=shown(address))


def source_of_address(address: str, split: str | None = None, encoding: str = UTF8) -> Source:
    """The source of an address: a list, Parquet files, tar shards, or a folder of one of these or of images.

    Args:
        address: of a file or folder, or a pattern with `*`; `{0000..0012}` is expanded for tar shards.
        split: as in `open_source`, for a list.
        encoding: as in `open_source`.

    Raises:
        SourceError: nothing is there, or nothing that can be read.
    """
    ending = os.path.splitext(address)[1].lower()
    if ending in SUFFIXES:
        return RemoteList(address, split, encoding)
    if split is not None:
        raise SourceError(f"{shown(address)}: has no splits; omit split {shown(split)}")
    if address.lower().endswith(tars.SUFFIXES):
        return tars.tars_of_addresses(address, encoding)
    found = files_in(address)
    names = tuple(one for one in found if one.lower().endswith(SUFFIX))
    if names:
        if not is_plain_utf8(encoding):
            raise SourceError(f"{shown(address)}: has no text files; omit encoding {encoding}")
        return ParquetSource(names, address)
    shards = tuple(one for one in found if one.lower().endswith(tars.SUFFIXES))
    images = tuple(one for one in found if is_image_name(one))
    if shards and not images:
        return tars.TarSource(shards, shown(address), encoding)
    if not images:
        raise SourceError(f"{shown(address)}: none of its {len(found)} files is an image, a list, a tar or a .parquet")
    return RemoteFolder(address, images, frozenset(one for one in found if one.endswith(".txt")), encoding)
