"""Tar shards in WebDataset's layout, read as streams: members with the same stem are an image and its captions."""

from __future__ import annotations

import glob
import itertools
import json
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from lzma import LZMAError
from pathlib import Path
from typing import Self

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.captions.columns import captions_in, label_in, named
from dinoclip_viz.data.filesystems import files_in, is_remote, open_file
from dinoclip_viz.data.locations import SUFFIXES as IMAGE_SUFFIXES
from dinoclip_viz.data.locations import shown
from dinoclip_viz.data.texts import NOT_UTF8, UTF8, is_plain_utf8
from dinoclip_viz.images import MAXIMUM_BYTES

SUFFIXES = (".tar", ".tar.gz", ".tgz")
"""The extensions of shards."""

_IMAGES = tuple(ending.removeprefix(".") for ending in IMAGE_SUFFIXES)
_LONGEST_TEXT = 1_000_000  # bytes of captions, and of headers with long names
_LONGEST = {**dict.fromkeys(_IMAGES, MAXIMUM_BYTES), **dict.fromkeys(("txt", "json", "cls"), _LONGEST_TEXT)}
_MOST_SHARDS = 100_000
_BROKEN = (tarfile.TarError, OSError, EOFError, zlib.error, LZMAError)
_BRACE = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True)
class TarSource:
    """The samples of one or more shards; one sample at a time is in memory.

    The key of a member is its path up to the first dot of its name. A shard that is missing, broken or cut off yields
    its intact samples, then one unreadable sample with the shard's name; the following shards are still read.

    Attributes:
        shards: paths of .tar, .tar.gz or .tgz files, in reading order.
        name: the path, folder or pattern that the shards were opened by.
        encoding: of the members that hold text.
    """

    shards: tuple[str, ...]
    name: str
    encoding: str = UTF8

    @property
    def count(self) -> int | None:
        """None: the shards would have to be read to count the samples."""
        return None

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples, shard by shard; those before `start` are read and skipped.

        Raises:
            SourceError: no shard has a member with a known extension.
        """
        return itertools.islice(self._samples(), start, None)

    def _samples(self) -> Iterator[Sample]:
        others: Counter[str] = Counter()
        none = True
        for shard in self.shards:
            for sample in _of_shard(shard, self.encoding, others):
                none = False
                yield sample
        if none and others:
            raise SourceError(f"{self.name}: {_extensions(others)}")


@dataclass
class _Group:
    """The members of one key: their bytes by extension, and their fault or ""."""

    key: str
    parts: dict[str, bytes] = field(default_factory=dict)
    image: str = ""
    fault: str = ""
    others: list[str] = field(default_factory=list)


class _Shard(tarfile.TarFile):
    """A tar file, with its list of the headers read so far."""

    members: list[tarfile.TarInfo]


class StrictHeader(tarfile.TarInfo):
    """The header of a member; raises an error for a shard cut off between members, which `tarfile` ignores."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The header in a block of a tar."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):  # the end marker
                raise
            raise tarfile.ReadError("cut off without an end marker" if not buf else str(error)) from error
        inner = not (header.isreg() or header.isdir() or header.issym() or header.islnk() or header.isdev())
        if inner and header.size > _LONGEST_TEXT:
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


def tars_of(text: str, encoding: str = UTF8) -> TarSource:
    """The source of a path, a folder, a pattern (`*.tar`) or a range (`{0000..0012}.tar`) of shards.

    Args:
        text: the path, folder, pattern or range.
        encoding: of the members that hold text.

    Raises:
        SourceError: no shard exists.
    """
    path = Path(text)
    if path.is_dir():
        shards = tars_in(path)
    elif path.is_file():
        shards = [text]
    else:
        expanded = list(itertools.islice(_expanded(text), _MOST_SHARDS + 1))
        if len(expanded) > _MOST_SHARDS:
            raise SourceError(f"{shown(text)}: more than {_MOST_SHARDS} shards; expected fewer")
        shards = [shard for one in expanded for shard in _globbed(one)]
    if not any(Path(shard).is_file() for shard in shards):
        raise SourceError(f"{shown(text)}: none of its {len(shards)} shards exists; expected a .tar, .tar.gz or .tgz")
    return TarSource(tuple(shards), shown(text), encoding)


def tars_of_addresses(address: str, encoding: str = UTF8) -> TarSource:
    """The source of an address, a pattern (`*.tar`) or a range (`{0000..0012}.tar`) of shards on a file system.

    Raises:
        SourceError: no shard matches the pattern.
    """
    expanded = list(itertools.islice(_expanded(address), _MOST_SHARDS + 1))
    if len(expanded) > _MOST_SHARDS:
        raise SourceError(f"{shown(address)}: more than {_MOST_SHARDS} shards; expected fewer")
    shards = [shard for one in expanded for shard in (files_in(one) if "*" in one else [one])]
    return TarSource(tuple(shards), shown(address), encoding)


def tars_in(folder: Path) -> list[str]:
    """The shards in a folder, sorted by name, without hidden ones."""
    found = (path for path in folder.iterdir() if path.name.lower().endswith(SUFFIXES))
    return sorted(str(path) for path in found if not path.name.startswith(".") and path.is_file())


def _expanded(text: str) -> Iterator[str]:
    """The names that {a..b} and {a,b} expand to; numbers are padded to the width of the first one."""
    brace = _BRACE.search(text)
    if brace is None:
        yield text
        return
    bounds = _RANGE.fullmatch(brace[1])
    parts: Sequence[str] | Iterator[str] = brace[1].split(",")
    if bounds:
        parts = (f"{number:0{len(bounds[1])}d}" for number in range(int(bounds[1]), int(bounds[2]) + 1))
    for part in parts:
        yield from _expanded(text[: brace.start()] + part + text[brace.end() :])


def _globbed(text: str) -> list[str]:
    return sorted(glob.glob(text)) if glob.has_magic(text) and not Path(text).is_file() else [text]


# One shard


def _extensions(others: Mapping[str, int]) -> str:
    """The message about the extensions found, the most frequent first, and those expected."""
    frequent = sorted(others, key=lambda ending: (-others[ending], ending))[:8]
    found = ", ".join(f".{shown(ending)} ({others[ending]})" if ending else "none" for ending in frequent)
    return f"found members with the extensions {found or 'none'}; expected images in {', '.join(IMAGE_SUFFIXES)}"


def _of_shard(shard: str, encoding: str, others: Counter[str]) -> Iterator[Sample]:
    """The samples of a shard, and an unreadable one if it is broken; counts unknown extensions in `others`."""
    group: _Group | None = None
    try:
        opened = open_file(shard) if is_remote(shard) else None
        with opened or nullcontext(), _Shard.open(shard, mode="r|*", fileobj=opened, tarinfo=StrictHeader) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # otherwise memory would grow with the shard
                key, ending = _split_name(member.name)
                if not member.isreg() or ending not in _LONGEST:
                    others.update([ending] if member.isreg() else [])
                    if group and key == group.key and member.isreg():
                        group.others.append(ending)
                    continue
                if group and key != group.key:
                    yield _sample(group, shard, encoding)
                    group = None
                group = group or _Group(key)
                _read(tar, member, ending, group)
    except _BROKEN as error:
        if group and group.image:
            yield _sample(group, shard, encoding)
        why = shown(str(error)) or type(error).__name__
        reason = f"{shown(shard)}: a tar that is missing, broken or cut off ({why}); expected an intact one"
        yield Sample(shown(shard), Unreadable(reason), path=shown(shard))
        return
    if group:
        yield _sample(group, shard, encoding)


def _split_name(name: str) -> tuple[str, str]:
    """A member's path up to the first dot of its name, and its extension in lower case, "" for hidden files."""
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    hidden = not stem or folder.startswith("__MACOSX")
    return folder + slash + stem, "" if hidden else ending.lower()


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo, ending: str, group: _Group) -> None:
    """Adds a member to its group: an image, a caption or a label."""
    longest = _LONGEST[ending]
    if member.size > longest:
        group.fault = f"{member.name}: {member.size / 1e6:.1f} MB; expected at most {longest / 1e6:g} MB"
        return
    if ending in group.parts or (group.image and ending in _IMAGES):
        group.fault = f"{member.name}: a second member of this key and type"
        return
    stream = tar.extractfile(member)
    group.parts[ending] = stream.read() if stream else b""
    if ending in _IMAGES:
        group.image = ending


def _sample(group: _Group, shard: str, encoding: str) -> Sample:
    path = f"{shown(shard)}/{shown(group.key)}"
    captions, label, fault = _texts(group, encoding)
    fault = group.fault or fault or ("" if group.image else _no_image(group))
    if fault:
        return Sample(shown(group.key), Unreadable(f"{path}: {shown(fault)}"), captions, path, label)
    return Sample(shown(group.key), group.parts[group.image], captions, f"{path}.{group.image}", label)


def _no_image(group: _Group) -> str:
    if not group.others:
        return "captions without an image"
    return f"captions without an image: {_extensions(Counter(group.others))}"


def _texts(group: _Group, encoding: str) -> tuple[tuple[str, ...], str | None, str]:
    """The captions, the label, and the fault of the members that hold them or ""."""
    captions: tuple[str, ...] = ()
    label: str | None = None
    plain = is_plain_utf8(encoding)
    texts = "utf-8-sig" if plain else encoding
    try:
        if text := group.parts.get("txt", b"").decode(texts).strip():
            captions = (text,)
        if "json" in group.parts:
            parsed = json.loads(group.parts["json"].decode(texts))
            row = named(parsed) if isinstance(parsed, dict) else {}
            captions = tuple(dict.fromkeys((*captions, *captions_in(row))))
            label = label_in(row)
        label = shown(group.parts.get("cls", b"").decode(texts).strip()) or label
    except UnicodeError:
        return captions, label, f"captions: {NOT_UTF8}" if plain else f"captions that are not {encoding} text"
    except (ValueError, RecursionError) as error:
        return captions, label, f"captions that are not JSON ({error})"
    return captions, label, ""
