"""Held-out questions: the same ones again, and true."""

from dinoclip_viz.playground.held_out import MOST_EXPRESSIONS, held_out
from dinoclip_viz.playground.questions import ANSWER, Facts, referring


def test_the_questions_of_a_scene_do_not_depend_on_the_others():
    first, again = list(held_out(3000, 6)), list(held_out(3000, 3))
    for one, other in zip(first, again, strict=False):
        assert (one.expressions, one.asked, one.visible) == (other.expressions, other.asked, other.visible)
    assert [one.asked for one in held_out(3001, 3)] != [one.asked for one in again]


def test_expressions_are_true_of_one_of_several_objects_of_a_class():
    some = [one for one in held_out(3000, 60) if one.expressions]
    assert len(some) > 5
    for one in some:
        facts = Facts.of(one.scene)
        assert len(one.expressions) <= MOST_EXPRESSIONS
        for text, at in one.expressions:
            name = facts.objects[at]["name"]
            assert (text, at) in referring(facts) and name in text and facts.counted()[name] > 1
            assert one.scene.objects[one.visible[at]]["name"] == name


def test_every_question_has_a_short_answer():
    kinds = set()
    for one in held_out(3000, 20):
        assert len({asked.kind for asked in one.asked}) == len(one.asked)
        assert all(asked.prompt.startswith(ANSWER) and asked.answer and not asked.found for asked in one.asked)
        kinds |= {asked.kind for asked in one.asked}
    assert {"colour", "count", "yes-no", "what", "where"} <= kinds
