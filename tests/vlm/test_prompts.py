"""Prompts in PaliGemma's form."""

import pytest

from dinoclip_viz.vlm.prompts import (
    MAXIMUM_CHARACTERS,
    answer_prompt,
    caption_prompt,
    checked_prompt,
    detect_prompt,
    names_of,
    segment_prompt,
)


def test_prompts_are_the_published_ones():
    assert caption_prompt() == "caption en"
    assert answer_prompt("where is\n the cat?", "pt-BR") == "answer pt-BR where is the cat?"
    assert detect_prompt(("cat", " red  car ")) == "detect cat ; red car"
    assert segment_prompt("cat") == "segment cat"


def test_names_keep_their_order_and_are_asked_for_once():
    assert names_of(["dog", "cat", "dog "]) == ["dog", "cat"]
    assert names_of(name for name in ("a", "b")) == ["a", "b"]
    assert names_of("red car") == ["red car"]


def test_the_longest_prompt_is_accepted_and_a_longer_one_is_not():
    assert len(checked_prompt("x" * MAXIMUM_CHARACTERS)) == MAXIMUM_CHARACTERS
    with pytest.raises(ValueError, match="found a prompt of 4001 characters; expected at most 4000"):
        checked_prompt("x" * (MAXIMUM_CHARACTERS + 1))


def test_a_long_name_is_shortened_in_the_message():
    with pytest.raises(ValueError, match=r"found ';' in the name '\w{37}\.\.\.'; expected"):
        names_of("x" * 100 + ";")
