"""The settings in a store's manifest, and the names and checksums of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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
        dtype: data type that the encoder computed in, "" if unknown.
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
        text_dtype: data type that the captions were computed in, "" without captions or if unknown.
        device: device that the encoder computed on, "" if unknown; information only, as features do not depend on it.
        token_dimension: D of the token vectors of the captions, 0 if they were not stored.
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
    text_dtype: str = ""
    device: str = ""
    token_dimension: int = 0

    @property
    def image_levels(self) -> tuple[float, float] | Literal["auto"] | None:
        """`levels` as `load_image` accepts them."""
        if self.levels in ("", "auto"):
            return "auto" if self.levels else None
        low, high = self.levels.split(",")
        return float(low), float(high)

    def difference(self, other: StoreSettings) -> str:
        """The settings that differ, "" if none does; versions, devices and an unknown `text_dtype` are not compared."""
        mine, theirs = asdict(self), asdict(other)
        skipped = {"versions", "device"} | (set() if self.text_dtype and other.text_dtype else {"text_dtype"})
        return ", ".join(
            f"{name} {mine[name]!r} and {theirs[name]!r}"
            for name in mine
            if name not in skipped and mine[name] != theirs[name]
        )

    def dtype_difference(self, other: StoreSettings) -> str:
        """The dtypes of this store and of the other, and what to do; "" if they are equal, or other settings differ."""
        computed = replace(other, dtype=self.dtype, text_dtype=self.text_dtype)
        pairs = [(self.dtype, other.dtype), (self.text_dtype, other.text_dtype)]
        differing = [(mine, theirs) for mine, theirs in pairs if mine and theirs and mine != theirs]
        if not differing or self.difference(computed):
            return ""
        mine, theirs = differing[0]
        way = f"--dtype {mine}"
        if self.text_dtype not in ("", self.dtype):
            way = f"images in {self.dtype} and captions in {self.text_dtype}, as --dtype auto chose on another device"
        return f"computed in {mine}, not in {theirs}; resume with {way}"


def check_one_dtype(encoder: str, computed: Mapping[str, str]) -> None:
    """Check that features of one encoder that are compared were computed in one dtype.

    Args:
        encoder: its name.
        computed: where the features are, such as a store's folder -> their dtype, "" if unknown.

    Raises:
        StoreError: the dtypes differ; the message names them.

    Examples:
        >>> check_one_dtype("playground-dino", {"stores/a": "float32", "stores/b": "float32"})
    """
    known = {where: dtype for where, dtype in computed.items() if dtype}
    if len(set(known.values())) > 1:
        listed = " and ".join(f"{where} in {dtype}" for where, dtype in known.items())
        raise StoreError(
            f"features of {encoder} were computed in different dtypes: {listed}; expected one: choose it with --dtype, "
            "or embed again"
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
