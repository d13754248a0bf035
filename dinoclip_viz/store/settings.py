"""The description of a store: the settings in its manifest, its files' names and checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

MANIFEST = "manifest.json"
FORMAT = 1


class StoreError(ValueError):
    """A store is missing, cut short, damaged or not what was asked for; the one-line message states what to do."""


@dataclass(frozen=True)
class StoreSettings:
    """What made the features of a store; two stores with equal settings hold equal features.

    Attributes:
        encoder: its name as it was given.
        space: the space of `pooled`.
        patch_space: the space of `mean` and `patches`.
        dimension: D of `pooled`; patch_dimension: D of `mean` and `patches`.
        revision: the hub's commit, where the encoder came from the hub.
        processor: what resizes and normalises the images: "pil" or "torchvision".
        dtype: how the encoder computed.
        size: side of the square crop in pixels.
        patches: "" without them, "full", or "R x C", the smaller grid that they were averaged to.
        source: the name of the data source.
        texts: the model whose text tower encoded the captions, "" without; text_space: their space.
        text_dimension: E of the captions, 0 without.
        shard_size: samples of the source a shard.
        versions: library -> version.
        levels: the values of images that became black and white, "" for the whole range.
    """

    encoder: str
    space: str
    patch_space: str
    dimension: int
    patch_dimension: int
    revision: str | None
    processor: str
    dtype: str
    size: int
    patches: str
    source: str
    texts: str
    text_space: str
    text_dimension: int
    shard_size: int
    versions: Mapping[str, str]
    levels: str = ""

    def difference(self, other: StoreSettings) -> str:
        """What differs, "" where nothing does; versions of libraries are not compared."""
        mine, theirs = asdict(self), asdict(other)
        return ", ".join(
            f"{name} {mine[name]!r} and {theirs[name]!r}"
            for name in mine
            if name != "versions" and mine[name] != theirs[name]
        )


def slug(name: str) -> str:
    """An encoder's name as a folder's name.

    Examples:
        >>> slug("facebook/dinov2-small"), slug("./my models/clip/")
        ('facebook--dinov2-small', 'my-models--clip')
    """
    words = "".join(letter if letter.isalnum() or letter in "._-/" else "-" for letter in name)
    return "--".join(part for part in words.split("/") if part.strip("."))[-100:]


def sha256(file: Path) -> str:
    """The file's checksum in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_settings(folder: Path) -> tuple[StoreSettings, dict[str, object]]:
    """The settings in a store's manifest, and the manifest whole.

    Raises:
        StoreError: the manifest cannot be read.
    """
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        return StoreSettings(**manifest["settings"]), manifest
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file} is no manifest of a store ({error}); embed the source again") from error


def shard_files(folder: Path, kind: str, suffix: str = "npy") -> list[Path]:
    """`kind`'s shards in order of their numbers: img_emb/img_emb_0.npy, img_emb/img_emb_1.npy, ...

    Raises:
        StoreError: a name has no number.
    """
    found = list((folder / kind).glob(f"{kind}_*.{suffix}"))
    try:
        return sorted(found, key=lambda file: int(file.stem.rsplit("_", 1)[1]))
    except ValueError as error:
        raise StoreError(f"{folder / kind} has a file without a number; expected {kind}_0.{suffix}") from error
