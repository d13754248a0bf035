"""FLOSS's choice of templates on constructed texts and patches, and against a loop."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, class_scores, vocabulary_vectors
from dinoclip_viz.tasks.open_vocabulary.templates import choose_templates, class_experts, fused_scores

TEMPLATES = ("a {}.", "one {}.", "the {}.")
SCALE = 10.0


class Texts:
    """Each prompt's vector is looked up."""

    templates, logit_scale = TEMPLATES, SCALE

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, prompts):
        return SimpleNamespace(pooled=torch.stack([self.vectors[prompt] for prompt in prompts]))


class Constructed(ImageTextModel):
    """An image-text model of looked-up texts."""

    def __init__(self, vectors):
        self.__dict__["texts"] = Texts(vectors)

    def check_method(self, method):
        return method or "maskclip"

    def texts_for(self, _):
        return self.texts


def features_of(patches):
    count = len(patches)
    return ImageFeatures(
        torch.zeros(count, 2), torch.zeros(count, 2), patches, torch.zeros(count, 4), torch.zeros(count, 2), "s",
        dense={"maskclip": patches},
    )  # fmt: skip


@pytest.fixture(scope="module")
def constructed():
    """Cats lie along the first axis, dogs along the second. Each template points right for one class alone:

    "a {}." for cat, "one {}." for dog; "the {}." halfway between for both, so that it is never sure.
    """
    x, y, z = torch.eye(3)
    vectors = {
        "a cat.": x, "a dog.": x + y + 2 * z,
        "one cat.": x + y + 2 * z, "one dog.": y,
        "the cat.": x + 0.9 * y, "the dog.": y + 0.9 * x,
    }  # fmt: skip
    patches = torch.stack([x, x, y, y]).reshape(1, 2, 2, 3)
    return Constructed(vectors), features_of(patches), Vocabulary.of(["cat", "dog"])


def test_each_class_keeps_the_template_that_points_at_it(constructed):
    model, features, vocabulary = constructed
    chosen = choose_templates(model, [features], vocabulary, "maskclip", keep=1)
    assert chosen == {"cat": ("a {}.",), "dog": ("one {}.",)}
    both = choose_templates(model, [features], vocabulary, "maskclip", keep=2)
    assert {name: some[0] for name, some in both.items()} == {"cat": "a {}.", "dog": "one {}."}
    words = vocabulary_vectors(model, vocabulary, "maskclip", TEMPLATES, by_class=chosen)
    torch.testing.assert_close(words.vectors, torch.eye(3)[:2])


@pytest.fixture(scope="module")
def drawn():
    generator = torch.Generator().manual_seed(0)
    vocabulary = Vocabulary.of(["cat;kitten", "dog", "grass", "sky"])
    prompts = [prompt for some in vocabulary.prompts for prompt in some]
    vectors = {
        template.replace("{}", prompt): torch.randn(5, generator=generator)
        for template in TEMPLATES
        for prompt in prompts
    }
    images = [features_of(torch.randn(2, 3, 4, 5, generator=generator)) for _ in range(2)]
    return vectors, Constructed(vectors), images, vocabulary


def entropies(vectors, images, vocabulary, template):
    """Class -> entropies of the patches that the template gives to it, by loops."""
    found = {name: [] for name in vocabulary.names}
    for features in images:
        for patch in features.patches.flatten(0, 2):
            logits = [
                max(
                    SCALE * F.cosine_similarity(patch, vectors[template.replace("{}", prompt)], dim=0).item()
                    for prompt in prompts
                )
                for prompts in vocabulary.prompts
            ]
            probabilities = [math.exp(logit) / sum(map(math.exp, logits)) for logit in logits]
            best = vocabulary.names[probabilities.index(max(probabilities))]
            found[best].append(-sum(value * math.log(value) for value in probabilities))
    return found


@pytest.mark.parametrize("keep", [1, 2, 3, 9])
def test_the_choice_is_that_of_the_least_mean_entropy(drawn, keep):
    vectors, model, images, vocabulary = drawn
    slow = {template: entropies(vectors, images, vocabulary, template) for template in TEMPLATES}
    chosen = choose_templates(model, iter(images), vocabulary, keep=keep)
    for name in vocabulary.names:
        known = [template for template in TEMPLATES if slow[template][name]]
        best = sorted(known, key=lambda template: sum(slow[template][name]) / len(slow[template][name]))
        assert chosen.get(name, ()) == tuple(best[:keep])


def test_a_class_that_is_found_nowhere_is_skipped(constructed):
    model, features, vocabulary = constructed
    cats = features_of(features.patches[:, :1])
    chosen = choose_templates(model, [cats], vocabulary, "maskclip", ["a {}."])
    assert chosen == {"cat": ("a {}.",)}


def test_fused_predictions_go_to_the_surest_expert_and_else_to_all_templates(drawn):
    _, model, images, vocabulary = drawn
    chosen = choose_templates(model, images, vocabulary, keep=1)
    experts = class_experts(model, vocabulary, chosen)
    fallen = 0
    for patches in images[0].patches:
        found = fused_scores(patches, experts)
        common = (SCALE * class_scores(patches, vocabulary_vectors(model, vocabulary, None, TEMPLATES))).softmax(0)
        for row in range(3):
            for column in range(4):
                sure = {}
                for number, name in enumerate(vocabulary.names):
                    words = vocabulary_vectors(model, vocabulary, None, chosen[name])
                    shares = (SCALE * class_scores(patches, words)).softmax(0)[:, row, column]
                    if shares.argmax() == number:
                        sure[number] = shares[number].item()
                fallen += not sure
                best = max(sure, key=sure.get) if sure else common[:, row, column].argmax().item()
                assert found[:, row, column].argmax() == best
    assert fallen > 0 and (found >= 0).all() and (found <= 1).all()


def test_what_cannot_be_chosen_is_refused(constructed):
    model, features, vocabulary = constructed
    for wrong, words in (
        ({"keep": 0}, "keep=0"),
        ({"templates": []}, "of 0 templates"),
        ({"templates": ["a cat"]}, "expected exactly one {}"),
        ({"features": []}, "at least one image|found no images"),
        ({"method": "sclip"}, "have no 'sclip' patches"),
        ({"vocabulary": Vocabulary.of(["cat"])}, "two classes or more"),
    ):
        with pytest.raises(ValueError, match=words):
            choose_templates(**{"model": model, "features": [features], "vocabulary": vocabulary, **wrong})
    with pytest.raises(ValueError, match="'bird', which is not a class"):
        class_experts(model, vocabulary, {"bird": TEMPLATES})
