"""Questions about scenes: answers are true, prompts are PaliGemma's, and a scene decides everything."""

import numpy as np
import pytest

from dinoclip_viz.playground import draw
from dinoclip_viz.playground.questions import KINDS, Asked, Facts, description, questions, referring, relation
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.vocabulary import CLASSES, COLOURS, plural

SCENES = draw(1610, 60, 96)
FACTS = [Facts.of(scene) for scene in SCENES]


def asked_of(kind: str) -> list[tuple[Facts, Asked]]:
    """(facts, question) of one kind, several per scene."""
    found = []
    for number, facts in enumerate(FACTS):
        chance = Chance(np.random.default_rng([7, number]))
        found += [(facts, one) for _ in range(4) for one in questions(facts, chance, {kind: 1.0})]
    return found


def boxes(facts: Facts) -> dict[int, str]:
    return {number: one["name"] for number, one in zip(facts.numbers, facts.objects, strict=True)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_asked_and_seeded(kind: str) -> None:
    assert len(asked_of(kind)) > 20
    assert asked_of(kind) == asked_of(kind)


def test_captions_name_every_object_from_left_to_right() -> None:
    for facts, one in asked_of("caption"):
        assert one.answer == description(facts)
        words = one.answer.split()
        positions = []
        for each in sorted(facts.objects, key=lambda each: each["box"][0] + each["box"][2]):
            named = each["name"] if each["name"] in words else plural(each["name"])
            assert named in words and each["colour"] in words
            positions.append(words.index(named))
        assert positions == sorted(positions) or len(set(positions)) < len(positions)


def test_colours_are_those_of_the_only_object_of_a_class() -> None:
    for facts, one in asked_of("colour"):
        colours = [each["colour"] for each in facts.objects if each["name"] in one.prompt.split("?")[0].split()]
        assert colours == [one.answer]


def test_counts() -> None:
    several = 0
    for facts, one in asked_of("count"):
        named = [
            name
            for name in CLASSES
            if f"how many {plural(name)} are" in one.prompt or one.prompt.endswith(f"many {plural(name)}?")
        ]
        expected = sum(each["name"] == named[0] for each in facts.objects) if named else len(facts.objects)
        assert one.answer == str(expected)
        several += bool(named) and expected > 1
    assert several > 3


def test_yes_and_no_are_balanced_and_true() -> None:
    found = asked_of("yes-no")
    assert 0.35 < sum(one.answer == "yes" for _, one in found) / len(found) < 0.65
    for facts, one in found:
        words = one.prompt.rstrip("?").split()
        if "there" in words:
            assert (words[-1] in boxes(facts).values()) == (one.answer == "yes")
        elif words[-1] in COLOURS:
            colour = next(each["colour"] for each in facts.objects if each["name"] == words[-2])
            assert (colour == words[-1]) == (one.answer == "yes")
        else:
            first, second = (
                next(each for each in facts.objects if each["name"] == name) for name in (words[4], words[-1])
            )
            assert (relation(first, second) in one.prompt) == (one.answer == "yes")


def test_detection_lists_all_objects_of_present_classes_from_top_to_bottom() -> None:
    for facts, one in asked_of("detect"):
        labels = one.prompt.removeprefix("detect ").split(" ; ")
        singular = {plural(name): name for name in CLASSES} | {name: name for name in CLASSES}
        wanted = {singular[label] for label in labels}
        assert sorted(number for _, number in one.found) == sorted(
            n for n, name in boxes(facts).items() if name in wanted
        )
        for label in labels:
            tops = [facts.objects[facts.numbers.index(number)]["box"][1] for name, number in one.found if name == label]
            assert tops == sorted(tops)


def test_absent_objects_are_not_there() -> None:
    for facts, one in asked_of("absent"):
        verb, *words = one.prompt.split()
        assert verb in ("detect", "segment") and not one.found and not one.answer
        matching = [
            each
            for each in facts.objects
            if each["name"] == words[-1] and (len(words) == 1 or each["colour"] == words[0])
        ]
        assert not matching


def test_referring_expressions_are_true_of_one_object() -> None:
    for facts, one in asked_of("refer"):
        ((words, number),) = one.found
        meant = facts.objects[facts.numbers.index(number)]
        assert meant["name"] in words.split()
        colour = words.split()[0]
        if colour in COLOURS and " the " not in words:
            assert [each for each in facts.objects if each["colour"] == colour and each["name"] == meant["name"]] == [
                meant
            ]


def test_two_objects_of_one_class_are_told_apart() -> None:
    objects = (
        {"name": "car", "colour": "red", "box": [0, 40, 20, 60]},
        {"name": "car", "colour": "red", "box": [70, 40, 90, 60]},
        {"name": "tree", "colour": "green", "box": [40, 10, 60, 50]},
    )
    facts = Facts(96, "grass", objects, (0, 1, 2))
    words = dict(referring(facts))
    assert words["car left of the tree"] == words["red car left of the tree"] == words["left car"] == 0
    assert words["right car"] == 1
    assert "red car" not in words


def test_hidden_objects_are_not_asked_about() -> None:
    scene = SCENES[0]
    hidden = Facts.of(type(scene)(**{**vars(scene), "instances": np.zeros_like(scene.instances)}))
    assert hidden.objects == () and description(hidden) == ""
    assert {one.kind for one in questions(hidden, Chance(np.random.default_rng(0)))} <= {
        "count",
        "background",
        "yes-no",
        "absent",
    }
