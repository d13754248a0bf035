"""Embedding of data sources into feature stores, by several encoders in one pass, resumable per shard.

Names are imported when they are first asked for, so that processes that only decode images load no model library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dinoclip_viz.pipeline.embedding import EmbedReport as EmbedReport
    from dinoclip_viz.pipeline.embedding import embed as embed
    from dinoclip_viz.pipeline.shards import DENSE as DENSE
    from dinoclip_viz.pipeline.shards import Patches as Patches
    from dinoclip_viz.pipeline.shards import embed_shard as embed_shard
    from dinoclip_viz.pipeline.shards import patch_bytes as patch_bytes
    from dinoclip_viz.pipeline.sources import encode_sources as encode_sources

_HOMES = {
    "DENSE": "shards",
    "EmbedReport": "embedding",
    "Patches": "shards",
    "embed": "embedding",
    "embed_shard": "shards",
    "encode_sources": "sources",
    "patch_bytes": "shards",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"dinoclip_viz.pipeline.{_HOMES[name]}"), name)
