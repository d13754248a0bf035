"""The table of views: per image its captions and the parameters of its views, one Parquet file per shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dinoclip_viz.reinforce.augment import View
from dinoclip_viz.store import StoreError
from dinoclip_viz.store.writing import put

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "views"


@dataclass(frozen=True)
class ViewRow:
    """One image of a reinforced store.

    Attributes:
        key: of the image.
        width, height: of the image in pixels; 0 if unknown.
        real: captions of the source.
        synthetic: further captions.
        views: parameters of its K views.
        pixels: SHA-256 of the pixels of the views; "" if unknown.
    """

    key: str
    width: int
    height: int
    real: tuple[str, ...]
    synthetic: tuple[str, ...]
    views: tuple[View, ...]
    pixels: str

    @property
    def captions(self) -> tuple[str, ...]:
        """All captions, those of the source first."""
        return (*self.real, *self.synthetic)


def table_file(folder: Path, number: int) -> Path:
    """The file of a shard's rows."""
    return folder / KIND / f"{KIND}_{number}.parquet"


def write_rows(folder: Path, number: int, rows: Sequence[ViewRow]) -> None:
    """Write a shard's rows, atomically."""
    put(table_file(folder, number), lambda file: _write(file, rows))


def read_rows(folder: Path, number: int) -> list[ViewRow]:
    """The rows of a shard.

    Raises:
        StoreError: the file is missing or invalid.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = table_file(folder, number)
    try:
        with pq.ParquetFile(file) as opened:
            return rows_of(opened.read())
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{file} cannot be read ({error}); the store is damaged: reinforce again") from error


def rows_of(table: pa.Table) -> list[ViewRow]:
    """The rows of a table."""
    return [
        ViewRow(
            row["key"], row["width"], row["height"], tuple(row["real"]), tuple(row["synthetic"]),
            _views(row["boxes"], row["flips"], row["operations"], row["magnitudes"]), row["pixels"],
        )
        for row in table.to_pylist()
    ]  # fmt: skip


def _views(
    boxes: Sequence[int],
    flips: Sequence[bool],
    operations: Sequence[Sequence[int]],
    magnitudes: Sequence[Sequence[float]],
) -> tuple[View, ...]:
    views = []
    for number, flip in enumerate(flips):
        top, left, height, width = boxes[4 * number : 4 * number + 4]
        drawn = tuple(zip(operations[number], magnitudes[number], strict=True))
        views.append(View((top, left, height, width), flip, drawn))
    return tuple(views)


def _write(file: BinaryIO, rows: Sequence[ViewRow]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, count = pa.string(), pa.int32()
    columns = {
        "key": pa.array([row.key for row in rows], text),
        "width": pa.array([row.width for row in rows], count),
        "height": pa.array([row.height for row in rows], count),
        "real": pa.array([row.real for row in rows], pa.list_(text)),
        "synthetic": pa.array([row.synthetic for row in rows], pa.list_(text)),
        "boxes": pa.array([[side for view in row.views for side in view.box] for row in rows], pa.list_(count)),
        "flips": pa.array([[view.flip for view in row.views] for row in rows], pa.list_(pa.bool_())),
        "operations": pa.array(
            [[[index for index, _ in view.operations] for view in row.views] for row in rows],
            pa.list_(pa.list_(pa.int8())),
        ),
        "magnitudes": pa.array(
            [[[magnitude for _, magnitude in view.operations] for view in row.views] for row in rows],
            pa.list_(pa.list_(pa.float64())),
        ),
        "pixels": pa.array([row.pixels for row in rows], text),
    }
    pq.write_table(pa.table(columns), file)
