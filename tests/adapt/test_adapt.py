"""`dinoclip_viz.adapt`: what it reads, what it refuses, and what the adapted model answers."""

import json
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch

import dinoclip_viz as dv
import dinoclip_viz.adapt.nola as nola
from dinoclip_viz.adapt.adapt import METHODS, answers
from dinoclip_viz.adapt.inputs import gather
from dinoclip_viz.data import PlaygroundSource, Sample
from dinoclip_viz.playground import CLASSES
from dinoclip_viz.store.reading import FeatureStore
from dinoclip_viz.tasks.zero_shot.classify import cosines, label_vectors, probabilities

QUICK = ("stata", "transclip", "zlap")


@pytest.fixture(scope="module")
def model():
    return dv.load_model("playground-clip")


@pytest.fixture(scope="module")
def scenes():
    return dv.playground.draw(3050, 24, 96, objects=1, domain="fog")


@pytest.fixture(scope="module")
def images(scenes):
    return [scene.image for scene in scenes]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    for number, image in enumerate(images):
        image.save(place / f"{number:03d}.png")
    return place


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("store") / "clip"
    dv.embed(str(folder), "playground-clip", place)
    return place


@pytest.mark.parametrize("method", QUICK)
def test_images_folders_sources_stores_and_features_give_one_answer(model, images, folder, store, method):
    forms = [
        images,
        np.stack([np.asarray(image) for image in images]).__iter__(),
        str(folder),
        folder,
        dv.FeatureStore.open(store),
        str(store),
        model.encode_images(images, methods=()),
    ]
    found = [dv.classify(dv.adapt(model, form, CLASSES, method), images[:4], CLASSES) for form in forms]
    assert found[0].shape == (4, 20) and torch.allclose(found[0].sum(1), torch.ones(4))
    for form, each in zip(forms[1:], found[1:], strict=True):
        assert torch.allclose(each, found[0], atol=2e-3 if "store" in str(form).lower() else 1e-5)  # stores are float16


@pytest.mark.parametrize("method", QUICK)
def test_the_order_of_the_images_changes_no_answer(model, images, method):
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(3)).tolist()
    one = gather(model, images)
    other = gather(model, [images[row] for row in order])
    found = [answers(dv.adapt(model, each, CLASSES, method), each) for each in (one, other)]
    assert torch.allclose(found[0][order], found[1], atol=1e-5)


def test_labels_of_an_adapted_model_are_its_classes_in_any_order(model, images):
    adapted = dv.adapt(model, images, CLASSES, "stata")
    whole = dv.classify(adapted, images[:3], CLASSES)
    some = dv.classify(adapted, images[:3], ["dog", "cat"])
    pair = whole[:, [1, 0]]
    assert torch.allclose(some, pair / pair.sum(1, keepdim=True), atol=1e-5)
    flat = dv.classify(adapted, images[:3], ["dog", "cat"], temperature=2.0)
    assert torch.allclose(flat, pair.sqrt() / pair.sqrt().sum(1, keepdim=True), atol=1e-5)
    features = adapted.encode_to_classify(images[:3])
    assert torch.allclose(dv.classify(adapted, features, ["dog", "cat"]), some, atol=1e-6)


def test_an_adapted_model_refuses_what_it_did_not_learn(model, images):
    adapted = dv.adapt(model, images, ["cat", "dog"], "stata")
    for call, reason in (
        (lambda: dv.classify(adapted, images[0], ["cat", "owl", "fox"]), "owl, fox; expected some of the 2 classes"),
        (lambda: dv.classify(adapted, images[0], ["cat", "dog"], templates=["a {}"]), "1 templates; expected none"),
        (lambda: dv.classify(adapted, images[0], ["cat", "dog"], temperature=0), "above 0"),
        (lambda: dv.classify(adapted, images[0], ["cat"]), "one label"),
        (lambda: dv.classify_or_none(adapted, images[0], ["cat"]), "none of these"),
        (lambda: dv.adapt(adapted, images, ["cat", "dog"], "stata"), "adapted already"),
    ):
        with pytest.raises(ValueError, match=reason) as error:
            call()
        assert "\n" not in str(error.value)
    with pytest.raises(dv.SpaceError):
        dv.classify(adapted, dv.load_encoder("playground-dino").encode(images[0]), ["cat", "dog"])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"class_names": ["cat"]}, "found one class, 'cat'"),
        ({"class_names": ["cat", " "]}, "empty"),
        ({"class_names": ["cat", "cat"]}, "repeated"),
        ({"class_names": []}, "no labels"),
        ({"images": []}, "at least one image"),
        ({"method": "gpua"}, "nola, nola-labeller, zlap, transclip, stata"),
        ({"guide": "playground-dino"}, "stata has no guide"),
        ({"descriptions": {"cat": ["a cat"], "dog": ["a dog"], "owl": ["an owl"]}}, "descriptions of owl"),
        ({"descriptions": {"cat": ["a cat"]}}, "no descriptions of dog"),
    ],
)
def test_bad_input_is_one_line(model, images, given, reason):
    arguments = {"images": images, "class_names": ["cat", "dog"], "method": "stata", **given}
    with pytest.raises(ValueError, match=reason) as error:
        dv.adapt(model, **arguments)
    assert "\n" not in str(error.value)


def test_features_of_another_space_are_refused(model, images, folder, tmp_path):
    dv.embed(str(folder), "playground-dino", tmp_path / "dino")
    with pytest.raises(dv.SpaceError, match="embed the images with --encoder playground-clip"):
        dv.adapt(model, tmp_path / "dino", ["cat", "dog"], "stata")
    with pytest.raises(dv.SpaceError):
        dv.adapt(model, dv.load_encoder("playground-dino").encode(images), ["cat", "dog"], "stata")


@pytest.mark.parametrize("method", ["nola", "nola-labeller"])
def test_nola_needs_pixels(model, images, store, method):
    for given in (store, model.encode_images(images, methods=())):
        with pytest.raises(ValueError, match="holds features alone; expected images"):
            dv.adapt(model, given, ["cat", "dog"], method)


@dataclass(frozen=True)
class Spy(Sample):
    """A sample whose label and captions may not be read."""

    def __getattribute__(self, name):
        if name in ("label", "captions"):
            raise AssertionError(f"{name} was read")
        return super().__getattribute__(name)


class SpySource(PlaygroundSource):
    """Scenes with their labels, which may not be read."""

    def samples(self, start=0):
        for sample in super().samples(start):
            yield Spy(sample.key, sample.image, sample.captions, label=sample.label)


@pytest.mark.parametrize("method", METHODS)
def test_no_method_reads_a_label(model, method, monkeypatch):
    with pytest.raises(AssertionError, match="label was read"):
        _ = next(SpySource(3000, 1, objects=1).samples()).label
    monkeypatch.setattr(nola, "NolaSettings", partial(nola.NolaSettings, epochs=1, labeller_epochs=2, prompts=2))
    adapted = dv.adapt(model, SpySource(3000, 20, objects=1), CLASSES, method)
    assert adapted.classifier.class_names == CLASSES and adapted.classifier.method == method


@pytest.mark.parametrize("method", QUICK)
def test_no_method_reads_a_label_of_a_store(model, store, method, monkeypatch):
    opened = dv.FeatureStore.open(store)
    plain = opened.metadata

    class Table:
        column_names = tuple(plain.column_names)

        def __getitem__(self, name):
            assert name not in ("label", "caption", "captions")
            return plain[name]

    monkeypatch.setattr(FeatureStore, "metadata", Table())
    assert dv.adapt(model, opened, CLASSES, method).classifier.method == method


def test_the_number_of_classes_is_that_of_the_names(model, images):
    adapted = dv.adapt(model, images, [*CLASSES, "owl", "fox"], "stata")
    assert dv.classify(adapted, images[:2], [*CLASSES, "owl", "fox"]).shape == (2, 22)


@pytest.fixture(scope="module")
def many():
    return dv.playground.draw(3060, 500, 96, objects=1, domain="fog")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_stata_keeps_up_with_zero_shot_on_64_images_of_3_of_20_classes(model, many, seed):
    few = np.random.default_rng(seed).choice(CLASSES, 3, replace=False)
    scenes = [scene for scene in many if scene.objects[0]["name"] in few][:64]
    target = torch.tensor([CLASSES.index(scene.objects[0]["name"]) for scene in scenes])
    unlabelled = gather(model, [scene.image for scene in scenes])
    before = probabilities(cosines(unlabelled.vectors, label_vectors(model.texts, CLASSES)), model.texts.logit_scale)
    after = answers(dv.adapt(model, unlabelled, CLASSES, "stata"), unlabelled)
    right = [(each.argmax(1) == target).float().mean().item() for each in (before, after)]
    assert len(scenes) == 64 and right[1] >= right[0] - 1e-6


def test_a_projector_model_is_adapted_in_its_own_space(images):
    model = dv.load_model("playground")
    adapted = dv.adapt(model, images, CLASSES, "stata")
    assert dv.classify(adapted, images[:2], CLASSES).shape == (2, 20)
    assert adapted.methods == model.methods


def test_progress_rises_to_one(model, images):
    seen = []
    dv.adapt(model, images, CLASSES, "zlap", progress=lambda done, line: seen.append((done, line)))
    assert seen[-1] == (1.0, "adapted to 20 classes by zlap") and [done for done, _ in seen] == sorted(
        done for done, _ in seen
    )


def test_descriptions_change_the_text_rows(model, images):
    plain, described = (dv.adapt(model, images, CLASSES, "stata", descriptions=given) for given in (None, "playground"))
    assert not torch.allclose(plain.classifier.texts, described.classifier.texts, atol=1e-3)
    with pytest.raises(ValueError, match="its own classes, not owl"):
        dv.adapt(model, images, ["cat", "owl"], "stata", descriptions="playground")


def test_unreadable_files_are_listed_and_the_rest_is_used(model, folder, tmp_path, images):
    for number in range(3):
        images[number].save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_text("no image")
    found = gather(model, tmp_path)
    assert len(found) == 3 and len(found.failed) == 1 and "broken.png" in found.failed[0][0]
    with pytest.raises(dv.ImageError, match=r"images\[1\]"):
        gather(model, [images[0], tmp_path / "broken.png"])


@pytest.mark.parametrize("method", [*QUICK, "nola-labeller"])
def test_a_saved_model_is_loaded_by_its_folder(model, images, tmp_path, method, monkeypatch):
    monkeypatch.setattr(nola, "NolaSettings", partial(nola.NolaSettings, labeller_epochs=2))
    out = tmp_path / "adapted"
    adapted = dv.adapt(model, images, CLASSES, method, folder=out, descriptions="playground")
    loaded = dv.load_model(str(out))
    assert loaded.name == str(out) and loaded.classifier.class_names == CLASSES and loaded.space == model.space
    assert torch.allclose(dv.classify(loaded, images[:3], CLASSES), dv.classify(adapted, images[:3], CLASSES))
    settings = json.loads((out / "settings.json").read_text())
    assert (settings["model"], settings["method"], settings["images"]) == ("playground-clip", method, 24)
    assert settings["descriptions"] > 100
    card = (out / "README.md").read_text()
    assert f"Method `{method}`" in card and "24 unlabelled images" in card


def test_nola_is_called_saved_and_loaded(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(nola, "NolaSettings", partial(nola.NolaSettings, epochs=1, labeller_epochs=2, prompts=2))
    adapted = dv.adapt(model, images, CLASSES, "nola", folder=tmp_path, seed=1)
    found = dv.classify(adapted, images[:3], CLASSES)
    assert adapted.classifier_images.space != model.space and adapted.images is model.images
    loaded = dv.load_model(str(tmp_path))
    assert torch.allclose(dv.classify(loaded, images[:3], CLASSES), found, atol=1e-6)
    with pytest.raises(dv.SpaceError):  # features of the model before its adaptation
        dv.classify(loaded, model.encode_images(images[:3], methods=()), CLASSES)


def test_damaged_folders_are_refused_in_one_line(model, images, tmp_path):
    dv.adapt(model, images, CLASSES, "stata", folder=tmp_path)
    file, weights = tmp_path / "settings.json", tmp_path / "classifier.safetensors"
    good = json.loads(file.read_text())
    for change, reason in (
        ({"space": "another"}, "was adapted from another"),
        ({"method": "zlap"}, "holds a classifier of stata"),
        ({"method": "magic"}, "adapted by 'magic'"),
        ({"class_names": ["cat", "dog"]}, "different classes"),
        ({"extra": 1}, "of another version"),
    ):
        file.write_text(json.dumps({**good, **change}))
        with pytest.raises(dv.EncoderError, match=reason) as error:
            dv.load_model(str(tmp_path))
        assert "\n" not in str(error.value)
    file.write_text(json.dumps(good))
    weights.write_bytes(b"no weights")
    with pytest.raises(dv.EncoderError, match=r"cannot read .*classifier.safetensors"):
        dv.load_model(str(tmp_path))
    weights.unlink()
    with pytest.raises(dv.EncoderError, match=r"has no classifier.safetensors"):
        dv.load_model(str(tmp_path))


def test_the_base_model_is_unchanged(model, images):
    before = dv.classify(model, images[:2], CLASSES)
    adapted = dv.adapt(model, images, CLASSES, "stata")
    assert model.classifier is None and replace(adapted, classifier=None) == model
    assert torch.equal(dv.classify(model, images[:2], CLASSES), before)
