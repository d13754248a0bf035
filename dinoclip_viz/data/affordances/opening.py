"""Sources of affordances by name."""

from __future__ import annotations

from pathlib import Path

from dinoclip_viz.data.affordances.agd20k import SPLITS as AGD20K_SPLITS
from dinoclip_viz.data.affordances.agd20k import Agd20kSource
from dinoclip_viz.data.affordances.base import AffordanceSource
from dinoclip_viz.data.affordances.drawn import SIZE, DrawnAffordances
from dinoclip_viz.data.affordances.umd import SPLITS as UMD_SPLITS
from dinoclip_viz.data.affordances.umd import UmdSource
from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.locations import shown
from dinoclip_viz.data.playground import playground_of

ACCEPTED = "playground[:SEED:COUNT[:SIZE[:OBJECTS]]], agd20k:FOLDER or umd:FOLDER"


def open_affordances(text: str, split: str | None = None) -> AffordanceSource:
    """The source of affordances of a name; its files are listed, so that errors are raised at once.

    Args:
        text: one of `ACCEPTED`.
        split: of AGD20K, Seen or Unseen; of UMD, category or novel; None for the first.

    Raises:
        SourceError: the name has another form, or the folder or the split does not exist.

    Examples:
        >>> open_affordances("playground:2000:3").name
        'playground:2000:3:192'
    """
    kind, _, rest = text.partition(":")
    if kind == "playground":
        if split is not None:
            raise SourceError(f"{text}: has no splits; omit split {shown(split)} and name another seed")
        return _drawn(text)
    known = {"agd20k": AGD20K_SPLITS, "umd": UMD_SPLITS}.get(kind)
    if known is None or not rest.strip():
        raise SourceError(f"{shown(text)[:100]!r}; expected {ACCEPTED}")
    folder, chosen = Path(rest).expanduser(), split or known[0]
    if not folder.is_dir():
        raise SourceError(f"{shown(folder)}: no such folder; expected {ACCEPTED}")
    if chosen not in known:
        raise SourceError(f"{shown(text)}: no split {shown(chosen)}; expected {' or '.join(known)}")
    source: AffordanceSource = Agd20kSource(folder, chosen) if kind == "agd20k" else UmdSource(folder, chosen)
    if not source.count:
        raise SourceError(f"{source.name}: found no images; expected its own layout of files")
    return source


def _drawn(text: str) -> DrawnAffordances:
    """The playground, by default at `SIZE` pixels."""
    if text == "playground":
        return DrawnAffordances()
    scenes = playground_of(text)
    size = scenes.size if text.count(":") > 2 else SIZE
    return DrawnAffordances(scenes.seed, scenes.count, size, scenes.objects)
