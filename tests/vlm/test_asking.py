"""One question with its whole answer: text, boxes, masks, what is not known and what is no object."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz.images import ImageError
from dinoclip_viz.vlm.asking import ask
from dinoclip_viz.vlm.locations import location_tokens
from tests.scripted_vlm import PROBABILITY, scripted_vlm

IMAGE = Image.new("RGB", (200, 100), (10, 20, 30))
BOX = location_tokens((20, 10, 100, 90), IMAGE.size)
CODES = "".join(f"<seg{number:03d}>" for number in range(16))


def say(text):
    return lambda image, prompt: text


@pytest.mark.parametrize(
    ("task", "text", "prompt"),
    [
        ("caption", "", "caption de"),
        ("answer", "what is\nthis?", "answer de what is this?"),
        ("detect", ["cat", "red car"], "detect cat ; red car"),
        ("segment", "cat", "segment cat"),
        ("prompt", "ocr", "ocr"),
    ],
)
def test_each_task_has_its_prompt(task, text, prompt):
    model = scripted_vlm(say("fine"))
    reply = ask(model, IMAGE, task, text, "de")
    assert model._generator.asked == [(prompt, 1)]
    assert (reply.prompt, reply.text, reply.detections) == (prompt, "fine", ())


def test_boxes_are_in_pixels_of_the_image_and_an_unnamed_one_has_the_name_that_was_asked_for():
    reply = ask(scripted_vlm(say(f"{BOX} ; {BOX} dog")), IMAGE, "detect", "cat")
    assert [one.label for one in reply.detections] == ["cat", "dog"]
    assert np.allclose(reply.detections[0].box, (20, 10, 100, 90), atol=0.2)
    assert reply.detections[0].score == pytest.approx(PROBABILITY)
    assert reply.detections[0].mask is None


def test_masks_are_decoded_for_segment_and_prompt_but_not_for_detect():
    model = scripted_vlm(say(f"{BOX}{CODES} cat"))
    for task, text, masked in (("segment", "cat", True), ("prompt", "segment cat", True), ("detect", "cat", False)):
        (one,) = ask(model, IMAGE, task, text).detections
        assert (one.mask is not None) == masked
        if one.mask is not None:
            assert one.mask.shape == (100, 200)
            assert one.mask.any() and not one.mask[:, :20].any() and not one.mask[:, 101:].any()


def test_without_a_codec_segment_is_refused_before_the_model_runs_and_a_prompt_keeps_its_boxes():
    model = scripted_vlm(say(f"{BOX}{CODES} cat"), codec=False)
    with pytest.raises(ValueError, match=r"vae-oid\.npz") as caught:
        ask(model, IMAGE, "segment", "cat")
    assert model._generator.asked == [] and "\n" not in str(caught.value)
    (one,) = ask(model, IMAGE, "prompt", "segment cat").detections
    assert one.mask is None


def test_parts_that_are_no_objects_and_unknown_words_are_reported():
    model = scripted_vlm(say(f"{BOX} cat ; <loc0001> dog"), unknown=["zebra"])
    reply = ask(model, IMAGE, "detect", ["cat", "zebra"])
    assert len(reply.detections) == 1 and reply.unknown == ("zebra",)
    (problem,) = reply.problems
    assert "dog" in problem
    assert ask(model, IMAGE, "answer", "is a zebra there").unknown == ("zebra",)
    assert ask(model, IMAGE, "caption").unknown == ()
    assert ask(scripted_vlm(say("a cat")), IMAGE, "caption").problems == ()


def test_text_is_streamed_in_pieces_that_join_to_the_answer():
    pieces = []
    reply = ask(scripted_vlm(say("a red <b> bus")), IMAGE, "caption", stream=pieces.append)
    assert "".join(pieces) == reply.text and len(pieces) > 3


@pytest.mark.parametrize(
    ("task", "text"),
    [
        *(("answer", text) for text in ("", " \n", "x" * 10_000, ["a"])),
        *(("detect", names) for names in ([], "", "a;b", ["x" * 10_000])),
        ("segment", ["cat", ""]),
        ("prompt", ["a"]),
        ("dream", "x"),
    ],
)
def test_invalid_questions_are_one_line_and_the_model_does_not_run(task, text):
    model = scripted_vlm(say("fine"))
    with pytest.raises(ValueError) as caught:
        ask(model, IMAGE, task, text)
    assert "\n" not in str(caught.value) and model._generator.asked == []


def test_every_kind_of_image_gives_the_same(tmp_path):
    path, file = tmp_path / "a.png", io.BytesIO()
    IMAGE.save(path)
    IMAGE.save(file, "PNG")
    model = scripted_vlm(say(f"{BOX} cat"))
    expected = ask(model, IMAGE, "detect", "cat").detections
    tensor = torch.from_numpy(np.array(IMAGE)).permute(2, 0, 1)
    for form in (path, str(path), file.getvalue(), file, np.asarray(IMAGE), tensor):
        assert ask(model, form, "detect", "cat").detections == expected
    for wrong in (None, 3, "gone.png", [], {"image": IMAGE}, np.zeros((2, 3, 8, 8))):
        with pytest.raises(ImageError) as caught:
            ask(model, wrong, "detect", "cat")
        assert "\n" not in str(caught.value)


def test_an_image_of_one_pixel_and_two_hundred_names():
    tiny = Image.new("RGB", (1, 1))
    names = [f"n{number}" for number in range(200)]
    model = scripted_vlm(say(" ; ".join(f"<loc0000><loc0000><loc1023><loc1023>{CODES} {name}" for name in names)))
    reply = ask(model, tiny, "segment", names)
    assert [one.label for one in reply.detections] == names
    assert all(one.mask.shape == (1, 1) and one.box == (0, 0, 1, 1) for one in reply.detections)


def test_a_real_model_streams_its_answer(tmp_path):
    """A tiny random PaliGemma through the real loading code."""
    from dinoclip_viz.vlm import load_vlm
    from tests.tiny_models import tiny_paligemma

    model, pieces = load_vlm(str(tiny_paligemma(tmp_path))), []
    for task, text in (("caption", ""), ("answer", "a cat ?"), ("detect", ["cat", "dog"]), ("prompt", "segment cat")):
        pieces.clear()
        reply = ask(model, IMAGE, task, text, stream=pieces.append, max_tokens=6)
        assert "".join(pieces) == reply.text and 1 <= len(reply.generation.tokens) <= 6
    with pytest.raises(ValueError, match=r"vae-oid\.npz"):
        ask(model, IMAGE, "segment", "cat")
