"""Features on disk: memory-mapped float16 shards, Parquet metadata and a manifest.

One store holds the features of one encoder. The layout is clip-retrieval's, with additions:

    manifest.json                    the settings, the number of rows, and the checksum of every file
    img_emb/img_emb_0.npy            (n, D) `pooled`, float16
    mean_emb/mean_emb_0.npy          (n, D') `mean`, float16
    patch_emb/patch_emb_0.npy        (n, H, W, D') `patches`, float16, if requested
    dense_emb/dense_emb_0.npy        (n, H, W, D) a CLIP's patches by MaskCLIP's path, float16, likewise
    caption_emb/caption_emb_0.npy    (t, E) captions, float16, if requested
    token_emb/token_emb_0.npy        (N, D'') token vectors of the captions, one caption after the other, if requested
    token_count/token_count_0.npy    (t,) int64, number of tokens of each caption, likewise
    metadata/metadata_0.parquet      one row per image: key, image_path, caption, captions, label, width, height
    failed/failed_0.parquet          one row per image that could not be read, with the reason
    text_to_image.npy                (T,) int64, index of the image that each caption describes
    shards/shard_0.json              written last, when the shard is complete
    log.jsonl                        time and duration of each shard; the only file with times

Folders of clip-retrieval can be opened as well. Several encoders of one pass have one folder each.
"""

from dinoclip_viz.store.reading import FeatureStore, store_folders
from dinoclip_viz.store.settings import StoreError, StoreSettings, check_one_dtype
from dinoclip_viz.store.sharded import Ragged, Sharded

__all__ = ["FeatureStore", "Ragged", "Sharded", "StoreError", "StoreSettings", "check_one_dtype", "store_folders"]
