"""Choosing data: MetaCLIP's balancing of captions, and pairs nearest to each concept.

`balance` is for texts in memory, `balance_sources` for data sources of any size; `EntryBuilder` makes the entries to
balance; `pick_per_concept` picks the pairs nearest to each prototype.
"""

from dinoclip_viz.curate.balancing import balance
from dinoclip_viz.curate.concepts import ConceptPicks, pick_per_concept
from dinoclip_viz.curate.entries import EntryBuilder, read_entries, write_entries
from dinoclip_viz.curate.streaming import BalanceSettings, balance_sources

__all__ = [
    "BalanceSettings",
    "ConceptPicks",
    "EntryBuilder",
    "balance",
    "balance_sources",
    "pick_per_concept",
    "read_entries",
    "write_entries",
]
