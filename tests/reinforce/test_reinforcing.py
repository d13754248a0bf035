"""Reinforced stores: what they hold, resumption, further encoders by replay, and what is refused."""

import filecmp
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.data import Sample, SourceError, open_source
from dinoclip_viz.encoders import EncoderError
from dinoclip_viz.reinforce import ReinforcedStore, draw_view, reinforce, replay
from dinoclip_viz.reinforce.augment import pixel_hash
from tests.reinforce.conftest import SMALL, SOURCE

SKIPPED = {"log.jsonl"}


class Listed:
    """A source of given samples."""

    name = "listed"

    def __init__(self, samples):
        self._samples = list(samples)

    @property
    def count(self):
        return len(self._samples)

    def samples(self, start=0):
        return iter(self._samples[start:])


def files(folder):
    return sorted(str(file.relative_to(folder)) for file in Path(folder).rglob("*") if file.is_file())


def equal(one, other):
    """Whether two folders hold the same files with the same bytes, logs apart."""
    names = [name for name in files(one) if Path(name).name not in SKIPPED]
    assert names == [name for name in files(other) if Path(name).name not in SKIPPED]
    return [name for name in names if not filecmp.cmp(Path(one) / name, Path(other) / name, shallow=False)]


def test_a_store_holds_views_captions_and_vectors_of_every_encoder(made, teacher, student):
    store = ReinforcedStore.open(made)
    samples = list(open_source(SOURCE).samples())
    assert len(store) == 7
    assert [row.key for row in store.rows] == [sample.key for sample in samples]
    (taught,), (learner,) = store.teachers, store.students
    count = 0
    for number, (row, sample) in enumerate(zip(store.rows, samples, strict=True)):
        image = sample.load()
        expected = [draw_view(image.size, SMALL, 4, sample.key, view) for view in range(3)]
        assert list(row.views) == expected
        views = [replay(image, view, 32) for view in expected]
        assert row.pixels == pixel_hash(views)
        assert row.real == sample.captions
        assert row.synthetic
        assert not set(row.synthetic) & set(row.real)
        rows = slice(3 * number, 3 * number + 3)
        seen = teacher[0].encode(views).pooled  # views have the encoder's size: its crop changes nothing
        torch.testing.assert_close(_tensor(store.views_of(taught)[rows]), seen, rtol=2e-3, atol=2e-3)
        own = student.encode(views, size=32)
        torch.testing.assert_close(_tensor(store.views_of(learner)[rows]), own.pooled, rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(_tensor(store.view_means_of(learner)[rows]), own.mean, rtol=2e-3, atol=2e-3)
        texts = [*row.real, *row.synthetic]
        assert taught.captions()[count : count + len(texts)] == texts
        said = teacher[1].encode(texts).pooled
        torch.testing.assert_close(_tensor(taught.texts[count : count + len(texts)]), said, rtol=2e-3, atol=2e-3)
        count += len(texts)
    assert count == len(taught.texts)


def test_the_encoders_stores_are_those_of_embed(made, teacher, student, tmp_path):
    dv.embed(SOURCE, [teacher[0], student], tmp_path / "s")
    for store in (*ReinforcedStore.open(made).teachers, *ReinforcedStore.open(made).students):
        embedded = dv.FeatureStore.open(tmp_path / "s" / store.path.name)
        assert embedded.space == store.space
        np.testing.assert_allclose(np.asarray(store.pooled), np.asarray(embedded.pooled), atol=2e-3)
        store.check()


def test_views_are_replayed_to_the_stored_pixels(made):
    store, sample = ReinforcedStore.open(made), list(open_source(SOURCE).samples())[5]
    views = store.replay(5, sample.load())
    assert pixel_hash(views) == store.rows[5].pixels
    assert len({pixel_hash([view]) for view in views}) == 3
    buffer = io.BytesIO()
    sample.load().save(buffer, "PNG")
    for form in (buffer.getvalue(), np.asarray(sample.load())):
        assert pixel_hash(store.replay(5, form)) == store.rows[5].pixels


def test_another_image_or_other_versions_are_refused(made):
    store, samples = ReinforcedStore.open(made), list(open_source(SOURCE).samples())
    with pytest.raises(dv.StoreError, match=r"'500-000005' have other pixels than the stored ones, made with pillow"):
        store.replay(5, samples[4].load())
    with pytest.raises(dv.StoreError, match=r"has 33 x 32 pixels, in the store 32 x 32"):
        store.replay(5, samples[5].load().resize((33, 32)))


def test_the_manifest_names_versions_and_encoders(made):
    found = json.loads((made / "reinforced.json").read_text())
    assert {"pillow", "torchvision", "interpolation"} <= found["versions"].keys()
    assert found["complete"]
    assert len(found["students"]) == len(found["teachers"]) == 1
    assert found["settings"]["augmentation"]["scale"] == [0.3, 1.0]


def test_an_interrupted_run_resumes_with_the_same_bytes(made, teacher, student, settings, tmp_path):
    class Stop(Exception):  # noqa: N818
        pass

    def stop(done, count):
        if done > 4:
            raise Stop

    with pytest.raises(Stop):
        reinforce(SOURCE, [teacher], tmp_path / "s", student, **settings, watch=stop)
    with pytest.raises(dv.StoreError, match="is not finished"):
        ReinforcedStore.open(tmp_path / "s")
    shards = list((tmp_path / "s").glob("*/shards/shard_0.json"))
    assert len(shards) == 2
    report = reinforce(SOURCE, [teacher], tmp_path / "s", student, **settings)
    assert report.encoded == 4
    assert equal(made, tmp_path / "s") == []


def test_a_shard_that_one_encoder_lacks_is_encoded_by_it_alone(made, teacher, student, settings, tmp_path):
    reinforce(SOURCE, [teacher], tmp_path / "s", student, **settings)
    manifest = ReinforcedStore.open(tmp_path / "s").manifest
    lost = tmp_path / "s" / manifest.students[0]
    (lost / "shards" / "shard_1.json").unlink()
    state = json.loads((lost / "manifest.json").read_text())
    (lost / "manifest.json").write_text(json.dumps({**state, "complete": False}))
    replace(manifest, complete=False).write(tmp_path / "s")
    report = reinforce(SOURCE, [teacher], tmp_path / "s", student)
    assert report.encoded == 3  # the images of shard 1
    assert equal(made, tmp_path / "s") == []


def test_a_teacher_added_later_encodes_the_same_views(made, teacher, other_teacher, student, settings, tmp_path):
    both = tmp_path / "both"
    reinforce(SOURCE, [teacher, other_teacher], both, student, **settings)
    later = tmp_path / "later"
    reinforce(SOURCE, [teacher], later, student, **settings)
    report = reinforce(SOURCE, other_teacher, later)
    assert report.encoded == 7
    assert len(report.teachers) == 2
    assert equal(both, later) == []


def test_a_run_that_is_done_encodes_nothing(made, teacher, student):
    assert reinforce(SOURCE, [teacher], made, student).encoded == 0


def test_settings_other_than_the_stored_ones_are_refused(made, teacher):
    with pytest.raises(dv.StoreError, match=r"is a reinforced store with views 3, not 4; take the stored settings"):
        reinforce(SOURCE, [teacher], made, views=4)
    with pytest.raises(dv.StoreError, match=r"with source 'playground:500:7:32', not 'playground:501:7:32'"):
        reinforce("playground:501:7:32", [teacher], made)
    with pytest.raises(dv.StoreError, match=r"with scale \(0.3, 1.0\), not \(0.5, 1.0\)"):
        reinforce(SOURCE, [teacher], made, augmentation=replace(SMALL, scale=(0.5, 1.0)))


def test_a_teacher_that_differs_from_the_stores_is_refused(made, teacher):
    images, texts = teacher
    other = replace(images, space="another"), replace(texts, space="another")
    with pytest.raises(
        dv.StoreError, match=r"differs from the encoder of that name in the store.*space 'clip-.*another"
    ):
        reinforce(SOURCE, [other], made)


def test_other_images_under_the_same_keys_are_refused(teacher, other_teacher, settings, tmp_path):
    samples = list(open_source(SOURCE).samples())
    swapped = [replace(one, image=other.image) for one, other in zip(samples, reversed(samples), strict=True)]
    reinforce(Listed(samples), [teacher], tmp_path / "s", **settings)
    with pytest.raises(dv.StoreError, match="other pixels than the stored ones"):
        reinforce(Listed(swapped), other_teacher, tmp_path / "s")
    with pytest.raises(dv.StoreError, match=r"image 'new' is not in .*; expected the images of the store"):
        reinforce(Listed([replace(samples[0], key="new"), *samples[1:]]), other_teacher, tmp_path / "s")
    with pytest.raises(dv.StoreError, match=r"another order of the images"):
        reinforce(Listed([samples[1], samples[0], *samples[2:]]), other_teacher, tmp_path / "s")
    with pytest.raises(dv.StoreError, match=r"image '500-000002' of the store cannot be read"):
        reinforce(Listed(samples[:2]), other_teacher, tmp_path / "s")


def image(value=90):
    return Image.fromarray(np.full((20, 24, 3), value, np.uint8))


def test_images_without_captions_and_broken_ones_are_listed(teacher, settings, tmp_path):
    samples = [
        Sample("a", image(), ("a cat", "  ")),
        Sample("b", image(), ("", " ")),
        Sample("c", b"no image", ("a dog",)),
        Sample("d", image(10), ("a dog",)),
    ]
    report = reinforce(Listed(samples), [teacher], tmp_path / "s", **settings)
    assert (report.images, report.captions) == (2, 2)
    assert dict(report.failed).keys() == {"b", "c"}
    assert dict(report.failed)["b"] == "b: no caption; expected at least one per image, or a captioner"


def test_a_source_without_captions_is_refused_in_one_line(teacher, settings, tmp_path):
    with pytest.raises(SourceError, match=r"none of the first 3 images can be reinforced; the first is 0: no caption"):
        reinforce(Listed([Sample(str(n), image()) for n in range(9)]), [teacher], tmp_path / "s", **settings)
    with pytest.raises(SourceError, match="listed has no samples"):
        reinforce(Listed([]), [teacher], tmp_path / "t", **settings)


def test_numbers_out_of_range_and_missing_encoders_are_refused(teacher, student, tmp_path):
    with pytest.raises(ValueError, match="views is 0; expected 1 or more"):
        reinforce(SOURCE, [teacher], tmp_path / "s", views=0)
    with pytest.raises(ValueError, match="found no teacher and no student"):
        reinforce(SOURCE, [], tmp_path / "s")
    with pytest.raises(ValueError, match="twice among teachers and student"):
        reinforce(SOURCE, [teacher, teacher], tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_folder_with_something_else_is_refused(teacher, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(dv.StoreError, match="is not empty and holds no reinforced store"):
        reinforce(SOURCE, [teacher], tmp_path)
    with pytest.raises(dv.StoreError, match=r"is no reinforced store \(no reinforced.json\)"):
        ReinforcedStore.open(tmp_path)


def test_the_captioner_none_adds_no_captions(teacher, settings, tmp_path):
    reinforce(SOURCE, [teacher], tmp_path / "s", captioner="none", **settings)
    assert all(row.synthetic == () for row in ReinforcedStore.open(tmp_path / "s").rows)


def test_scenes_have_no_further_captions_outside_the_playground(teacher, settings, tmp_path):
    with pytest.raises(ValueError, match="captioner 'scenes' on image 'a'; expected a scene of the playground"):
        reinforce(Listed([Sample("a", image(), ("a cat",))]), [teacher], tmp_path / "s", captioner="scenes", **settings)


def test_a_captioner_that_cannot_be_loaded_is_named(teacher, tmp_path):
    with pytest.raises(EncoderError, match=r"captioner .*nothing cannot be loaded.*expected an image-to-text model"):
        reinforce(SOURCE, [teacher], tmp_path / "s", captioner=str(tmp_path / "nothing"))
    assert not (tmp_path / "s").exists()


def _tensor(rows):
    return torch.from_numpy(np.array(rows)).float()
