"""Exact match and named objects: numbers worked by hand."""

import pytest

from dinoclip_viz.playground import CLASSES, COLOURS, draw
from dinoclip_viz.playground.vocabulary import plural as known_plural
from dinoclip_viz.tasks.vlm.answers import score_answers, score_answers_by_kind
from dinoclip_viz.tasks.vlm.captions import (
    COCO_SYNONYMS,
    ClassWords,
    plural,
    score_captions,
    score_captions_by_references,
)

WORDS = ClassWords(CLASSES, COLOURS)


def test_the_most_frequent_answer_is_the_baseline():
    score = score_answers(["red", "blue", "Red ."], [["red"], ["red"], ["red", "crimson"]])
    assert (score.accuracy, score.frequent, score.frequent_accuracy) == (2 / 3, "red", 1.0)
    assert score.gain == pytest.approx(-1 / 3)


def test_kinds_are_scored_apart_each_with_its_own_frequent_answer():
    scores = score_answers_by_kind(["colour", "count", "colour"], ["red", "2", "blue"], [["red"], ["1"], ["red"]])
    assert list(scores) == ["colour", "count"]
    assert (scores["colour"].accuracy, scores["count"].accuracy, scores["count"].frequent) == (0.5, 0.0, "1")


def test_answers_without_questions_are_refused():
    for given in ((["a"], []), ([], []), (["a"], [[]])):
        with pytest.raises(ValueError):
            score_answers(*given)


def test_the_captions_of_scenes_name_their_own_objects_and_colours():
    for scene in draw(3000, 40, 32):
        there = [(one["name"], one["colour"]) for one in scene.objects]
        score = score_captions([scene.captions[0]], [there], WORDS)
        assert (score.f1, score.colours_right, score.colours_stated) == (1.0, 1.0, 1.0), scene.captions[0]


def test_plurals_are_those_of_the_playground():
    for name in CLASSES:
        assert WORDS.classes(f"two {known_plural(name)}") == {name}
    assert plural("child") == "children" and plural("wine glass") == "wine glasses"


def test_wrong_missing_and_swapped_colours_count_as_wrong():
    there = [("cat", "red"), ("dog", "blue")]
    for caption, right, stated in (
        ("a red cat and a blue dog", 1.0, 1.0),
        ("a blue cat and a red dog", 0.0, 1.0),
        ("a cat and a blue dog", 0.5, 0.5),
        ("a red large cat and a blue dog", 0.5, 0.5),  # the colour is not that of the next word
        ("nothing", 0.0, 0.0),
    ):
        score = score_captions([caption], [there], WORDS)
        assert (score.colours_right, score.colours_stated) == (right, stated), caption


def test_objects_that_are_not_there_lower_precision_and_forgotten_ones_recall():
    score = score_captions(
        ["a cat, a cat, a bus", "a tree"], [[("cat", "red")], [("tree", "red"), ("cup", "red")]], WORDS
    )
    assert (score.precision, score.recall) == (2 / 3, 2 / 3)


def test_longer_names_and_parts_of_words_are_told_apart():
    words = ClassWords(["dog", "hot dog", "cat", "car"], synonyms=COCO_SYNONYMS)
    assert words.classes("two hot dogs") == {"hot dog"}
    assert words.classes("cattle, a scarf and a cart, CATS!") == {"cat"}
    assert ClassWords(["person", "dining table"], synonyms=COCO_SYNONYMS).classes("men at tables") == {
        "person",
        "dining table",
    }


def test_references_decide_what_is_right_and_what_is_to_be_named():
    words = ClassWords(["cat", "dog", "car", "bus"])
    references = [["a cat and a dog", "a cat", "cats"], ["a car"]]
    score = score_captions_by_references(["a dog and a bus", "a car"], references, words)
    assert score.precision == 2 / 3  # a dog is named by one reference, a bus by none
    assert score.recall == 1 / 2  # the cat is named by all, the dog by fewer than half
    assert score.colours_right is None
    with pytest.raises(ValueError, match="image 1 has no reference"):
        score_captions_by_references(["a"], [[]], words)
