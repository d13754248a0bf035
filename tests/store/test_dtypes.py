"""Stores of one encoder in different dtypes are never mixed; the device of a store is information only."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.store import FeatureStore, StoreError, check_one_dtype
from dinoclip_viz.store.writing import ImageRow, Shard, finish, prepare, write_shard
from dinoclip_viz.tasks.retrieval.search import image_queries, text_queries
from dinoclip_viz.training import Pairs, Recipe, find_recipe, fit_projector
from tests.made_stores import pair, settings

MADE = replace(settings("made-dino", 4, "made-clip", 4), device="cpu", text_dtype="float32")


def shard(number):
    rows = [ImageRow(f"{number}", "", ("a",), None, 9, 9)]
    vectors = np.ones((1, 4), np.float16)
    return Shard(rows, [], [{"img_emb": vectors, "mean_emb": vectors}], vectors, np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"dtype": "bfloat16"}, "made-dino computed in float32, not in bfloat16; resume with --dtype float32, or"),
        ({"text_dtype": "float16"}, "computed in float32, not in float16; resume with --dtype float32, or choose"),
        ({"size": 4, "dtype": "bfloat16"}, "other settings (stored and expected: dtype 'float32' and 'bfloat16', size"),
    ],
)
def test_an_unfinished_store_is_not_resumed_in_another_dtype(tmp_path, change, line):
    assert prepare(tmp_path / "s", MADE) is False
    write_shard([tmp_path / "s"], 0, shard(0), 0.0)
    with pytest.raises(StoreError) as caught:
        prepare(tmp_path / "s", replace(MADE, **change))
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert prepare(tmp_path / "s", MADE) is False  # nothing has changed


def test_images_and_captions_of_two_dtypes_are_both_named(tmp_path):
    prepare(tmp_path / "s", replace(MADE, text_dtype="bfloat16"))
    with pytest.raises(StoreError, match="not in float32; resume with images in float32 and captions in bfloat16"):
        prepare(tmp_path / "s", MADE)


def test_another_device_resumes_and_is_noted(tmp_path):
    prepare(tmp_path / "s", MADE)
    write_shard([tmp_path / "s"], 0, shard(0), 0.0)
    later = replace(MADE, device="cuda:0", text_dtype="")  # the dtype of captions was not noted before
    assert prepare(tmp_path / "s", later) is False
    assert prepare(tmp_path / "s", later) is False
    write_shard([tmp_path / "s"], 1, shard(1), 0.0)
    finish(tmp_path / "s", later)
    store = FeatureStore.open(tmp_path / "s")
    assert (len(store), store.settings.device) == (2, "cpu, cuda:0")
    assert prepare(tmp_path / "s", replace(MADE, device="mps")) is True
    assert FeatureStore.open(tmp_path / "s").settings.device == "cpu, cuda:0"


def test_a_manifest_without_device_opens(tmp_path):
    prepare(tmp_path / "s", MADE)
    write_shard([tmp_path / "s"], 0, shard(0), 0.0)
    finish(tmp_path / "s", MADE)
    file = tmp_path / "s" / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["settings"]["device"], manifest["settings"]["text_dtype"]
    file.write_text(json.dumps(manifest))
    assert FeatureStore.open(tmp_path / "s").settings.device == ""


def test_one_dtype_is_expected_where_it_is_known():
    check_one_dtype("a", {"x": "float32", "y": "", "z": "float32"})
    with pytest.raises(StoreError, match="of a were computed in different dtypes: x in float32 and y in float16"):
        check_one_dtype("a", {"x": "float32", "y": "float16"})


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A store of playground-dino in bfloat16."""
    folder = tmp_path_factory.mktemp("short")
    dv.embed("playground:2010:6", dv.load_encoder("playground-dino", "cpu", "bfloat16"), folder / "s")
    return FeatureStore.open(folder / "s")


def test_a_query_is_encoded_in_the_dtype_of_the_store(short):
    image = dv.playground.draw(2010, 1, 96)[0].image
    by_name, vectors = image_queries(short, [image], "playground-dino")
    encoder = dv.load_encoder("playground-dino", "cpu", "bfloat16")
    assert torch.equal(by_name, image_queries(short, [image], encoder)[0])
    exact = dv.load_encoder("playground-dino", "cpu", "float32")
    assert not torch.equal(by_name, exact.encode([image]).pooled)
    for other in (exact, dv.load_model("playground", device="cpu", dtype="float32")):
        with pytest.raises(StoreError, match="in bfloat16 and the query in float32; expected one"):
            image_queries(short, [image], other)
    assert text_queries(short, "a cat", dv.load_model("playground", device="cpu"))[0].shape == (1, 128)
    assert vectors.shape == (6, 128)


def changed(store, dtype, encoder=None):
    """The store with another dtype in its settings, as if it had been computed so."""
    names = {"encoder": encoder, "space": encoder, "patch_space": encoder} if encoder else {}
    return replace(store, settings=replace(store.settings, dtype=dtype, **names))


def test_training_takes_stores_of_different_encoders_in_different_dtypes_alone(tmp_path):
    images, targets = pair(tmp_path, 60)
    assert len(Pairs(changed(images, "bfloat16"), targets)) == 54
    with pytest.raises(StoreError, match="made-clip were computed in different dtypes"):
        Pairs(changed(images, "bfloat16", "made-clip"), targets)


def test_stores_of_patches_are_of_the_same_dtype(tmp_path):
    images, targets = pair(tmp_path, 60, patches=True)
    recipe: Recipe = find_recipe("best", epochs=1, batch=20, patch_epochs=1, hidden=8)
    short = replace(changed(images, "bfloat16"), path=tmp_path / "short")
    with pytest.raises(
        StoreError, match=r"made-dino were computed in different dtypes: .* in float32 and .*short in bfloat16"
    ):
        fit_projector(images, targets, recipe=recipe, patches=(short, targets))


def test_a_training_is_not_resumed_on_stores_of_another_dtype(tmp_path):
    images, targets = pair(tmp_path / "made", 60)
    recipe: Recipe = find_recipe("best", epochs=1, batch=20, patch_epochs=0, hidden=8)
    fit_projector(images, targets, recipe=recipe, folder=tmp_path / "p", device="cpu")
    with pytest.raises(ValueError, match="holds a run with other stores"):
        fit_projector(changed(images, "bfloat16"), targets, recipe=recipe, folder=tmp_path / "p")
    noted = json.loads((tmp_path / "p" / "run.json").read_text())
    for store in noted["stores"].values():  # as it was written before dtypes were noted
        del store["dtype"]
    (tmp_path / "p" / "run.json").write_text(json.dumps(noted))
    fit_projector(images, targets, recipe=recipe, folder=tmp_path / "p")
    record = json.loads((tmp_path / "p" / "training.json").read_text())
    assert (record["device"], record["dtype"], record["stores"]["images"]["dtype"]) == ("cpu", "float32", "float32")


@pytest.mark.parametrize(("device", "message"), [("gpu", "'gpu' is not available"), ("cuda:99", "not available")])
def test_training_refuses_an_unknown_device(tmp_path, device, message):
    images, targets = pair(tmp_path, 60)
    with pytest.raises(ValueError, match=message):
        fit_projector(images, targets, device=device)
