"""Opening a store and checking it against what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.disk import holder_of
from dinoclip_viz.store.settings import MANIFEST, StoreError, StoreSettings, read_settings, sha256, shard_files
from dinoclip_viz.store.sharded import Ragged, Sharded

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """The features of one encoder over one data source, read from disk on access.

    Attributes:
        path: its folder.
        settings: what made the features.
        pooled: (N, D) float16.
        mean: (N, D') float16; None in a folder of clip-retrieval.
        patches: (N, H, W, D') float16; None if they were not stored.
        dense: (N, H, W, D) float16, a CLIP's patches by MaskCLIP's path, in the space of its texts; None if not stored.
        texts: (T, E) float16 captions; None if they were not encoded.
        text_to_image: (T,) index of the row that each caption describes; None without captions.
        checksums: file -> SHA-256, from the manifest.
        tokens: float16 token vectors of the T captions; None if they were not stored.
    """

    path: Path
    settings: StoreSettings
    pooled: Sharded
    mean: Sharded | None
    patches: Sharded | None
    dense: Sharded | None
    texts: Sharded | None
    text_to_image: NDArray[np.int64] | None
    checksums: Mapping[str, str]
    tokens: Ragged | None = None

    @classmethod
    def open(cls, path: str | Path, encoder: str | None = None, size: int | None = None) -> FeatureStore:
        """The store in a folder.

        Args:
            path: a store, a folder of stores, or a folder that clip-retrieval wrote.
            encoder: the expected encoder; selects one of several stores.
            size: the expected image size in pixels.

        Raises:
            StoreError: the store does not exist, is unfinished or damaged, or has another encoder or size.
        """
        folder = Path(path).expanduser()
        if not (folder / MANIFEST).is_file() and (folder / "img_emb").is_dir() and not (folder / "shards").is_dir():
            return _open_foreign(folder, encoder)
        stores = [store for store in store_folders(folder) if encoder is None or _is_of(store, encoder)]
        if not stores:
            raise StoreError(_missing(folder, encoder))
        if len(stores) > 1:
            names = ", ".join(store.name for store in stores)
            raise StoreError(f"{folder} holds {len(stores)} stores: {names}; give the path of one, such as {stores[0]}")
        store = _open(stores[0])
        if size is not None and size != store.settings.size:
            raise StoreError(
                f"{store.path} holds images encoded at {store.settings.size} px, but {size} px are expected; "
                "embed the source again at that size"
            )
        return store

    def __len__(self) -> int:
        return len(self.pooled)

    @property
    def space(self) -> str:
        """The space of `pooled`."""
        return self.settings.space

    @property
    def patch_space(self) -> str:
        """The space of `mean` and `patches`."""
        return self.settings.patch_space

    @property
    def text_space(self) -> str:
        """The space of `texts`, "" without them."""
        return self.settings.text_space

    @cached_property
    def metadata(self) -> pa.Table:
        """One row per image: key, image_path, caption (the first), captions, label, width, height."""
        return _tables(self.path, "metadata")

    @cached_property
    def failed(self) -> pa.Table:
        """One row per image that could not be read: key, image_path, error."""
        return _tables(self.path, "failed")

    def captions(self) -> list[str]:
        """The T captions in the order of `texts`."""
        table = self.metadata
        if "captions" in table.column_names:
            return [text for row in table["captions"].to_pylist() for text in row]
        return [str(text) for text in table["caption"].to_pylist()]

    def check(self) -> None:
        """Checks every file against its checksum in the manifest.

        Raises:
            StoreError: a file is missing or differs.
        """
        for name, digest in self.checksums.items():
            file = self.path / name
            if not file.is_file() or sha256(file) != digest:
                state = "differs from its checksum" if file.is_file() else "is missing"
                raise StoreError(f"{file} {state}; the store is damaged: delete it and embed the source again")

    def check_finite(self) -> None:
        """Checks that every vector is finite.

        Raises:
            StoreError: a vector is NaN or infinite; the message has the count and the first row.
        """
        for name, array in (("pooled", self.pooled), ("mean", self.mean), ("texts", self.texts)):
            bad, start = [], 0
            for part in array.chunks(16384) if array is not None else ():
                broken = ~np.isfinite(part.astype(np.float32)).all(axis=1)
                bad += (start + np.flatnonzero(broken)).tolist()
                start += len(part)
            if bad:
                raise StoreError(
                    f"{len(bad)} of {start} rows of {name} in {self.path} are NaN or infinite, row {bad[0]} first; "
                    "embed the source again, on another device or in another dtype"
                )


def store_folders(path: str | Path) -> list[Path]:
    """The folders of the stores at a path: the path itself, or its direct subfolders, sorted by name."""
    folder = Path(path).expanduser()
    if _is_store(folder):
        return [folder]
    return sorted(store for store in folder.iterdir() if _is_store(store)) if folder.is_dir() else []


def _is_store(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() and (folder / "img_emb").is_dir()


def _is_of(folder: Path, encoder: str) -> bool:
    settings, _ = read_settings(folder)
    return encoder in (settings.encoder, settings.space, folder.name)


def _missing(folder: Path, encoder: str | None) -> str:
    held = [read_settings(store)[0].encoder for store in store_folders(folder)]
    if held:
        return f"{folder} holds features of {', '.join(held)}; expected {encoder}: embed the source with it"
    if not folder.is_dir():
        return f"there is no folder {folder}; expected a store: create it with `dinoclip embed SOURCE --out {folder}`"
    return f"{folder} holds no store (no {MANIFEST}); create one with `dinoclip embed SOURCE --out STORE`"


def _open(folder: Path) -> FeatureStore:
    settings, manifest = read_settings(folder)
    shards = manifest.get("shards")
    if not manifest.get("complete") or not isinstance(shards, int):
        writer = holder_of(folder)
        state = f"is not finished; {writer} writes to it" if writer else "is not finished"
        raise StoreError(f"{folder} {state}; run the same `dinoclip embed` again to resume")
    kinds = ["img_emb", "mean_emb"]
    kinds += ["patch_emb"] if settings.patches else []
    kinds += ["dense_emb"] if settings.patches and (folder / "dense_emb").is_dir() else []
    kinds += ["caption_emb"] if settings.texts else []
    kinds += ["token_emb", "token_count"] if settings.token_dimension else []
    arrays: dict[str, Sharded] = {}
    for kind in kinds:
        files = shard_files(folder, kind)
        if len(files) != shards:
            raise StoreError(f"{folder / kind} has {len(files)} of {shards} shards; delete the store and embed again")
        arrays[kind] = Sharded(files)
    owners = None
    if (folder / "text_to_image.npy").is_file():
        owners = np.load(folder / "text_to_image.npy", mmap_mode="r", allow_pickle=False)
    counted = manifest.get("images")
    if len(arrays["img_emb"]) != counted:
        found = len(arrays["img_emb"])
        raise StoreError(f"{folder} holds {found} images, but its manifest has {counted}; embed the source again")
    checksums = manifest.get("checksums")
    return FeatureStore(
        folder,
        settings,
        arrays["img_emb"],
        arrays["mean_emb"],
        arrays.get("patch_emb"),
        arrays.get("dense_emb"),
        arrays.get("caption_emb"),
        owners,
        checksums if isinstance(checksums, dict) else {},
        Ragged(arrays["token_emb"], arrays["token_count"]) if settings.token_dimension else None,
    )


def _open_foreign(folder: Path, encoder: str | None) -> FeatureStore:
    """The store in a folder of clip-retrieval: img_emb, text_emb and metadata, at most one caption per image."""
    images = Sharded(shard_files(folder, "img_emb"))
    files = shard_files(folder, "text_emb")
    texts = Sharded(files) if files else None
    if not len(images):
        raise StoreError(f"{folder / 'img_emb'} holds no vectors; expected img_emb_0.npy")
    if texts is not None and len(texts) != len(images):
        raise StoreError(f"{folder} holds {len(images)} images and {len(texts)} texts; expected one text per image")
    name = encoder or folder.name
    width = images.shape[1]
    settings = StoreSettings(
        encoder=name, space=name, patch_space=name, dimension=width, patch_dimension=width, revision=None,
        processor="", dtype="", size=0, patches="", source=str(folder), texts=name if texts is not None else "",
        text_space=name if texts is not None else "", text_dimension=texts.shape[1] if texts is not None else 0,
        shard_size=0, versions={},
    )  # fmt: skip
    owners = np.arange(len(images)) if texts is not None else None
    return FeatureStore(folder, settings, images, None, None, None, texts, owners, {})


def _tables(folder: Path, kind: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parts = []
        for file in shard_files(folder, kind, "parquet"):
            with pq.ParquetFile(file) as opened:  # not `read_table`, which imports pandas
                parts.append(opened.read())
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"the tables in {folder / kind} cannot be read ({error}); embed the source again") from error
    if not parts:
        raise StoreError(f"{folder / kind} has no table; expected {kind}_0.parquet")
    return pa.concat_tables(parts)
