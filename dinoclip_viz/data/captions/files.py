"""The source of a caption file, detected from its extension and content."""

from __future__ import annotations

from pathlib import Path

from dinoclip_viz.data.base import Source, SourceError
from dinoclip_viz.data.captions.coco import CocoSource, KarpathySource, is_coco, is_karpathy
from dinoclip_viz.data.captions.flickr import FlickrSource, is_token_file
from dinoclip_viz.data.captions.lists import ListSource
from dinoclip_viz.data.locations import shown
from dinoclip_viz.data.texts import UTF8, read_json

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".token")
"""The extensions of caption files."""


def source_of_file(file: Path, images: Path | None = None, split: str | None = None, encoding: str = UTF8) -> Source:
    """The source of a caption file: COCO's, Karpathy's, Flickr's, or a list.

    Args:
        file: a file with an extension from `SUFFIXES`.
        images: folder of its images; None for a usual folder next to it.
        split: one or more of its splits; None for all.
        encoding: text encoding of the file.

    Raises:
        SourceError: the file cannot be read, or has no splits.
    """
    suffix = file.suffix.lower()
    if suffix == ".json":
        parsed = read_json(file, encoding)
        if is_karpathy(parsed):
            return KarpathySource(file, images, split, encoding)
        if is_coco(parsed):
            if split is not None:
                raise SourceError(f"{shown(file)}: COCO's annotations have no splits; omit split {shown(split)}")
            return CocoSource(file, images, encoding)
    elif suffix in (".txt", ".token") and is_token_file(file, encoding):
        return FlickrSource(file, images, split, encoding)
    return ListSource(file, images, split, encoding)
