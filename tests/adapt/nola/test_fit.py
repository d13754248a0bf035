"""NoLA from images to a classifier on the embedded models, its files, and its errors."""

from dataclasses import replace

import pytest
import torch

from dinoclip_viz import load_model
from dinoclip_viz.adapt.nola import NolaSettings, fit_labeller, fit_nola, load_tuned, save_tuned
from dinoclip_viz.adapt.nola.labeller import Labeller
from dinoclip_viz.encoders import EncoderError
from dinoclip_viz.encoders.checks import check_image_encoder
from dinoclip_viz.models import Classifier
from dinoclip_viz.tasks.zero_shot.classify import label_vectors

SHORT = NolaSettings(epochs=2, batch=32, labeller_epochs=20)


class Unlabelled:
    """Images that raise when anything else is read of them."""

    def __init__(self, images):
        self._images = images

    def __len__(self):
        return len(self._images)

    def __getitem__(self, row):
        return self._images[row]

    def __getattr__(self, name):
        raise LookupError(f"{name} was read; expected images alone")


@pytest.fixture(scope="module")
def texts(clip, four_classes):
    return label_vectors(clip.texts, four_classes[2])


@pytest.fixture(scope="module")
def adapted(clip, guide, four_classes, texts, tmp_path_factory):
    """Encoder, classifier, folder and lines of progress of a short run."""
    folder, lines = tmp_path_factory.mktemp("run"), []
    found = fit_nola(
        clip,
        Unlabelled(four_classes[0]),
        texts,
        four_classes[2],
        guide,
        SHORT,
        folder,
        lambda *line: lines.append(line),
    )
    return *found, folder, lines


def accuracy(encoder, classifier, four_classes):
    images, numbers, _ = four_classes
    return (classifier.probabilities(encoder.encode(images).pooled).argmax(1) == numbers).float().mean().item()


def test_a_short_run_beats_chance_without_reading_a_label(adapted, guide, four_classes):
    encoder, classifier, folder, _ = adapted
    assert accuracy(guide, Labeller.load(folder / "labeller"), four_classes) > 0.6  # chance is .25
    assert accuracy(encoder, classifier, four_classes) > 0.6
    assert isinstance(classifier, Classifier)
    assert classifier.class_names == tuple(four_classes[2]) and classifier.method == "nola"
    check_image_encoder(encoder)


def test_progress_grows_to_one(adapted):
    lines = adapted[3]
    fractions = [fraction for fraction, _ in lines]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert any(text.startswith("epoch 2 of 2: loss") for _, text in lines)


def test_saved_files_are_small_and_restore_the_same_predictions(adapted, clip, four_classes, tmp_path):
    encoder, classifier, *_ = adapted
    save_tuned(encoder, classifier, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 64_000  # the tower has 1.2 million weights
    loaded, again = load_tuned(clip.images, tmp_path)
    images = four_classes[0][:5]
    assert torch.equal(loaded.encode(images).pooled, encoder.encode(images).pooled)
    assert torch.equal(again.weight, classifier.weight) and loaded.space == encoder.space
    with pytest.raises(EncoderError, match=r"has no classifier\.safetensors"):
        load_tuned(clip.images, tmp_path / "elsewhere")
    (tmp_path / "tuned.safetensors").write_bytes(b"nothing")
    with pytest.raises(EncoderError, match=r"cannot read .*tuned\.safetensors as a tuned tower"):
        load_tuned(clip.images, tmp_path)


def test_a_tuned_tower_is_refused_on_another_model(adapted, tiny_folder, tmp_path):
    other = load_model(tiny_folder("clip"), device="cpu")
    save_tuned(*adapted[:2], tmp_path)
    with pytest.raises(EncoderError, match=r"is for vectors of 128 values; .* has 24"):
        load_tuned(other.images, tmp_path)
    with pytest.raises(EncoderError, match="is not tuned by NoLA"):
        save_tuned(other.images, adapted[1], tmp_path)


def test_a_second_call_resumes(adapted, clip, guide, four_classes, texts, monkeypatch):
    monkeypatch.setattr("dinoclip_viz.adapt.nola.tuning.Tuner._run_epoch", None)  # nothing is left to train
    encoder, classifier = fit_nola(clip, four_classes[0], texts, four_classes[2], guide, SHORT, adapted[2])
    assert torch.equal(classifier.weight, adapted[1].weight) and encoder.space == adapted[0].space


@pytest.fixture(scope="module")
def half(four_classes):
    images, numbers, names = four_classes
    return images[::2], numbers[::2], names


def test_without_tuning_the_labelling_network_is_the_classifier(clip, guide, half, texts):
    settings = replace(SHORT, tune=False)
    encoder, classifier = fit_nola(clip, half[0], texts, half[2], guide, settings)
    assert encoder is guide and isinstance(classifier, Labeller)
    assert accuracy(encoder, classifier, half) > 0.5
    encoder, classifier = fit_nola(clip, half[0], texts, half[2], None, settings)
    assert encoder is clip.images
    assert accuracy(encoder, classifier, half) > 0.5


def test_without_a_guide_the_models_own_features_are_labelled(clip, half, texts, monkeypatch):
    seen = []
    monkeypatch.setattr("dinoclip_viz.adapt.nola.fit._tuned", lambda *given: seen.append(given) or given[:2])
    few = replace(SHORT, least=3)
    for settings in (few, replace(few, pseudo_labels="zero-shot")):
        fit_nola(clip, half[0], texts, half[2], None, settings)
    own = clip.images.encode(half[0]).pooled
    torch.testing.assert_close(seen[0][5], own, rtol=0, atol=1e-5)  # the features of the criterion
    scores = torch.nn.functional.normalize(own, dim=1) @ texts.T
    assert torch.equal(seen[1][4], scores.argmax(1))  # the pseudo-labels
    labeller = fit_labeller(own, (scores * clip.texts.logit_scale).softmax(1), half[2], few)
    assert torch.equal(seen[0][4], labeller.probabilities(own).argmax(1))
    assert not torch.equal(seen[0][4], seen[1][4])


def test_a_model_with_a_projector_has_a_labelling_network_but_is_not_tuned(half):
    model = load_model("playground", device="cpu", dtype="float32")
    images, _, names = half
    texts = label_vectors(model.texts, names)
    with pytest.raises(EncoderError, match="playground has a projector, and NoLA tunes a CLIP"):
        fit_nola(model, images, texts, names, None, SHORT)
    encoder, classifier = fit_nola(model, images, texts, names, None, replace(SHORT, tune=False))
    assert encoder is model.images
    assert accuracy(encoder, classifier, half) > 0.5


def test_bad_input_gets_one_line(clip, guide, four_classes, texts):
    images, _, names = four_classes
    even = texts[:1].repeat(4, 1)
    for given, rows, classes, message in (
        (images[:9], texts, names, "found 9 images; expected at least 16"),
        (images, texts[:1], names[:1], "found one class, 'cat'; expected two or more"),
        (images, even, names, "no confident image"),
        (images, texts[:3], names, r"texts have shape \(3, 128\); expected \(4, D\)"),
        (images, 2 * texts, names, "the text row of 'cat' has length 2.000; expected unit rows"),
        (images, texts, ["cat", "cat", "dog", "bus"], "found repeated labels: cat"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            fit_nola(clip, given, rows, classes, guide, SHORT)
        assert "\n" not in str(error.value)
