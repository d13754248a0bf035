"""Answers with location and segmentation tokens, and text of any other form."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoclip_viz.vlm.locations import box_of, location_tokens
from dinoclip_viz.vlm.masks import mask_tokens
from dinoclip_viz.vlm.parsing import Found, parse

CAR = "<loc0010><loc0020><loc0030><loc0040>"
SEGMENTS = "".join(f"<seg{code:03d}>" for code in range(16))


def plain_parse(text):
    """The objects of an answer, by cutting at ";" and walking from token to token."""
    found, group, label = [], [], ""

    def end_object():
        numbers = [digits for kind, digits in group if kind == "loc"]
        codes = [digits for kind, digits in group if kind == "seg"]
        if (
            len(numbers) == 4
            and len(codes) in (0, 16)
            and all(len(each) == 4 and int(each) < 1024 for each in numbers)
            and all(len(each) == 3 and int(each) < 128 for each in codes)
            and int(numbers[0]) < int(numbers[2])
            and int(numbers[1]) < int(numbers[3])
        ):
            found.append((label, tuple(map(int, numbers)), tuple(map(int, codes)) or None))
        group.clear()

    for part in text.split(";"):
        for piece in re.split(r"(<(?:loc|seg)[0-9]*>)", part):
            token = re.fullmatch(r"<(loc|seg)([0-9]*)>", piece)
            if token:
                if label or (token[1] == "loc" and group and group[-1][0] == "seg"):
                    end_object()
                    label = ""
                group.append((token[1], token[2]))
            elif piece.strip():
                label = piece.strip()
        end_object()
        label = ""
    return found


def test_objects_of_a_detection_are_read_in_order():
    parsed = parse(f"{CAR} red car ; <loc0000><loc0001><loc1022><loc1023> dog")
    assert parsed.problems == ()
    assert parsed.objects == (
        Found("red car", (10, 20, 30, 40), None),
        Found("dog", (0, 1, 1022, 1023), None),
    )


def test_segmentation_tokens_are_read_with_and_without_spaces():
    for text in (f"{CAR}{SEGMENTS} car", f"{CAR} {SEGMENTS.replace('><', '> <')}  car\n"):
        assert parse(text).objects == (Found("car", (10, 20, 30, 40), tuple(range(16))),)
        assert parse(text).problems == ()


@pytest.mark.parametrize(
    "label", ["T-shirt", "l'été", "50% <b>off</b>", "a, b. (c)", "猫", "x<y", "<loc", "<eos>", "a\nb"]
)
def test_labels_may_hold_any_characters(label):
    parsed = parse(f"{CAR} {label} ; {CAR} dog")
    assert [found.label for found in parsed.objects] == [label, "dog"]
    assert parsed.problems == ()


def test_a_label_ends_at_the_next_tokens_and_may_be_missing():
    parsed = parse(f"{CAR} cat {CAR} dog ; {CAR}{SEGMENTS}{CAR}")
    assert [(found.label, found.codes is None) for found in parsed.objects] == [
        ("cat", True), ("dog", True), ("", False), ("", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<loc0030><loc0020><loc0010><loc0040> car", "'car': found a box from y 30, x 20 to y 10, x 40; expected"),
        ("<loc0010><loc0020><loc0010><loc0040> car", "'car': found a box from y 10, x 20 to y 10, x 40; expected"),
        ("<loc0010><loc0040><loc0030><loc0040> car", "'car': found a box from y 10, x 40 to y 30, x 40; expected"),
        (f"{CAR}{SEGMENTS.replace('seg015', 'seg128')} car", "'car': found <seg128>; expected <seg000> to <seg127>"),
        (f"{CAR}{SEGMENTS[:-8]} car", "'car': found 15 segmentation tokens; expected 16 or none"),
        (f"{CAR}{SEGMENTS}<seg001> car", "'car': found 17 segmentation tokens; expected 16 or none"),
        (f"{SEGMENTS} car", "'car': found 0 location tokens; expected 4"),
        (f"{CAR[:-9]} car", "'car': found 3 location tokens; expected 4"),
        (f"{CAR}{CAR} car", "'car': found 8 location tokens; expected 4"),
        ("<loc0010>", "found 1 location token; expected 4"),
        (CAR.replace("0040", "1024"), "found <loc1024>; expected <loc0000> to <loc1023>"),
        (CAR.replace("0040", "40"), "found <loc40>; expected <loc0000> to <loc1023>"),
        (CAR.replace("0040", ""), "found <loc>; expected <loc0000> to <loc1023>"),
        ("a red car", "found text without location tokens: 'a red car'"),
    ],
)  # fmt: skip
def test_each_invalid_part_is_one_problem_and_the_rest_is_read(text, problem):
    alone, among = parse(text), parse(f"{CAR} cat ; {text} ; {CAR} dog")
    assert alone.objects == () and len(alone.problems) == 1 and alone.problems[0].startswith(problem)
    assert among.problems == alone.problems
    assert [found.label for found in among.objects] == ["cat", "dog"]


def test_nothing_is_no_problem():
    for text in ("", "  ", " ; ;", "\n"):
        assert (parse(text).objects, parse(text).problems) == ((), ())


def test_spans_are_positions_in_the_list_of_tokens():
    tokens = ["<loc0010>", "<loc0020>", "<loc0030>", "<loc0040>", " red", " car", " ;", " ", *re.findall("<.*?>", CAR)]
    tokens += [*re.findall("<.*?>", SEGMENTS), " dog"]
    parsed = parse("".join(tokens), tokens)
    assert [found.span for found in parsed.objects] == [(0, 3), (8, 27)]
    assert [found.span for found in parse("".join(tokens)).objects] == [None, None]
    assert [found.span for found in parse("".join(tokens), tokens[1:]).objects] == [None, None]


def test_a_long_answer_is_read_in_one_pass():
    parsed = parse(f"{CAR} car ; " * 5000 + " " * 100_000 + "x" * 100_000)
    assert len(parsed.objects) == 5000
    assert len(parsed.problems) == 1 and len(parsed.problems[0]) < 120


WORDS = (
    *("cat", "red car", ";", " ; ", " ", "\n", "<", ">", "<eos>", "é", "\0", "<b>", "猫", "\ud800"),
    *("loc0001", "<loc", "<seg12", "<loc>", "<loc12345>", "<loc٠٠٠١>", "<seg000>", "<seg127>", "<seg128>"),
    *(f"<loc{number:04d}>" for number in (0, 5, 511, 1023, 1024)),
    *(CAR, SEGMENTS, CAR + SEGMENTS, "<loc0900><loc0800>"),
)


def check(text):
    parsed = parse(text)
    assert [(found.label, found.numbers, found.codes) for found in parsed.objects] == plain_parse(text)
    assert all("\n" not in problem and len(problem) < 200 for problem in parsed.problems)


@given(st.integers(0, 2**64 - 1).map(random.Random))
@settings(max_examples=1000, deadline=None)
def test_10_000_random_strings_of_tokens_and_words_never_raise(chance):
    for _ in range(10):
        check("".join(chance.choices(WORDS, k=chance.randrange(40))))


@given(st.lists(st.sampled_from(WORDS) | st.characters(), max_size=14).map("".join))
@settings(max_examples=300, deadline=None)
def test_random_strings_of_tokens_and_characters_never_raise(text):
    check(text)


EDGES = st.tuples(st.floats(0, 0.49), st.floats(0, 0.49), st.floats(0.5, 1), st.floats(0.5, 1))
LABELS = st.text(st.characters(exclude_characters=";<>"), min_size=1, max_size=12).map(str.strip)


@given(
    st.lists(st.tuples(EDGES, st.none() | st.lists(st.integers(0, 127), min_size=16, max_size=16), LABELS), max_size=5)
)
@settings(max_examples=200, deadline=None)
def test_objects_there_and_back(objects):
    size = (640, 427)
    boxes = [(x0 * 640, y0 * 427, x1 * 640, y1 * 427) for (x0, y0, x1, y1), _, _ in objects]
    text = " ; ".join(
        f"{location_tokens(box, size)}{mask_tokens(codes) if codes else ''} {label}"
        for box, (_, codes, label) in zip(boxes, objects, strict=True)
    )
    parsed = parse(text)
    assert parsed.problems == ()
    assert [(found.codes, found.label) for found in parsed.objects] == [
        (tuple(codes) if codes else None, label) for _, codes, label in objects
    ]
    for box, found in zip(boxes, parsed.objects, strict=True):
        back = box_of(found.numbers, size)
        assert all(abs(a - b) <= side / 1023 for a, b, side in zip(box, back, size * 2, strict=True))
