"""Shards of `embed` over Ray Data: tasks decode, an actor pool encodes and writes, in any order."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dinoclip_viz.data import Source
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.encoders.devices import dtype_name
from dinoclip_viz.pipeline.decoding import Outcome, Recipes, prepare
from dinoclip_viz.pipeline.embedding import How, Watch
from dinoclip_viz.pipeline.encoding import recipes_of
from dinoclip_viz.pipeline.shards import embed_shard, jobs_of
from dinoclip_viz.scale.cluster import connect
from dinoclip_viz.scale.errors import ScaleError, plain_error
from dinoclip_viz.store.writing import missing, write_shard

log = logging.getLogger(__name__)

Row = dict[str, Any]


@dataclass(frozen=True)
class RayEngine:
    """Runs the shards of `embed` on Ray: `embed(source, encoders, store, engine=RayEngine(actors=4))`.

    A task decodes the images of a shard into the bytes that the encoders take; an actor of a pool encodes them with
    `embed_shard` and writes the shard. Stores are those of a serial run, which may resume it, and the other way round;
    on CPUs in float32 they are equal bit for bit, with as many threads per actor as here. A shard is the unit of
    resumption: when a process or a node ends, Ray runs its shards again.

    The source and the store must be visible from all nodes under the same path, such as on a network file system.

    Args:
        actors: number of actors, each with its own copy of the encoders.
        gpus: GPUs per actor; None for one if the cluster has any, else 0.
    """

    actors: int = 2
    gpus: float | None = None

    def run(
        self,
        source: Source,
        encoders: Sequence[ImageEncoder],
        texts: TextEncoder | None,
        folders: Sequence[Path],
        how: How,
        watch: Watch | None,
    ) -> int:
        """Write the missing shards into all folders; the number of images encoded. See `pipeline.embedding.Engine`.

        Raises:
            ScaleError: Ray is missing, a node cannot see the store or loads another encoder, or the shards failed.
        """
        import torch

        count = source.count if source.count is not None else sum(1 for _ in source.samples())
        numbers = missing(folders, -(-count // how.rows))
        done = max(0, count - len(numbers) * how.rows)
        if watch:
            watch(done, count)
        if not numbers:
            return 0
        work = _Work(
            source,
            encoders=tuple(encoder.name for encoder in encoders),
            spaces=tuple(encoder.space for encoder in encoders),
            dtypes=tuple(dtype_name(encoder.dtype) for encoder in encoders),
            texts=texts.name if texts is not None else None,
            text_dtype=dtype_name(texts.dtype) if texts is not None else "",
            folders=tuple(str(folder.absolute()) for folder in folders),
            how=how,
            threads=torch.get_num_threads(),
        )
        recipes = recipes_of(jobs_of(encoders, how.size, how.patches))
        images = 0
        for row in self._rows(work, numbers, recipes):
            images += int(row["images"])
            done += int(row["samples"])
            if watch:
                watch(min(done, count), count)
        lost = missing(folders, -(-count // how.rows))
        if lost:
            raise ScaleError(
                f"{len(lost)} shards were written where this machine cannot see them, first {lost[0]}; expected "
                f"{folders[0]} on a file system that all nodes share"
            )
        return images

    def _rows(self, work: _Work, numbers: Sequence[int], recipes: Recipes) -> Iterator[Row]:
        """What each shard reports, as they are finished."""
        cpus = work.threads if not self.gpus else 1
        ray = connect(self.actors * cpus)
        from ray.data import ActorPoolStrategy, DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = 1 << 40  # a shard is one block: it is not split between actors
        gpus = self.gpus if self.gpus is not None else float(ray.cluster_resources().get("GPU", 0) > 0)
        shards = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        try:
            decoded = shards.map_batches(_Decode(work, recipes), batch_size=1, batch_format="numpy", num_cpus=1)
            encoded = decoded.map_batches(
                _Encode,
                fn_constructor_kwargs={"work": work, "device": "cuda" if gpus else "cpu"},
                batch_size=1,
                batch_format="numpy",
                compute=ActorPoolStrategy(size=min(self.actors, len(numbers))),
                num_cpus=1 if gpus else work.threads,
                num_gpus=gpus or None,
            )
            yield from encoded.iter_rows()
        except ray.exceptions.RayError as error:
            raise plain_error("the shards could not be encoded on Ray", error) from error


@dataclass(frozen=True)
class _Work:
    """What the tasks and actors need; it can be sent to any node."""

    source: Source
    encoders: tuple[str, ...]
    spaces: tuple[str, ...]
    dtypes: tuple[str, ...]
    texts: str | None
    text_dtype: str
    folders: tuple[str, ...]
    how: How
    threads: int


@dataclass(frozen=True)
class _Decode:
    """The samples of a shard, decoded, resized and cropped."""

    work: _Work
    recipes: Recipes

    def __call__(self, batch: Row) -> Row:
        how, number = self.work.how, int(batch["number"][0])
        samples = islice(self.work.source.samples(number * how.rows), how.rows)
        outcomes: list[Outcome] = [(sample, prepare(sample, self.recipes, how.decode)) for sample in samples]
        return {"number": batch["number"], "outcomes": _one(outcomes)}


class _Encode:
    """An actor with the encoders; it encodes shards and writes them."""

    def __init__(self, work: _Work, device: str) -> None:
        import torch

        from dinoclip_viz.encoders import load_encoder, load_text_encoder

        torch.set_num_threads(work.threads)
        self._work = work
        self._encoders = [
            load_encoder(name, device, dtype) for name, dtype in zip(work.encoders, work.dtypes, strict=True)
        ]
        for encoder, space in zip(self._encoders, work.spaces, strict=True):
            if encoder.space != space:
                raise ScaleError(f"a node loads another {encoder.name}: its space is {encoder.space}, here {space}")
        self._texts = None if work.texts is None else load_text_encoder(work.texts, device, work.text_dtype)
        for folder in work.folders:
            if not Path(folder).is_dir():
                raise ScaleError(f"a node cannot see {folder}; expected a file system that all nodes share")

    def __call__(self, batch: Row) -> Row:
        begun, how = time.monotonic(), self._work.how
        number, outcomes = int(batch["number"][0]), batch["outcomes"][0]
        shard = embed_shard(
            outcomes, self._encoders, self._texts, how.size, how.patches, how.batch_size, how.text_tokens
        )
        write_shard([Path(folder) for folder in self._work.folders], number, shard, time.monotonic() - begun)
        return {
            "number": batch["number"],
            "images": np.array([len(shard.rows)]),
            "samples": np.array([len(shard.rows) + len(shard.failed)]),
        }


def _one(value: object) -> np.ndarray[Any, np.dtype[np.object_]]:
    """An array of one object."""
    array = np.empty(1, dtype=object)
    array[0] = value
    return array
