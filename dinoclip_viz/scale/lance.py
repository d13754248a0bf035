"""Search over more vectors than memory: an index on disk by LanceDB (extra `scale`), its recall measured when built."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.scale.errors import INSTALL, ScaleError
from dinoclip_viz.tasks.retrieval.approximate import recall_against_exact
from dinoclip_viz.tasks.retrieval.search import CHUNK, unit_chunks
from dinoclip_viz.tasks.retrieval.vectors import Numbers, Rows, VectorsLike, as_tensor, as_vectors

Watch = Callable[[int, int], object]
"""Called with the number of rows written and the total."""

_TABLE, _RECORD = "vectors", "index.json"
_LEAST = 5000  # rows below which a search reads all of them: an index would have too few to learn from
_PARTITION = 4096  # rows
_VALUES = 4  # of a vector per byte of its code
_SAMPLED = 256  # rows at each end that identify the vectors
_QUERIES, _K = 100, 10  # by which recall is measured


class LanceIndex:
    """An index of unit vectors on disk; a search reads the nearest partitions and needs little memory.

    Vectors are in partitions of about 4096 (inverted file), with product codes of one byte per 4 values (Jégou et al.
    2011). A search ranks the codes of the nearest partitions and computes exact cosines of the best ones.

    Args:
        folder: of the index, written by `build`.

    Attributes:
        width: D.
        recall: fraction of the 10 nearest vectors of an exact search that were found when the index was built, for 100
            vectors of its own with noise.

    Raises:
        ScaleError: LanceDB is not installed, or the folder holds no index.
    """

    def __init__(self, folder: Path) -> None:
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ScaleError(f"{folder} holds no index; build it again") from error
        self.width, self.recall, self._count = int(record["width"]), float(record["recall"]), int(record["rows"])
        self._table = _lancedb().connect(str(folder)).open_table(_TABLE)

    @classmethod
    def open_or_build(cls, folder: Path, vectors: VectorsLike | Rows, watch: Watch | None = None) -> Self:
        """The index of the vectors in a folder, built first where there is none or one of other vectors.

        Args:
            folder: for indices, such as `lance` in a store.
            vectors: (N, D) raw vectors, or rows of a store.
            watch: called while it is built.

        Raises:
            ScaleError: LanceDB is not installed.
            ValueError: vectors that are ragged, not numeric or not finite, or none.
        """
        vectors = as_vectors(vectors, "vectors")
        mine = folder / _fingerprint(vectors)
        return cls(mine) if (mine / _RECORD).is_file() else cls.build(mine, vectors, watch)

    @classmethod
    def build(cls, folder: Path, vectors: VectorsLike | Rows, watch: Watch | None = None) -> Self:
        """An index of (N, D) raw vectors, which are read in chunks; arguments and errors as in `open_or_build`."""
        import pyarrow as pa

        database = _lancedb()
        vectors = as_vectors(vectors, "vectors")
        count, width = vectors.shape[0], vectors.shape[1]
        if not count:
            raise ValueError("found no vectors; expected at least one")
        aside = folder.with_name(f"{folder.name}.tmp")
        shutil.rmtree(aside, ignore_errors=True)
        schema = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float32(), width))])

        def batches() -> Iterator[Any]:
            for start, part in unit_chunks(vectors, CHUNK):
                values = part.float().numpy()
                rows = pa.array(np.arange(start, start + len(values)))
                flat = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)
                yield pa.record_batch([rows, flat], schema=schema)
                if watch:
                    watch(start + len(values), count)

        table = database.connect(str(aside)).create_table(_TABLE, batches(), schema=schema)
        if count >= _LEAST:
            codes = next(size for size in range(max(1, width // _VALUES), 0, -1) if width % size == 0)
            table.create_index(
                metric="cosine", vector_column_name="vector", index_type="IVF_PQ", num_sub_vectors=codes,
                num_partitions=max(1, count // _PARTITION),
            )  # fmt: skip
        record = {"rows": count, "width": width, "recall": 1.0}
        (aside / _RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
        record["recall"] = round(recall_against_exact(cls(aside), vectors, _probes(vectors), min(_K, count)), 4)
        (aside / _RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        return cls(folder)

    def __len__(self) -> int:
        return self._count

    def search(
        self, queries: Numbers | VectorsLike, k: int, partitions: int = 32, refined: int = 50
    ) -> tuple[Tensor, Tensor]:
        """(Q, k) cosines and rows of the nearest vectors that are found, best first; -inf and row -1 where none is.

        Args:
            queries: (Q, D) raw vectors.
            k: number of neighbours; all where there are fewer vectors.
            partitions: nearest partitions that are read; higher values increase recall and latency.
            refined: times k candidates whose exact cosines are computed.

        Raises:
            ValueError: k is below 1, or the queries are not (Q, D) finite numbers.
        """
        queries = as_tensor(queries, "queries", "(Q, D)")
        if k < 1:
            raise ValueError(f"k is {k}; expected 1 or more")
        if queries.ndim != 2 or queries.shape[1] != self.width or not queries.isfinite().all():
            raise ValueError(f"queries have shape {tuple(queries.shape)}; expected (Q, {self.width}), all finite")
        k = min(k, len(self))
        scores, rows = torch.full((len(queries), k), -torch.inf), torch.full((len(queries), k), -1, dtype=torch.int64)
        for index, query in enumerate(F.normalize(queries.float().cpu(), dim=-1).numpy()):
            asked = self._table.search(query, vector_column_name="vector").metric("cosine").limit(k)
            found = asked.nprobes(partitions).refine_factor(refined).select(["row", "_distance"]).to_arrow()
            cosines = 1 - found["_distance"].to_numpy()
            numbers = found["row"].to_numpy()
            order = np.lexsort((numbers, -cosines))  # among equal cosines the lower row first, as in the exact search
            scores[index, : len(order)] = torch.from_numpy(cosines[order].astype(np.float32))
            rows[index, : len(order)] = torch.from_numpy(numbers[order])
        return scores, rows


def _probes(vectors: Rows) -> Tensor:
    """(Q, D) vectors of the index with noise of a fifth of their length."""
    count = vectors.shape[0]
    numbers = torch.linspace(0, count - 1, min(_QUERIES, count)).long().tolist()
    chosen = torch.cat([as_tensor(vectors[number : number + 1], "vectors").float() for number in numbers])
    unit = F.normalize(chosen, dim=-1)
    noise = torch.randn(unit.shape, generator=torch.Generator().manual_seed(0))
    return unit + 0.2 * F.normalize(noise, dim=-1)


def _fingerprint(vectors: Rows) -> str:
    """16 hexadecimal digits that identify vectors: their number, and the first and last of them."""
    count = vectors.shape[0]
    digest = hashlib.sha256(f"{count} x {vectors.shape[1]}".encode())
    for part in (vectors[: min(_SAMPLED, count)], vectors[max(0, count - _SAMPLED) : count]):
        digest.update(np.ascontiguousarray(as_tensor(part, "vectors").float().cpu().numpy()).tobytes())
    return digest.hexdigest()[:16]


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise ScaleError(f"LanceDB is not installed; expected it for an index on disk: {INSTALL}") from error
    return lancedb
