"""The splits of a list of captions: parsing, checking, and names of sources."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.locations import shown


def name_with_split(file: Path, split: str | None) -> str:
    """The name of a source: the path of its file, and the split in brackets.

    Examples:
        >>> name_with_split(Path("dataset_coco.json"), "test")
        'dataset_coco.json (test)'
    """
    return shown(file) + (f" ({shown(split)})" if split else "")


def splits_in(asked: str) -> list[str]:
    """The requested splits, without duplicates.

    Examples:
        >>> splits_in("train+restval")
        ['train', 'restval']
    """
    return list(dict.fromkeys(asked.split("+")))


def check_splits(file: Path, asked: Iterable[str], known: Iterable[str]) -> None:
    """Raises an error unless a file has every requested split.

    Args:
        file: for errors.
        asked: names of the requested splits.
        known: the file's splits, in the order in which the error lists them.

    Raises:
        SourceError: a requested split does not exist.
    """
    known = list(known)
    if unknown := [name for name in asked if name not in known]:
        missing, listed = shown(", ".join(unknown)), shown(", ".join(filter(None, known))) or "none"
        raise SourceError(f"{shown(file)}: no split {missing}; its splits: {listed}, or several joined by '+'")
