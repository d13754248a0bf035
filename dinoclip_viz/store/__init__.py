"""Features on disk: fp16 shards that are memory-mapped, Parquet metadata, and a manifest of them.

One store holds the features of one encoder. The layout is clip-retrieval's, with additions:

    manifest.json                    what made the features, how many there are, and every file's checksum
    img_emb/img_emb_0.npy            (n, D) `pooled`, float16
    mean_emb/mean_emb_0.npy          (n, D') `mean`, float16
    patch_emb/patch_emb_0.npy        (n, H, W, D') `patches`, float16, where they were asked for
    dense_emb/dense_emb_0.npy        (n, H, W, D) a CLIP's patches by MaskCLIP's path, with the patches
    caption_emb/caption_emb_0.npy    (t, E) captions, float16, where they were asked for
    metadata/metadata_0.parquet      one row per image: key, image_path, caption, captions, label, width, height
    failed/failed_0.parquet          one row per image that could not be read, with the reason
    text_to_image.npy                (T,) int64, which image each caption describes
    shards/shard_0.json              written last: this shard is whole
    log.jsonl                        when each shard was written and how long it took; the one file with times

A folder of clip-retrieval's own opens too. Several encoders of one pass have one folder each.
"""

from dinoclip_viz.store.reading import FeatureStore, store_folders
from dinoclip_viz.store.settings import StoreError, StoreSettings
from dinoclip_viz.store.sharded import Sharded

__all__ = ["FeatureStore", "Sharded", "StoreError", "StoreSettings", "store_folders"]
