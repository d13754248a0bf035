"""The labelling network: what it learns from, its seeds, its file and its errors."""

import pytest
import torch

from dinoclip_viz.adapt.nola import Labeller, NolaSettings, fit_labeller, select_confident
from dinoclip_viz.adapt.nola.selection import images_per_class
from dinoclip_viz.encoders import EncoderError
from dinoclip_viz.models import Classifier

NAMES = ["cat", "dog", "bird"]


@pytest.fixture(scope="module")
def clusters():
    """Features of three well separated classes on an odd scale, and zero-shot probabilities that err on a quarter."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.arange(3).repeat(60)
    features = torch.randn(180, 10, generator=generator) + 4 * torch.eye(3, 10)[numbers]
    guessed = numbers.clone()
    wrong = torch.randperm(180, generator=generator)[:45]
    guessed[wrong] = (numbers[wrong] + 1) % 3
    confident = torch.full((180,), 3.0).index_fill(0, wrong, 1.0)  # errors are less confident
    probabilities = (torch.eye(3)[guessed] * confident[:, None]).softmax(1)
    return features * 500 + 1_000, probabilities, numbers


def test_it_corrects_the_errors_of_the_zero_shot_labels(clusters):
    features, probabilities, numbers = clusters
    assert (probabilities.argmax(1) == numbers).float().mean() == 0.75
    labeller = fit_labeller(features, probabilities, NAMES)
    assert (labeller.probabilities(features).argmax(1) == numbers).float().mean() > 0.95
    assert isinstance(labeller, Classifier)


def test_only_confident_images_are_learnt_from(clusters):
    features, probabilities, _ = clusters
    chosen = select_confident(probabilities, images_per_class(180, 3))
    assert len(chosen) == 48
    others = torch.ones(180, dtype=torch.bool)
    others[chosen.rows] = False
    changed = features.clone()
    changed[others] = changed[others].flip(0)  # the same mean and deviation of all images
    one, other = fit_labeller(features, probabilities, NAMES), fit_labeller(changed, probabilities, NAMES)
    torch.testing.assert_close(one.inner.weight, other.inner.weight, rtol=0, atol=1e-4)


def test_the_layers_are_as_published(clusters):
    features, probabilities, _ = clusters
    labeller = fit_labeller(features, probabilities, NAMES, NolaSettings(labeller_epochs=1, scale_inputs=False))
    assert labeller.inner.weight.shape == (256, 10) and labeller.outer.weight.shape == (3, 256)
    expected = torch.relu(features @ labeller.inner.weight.T + labeller.inner.bias) @ labeller.outer.weight.T
    expected = (expected + labeller.outer.bias).softmax(1)
    torch.testing.assert_close(labeller.probabilities(features), expected)
    assert not any(values.requires_grad for values in labeller.parameters())


def test_the_seed_alone_decides_the_weights(clusters):
    features, probabilities, _ = clusters
    settings = NolaSettings(labeller_epochs=2)
    torch.manual_seed(1)
    one = fit_labeller(features, probabilities, NAMES, settings)
    torch.manual_seed(2)
    assert torch.equal(one.inner.weight, fit_labeller(features, probabilities, NAMES, settings).inner.weight)
    other = fit_labeller(features, probabilities, NAMES, settings, seed=1)
    assert not torch.equal(one.inner.weight, other.inner.weight)


def test_a_saved_network_gives_the_same_probabilities(clusters, tmp_path):
    features, probabilities, _ = clusters
    labeller = fit_labeller(features, probabilities, NAMES, NolaSettings(labeller_epochs=1))
    labeller.save(tmp_path)
    loaded = Labeller.load(tmp_path)
    assert loaded.class_names == tuple(NAMES) and loaded.method == "nola-labeller"
    assert torch.equal(loaded.probabilities(features), labeller.probabilities(features))
    with pytest.raises(EncoderError, match=r"has no classifier\.safetensors"):
        Labeller.load(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"shape \(4, 9\); expected \(B, 10\)"):
        loaded.probabilities(torch.zeros(4, 9))
    assert loaded.probabilities(torch.zeros(0, 10)).shape == (0, 3)


def test_bad_input_gets_one_line(clusters):
    features, probabilities, _ = clusters
    broken = features.clone()
    broken[3, 2] = float("inf")
    one_class = torch.tensor([[0.998, 0.001, 0.001]]).repeat(180, 1)
    for given, found, names, message in (
        (features, one_class, NAMES, "every confident image is predicted as 'cat'"),
        (broken, probabilities, NAMES, "the features of image 3 are NaN or infinite"),
        (features[:9], probabilities[:9], NAMES, "found 9 images; expected at least 16"),
        (features, probabilities, NAMES[:2], "found 2 class names for 3 columns"),
        (features[:, :1].flatten(), probabilities, NAMES, r"shapes \(180,\) and \(180, 3\)"),
        (features, torch.full((180, 3), 1 / 3), NAMES, "no confident image"),
        (features, torch.ones(180, 1), NAMES[:1], "found 1 class"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            fit_labeller(given, found, names)
        assert "\n" not in str(error.value)


def test_settings_out_of_range_get_one_line():
    for wrong, message in (
        ({"epochs": 0}, "epochs is 0; expected 1 or more"),
        ({"rate": 0.0}, "rate is 0.0; expected a number above 0"),
        ({"smoothing": 1.0}, "smoothing is 1.0"),
        ({"prompts": -1}, "prompts is -1"),
        ({"pseudo_labels": "dino"}, "pseudo_labels is 'dino'"),
        ({"pseudo_labels": "zero-shot", "tune": False}, "trains nothing"),
    ):
        with pytest.raises(ValueError, match=message):
            NolaSettings(**wrong)
