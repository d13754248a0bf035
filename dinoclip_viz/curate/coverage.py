"""Concept coverage of a feature store or of captions, written as a list that `open_source` opens."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.curate.concepts import ConceptPicks, pick_per_concept
from dinoclip_viz.curate.matching import Matches
from dinoclip_viz.curate.prototypes import Prototypes
from dinoclip_viz.curate.spool import Block, Line, SourceCounts, Spool, lines_of_sources, row_of, rows_of_block
from dinoclip_viz.data import Source, SourceError
from dinoclip_viz.data.captions.selection import Reference
from dinoclip_viz.data.locations import is_address
from dinoclip_viz.disk import replacing
from dinoclip_viz.store import FeatureStore, Sharded, StoreError

if TYPE_CHECKING:
    from dinoclip_viz.encoders.base import TextEncoder

AT_ONCE = 4096
"""Captions that are encoded, and vectors that are compared, at a time."""

Watch = Callable[[int], None]
"""Called with the number of captions that were compared."""


@dataclass(frozen=True)
class Wanted:
    """How many pairs each concept takes, as in `pick_per_concept`.

    Attributes:
        per_concept: number of pairs of each concept.
        queue: number of candidates of each, None for 25 times as many.
    """

    per_concept: int
    queue: int | None = None


@dataclass(frozen=True)
class CoverageReport:
    """The pairs that were picked.

    Attributes:
        names: of the C concepts.
        picks: of the pairs, numbered in the order of the captions, or of the images of a store.
        wanted: how many each concept was to take.
        kept_samples: number of images in the list.
        read: what was read from the sources; of a store its images.
    """

    names: tuple[str, ...]
    picks: ConceptPicks
    wanted: Wanted
    kept_samples: int
    read: SourceCounts = field(default_factory=SourceCounts)

    def numbers(self) -> dict[str, object]:
        """What was picked, for JSON: the concepts in the order in which they chose."""
        kept = len(self.picks.kept)
        concepts = [
            {
                "concept": self.names[number],
                "taken": len(self.picks.rows[number]),
                "highest": round(float(self.picks.scores[number].max(initial=-1)), 6),
                "lowest": round(float(self.picks.scores[number].min(initial=1)), 6),
            }
            for number in self.picks.order
        ]
        return {
            "concepts": len(self.names),
            "per_concept": self.wanted.per_concept,
            "samples": self.read.samples,
            "without_captions": self.read.without_captions,
            "failed": self.read.failed,
            "pairs": self.picks.pairs,
            "kept": kept,
            "kept_fraction": round(kept / self.picks.pairs, 6),
            "kept_samples": self.kept_samples,
            "concepts_short": sum(len(rows) < self.wanted.per_concept for rows in self.picks.rows),
            "taken": concepts,
        }


def cover_store(
    store: FeatureStore, prototypes: Prototypes, wanted: Wanted, out: str | Path, vectors: str = "captions"
) -> CoverageReport:
    """Write the images of a store that are nearest to each prototype, and return what was picked.

    Args:
        store: its metadata names the images; those without a file here are listed as samples of the store's source.
        prototypes: in the space of the store's vectors.
        wanted: number of pairs.
        out: file of the list, .jsonl; it appears when it is complete.
        vectors: "captions", each a pair with its image, or "images", each with all its captions.

    Raises:
        StoreError: the store has no captions, or no keys to name its images by.
        SpaceError: the prototypes are of another space.
        ValueError: other dimensions, or as in `pick_per_concept`.
    """
    compared, owners = _vectors(store, vectors)
    space = store.text_space if vectors == "captions" else store.space
    prototypes.check_space(space, compared.shape[1], str(store.path))
    picks = pick_per_concept(compared.chunks(AT_ONCE), prototypes.vectors, wanted.per_concept, wanted.queue)
    lines = list(_lines(store))
    references = None if all(line.is_file for line in lines) else [Reference.to_name(store.settings.source)]
    chosen = np.zeros(len(owners), bool)
    chosen[picks.kept] = True
    ends = np.searchsorted(owners, np.arange(len(store)), "right").tolist()
    target, kept = Path(out).expanduser(), np.unique(owners[picks.kept]).tolist()
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as aside, aside.open("w", encoding="utf-8") as file:
        for image in kept:
            line = lines[image]
            picked = None if vectors == "images" else chosen[ends[image] - len(line.captions) : ends[image]]
            file.write(row_of(line.text, picked, references))
    return CoverageReport(prototypes.names, picks, wanted, len(kept), SourceCounts(len(store)))


def cover_sources(
    sources: Sequence[tuple[Source, Reference]],
    encoder: TextEncoder,
    prototypes: Prototypes,
    wanted: Wanted,
    out: str | Path,
    watch: Watch | None = None,
) -> CoverageReport:
    """Write the samples of which a caption is among the nearest to a prototype, and return what was picked.

    Captions are encoded as they are read; images are not read.

    Args:
        sources: each with the reference that opens it again.
        encoder: of the captions.
        prototypes: in the space of the encoder.
        wanted: number of pairs.
        out: file of the list, .jsonl; it appears when it is complete.
        watch: called after each batch.

    Raises:
        SourceError: a source cannot be read, or there is no caption.
        SpaceError: the prototypes are of another space.
        ValueError: other dimensions, or as in `pick_per_concept`.
    """
    prototypes.check_space(encoder.space, encoder.dimension, encoder.name)
    counts = SourceCounts()
    target = Path(out).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        spool = Spool(Path(folder))

        def encoded() -> Iterator[NDArray[np.float32]]:
            for lines in lines_of_sources([source for source, _ in sources], counts, AT_ONCE):
                captions = [caption for line in lines for caption in line.captions]
                spool.add(lines, _unmatched([len(line.captions) for line in lines]))
                yield encoder.encode(captions).pooled.numpy()
                if watch is not None:
                    watch(len(captions))
            if not spool.captions:
                names = ", ".join(source.name for source, _ in sources)
                raise SourceError(f"{names[:200]}: none of the {counts.samples} samples has a caption; expected some")

        picks = pick_per_concept(encoded(), prototypes.vectors, wanted.per_concept, wanted.queue)
        spool.close()
        with replacing(target) as aside:
            written = _write(spool, aside, picks, [reference for _, reference in sources])
    return CoverageReport(prototypes.names, picks, wanted, written, counts)


def _write(spool: Spool, file: Path, picks: ConceptPicks, references: Sequence[Reference]) -> int:
    """Write the samples with a picked caption, and return their number."""
    chosen = np.zeros(picks.pairs, bool)
    chosen[picks.kept] = True
    lines, start, written = spool.lines(), 0, 0
    with file.open("w", encoding="utf-8") as out:
        for block in spool.blocks():
            here = chosen[start : start + len(block.texts)]
            start += len(block.texts)
            for _, _, row in rows_of_block(block, here, lines, None if spool.files else references):
                out.write(row)
                written += bool(row)
    return written


def _unmatched(captions: Sequence[int]) -> Block:
    """A block of captions that are not matched."""
    total = sum(captions)
    nothing = Matches(np.zeros(0, np.int32), np.zeros(total, np.int32))
    return Block(np.zeros(total, np.uint64), nothing, np.array(captions, np.int32))


def _vectors(store: FeatureStore, vectors: str) -> tuple[Sharded, NDArray[np.int64]]:
    """The vectors to compare, and the row of the image of each."""
    if vectors not in ("captions", "images"):
        raise ValueError(f"vectors is {vectors!r}; expected captions or images")
    if vectors == "images":
        return store.pooled, np.arange(len(store))
    if store.texts is None or store.text_to_image is None:
        raise StoreError(
            f"{store.path} has no captions; embed its source with --texts, or compare its images (--vectors images)"
        )
    return store.texts, np.asarray(store.text_to_image)


def _lines(store: FeatureStore) -> Iterator[Line]:
    """A line per image of a store."""
    table = store.metadata
    if "key" not in table.column_names and "image_path" not in table.column_names:
        raise StoreError(f"{store.path} has neither keys nor paths of its images; expected a store of `dinoclip embed`")
    columns = [name for name in ("key", "image_path", "caption", "captions", "label") if name in table.column_names]
    for batch in table.select(columns).to_batches():
        for row in batch.to_pylist():
            path = row.get("image_path") or ""
            found = path if is_address(path) else os.path.abspath(path) if path and os.path.isfile(path) else ""
            captions = row.get("captions") or [text for text in (row.get("caption"),) if text]
            yield Line.made(found, 0, None, str(row.get("key") or path), tuple(captions), row.get("label") or None)
