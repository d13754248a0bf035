"""The sources that are curated, and the failed samples of their lists."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz import disk
from dinoclip_viz.cli.answer import Failure

if TYPE_CHECKING:
    from dinoclip_viz.curate.spool import SourceCounts
    from dinoclip_viz.data import Source
    from dinoclip_viz.data.captions.selection import Reference


def open_sources(arguments: Namespace) -> list[tuple[Source, Reference]]:
    """Each source, and how it is opened again.

    Raises:
        SourceError: one cannot be opened.
    """
    from dinoclip_viz.data import open_source
    from dinoclip_viz.data.captions.selection import Reference

    return [
        (
            open_source(text, arguments.split, arguments.images, encoding=arguments.encoding),
            Reference.to(text, arguments.split, arguments.images, arguments.encoding),
        )
        for text in arguments.captions
    ]


def failures(read: SourceCounts) -> list[Failure]:
    """The samples that name no image."""
    return [Failure(key, reason) for key, reason in read.listed]


def write_text(file: Path, text: str) -> None:
    """Write a file of a report, and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    disk.write_text(file, text, errors="surrogatepass")
