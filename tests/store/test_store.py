"""Stores: what is written is what is read, whole or not at all."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

import dinoclip_viz as dv
from dinoclip_viz.data import Sample, Unreadable
from dinoclip_viz.pipeline import embed, embed_shard
from dinoclip_viz.store import FeatureStore, Sharded, StoreError, store_folders
from dinoclip_viz.store.settings import sha256, slug

PAIR = ["playground-dino", "playground-clip"]
TIMES = "log.jsonl"


@dataclass(frozen=True)
class Few:
    """A source of drawn scenes, some of them broken."""

    total: int = 10
    broken: tuple[int, ...] = ()
    name: str = "few"

    @property
    def count(self):
        return self.total

    def samples(self, start=0):
        for index, scene in enumerate(dv.playground.stream(2100, self.total, 96)):
            if index < start:
                continue
            image = Unreadable(f"{index} is broken") if index in self.broken else scene.image
            yield Sample(f"k{index}", image, tuple(scene.captions), f"{index}.png")


def files(folder):
    """Relative path -> checksum of everything but the log."""
    return {str(f.relative_to(folder)): sha256(f) for f in sorted(folder.rglob("*")) if f.is_file() and f.name != TIMES}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    report = embed(Few(10, (3,)), PAIR, folder, texts="playground-clip", shard_size=4, patches="full")
    return folder, report


def test_a_store_holds_what_the_encoder_gives(both):
    folder, report = both
    store = FeatureStore.open(folder / "playground-dino")
    kept = [i for i in range(10) if i != 3]
    scenes = dv.playground.draw(2100, 10, 96)
    features = dv.load_encoder("playground-dino").encode([scenes[i].image for i in kept])
    assert report.images == len(store) == 9
    np.testing.assert_allclose(np.asarray(store.pooled), features.pooled.numpy(), atol=4e-3)
    np.testing.assert_allclose(np.asarray(store.mean), features.mean.numpy(), atol=4e-3)
    np.testing.assert_allclose(np.asarray(store.patches), features.patches.numpy(), atol=2e-2)
    assert store.metadata["key"].to_pylist() == [f"k{i}" for i in kept]
    assert store.captions() == [text for i in kept for text in scenes[i].captions]
    texts = dv.load_text_encoder("playground-clip").encode(store.captions()).pooled
    np.testing.assert_allclose(np.asarray(store.texts), texts.numpy(), atol=1e-2)
    owners = [row for row, i in enumerate(kept) for _ in scenes[i].captions]
    assert store.text_to_image.tolist() == owners
    assert isinstance(store.text_to_image, np.memmap)


def test_failed_images_are_rows_of_a_report(both):
    folder, report = both
    assert report.failed == (("k3", "3 is broken"),)
    store = FeatureStore.open(folder, "playground-clip")
    assert store.failed.to_pylist() == [{"key": "k3", "image_path": "3.png", "error": "3 is broken"}]


def test_a_clips_store_keeps_the_patches_that_live_with_its_texts(both):
    store = FeatureStore.open(both[0], "playground-clip")
    assert store.dense.shape == store.patches.shape == (9, 12, 12, 128)
    assert FeatureStore.open(both[0], "playground-dino").dense is None


def test_a_folder_of_several_stores_asks_which(both):
    with pytest.raises(StoreError, match=r"holds 2 stores: playground-clip, playground-dino; give the path of one"):
        FeatureStore.open(both[0])
    assert [folder.name for folder in store_folders(both[0])] == ["playground-clip", "playground-dino"]


def test_a_store_of_another_encoder_or_size_is_refused_by_both_names(both):
    path = both[0] / "playground-dino"
    with pytest.raises(StoreError, match=r"holds features of playground-dino; expected openai/clip"):
        FeatureStore.open(path, "openai/clip")
    with pytest.raises(StoreError, match=r"encoded at 96 px, but 224 px are expected"):
        FeatureStore.open(path, size=224)


def test_embedding_something_else_into_a_store_is_refused(both):
    with pytest.raises(StoreError, match=r"holds a store with other settings .*source 'few' and 'other'"):
        embed(Few(10, (3,), "other"), PAIR, both[0], texts="playground-clip", shard_size=4, patches="full")


def test_embedding_again_does_nothing(both):
    before = files(both[0])
    again = embed(Few(10, (3,)), PAIR, both[0], texts="playground-clip", shard_size=4, patches="full")
    assert (again.encoded, again.images) == (0, 9)
    assert files(both[0]) == before


def test_every_file_is_checked_by_its_checksum(both, tmp_path):
    embed(Few(4), "playground-dino", tmp_path / "s", shard_size=2)
    store = FeatureStore.open(tmp_path / "s")
    store.check()
    file = tmp_path / "s" / "mean_emb" / "mean_emb_1.npy"
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"mean_emb_1.npy differs from its checksum"):
        store.check()


def test_a_store_cut_short_says_so(tmp_path):
    embed(Few(4), "playground-dino", tmp_path / "s", shard_size=2)
    file = tmp_path / "s" / "img_emb" / "img_emb_1.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    with pytest.raises(StoreError, match=r"img_emb_1.npy cannot be read"):
        FeatureStore.open(tmp_path / "s")
    file.unlink()
    with pytest.raises(StoreError, match=r"has 1 of 2 shards"):
        FeatureStore.open(tmp_path / "s")
    manifest = tmp_path / "s" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "complete": False}))
    with pytest.raises(StoreError, match=r"is not finished; run the same `dinoclip embed` again"):
        FeatureStore.open(tmp_path / "s")


def test_no_store_says_how_to_make_one(tmp_path):
    with pytest.raises(StoreError, match=r"there is no folder .*dinoclip embed"):
        FeatureStore.open(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"holds no store"):
        FeatureStore.open(tmp_path)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"is not empty and holds no store"):
        embed(Few(2), "playground-dino", tmp_path)
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_not_finite_features_are_refused(tmp_path):
    encoder = copy.copy(dv.load_encoder("playground-dino"))  # the loaded one is shared while it is in use
    tower = encoder.tower

    def broken(pixels, grid, methods):
        output = tower(pixels, grid, methods)
        output.pooled[1, 0] = float("nan")
        return output

    encoder.tower = broken
    with pytest.raises(StoreError, match=r"vectors of playground-dino that are NaN .*first for 'k1'"):
        embed(Few(3), encoder, tmp_path / "s")


def test_nan_in_a_store_is_found_before_training(tmp_path):
    embed(Few(4), "playground-dino", tmp_path / "s")
    file = tmp_path / "s" / "img_emb" / "img_emb_0.npy"
    values = np.load(file)
    values[2, 5] = np.nan
    np.save(file, values)
    with pytest.raises(StoreError, match=r"1 of 4 rows of pooled in .* are NaN or infinite, row 2 first"):
        FeatureStore.open(tmp_path / "s").check_finite()


def test_patches_are_averaged_to_a_smaller_grid(tmp_path, both):
    embed(Few(3), "playground-dino", tmp_path / "s", patches=4)
    store, full = FeatureStore.open(tmp_path / "s"), FeatureStore.open(both[0], "playground-dino")
    expected = np.asarray(full.patches[:3], np.float32).reshape(3, 4, 3, 4, 3, 128).mean((2, 4))
    np.testing.assert_allclose(np.asarray(store.patches, np.float32), expected, atol=1e-2)
    assert store.settings.patches == "4 x 4"
    with pytest.raises(ValueError, match=r"patches is 13; expected None, \"full\" or 1 to 12"):
        embed(Few(3), "playground-dino", tmp_path / "t", patches=13)


def test_a_shard_is_a_pure_function_of_its_images():
    encoder, texts = dv.load_encoder("playground-dino"), dv.load_text_encoder("playground-clip")
    images = [(sample, sample.load()) for sample in Few(5).samples()]
    one, two = (embed_shard(images, [encoder], texts, batch_size=2) for _ in range(2))
    for kind in ("img_emb", "mean_emb"):
        np.testing.assert_array_equal(one.arrays[0][kind], two.arrays[0][kind])
    np.testing.assert_array_equal(one.captions, two.captions)


def test_processes_decode_the_same_images_as_threads(tmp_path):
    embed("playground:2100:6", "playground-dino", tmp_path / "a", workers=0)
    embed("playground:2100:6", "playground-dino", tmp_path / "b", workers=2)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_run_that_was_killed_goes_on_to_the_same_files(tmp_path):
    code = (
        "from dinoclip_viz.pipeline import embed\n"
        f"embed('playground:2100:40', {PAIR!r}, '{{}}', texts='playground-clip', shard_size=5, workers=0)"
    )
    subprocess.run([sys.executable, "-c", code.format(tmp_path / "whole")], check=True)
    cut = tmp_path / "cut"
    process = subprocess.Popen([sys.executable, "-c", code.format(cut)])
    while not list(cut.glob("*/shards/shard_3.json")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(cut.glob("*/shards/shard_7.json"))
    subprocess.run([sys.executable, "-c", code.format(cut)], check=True)
    assert files(cut) == files(tmp_path / "whole")


def test_an_empty_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"few has no samples"):
        embed(Few(0), "playground-dino", tmp_path / "s")


def test_clip_retrievals_own_folder_opens(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float16)
    for kind in ("img_emb", "text_emb"):
        (tmp_path / kind).mkdir()
        np.save(tmp_path / kind / f"{kind}_0.npy", vectors[:3])
        np.save(tmp_path / kind / f"{kind}_1.npy", vectors[3:])
    (tmp_path / "metadata").mkdir()
    for shard, rows in enumerate(((0, 3), (3, 5))):
        names = [f"{row}.jpg" for row in range(*rows)]
        table = pa.table({"image_path": names, "caption": [f"a {name}" for name in names]})
        pq.write_table(table, tmp_path / "metadata" / f"metadata_{shard}.parquet")
    store = FeatureStore.open(tmp_path, "openai/clip-vit-base-patch32")
    np.testing.assert_array_equal(np.asarray(store.pooled), vectors)
    assert store.space == store.text_space == "openai/clip-vit-base-patch32"
    assert store.text_to_image.tolist() == [0, 1, 2, 3, 4]
    assert store.captions()[4] == "a 4.jpg"


def test_a_store_has_what_clip_retrieval_looks_for(both):
    import pyarrow.parquet as pq

    folder = both[0] / "playground-clip"
    for shard in range(3):
        vectors = np.load(folder / "img_emb" / f"img_emb_{shard}.npy")
        table = pq.read_table(folder / "metadata" / f"metadata_{shard}.parquet")
        assert len(vectors) == len(table)
        assert {"image_path", "caption"} <= set(table.column_names)


@pytest.mark.parametrize("rows", [3, -1, slice(2, 9), slice(None), slice(9, 2, -3), [7, 0, 7], np.arange(10) % 3 == 0])
def test_shards_are_indexed_as_one_array(tmp_path, rows):
    whole = np.arange(30, dtype=np.float16).reshape(10, 3)
    for number, part in enumerate((whole[:4], whole[4:4], whole[4:9], whole[9:])):
        np.save(tmp_path / f"x_{number}.npy", part)
    array = Sharded([tmp_path / f"x_{number}.npy" for number in range(4)])
    np.testing.assert_array_equal(array[rows], whole[rows])
    np.testing.assert_array_equal(np.asarray(array), whole)
    np.testing.assert_array_equal(np.concatenate(list(array.chunks(4))), whole)
    np.testing.assert_array_equal(array[np.array([[1, 9], [0, 4]])], whole[np.array([[1, 9], [0, 4]])])
    with pytest.raises(IndexError):
        array[10]
    with pytest.raises(IndexError):
        array[[0, 10]]


def test_names_become_folders():
    assert slug("open_clip/ViT-B-32/openai") == "open_clip--ViT-B-32--openai"
