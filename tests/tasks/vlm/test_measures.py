"""Figures of models that know everything, nothing or one thing wrong, on held-out scenes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dinoclip_viz.playground import CLASSES, COLOURS
from dinoclip_viz.playground.held_out import held_out
from dinoclip_viz.tasks.vlm.detection import Prediction, Target
from dinoclip_viz.tasks.vlm.measures import (
    AT_ONCE,
    Annotated,
    absent_classes,
    answers_to,
    captions_of,
    detect_each,
    score_detection,
)
from dinoclip_viz.tasks.vlm.scenes import (
    ANSWER,
    annotated,
    answer_figures,
    caption_score,
    detect_scenes,
    referring_figures,
    segmentation_figures,
)

HELD = list(held_out(3000, 40))


class Oracle:
    """Knows the scenes by their images; subclasses err."""

    def __init__(self, held=HELD):
        self.known = {id(one.scene.image): one for one in held}
        self.calls = []

    def _each(self, images, make):
        assert isinstance(images, list) and len(images) <= AT_ONCE
        self.calls.append(len(images))
        return [make(self.known[id(image)]) for image in images]

    def caption(self, images):
        return self._each(images, lambda one: one.scene.captions[0])

    def answer(self, images, question):
        def make(one):
            return next(each.answer for each in one.asked if each.prompt == ANSWER + question).upper() + "."

        return self._each(images, make)

    def detect(self, images, names):
        return self._each(images, lambda one: self.found(one, names))

    def segment(self, images, names):
        return self._each(images, lambda one: self.found(one, names))

    def found(self, one, name):
        targets = annotated(one).targets
        for text, at in one.expressions:
            if text == name:
                return [self.prediction(targets[at])]
        return [self.prediction(target) for target in targets if target.label == name]

    def prediction(self, target):
        return Prediction("?", target.box, 0.5, target.mask)  # the label is that of the prompt


def test_a_model_that_knows_all_scores_one_everywhere():
    oracle, done = Oracle(), []
    score = caption_score(oracle, HELD, CLASSES, tuple(COLOURS), done.append)
    assert score.recall == 1.0 and score.colours_right == 1.0 and sum(done) == len(HELD)
    figures, targets, found = detect_scenes(oracle, HELD, CLASSES, 0)
    assert (figures["recall"], figures["mean_iou"], figures["refused"]) == (1.0, 1.0, 1.0)
    assert figures["objects"] == sum(len(one.visible) for one in HELD) == sum(map(len, targets)) == sum(map(len, found))
    assert figures["absent"] == len(HELD)
    referring = referring_figures(oracle, HELD)
    assert referring["accuracy"] == 1.0 and referring["expressions"] == sum(len(one.expressions) for one in HELD) > 5
    assert 0.25 <= referring["chance"] <= 0.5
    masks = segmentation_figures(oracle, HELD)
    assert (masks["objects"], masks["mean_iou"], masks["alone_iou"]) == (figures["objects"], 1.0, 1.0)
    counts = [Counter(one.scene.objects[number]["name"] for number in one.visible) for one in HELD]
    assert masks["alone"] == sum(number == 1 for each in counts for number in each.values()) < masks["objects"]
    answers = answer_figures(oracle, HELD)
    assert {"colour", "count, all objects", "count, one class", "yes-no"} <= set(answers)
    assert all(one["accuracy"] == 1.0 and one["gain"] == 1 - one["frequent_accuracy"] for one in answers.values())


class Silent(Oracle):
    def found(self, one, name):
        return []


class Everywhere(Oracle):
    """Returns the whole image for whatever it is asked."""

    def found(self, one, name):
        size = one.scene.image.width
        return [Prediction(name, (0, 0, size, size), 0.9, np.ones((size, size), bool))]


class Doubled(Oracle):
    """Returns each object twice: the second box is no other object."""

    def found(self, one, name):
        return [each for found in super().found(one, name) for each in (found, found)]


class Unsure(Oracle):
    """Returns first a wrong box of low score."""

    def found(self, one, name):
        return [Prediction(name, (0, 0, 1, 1), 0.1), *super().found(one, name)]


def test_a_silent_model_finds_nothing_and_is_right_about_absent_classes():
    figures, *_ = detect_scenes(Silent(), HELD, CLASSES, 0)
    assert (figures["recall"], figures["mean_iou"], figures["refused"]) == (0.0, 0.0, 1.0)
    assert referring_figures(Silent(), HELD)["accuracy"] == segmentation_figures(Silent(), HELD)["mean_iou"] == 0.0


def test_a_model_that_always_answers_is_wrong_about_absent_classes():
    figures, *_ = detect_scenes(Everywhere(), HELD, CLASSES, 0)
    assert figures["refused"] == 0.0 and 0 < figures["mean_iou"] < 0.5
    one = next(one for one in HELD if len(one.visible) == 1)
    mask = annotated(one).targets[0].mask
    assert segmentation_figures(Everywhere(), [one])["mean_iou"] == pytest.approx(mask.mean())


def test_a_second_box_on_an_object_is_no_other_object():
    twins = [one for one in HELD if one.expressions]
    figures, *_ = detect_scenes(Doubled(), twins, CLASSES, 0)
    assert figures["recall"] == 1.0

    class OneOfTwins(Oracle):
        def found(self, one, name):
            return super().found(one, name)[:1] * 2

    figures, *_ = detect_scenes(OneOfTwins(), twins, CLASSES, 0)
    assert figures["recall"] < 1.0


def test_the_box_with_the_highest_score_counts_for_an_expression():
    assert referring_figures(Unsure(), HELD)["accuracy"] == 1.0


def test_hidden_objects_are_neither_asked_for_nor_absent():
    one = next(one for one in HELD if len({each["name"] for each in one.scene.objects}) > 1)
    known = annotated(replace(one, visible=one.visible[:1]))
    assert [target.label for target in known.targets] == [one.scene.objects[0]["name"]]
    for seed in range(30):
        ((_, name),) = absent_classes([known], CLASSES, seed)
        assert name not in {each["name"] for each in one.scene.objects}


def test_the_same_absent_classes_are_chosen_again_whatever_else_is_there():
    known = [annotated(one) for one in HELD]
    chosen = absent_classes(known, CLASSES, 0)
    assert chosen[:5] == absent_classes(known[:5], CLASSES, 0) and len({name for _, name in chosen}) > 8
    assert absent_classes([Annotated((Target("a", (0, 0, 1, 1)),))], ["a"], 0) == []


def test_equal_prompts_go_together_and_results_keep_their_order():
    oracle = Oracle()
    images = [one.scene.image for one in HELD]
    assert captions_of(oracle, images) == [one.scene.captions[0] for one in HELD]
    assert oracle.calls == [AT_ONCE, len(HELD) - AT_ONCE]
    asked = [one.asked[0] for one in HELD if one.asked]
    pictured = [one.scene.image for one in HELD if one.asked]
    answers = answers_to(oracle, pictured, [each.prompt.removeprefix(ANSWER) for each in asked])
    assert [answer.lower().rstrip(".") for answer in answers] == [each.answer for each in asked]
    found = detect_each(oracle, images[:2], [["cat", "dog"], []])
    assert found[1] == [] and {one.label for one in found[0]} <= {"cat", "dog"}


def test_an_absent_class_that_is_there_is_refused():
    one = Annotated((Target("cat", (0, 0, 1, 1)),))
    with pytest.raises(ValueError, match="image 0 has a cat"):
        score_detection([[]], [one], [(0, "cat")])


def test_crowds_are_not_to_be_found():
    one = Annotated((Target("cat", (0, 0, 9, 9)), Target("cat", (20, 0, 40, 40), crowd=True)))
    score = score_detection([[Prediction("cat", (0, 0, 9, 9), 1.0)]], [one], [])
    assert (score.objects, score.recall, score.absent, score.refused) == (1, 1.0, 0, 0.0)
