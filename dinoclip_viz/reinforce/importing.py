"""DataCompDR's shards as a reinforced store, to which students are then added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from dinoclip_viz.disk import locked
from dinoclip_viz.encoders.catalog import CATALOG
from dinoclip_viz.reinforce.augment import Augmentation
from dinoclip_viz.reinforce.datacompdr import ReinforcedSample, read_datacompdr
from dinoclip_viz.reinforce.settings import ReinforcedSettings, claimed, joined
from dinoclip_viz.reinforce.store import VIEWS, ReinforcedStore
from dinoclip_viz.reinforce.tables import ViewRow, write_rows
from dinoclip_viz.store import StoreError, StoreSettings
from dinoclip_viz.store.settings import slug
from dinoclip_viz.store.writing import FailedRow, ImageRow, Shard, finish, prepare, write_shard

UNKNOWN = "(caption not in the set)"
"""Text of a real caption of which the set has only the embedding."""


def import_datacompdr(
    shards: str | Path, teachers: Sequence[str], store: str | Path, source: str = "", size: int = 224,
    shard_size: int = 512,
) -> ReinforcedStore:  # fmt: skip
    """A reinforced store with the views, captions and teachers' vectors of shards in DataCompDR's layout.

    A student is added by `reinforce(source, [], store, student)` with the images of the set: their keys are the uids of
    the samples, in the order of the shards. The sets have no vectors of unchanged images: `pooled` of a teacher is the
    mean of its views' unit vectors.

    Args:
        shards: as in `read_datacompdr`.
        teachers: names of the models whose vectors are joined, of equal widths, in order.
        store: folder of the new store.
        source: name of the source of the images, by default that of the shards.
        size: side of the views in pixels; 224 in the published sets.
        shard_size: samples per shard of the store.

    Raises:
        StoreError: the folder holds something else, or a member is broken or of another shape than the first.
        ValueError: no teacher is named, or the vectors cannot be divided among the teachers.
    """
    if not teachers:
        raise ValueError("found no teacher; expected the names of the models whose vectors are joined")
    samples = read_datacompdr(shards)
    first = next(samples, None)
    if first is None:
        raise StoreError(f"{shards} has no sample in DataCompDR's layout; expected members such as KEY.paug.json")
    width, rest = divmod(first.images.shape[1], len(teachers))
    if rest:
        raise ValueError(
            f"vectors of {first.images.shape[1]} dimensions for {len(teachers)} teachers; expected equal parts"
        )
    folder = Path(store).expanduser()
    drawn = Augmentation(size=size, operations=max(len(view.operations) for view in first.views))
    name = source or str(shards)
    settings = ReinforcedSettings(name, views=len(first.views), shard_size=shard_size, augmentation=drawn)
    with locked(folder, StoreError):
        manifest = replace(claimed(folder, settings), versions={})
        names = [slug(name) for name in teachers]
        plan = [_teacher_settings(name, width, settings) for name in teachers]
        done = [prepare(folder / name, one) for name, one in zip(names, plan, strict=True)]
        if not all(done):
            number, everything = 0, _with(first, samples)
            while block := list(islice(everything, shard_size)):
                _write(folder, names, width, number, block, len(first.views))
                number += 1
            for name, one in zip(names, plan, strict=True):
                finish(folder / name, one)
        replace(joined(manifest, (), tuple(names)), complete=True).write(folder)
    return ReinforcedStore.open(folder)


def _with(first: ReinforcedSample, rest: Iterator[ReinforcedSample]) -> Iterator[ReinforcedSample]:
    yield first
    yield from rest


def _write(
    folder: Path, names: Sequence[str], width: int, number: int, block: Sequence[ReinforcedSample], views: int
) -> None:
    rows, images = [], []
    for sample in block:
        if len(sample.views) != views or sample.images.shape[1] != width * len(names):
            found = f"{len(sample.views)} views of {sample.images.shape[1]} dimensions"
            raise StoreError(f"{sample.key} has {found}; expected {views} of {width * len(names)}, as the first sample")
        real = (*sample.real, *[UNKNOWN] * max(0, sample.unseen))
        rows.append(ViewRow(sample.uid, 0, 0, real, sample.synthetic, sample.views, ""))
        images.append(ImageRow(sample.uid, sample.url, (*real, *sample.synthetic), None, 0, 0))
    write_rows(folder, number, rows)
    owners = np.repeat(np.arange(len(block)), [len(row.captions) for row in rows]).astype(np.int64)
    failed: list[FailedRow] = []
    for place, name in enumerate(names):
        here = slice(place * width, (place + 1) * width)
        seen = np.stack([sample.images[:, here] for sample in block])  # (n, K, width)
        means = seen.mean(axis=1).astype(np.float16)
        arrays = {"img_emb": means, "mean_emb": means, VIEWS: seen.reshape(-1, width).astype(np.float16)}
        texts = np.concatenate([sample.texts[:, here] for sample in block]).astype(np.float16)
        write_shard([folder / name], number, Shard(images, failed, [arrays], texts, owners), 0.0)


def _teacher_settings(name: str, width: int, settings: ReinforcedSettings) -> StoreSettings:
    entry = CATALOG.get(name)
    space = entry.source if entry is not None else name
    return StoreSettings(
        encoder=name, space=space, patch_space=f"{space}/patches", dimension=width, patch_dimension=width,
        revision=None, processor="", dtype="", size=settings.augmentation.size, patches="", source=settings.source,
        texts=name, text_space=space, text_dimension=width, shard_size=settings.shard_size, versions={},
    )  # fmt: skip
