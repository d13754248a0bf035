"""The settings in a store's manifest, and the names and checksums of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

MANIFEST = "manifest.json"
FORMAT = 1


class StoreError(ValueError):
    """A store is missing, unfinished, damaged or not the expected one; the message states in one line what to do."""


@dataclass(frozen=True)
class StoreSettings:
    """The settings that a store's features depend on; stores with equal settings have equal features.

    Attributes:
        encoder: its name, as given by the user.
        space: the space of `pooled`.
        patch_space: the space of `mean` and `patches`.
        dimension: D of `pooled`.
        patch_dimension: D' of `mean` and `patches`.
        revision: the commit of an encoder from the hub, None for others.
        processor: backend of resizing and normalisation: "pil" or "torchvision".
        dtype: the encoder's data type.
        size: side of the square crop in pixels.
        patches: "" without patches, "full", or "R x C", the smaller grid of their averages.
        source: the name of the data source.
        texts: the model whose text tower encoded the captions, "" without captions.
        text_space: the space of the captions, likewise.
        text_dimension: E of the captions, 0 without captions.
        shard_size: number of samples per shard.
        versions: library -> version.
        levels: the values shown as black and white, "" for the whole range.
        decode: "exact", or "scaled" for JPEGs decoded at a reduced scale.
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
    decode: str = "exact"

    @property
    def image_levels(self) -> tuple[float, float] | Literal["auto"] | None:
        """`levels` as `load_image` accepts them."""
        if self.levels in ("", "auto"):
            return "auto" if self.levels else None
        low, high = self.levels.split(",")
        return float(low), float(high)

    def difference(self, other: StoreSettings) -> str:
        """The settings that differ, "" if none does; versions of libraries are not compared."""
        mine, theirs = asdict(self), asdict(other)
        return ", ".join(
            f"{name} {mine[name]!r} and {theirs[name]!r}"
            for name in mine
            if name != "versions" and mine[name] != theirs[name]
        )


def slug(name: str) -> str:
    """The folder name for an encoder.

    Examples:
        >>> slug("facebook/dinov2-small"), slug("./my models/clip/")
        ('facebook--dinov2-small', 'my-models--clip')
    """
    words = "".join(letter if letter.isalnum() or letter in "._-/" else "-" for letter in name)
    return "--".join(part for part in words.split("/") if part.strip("."))[-100:]


def sha256(file: Path) -> str:
    """The SHA-256 checksum of a file, in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_settings(folder: Path) -> tuple[StoreSettings, dict[str, object]]:
    """The settings in a store's manifest, and the whole manifest.

    Raises:
        StoreError: the manifest cannot be read.
    """
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        return StoreSettings(**manifest["settings"]), manifest
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file} is not the manifest of a store ({error}); embed the source again") from error


def shard_files(folder: Path, kind: str, suffix: str = "npy") -> list[Path]:
    """The shards of a kind in numerical order: img_emb/img_emb_0.npy, img_emb/img_emb_1.npy, ...

    Raises:
        StoreError: a file name has no number.
    """
    found = list((folder / kind).glob(f"{kind}_*.{suffix}"))
    try:
        return sorted(found, key=lambda file: int(file.stem.rsplit("_", 1)[1]))
    except ValueError as error:
        raise StoreError(f"{folder / kind} has a file without a number; expected {kind}_0.{suffix}") from error
