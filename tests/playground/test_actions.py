"""Actions: what parts afford, and captions that mention it."""

import re

import numpy as np

from dinoclip_viz.playground import ACTIONS, AFFORDANCES, CLASSES, PARTS, draw
from dinoclip_viz.playground.actions import FORMS, afforded
from dinoclip_viz.playground.vocabulary import SYNONYMS


def test_affordances_are_the_parts_that_afford_an_action():
    scenes = draw(1410, 60, 64, objects=2)
    for scene in scenes:
        assert scene.affordances.shape == (len(ACTIONS), 64, 64) and scene.affordances.dtype == np.uint8
        for masks, pairs in zip(scene.affordances, ACTIONS.values(), strict=True):
            wanted = np.zeros((64, 64), bool)
            for name, part in pairs:
                wanted |= (scene.mask == CLASSES.index(name) + 1) & (scene.parts == PARTS.index(part) + 1)
            assert np.array_equal(masks > 0, wanted) and masks.max(initial=0) <= 1
    assert sum(scene.affordances.any((1, 2)) for scene in scenes).min() > 0  # every action occurs


def test_affordances_name_the_first_action_of_a_part():
    assert AFFORDANCES[("bicycle", "seat")] == "sit on" and AFFORDANCES[("house", "door")] == "open"
    assert set(AFFORDANCES.values()) == set(ACTIONS)


def test_captions_of_world_2_mention_actions():
    spoken = {verb: action for action, others in SYNONYMS.items() for verb in (action, *others)}
    told = [scene for scene in draw(1420, 300, 16, objects=1, world=2) if afforded(scene.objects[0]["name"])]
    heard = set()
    for scene in told:
        assert len(scene.captions) == 7
        name = scene.objects[0]["name"]
        assert name in scene.captions[4]
        for caption in scene.captions[4:6]:
            verbs = {spoken[verb] for verb in spoken if re.search(rf"\b{verb}\b", caption)}
            heard |= verbs & {action for action, _ in afforded(name)}
    assert heard == set(ACTIONS) and set(FORMS) == set(SYNONYMS) == set(ACTIONS)


def test_an_object_without_an_action_keeps_its_captions():
    silent = next(s for s in draw(1430, 60, 16, objects=1, world=2) if s.objects[0]["name"] == "tree")
    assert silent.captions[4:6] == [silent.captions[1], silent.captions[2]]
