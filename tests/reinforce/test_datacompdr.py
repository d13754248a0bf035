"""DataCompDR's layout: written, read back, imported; broken members are named; nothing is unpickled."""

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.data import SourceError
from dinoclip_viz.reinforce import (
    ReinforcedStore,
    import_datacompdr,
    read_datacompdr,
    reinforce,
    write_datacompdr,
)
from tests.reinforce.conftest import SOURCE


@pytest.fixture(scope="module")
def tars(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars")
    return folder, write_datacompdr(ReinforcedStore.open(made), folder)


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def members(**changes):
    """The members of one published sample: two views, five captions, two teachers of 3 dimensions."""
    chance = np.random.default_rng(0)
    stored = io.BytesIO()
    images, texts = chance.normal(size=(2, 6)).astype(np.float32), chance.normal(size=(6, 6)).astype(np.float32)
    np.savez(stored, image_emb=images, text_emb=texts)
    parts = {
        "url.txt": b"https://example.org/a.jpg",
        "syn.json": json.dumps({"syn_text": list("abcde")}).encode(),
        "paug.json": json.dumps({"param_aug": [[[1, 2, 30, 40], [[0, 0.0], [5, 9.0]]]] * 2}).encode(),
        "npz": stored.getvalue(),
        "json": json.dumps({"uid": "u1", "sha256": "ff"}).encode(),
    }
    parts |= {name.replace("_", "."): content for name, content in changes.items()}
    return {name: content for name, content in parts.items() if content is not None}, images, texts


def tar(path, *samples):
    with tarfile.open(path, "w") as opened:
        for number, parts in enumerate(samples):
            for ending, content in parts.items():
                header = tarfile.TarInfo(f"{number:04d}.{ending}")
                header.size = len(content)
                opened.addfile(header, io.BytesIO(content))
    return path


def zipped(value):
    stored = io.BytesIO()
    torch.save(value, stored)
    return gzip.compress(stored.getvalue())


def test_a_store_is_read_back_from_its_shards(made, tars):
    store, (folder, written) = ReinforcedStore.open(made), tars
    assert [file.name for file in written] == ["00000.tar", "00001.tar", "00002.tar"]
    samples = list(read_datacompdr(folder))
    teacher, start = store.teachers[0], 0
    for number, (sample, row) in enumerate(zip(samples, store.rows, strict=True)):
        assert (sample.key, sample.uid) == (row.key, row.key)
        assert (sample.views, sample.real, sample.synthetic) == (row.views, row.real, row.synthetic)
        rows = slice(3 * number, 3 * number + 3)
        np.testing.assert_allclose(sample.images, unit(store.views_of(teacher)[rows]), atol=1e-6)
        end = start + len(row.captions)
        np.testing.assert_allclose(sample.texts, unit(teacher.texts[start:end]), atol=1e-6)
        assert sample.unseen == 0
        start = end


def test_members_and_their_contents_are_the_published_ones(tars):
    with tarfile.open(tars[1][0]) as opened:
        names = opened.getnames()
        assert names[:6] == [f"500-000000.{e}" for e in ("url.txt", "syn.json", "paug.json", "npz", "json", "txt")]
        views = json.loads(opened.extractfile(names[2]).read())["param_aug"]
        assert len(views) == 3
        for box, flip, operations in views:  # the set has flips
            assert len(box) == 4
            assert isinstance(flip, bool)
            assert [len(pair) for pair in operations] == [2, 2]
        arrays = np.load(io.BytesIO(opened.extractfile(names[3]).read()), allow_pickle=False)
        captions = json.loads(opened.extractfile(names[1]).read())["syn_text"]
        assert arrays["image_emb"].dtype == np.float32
        assert arrays["image_emb"].shape == (3, 24)
        assert len(arrays["text_emb"]) == 1 + len(captions)  # one real caption before the others


def test_existing_shards_are_kept_and_others_refused(made, tars, other_teacher, tmp_path):
    folder, written = tars
    before = written[0].stat().st_mtime_ns
    assert write_datacompdr(ReinforcedStore.open(made), folder) == written
    assert written[0].stat().st_mtime_ns == before
    reinforce("playground:500:2:32", other_teacher, tmp_path / "s", views=2)
    with pytest.raises(dv.StoreError, match="has shards of other teachers or views"):
        write_datacompdr(ReinforcedStore.open(tmp_path / "s"), folder)


def test_two_teachers_are_joined_and_divided_again(teacher, other_teacher, settings, tmp_path):
    reinforce(SOURCE, [teacher, other_teacher], tmp_path / "s", **settings)
    store = ReinforcedStore.open(tmp_path / "s")
    write_datacompdr(store, tmp_path / "tars")
    names = [one.settings.encoder for one in store.teachers]
    again = import_datacompdr(tmp_path / "tars", names, tmp_path / "again", source=SOURCE, size=32, shard_size=4)
    assert [row.views for row in again.rows] == [row.views for row in store.rows]
    assert [row.captions for row in again.rows] == [row.captions for row in store.rows]
    for one, other in zip(again.teachers, store.teachers, strict=True):
        seen, texts = unit(store.views_of(other)[:]), unit(other.texts[:])
        np.testing.assert_allclose(np.asarray(again.views_of(one)[:], np.float32), seen, atol=1e-3)
        np.testing.assert_allclose(np.asarray(one.texts[:], np.float32), texts, atol=1e-3)
        means = seen.reshape(7, 3, -1).mean(1)
        np.testing.assert_allclose(np.asarray(one.pooled[:], np.float32), means, atol=1e-3)
        assert one.check() is None


def test_a_student_is_added_to_imported_shards(made, tars, student, teacher, tmp_path):
    name = teacher[0].name
    import_datacompdr(tars[0], [name], tmp_path / "again", source=SOURCE, size=32, shard_size=4)
    reinforce(SOURCE, [], tmp_path / "again", student)
    ours, original = ReinforcedStore.open(tmp_path / "again"), ReinforcedStore.open(made)
    mine, theirs = ours.views_of(ours.students[0])[:], original.views_of(original.students[0])[:]
    np.testing.assert_allclose(np.asarray(mine, np.float32), np.asarray(theirs, np.float32), atol=2e-3)


@pytest.mark.parametrize("packed", ["npz", "pth.gz"])
def test_published_members_are_read(packed, tmp_path):
    parts, images, texts = members()
    if packed == "pth.gz":
        del parts["npz"]
        half = {"image_emb": torch.tensor(images).bfloat16(), "text_emb": torch.tensor(texts).bfloat16()}
        parts["pth.gz"] = zipped(half)
    (sample,) = read_datacompdr(tar(tmp_path / "a.tar", parts))
    tolerance = 0 if packed == "npz" else 1e-2
    np.testing.assert_allclose(sample.images, images, rtol=tolerance)
    np.testing.assert_allclose(sample.texts, texts, rtol=tolerance)
    assert (sample.uid, sample.sha256, sample.url) == ("u1", "ff", "https://example.org/a.jpg")
    assert (sample.real, sample.unseen, sample.synthetic) == ((), 1, tuple("abcde"))
    assert sample.views[1].box == (1, 2, 30, 40)
    assert sample.views[1].operations == ((0, 0.0), (5, 9.0))


def test_several_lists_of_captions_are_joined(tmp_path):
    parts, images, texts = members(syn_json=json.dumps({"syn_text_a": ["x"], "syn_text_b": ["y", "z"]}).encode())
    stored = io.BytesIO()
    np.savez(stored, image_emb=images, text_emb=texts[:1], syn_text_a_emb=texts[1:2], syn_text_b_emb=texts[2:4])
    (sample,) = read_datacompdr(tar(tmp_path / "a.tar", {**parts, "npz": stored.getvalue()}))
    assert sample.synthetic == ("x", "y", "z")
    np.testing.assert_array_equal(sample.texts, texts[:4])


def test_no_member_is_unpickled(tmp_path):
    touched = tmp_path / "touched"

    class Harm:
        def __reduce__(self):
            return (open, (str(touched), "w"))

    for ending, content in (("pth.gz", zipped(Harm())), ("npz", pickled_npz(Harm()))):
        parts = {name: value for name, value in members()[0].items() if name != "npz"} | {ending: content}
        with pytest.raises(dv.StoreError, match=rf"a.tar/0000.{ending} .*expected DataCompDR's layout"):
            list(read_datacompdr(tar(tmp_path / "a.tar", parts)))
    assert not touched.exists()


def pickled_npz(value):
    stored = io.BytesIO()
    array = np.empty(1, dtype=object)
    array[0] = value
    np.savez(stored, image_emb=array)
    return stored.getvalue()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"paug_json": None}, "0000.paug.json is missing"),
        ({"syn_json": None}, "0000.syn.json is missing"),
        ({"npz": None}, "0000.pth.gz is missing"),
        ({"paug_json": b"{"}, "0000.paug.json "),
        ({"paug_json": b'{"param_aug": [[1, 2]]}'}, "0000.paug.json .* no parameters of a view"),
        ({"syn_json": b'{"syn_text": "a cat"}'}, "0000.syn.json has syn_text that is no list of texts"),
        ({"syn_json": b"{}"}, "0000.syn.json has no syn_text"),
        ({"syn_json": json.dumps({"syn_text": ["a"] * 7}).encode()}, "6 rows of text embeddings for 7 synthetic"),
        ({"paug_json": b'{"param_aug": []}'}, "2 rows of image_emb for 0 views"),
        ({"npz": b"no zip"}, "0000.npz "),
        ({"json": b"{"}, "0000.json "),
    ],
)
def test_broken_members_are_named_in_one_line(changes, expected, tmp_path):
    with pytest.raises(dv.StoreError, match=expected) as caught:
        list(read_datacompdr(tar(tmp_path / "a.tar", members(**changes)[0])))
    assert "\n" not in str(caught.value)


def test_a_shard_cut_off_is_named(tmp_path):
    whole = tar(tmp_path / "a.tar", members()[0]).read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(dv.StoreError, match=r"b.tar: a tar that is missing, broken or cut off"):
        list(read_datacompdr(tmp_path / "b.tar"))
    with pytest.raises(SourceError, match="none of its 1 shards exists"):
        list(read_datacompdr(tmp_path / "c.tar"))


def test_shards_that_do_not_fit_are_refused(tmp_path):
    one = tar(tmp_path / "a.tar", members()[0])
    with pytest.raises(ValueError, match="vectors of 6 dimensions for 4 teachers; expected equal parts"):
        import_datacompdr(one, list("abcd"), tmp_path / "s")
    fewer, _, texts = members(paug_json=json.dumps({"param_aug": [[[0, 0, 1, 1], []]]}).encode())
    stored = io.BytesIO()
    np.savez(stored, image_emb=texts[:1], text_emb=texts)
    both = tar(tmp_path / "b.tar", members()[0], {**fewer, "npz": stored.getvalue()})
    with pytest.raises(dv.StoreError, match="0001 has 1 views of 6 dimensions; expected 2 of 6"):
        import_datacompdr(both, ["a"], tmp_path / "t")
