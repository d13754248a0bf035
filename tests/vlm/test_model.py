"""Captions, answers, boxes and masks of a tiny model that was taught them by heart."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz.images import ImageError
from dinoclip_viz.vlm import Detection, Generation, load_vlm
from dinoclip_viz.vlm.generation import BATCH
from dinoclip_viz.vlm.masks import load_mask_codec, paste_mask
from tests.vlm.lessons import BLUE_ALONE, BOTH, CODES, LEFT, LESSONS, RED_ALONE, RIGHT, SIZE


def one_by_one(model, image, prompt, count):
    """Tokens and probabilities by a plain loop: the whole sequence is read again for each token, without a cache."""
    generator = model._generator
    inputs = generator.processor(images=[image], text=[f"<image>{prompt}"], return_tensors="pt")
    inputs.pop("labels")
    tokens, probabilities = [], []
    for _ in range(count):
        with torch.no_grad():
            row = generator.model(**inputs).logits[0, -1].double().softmax(0)
        chosen = int(row.argmax())
        tokens.append(chosen)
        probabilities.append(float(row[chosen]))
        if chosen == generator.end:
            break
        for key, value in (("input_ids", chosen), ("attention_mask", 1), ("token_type_ids", 1)):
            inputs[key] = torch.cat([inputs[key], torch.tensor([[value]])], dim=1)
    return generator.processor.tokenizer.convert_ids_to_tokens(tokens), probabilities


def edges(detections):
    return [each.box for each in detections]


def near(*boxes):
    """Boxes within half a bin of each edge."""
    return [pytest.approx(box, abs=0.5 * max(SIZE) / 1023) for box in boxes]


def test_every_lesson_was_learnt(model):
    for image, prompt, answer in LESSONS:
        assert model.generate(image, prompt).replace(" ", "") == answer.replace(" ", "")


def test_captions_in_a_language(model):
    assert model.caption(BOTH) == "a red cat and a blue dog"
    assert model.caption(RED_ALONE, "de") == "the cat"
    assert model.caption([RED_ALONE, BLUE_ALONE]) == ["a red cat", "a blue dog"]


def test_answers_to_questions(model):
    assert model.answer(BOTH, "the cat?") == "red"
    assert model.answer([BOTH], " THE\n dog ? ") == ["blue"]


def test_boxes_are_in_pixels_of_the_given_image(model):
    both = model.detect(BOTH, ["cat", "dog"])
    assert [each.label for each in both] == ["cat", "dog"]
    assert edges(both) == near(LEFT, RIGHT)
    assert all(each.mask is None and 0.5 < each.score <= 1 for each in both)
    double = model.detect(BOTH.resize((400, 300)), "cat")
    assert edges(double) == [pytest.approx([2 * 10, 3 * 20, 2 * 90, 3 * 80], abs=0.5)]


def test_what_is_not_there_gives_no_detection(model):
    assert model.detect(BLUE_ALONE, "cat") == []
    assert [len(each) for each in model.detect([RED_ALONE, BLUE_ALONE], ["cat"])] == [1, 0]


def test_masks_have_the_size_of_the_image_and_come_from_the_codec(model, codec_folder):
    codec = load_mask_codec(codec_folder)
    both = model.segment(BOTH, ["cat", "dog"])
    assert edges(both) == near(LEFT, RIGHT)
    for each, box in zip(both, (LEFT, RIGHT), strict=True):
        decoded = codec.decode(torch.tensor([CODES[box]]))[0]
        expected = paste_mask(decoded, each.box, SIZE)
        assert each.mask.shape == (SIZE[1], SIZE[0]) and each.mask.dtype == bool
        assert 0 < expected.sum() < (box[2] - box[0]) * (box[3] - box[1])
        assert (each.mask == expected).all()
    [[dog]] = model.segment([BLUE_ALONE], "dog")
    assert dog.label == "dog" and dog.mask is not None


def test_detections_of_an_answer_are_those_of_the_method(model):
    generation = model.generate_with_scores(BOTH, "segment cat ; dog")
    read = model.detections(generation, BOTH)
    asked = model.segment(BOTH, ["cat", "dog"])
    assert [(each.label, each.box, each.score) for each in read] == [
        (each.label, each.box, each.score) for each in asked
    ]
    assert all((a.mask == b.mask).all() for a, b in zip(read, asked, strict=True))


def test_invalid_parts_of_an_answer_are_reported_and_an_object_without_a_label_has_the_name(model):
    generation = model.generate_with_scores(BOTH, "detect tree")
    assert generation.problems == ("'tree': found 2 location tokens; expected 4",)
    [tree] = model.detect(BOTH, "tree")
    assert tree.label == "tree" and edges([tree]) == near(LEFT)


@pytest.mark.parametrize("prompt", ["caption en", "detect cat ; dog", "detect bird"])
def test_tokens_and_probabilities_equal_a_plain_loop(model, prompt):
    found = model.generate_with_scores(BOTH, prompt, max_tokens=14)
    tokens, probabilities = one_by_one(model, BOTH, prompt, 14)
    assert list(found.tokens) == tokens
    assert found.probabilities == pytest.approx(probabilities, abs=1e-4)
    assert found.score == pytest.approx(math.exp(np.mean(np.log(probabilities))), abs=1e-4)
    assert found.complete == (tokens[-1] == "<eos>")


def test_the_score_of_a_box_is_that_of_its_four_tokens(model):
    generation = model.generate_with_scores(BOTH, "detect cat ; dog")
    cat, dog = model.detect(BOTH, ["cat", "dog"])
    names = list(generation.tokens)
    start = names.index(";") + 1
    for each, first in ((cat, 0), (dog, start)):
        assert all(token.startswith("<loc") for token in names[first : first + 4])
        assert each.score == pytest.approx(np.prod(generation.probabilities[first : first + 4]) ** 0.25, abs=1e-5)
    segmented = model.generate_with_scores(BLUE_ALONE, "segment dog")
    [dog] = model.segment(BLUE_ALONE, "dog")
    assert dog.score == pytest.approx(np.prod(segmented.probabilities[:20]) ** 0.05, abs=1e-5)


def test_batches_equal_images_one_by_one(model):
    images = [BOTH, RED_ALONE, BLUE_ALONE, *(BOTH.resize((30 + n, 40)) for n in range(BATCH))]
    together = model.generate_with_scores(images, "detect cat")
    alone = [model.generate_with_scores(image, "detect cat") for image in images]
    assert len(together) == BATCH + 3
    assert [each.tokens for each in together] == [each.tokens for each in alone]
    assert {len(each.tokens) for each in alone} >= {1, 6}  # answers of several lengths in one batch
    for a, b in zip(together, alone, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-4)


def test_streamed_pieces_join_to_the_text(model):
    pieces = []
    text = model.caption(BOTH, stream=pieces.append)
    assert len(pieces) == 7 and "".join(pieces) == text
    pieces.clear()
    assert model.generate(BLUE_ALONE, "detect cat", stream=pieces.append) == "" and pieces == []
    with pytest.raises(ValueError, match="found 2 images to stream"):
        model.caption([BOTH, BOTH], stream=pieces.append)


def test_a_stream_can_stop_the_generation(model):
    def stop(piece):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.caption(BOTH, stream=stop)


def test_the_limit_of_tokens(model):
    short = model.generate_with_scores(BOTH, "caption en", max_tokens=3)
    assert (short.text, len(short.tokens), short.complete) == ("a red cat", 3, False)
    whole = model.generate_with_scores(BOTH, "caption en", max_tokens=8)
    assert (whole.tokens[-1], len(whole.tokens), whole.complete) == ("<eos>", 8, True)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="max_tokens"):
            model.caption(BOTH, max_tokens=wrong)


def test_an_answer_that_never_ends_stops_where_the_context_ends(tiny_folder):
    model = load_vlm(tiny_folder("paligemma"), device="cpu")  # random weights
    generation = model.generate_with_scores(BOTH, "caption en")
    used = 16 + len(["<bos>", "caption", "en", "\n"])
    assert not generation.complete
    assert len(generation.tokens) == 256 - used


def test_without_a_codec_masks_are_refused_and_boxes_are_not(taught):
    model = load_vlm(str(taught), device="cpu")
    assert len(model.detect(BOTH, "cat")) == 1
    with pytest.raises(ValueError, match=r"gs://big_vision/paligemma/vae-oid\.npz") as refused:
        model.segment(BOTH, "cat")
    assert "\n" not in str(refused.value)
    generation = model.generate_with_scores(BLUE_ALONE, "segment dog")
    with pytest.raises(ValueError, match="mask codec"):
        model.detections(generation, BLUE_ALONE)


def test_unknown_words_are_those_of_the_unknown_token(model):
    assert model.unknown_words("answer en The zebra, the CAT? zebra 猫") == ["zebra", "猫"]
    assert model.unknown_words("detect cat ; dog") == model.unknown_words("") == []


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (300, 2), (3, 3)])
def test_the_smallest_images_are_answered_with_boxes_inside_them(model, size):
    image = BOTH.resize(size)
    generation = model.generate_with_scores(image, "detect cat ; dog")
    assert isinstance(generation, Generation)
    for x0, y0, x1, y1 in edges(model.detections(generation, image)):
        assert 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]


CALLS = {
    "generate": lambda model, images: model.generate(images, "caption en"),
    "generate_with_scores": lambda model, images: model.generate_with_scores(images, "caption en"),
    "caption": lambda model, images: model.caption(images),
    "answer": lambda model, images: model.answer(images, "the cat?", max_tokens=3),
    "detect": lambda model, images: boxes_of(model.detect(images, "cat")),
    "segment": lambda model, images: boxes_of(model.segment(images, "dog")),
}


def boxes_of(found):
    """Boxes, and masks as bytes, of the detections in one image or in several."""
    if any(isinstance(each, list) for each in found):
        return [boxes_of(each) for each in found]
    return tuple((each.label, each.box, None if each.mask is None else each.mask.tobytes()) for each in found)


@pytest.mark.parametrize("name", CALLS)
def test_every_kind_of_image_gives_the_same_and_anything_else_is_refused(model, name, tmp_path):
    call, path = CALLS[name], tmp_path / "image.png"
    BLUE_ALONE.save(path)
    array = np.asarray(BLUE_ALONE)
    kinds = [BLUE_ALONE, path, str(path), path.read_bytes(), array, array / 255, torch.from_numpy(array.copy())]
    expected = call(model, BLUE_ALONE)
    assert [call(model, kind) for kind in kinds] == [expected] * len(kinds)
    together = call(model, kinds)
    assert isinstance(together, list) and len(together) == len(kinds)
    if name != "generate_with_scores":  # in which a batch changes the last digits
        assert together == [expected] * len(kinds)
    for wrong, reason in ((None, "None"), ([], "at least one image"), ([path, None], r"images\[1\]"), (3, "3")):
        with pytest.raises(ImageError, match=reason):
            call(model, wrong)


def test_detections_of_an_answer_accept_every_kind_of_image_and_refuse_anything_else(model, tmp_path):
    BOTH.save(tmp_path / "both.png")
    generation = model.generate_with_scores(BOTH, "detect cat")
    expected = model.detections(generation, BOTH)
    assert model.detections(generation, tmp_path / "both.png") == expected
    assert model.detections(generation, np.asarray(BOTH)) == expected
    with pytest.raises(ImageError, match="None"):
        model.detections(generation, None)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("", "found an empty question"),
        (" \n ", "found an empty question"),
        ("x" * 10_000, "found a question of 10000 characters; expected at most 4000"),
        ("cat " * 300, "found a prompt of 304 tokens; expected at most 224"),
        ("the <image> cat", "found the special token <image>"),
        ("the cat<eos>", "found the special token <eos>"),
        ("\ud800", "not valid Unicode"),
        (None, "found NoneType for a question"),
        (b"cat", "found bytes for a question"),
    ],
)
def test_hostile_questions_are_refused_in_one_line_before_the_model_runs(model, monkeypatch, question, reason):
    monkeypatch.setattr(type(model._generator.model), "forward", None)
    with pytest.raises(ValueError, match=reason) as refused:
        model.answer(BOTH, question)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 250


@pytest.mark.parametrize(
    "question", ["<script>alert(1)</script>", "<IMAGE>", "a\0b", "{}%s\\n", "\u202e cat ?", "<loc0001>"]
)
def test_markup_is_text(model, question):
    assert isinstance(model.answer(BOTH, question, max_tokens=4), str)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "found no names"),
        ("", "found an empty name"),
        (["cat", " "], "found an empty name"),
        (["cat", 3], "found int for a name"),
        (3, "found int for a name"),
        ("cat ; dog", "found ';' in the name 'cat ; dog'"),
        ([f"cat {'dog ' * (number % 4)}{number}" for number in range(200)], "found a prompt of .* tokens; expected"),
        (["x" * 3000, "y" * 3000], "found a prompt of 601[01] characters"),
    ],
)
def test_hostile_names_are_refused_in_one_line(model, names, reason):
    for method in (model.detect, model.segment):
        with pytest.raises(ValueError, match=reason) as refused:
            method(BOTH, names)
        assert "\n" not in str(refused.value) and len(str(refused.value)) < 250


def test_the_same_name_200_times_is_asked_for_once(model):
    assert edges(model.detect(BOTH, ["cat"] * 200)) == near(LEFT)


@pytest.mark.parametrize("language", ["", "english", "EN", "en\ncaption", None, 3])
def test_other_languages_than_codes_are_refused(model, language):
    with pytest.raises(ValueError, match="found language"):
        model.caption(BOTH, language)


def test_a_detection_without_a_mask_needs_none():
    assert Detection("cat", (0, 0, 1, 1), 0.5).mask is None


def test_a_mask_of_one_object_only_is_none_for_the_other(model):
    from dinoclip_viz.vlm.results import detections_of

    codes = "".join(f"<seg{code:03d}>" for code in range(16))
    location = "<loc0000><loc0000><loc0500><loc0500>"
    generation = Generation(f"{location} cat ; {location}{codes} dog", ("x",), (0.5,))
    cat, dog = detections_of(generation, (10, 10), model._codec)
    assert cat.mask is None and dog.mask.shape == (10, 10)
    assert cat.score == dog.score == pytest.approx(0.5)  # the tokens of the text are unknown


def test_an_image_in_another_mode_is_read_as_rgb(model):
    assert model.caption(RED_ALONE.convert("RGBA")) == "a red cat"
    assert isinstance(model.caption(Image.new("L", (4, 4))), str)
