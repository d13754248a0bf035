"""Embedding of data sources into feature stores, by several encoders in one pass, resumable per shard."""

from dinoclip_viz.pipeline.embedding import EmbedReport, embed
from dinoclip_viz.pipeline.shards import DENSE, Patches, embed_shard, patch_bytes

__all__ = ["DENSE", "EmbedReport", "Patches", "embed", "embed_shard", "patch_bytes"]
