"""DataCompDR's layout: tar shards of views' parameters, captions and embeddings, read and written without pickle.

Members of a sample, as published for MobileCLIP (Vasu et al. 2024): `KEY.url.txt`, `KEY.syn.json` {"syn_text": [...]},
`KEY.paug.json` {"param_aug": [...]}, `KEY.npz` or `KEY.pth.gz` {"image_emb": (K, D), "text_emb": (T, D)}, `KEY.json`
{"uid", "sha256"}. D joins the teachers' unit vectors; `text_emb` has the real captions first. The images are not in it.
MobileCLIP2's shards have several lists of captions, `syn_text_TAG`, with `syn_text_TAG_emb` each.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.captions.tars import StrictHeader, tars_of
from dinoclip_viz.reinforce.augment import View, packed, unpacked
from dinoclip_viz.reinforce.store import ReinforcedStore, texts_of
from dinoclip_viz.store import Sharded, StoreError
from dinoclip_viz.store.writing import put, put_json

ENDINGS = ("url.txt", "syn.json", "paug.json", "npz", "pth.gz", "json", "txt")
_LONGEST = 64 << 20  # bytes of a member, unpacked
_FAULTS = (ValueError, TypeError, KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError)


@dataclass(frozen=True, eq=False)
class ReinforcedSample:
    """One sample of DataCompDR.

    Attributes:
        key: name of its members.
        uid: identifier of the image in its data set, by default the key.
        url: address or path of the image, "" without one.
        views: parameters of the K views.
        real: captions of the source; empty in the published shards, which have only their embeddings.
        synthetic: further captions.
        images: (K, D) float32 vectors of the views, the teachers' joined.
        texts: (T, D) float32 vectors of the captions, those of the real ones first.
        sha256: of the image's file, "" if unknown.
    """

    key: str
    uid: str
    url: str
    views: tuple[View, ...]
    real: tuple[str, ...]
    synthetic: tuple[str, ...]
    images: NDArray[np.float32]
    texts: NDArray[np.float32]
    sha256: str = ""

    @property
    def unseen(self) -> int:
        """Number of real captions of which only the embedding is known."""
        return len(self.texts) - len(self.real) - len(self.synthetic)


def read_datacompdr(shards: str | Path) -> Iterator[ReinforcedSample]:
    """The samples of shards in DataCompDR's layout, one at a time.

    Args:
        shards: a tar, a folder of tars, a pattern (`*.tar`) or a range (`{0000..0012}.tar`).

    Raises:
        SourceError: no shard exists.
        StoreError: a shard or a member is broken; the message names it.
    """
    for shard in tars_of(str(shards)).shards:
        yield from _of_shard(shard)


def write_datacompdr(store: ReinforcedStore, folder: str | Path) -> list[Path]:
    """Write a reinforced store as shards in DataCompDR's layout; returns their paths.

    One tar per shard of the store, from 00000.tar on; existing ones are kept. Besides the published members, KEY.txt
    has the first real caption, as training from the shards expects it, and further real captions are the first ones of
    `syn_text`; KEY.json counts the real ones in "captions". `datacompdr.json` names the teachers and their widths.

    Args:
        store: with one teacher or more.
        folder: of the shards.

    Raises:
        StoreError: the store has no teacher, or the folder has shards of other teachers.
    """
    if not store.teachers:
        raise StoreError(f"{store.path} has no teacher; expected one or more: reinforce with --teacher")
    kept = Path(folder).expanduser()
    _claim(kept, store)
    size, written = store.settings.shard_size, []
    sizes = _shard_lengths(store, size)
    starts = np.cumsum([0, *sizes]).tolist()
    vectors = [store.views_of(teacher) for teacher in store.teachers]
    texts = [texts_of(teacher) for teacher in store.teachers]
    for number, start in enumerate(starts[:-1]):
        file = kept / f"{number:05d}.tar"
        written.append(file)
        if not file.is_file():
            rows = range(start, starts[number + 1])
            put(file, lambda opened, rows=rows: _write_shard(opened, store, rows, vectors, texts))  # type: ignore[misc]
    return written


# Reading


def _of_shard(shard: str) -> Iterator[ReinforcedSample]:
    key, parts = "", dict[str, bytes]()
    try:
        with tarfile.open(shard, mode="r|*", tarinfo=StrictHeader) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # otherwise memory would grow with the shard
                folder, slash, base = member.name.rpartition("/")
                stem, _, ending = base.partition(".")
                if not member.isreg() or not stem or ending.lower() not in ENDINGS:
                    continue
                if folder + slash + stem != key:
                    if parts:
                        yield _sample(shard, key, parts)
                    key, parts = folder + slash + stem, {}
                if member.size > _LONGEST:
                    raise StoreError(f"{shard}/{member.name}: {member.size / 1e6:.0f} MB; expected at most 64 MB")
                stream = tar.extractfile(member)
                parts[ending.lower()] = stream.read() if stream else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise StoreError(
            f"{shard}: a tar that is missing, broken or cut off ({error}); expected an intact one"
        ) from error
    if parts:
        yield _sample(shard, key, parts)


def _sample(shard: str, key: str, parts: Mapping[str, bytes]) -> ReinforcedSample:
    ending = "?"
    try:
        for ending in ("paug.json", "syn.json", "json"):
            if ending not in parts and ending != "json":
                raise ValueError("is missing")
        ending = "paug.json"
        drawn = [unpacked(each) for each in json.loads(parts[ending])["param_aug"]]
        ending = "syn.json"
        captions = _captions(json.loads(parts[ending]))
        ending = "npz" if "npz" in parts else "pth.gz"
        if ending not in parts:
            raise ValueError("is missing, and so is KEY.npz")
        arrays = _npz(parts[ending]) if ending == "npz" else _pth(parts[ending])
        images, texts = _rows(arrays["image_emb"]), _joined_texts(arrays, captions)
        if len(images) != len(drawn):
            raise ValueError(f"has {len(images)} rows of image_emb for {len(drawn)} views")
        ending = "json"
        known = json.loads(parts.get("json", b"{}"))
        ending = "txt"
        first = parts.get("txt", b"").decode("utf-8").strip()
        further = int(known.get("captions", 1)) - 1 if first else 0
    except _FAULTS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(f"{shard}/{key}.{ending} {reason}; expected DataCompDR's layout") from error
    every = [text for several in captions.values() for text in several]
    real = (first, *every[:further]) if first else ()
    url = parts.get("url.txt", b"").decode("utf-8", "replace").strip()
    return ReinforcedSample(
        key, str(known.get("uid", key)), url, tuple(drawn), tuple(real), tuple(every[further:]), images, texts,
        str(known.get("sha256", "")),
    )  # fmt: skip


def _captions(parsed: Mapping[str, object]) -> dict[str, list[str]]:
    """Name -> synthetic captions: "syn_text", or several names that begin with it."""
    found: dict[str, list[str]] = {}
    for name, value in parsed.items():
        if name.startswith("syn_text"):
            if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                raise ValueError(f"has {name} that is no list of texts")
            found[name] = value
    if not found:
        raise ValueError("has no syn_text")
    return found


def _joined_texts(arrays: Mapping[str, NDArray[np.generic]], captions: Mapping[str, list[str]]) -> NDArray[np.float32]:
    """(T, D): the real captions, then the synthetic ones in the order of their names."""
    own = [_rows(arrays[f"{name}_emb"]) for name in captions if f"{name}_emb" in arrays]
    texts = np.concatenate([_rows(arrays["text_emb"]), *own])
    count = sum(len(several) for several in captions.values())
    if len(texts) < count:
        raise ValueError(f"has {len(texts)} rows of text embeddings for {count} synthetic captions")
    return texts


def _rows(values: NDArray[np.generic]) -> NDArray[np.float32]:
    rows = np.asarray(values, dtype=np.float32)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"has an embedding of shape {rows.shape}; expected finite rows")
    return rows


def _npz(content: bytes) -> dict[str, NDArray[np.generic]]:
    with zipfile.ZipFile(io.BytesIO(content)) as inside:
        if sum(entry.file_size for entry in inside.infolist()) > _LONGEST:
            raise ValueError("is larger than 64 MB")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _pth(content: bytes) -> dict[str, NDArray[np.generic]]:
    """Tensors of a gzipped PyTorch file, by torch's reader of weights, which runs no code."""
    import torch

    with gzip.open(io.BytesIO(content)) as opened:
        plain = opened.read(_LONGEST + 1)
    if len(plain) > _LONGEST:
        raise ValueError("is larger than 64 MB")
    try:
        found = torch.load(io.BytesIO(plain), weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds of errors for invalid files
        raise ValueError(f"is no file of tensors ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise ValueError(f"holds a {type(found).__name__}; expected a dict of tensors")
    return {name: torch.as_tensor(values).float().numpy() for name, values in found.items()}


# Writing


def _claim(folder: Path, store: ReinforcedStore) -> None:
    """Note the teachers of the shards in their folder.

    Raises:
        StoreError: the folder has shards of other teachers.
    """
    noted = folder / "datacompdr.json"
    widths = [[teacher.settings.encoder, teacher.settings.dimension] for teacher in store.teachers]
    known = {"teachers": widths, "size": store.settings.augmentation.size}
    if noted.is_file() and json.loads(noted.read_text(encoding="utf-8")) != known:
        raise StoreError(f"{folder} has shards of other teachers or views (see {noted.name}); choose another folder")
    put_json(noted, known)


def _shard_lengths(store: ReinforcedStore, size: int) -> list[int]:
    """Images per shard: those of the store's files of views."""
    from dinoclip_viz.reinforce.store import VIEWS
    from dinoclip_viz.store.settings import shard_files

    files = shard_files(store.teachers[0].path, VIEWS)
    return [len(Sharded([file])) // store.settings.views for file in files]


def _write_shard(
    opened: object, store: ReinforcedStore, rows: Sequence[int], vectors: Sequence[Sharded], texts: Sequence[Sharded]
) -> None:
    flips = store.settings.augmentation.flip > 0
    count = store.settings.views
    paths = store.teachers[0].metadata["image_path"].to_pylist()
    ends = np.cumsum([0, *(len(row.captions) for row in store.rows)])
    with tarfile.open(fileobj=opened, mode="w") as tar:  # type: ignore[call-overload]
        for number in rows:
            row = store.rows[number]
            key = _member_name(number, row.key)
            seen = np.concatenate([_unit(each[number * count : (number + 1) * count]) for each in vectors], axis=1)
            said = np.concatenate([_unit(each[int(ends[number]) : int(ends[number + 1])]) for each in texts], axis=1)
            stored = io.BytesIO()
            np.savez(stored, image_emb=seen, text_emb=said)
            further = [*row.real[1:], *row.synthetic]
            known = {"uid": row.key, "sha256": "", "captions": len(row.real)}
            members = {
                "url.txt": str(paths[number]).encode(),
                "syn.json": json.dumps({"syn_text": further}).encode(),
                "paug.json": json.dumps({"param_aug": [packed(view, flips) for view in row.views]}).encode(),
                "npz": stored.getvalue(),
                "json": json.dumps(known).encode(),
                **({"txt": row.real[0].encode()} if row.real else {}),
            }
            for ending, content in members.items():
                _add(tar, f"{key}.{ending}", content)


def _member_name(number: int, key: str) -> str:
    """The key as a member's name: without dots and slashes, or the image's number."""
    plain = all(letter.isalnum() or letter in "-_" for letter in key)
    return key if plain and key.isascii() and 0 < len(key) <= 90 else f"{number:09d}"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))


def _unit(rows: NDArray[np.generic]) -> NDArray[np.float32]:
    values = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit: NDArray[np.float32] = values / np.maximum(lengths, 1e-12)
    return unit
