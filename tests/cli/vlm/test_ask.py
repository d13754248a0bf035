"""`dinoclip ask`: the JSON object, the figure, the masks, and everything that is refused in one line."""

import json

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.tasks.open_vocabulary.masks import decompress, mask_of
from dinoclip_viz.vlm.locations import location_tokens
from tests.scripted_vlm import PROBABILITY, scripted_vlm

CODES = "".join(f"<seg{number:03d}>" for number in range(16))


def script(image, prompt):
    if prompt.startswith("caption"):
        return "a red cat"
    if prompt.startswith("answer"):
        return "<b>red</b>"
    verb, _, names = prompt.partition(" ")
    box = location_tokens((image.width / 4, 0, image.width, image.height / 2), image.size)
    codes = CODES if verb == "segment" else ""
    return " ; ".join(f"{box}{codes} {name}" for name in names.split(" ; ") if name != "nothing")


@pytest.fixture
def model(monkeypatch):
    """The model that `load_vlm` returns; the arguments of its calls are in `loads`."""
    made, loads = scripted_vlm(script, unknown=["zebra"]), []
    monkeypatch.setattr("dinoclip_viz.vlm.loading.load_vlm", lambda *given: loads.append(given) or made)
    object.__setattr__(made, "loads", loads)
    return made


def test_a_caption_and_an_answer_are_text_without_detections(dinoclip, model, scenes):
    done = dinoclip("ask", scenes[0], "--caption", "--json")
    assert (done.json["text"], done.json["detections"], done.json["prompt"]) == ("a red cat", [], "caption en")
    done = dinoclip("ask", scenes[0], "--question", "what color <i>is</i> it?", "--language", "de")
    assert done.code == 0 and done.out == "<b>red</b>\n"
    assert model._generator.asked[-1] == ("answer de what color <i>is</i> it?", 1)


def test_boxes_are_in_pixels_of_the_given_image(dinoclip, model, tmp_path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (400, 100)).save(path)
    found = dinoclip("ask", path, "--detect", "cat", "red car", "--json").json
    assert [one["label"] for one in found["detections"]] == ["cat", "red car"]
    for one in found["detections"]:
        assert np.allclose(one["box"], (100, 0, 400, 50), atol=0.3) and one["score"] == pytest.approx(PROBABILITY)
    assert found["text"].count("<loc") == 8 and found["complete"] and found["problems"] == []


def test_the_figure_and_the_masks_are_written(dinoclip, model, scenes, tmp_path):
    figure, file = tmp_path / "new" / "figure.png", tmp_path / "other" / "masks.json"
    done = dinoclip("ask", scenes[0], "--segment", "cat", "--out", figure, "--masks", file)
    assert done.code == 0 and str(figure) in done.out and "px" in done.out
    shown = np.asarray(Image.open(figure).convert("RGB")).astype(int)
    plain = np.asarray(Image.open(scenes[0]).convert("RGB").resize(shown.shape[1::-1], Image.Resampling.BICUBIC))
    assert (np.abs(shown - plain).sum(axis=2) > 60).mean() > 0.01
    (one,) = json.loads(file.read_text())["annotations"]
    mask = mask_of(decompress(one["segmentation"]["counts"]), *one["segmentation"]["size"])
    assert mask.shape == (96, 96) and one["area"] == mask.sum() > 0
    assert one["label"] == "cat" and np.allclose(one["bbox"], (24, 0, 72, 48), atol=0.2)


def test_a_raw_prompt_keeps_its_tokens_and_its_boxes(dinoclip, model, scenes, tmp_path):
    found = dinoclip("ask", scenes[0], "--prompt", "segment dog", "--masks", tmp_path / "m.json", "--json").json
    assert found["text"].startswith("<loc0000>") and found["detections"][0]["label"] == "dog"
    assert json.loads((tmp_path / "m.json").read_text())["annotations"][0]["area"] > 0


def test_nothing_found_is_an_answer(dinoclip, model, scenes, tmp_path):
    done = dinoclip("ask", scenes[0], "--detect", "nothing", "--out", tmp_path / "f.png")
    assert done.code == 0 and "nothing was found" in done.out and (tmp_path / "f.png").is_file()


def test_words_that_the_model_does_not_know_are_reported_on_standard_error(dinoclip, model, scenes):
    done = dinoclip("ask", scenes[0], "--question", "is there a zebra ?")
    assert "the model does not know: zebra" in done.err and done.code == 0


def test_the_model_its_mask_decoder_and_its_device_are_passed_on(dinoclip, model, scenes):
    words = ("--segment", "cat", "--model", "mine", "--masks-from", "vae-oid.npz", "--dtype", "float32")
    assert dinoclip("ask", scenes[0], *words).code == 0
    assert model.loads == [("mine", "auto", "float32", "vae-oid.npz")]


def test_a_photograph_brings_the_command_for_a_real_model(dinoclip, model, scenes, tmp_path):
    path = tmp_path / "photograph.png"
    Image.new("RGB", (64, 64)).save(path)
    (line,) = dinoclip("ask", path, "--detect", "cat", "dog").err.splitlines()
    assert f"dinoclip ask {path} --detect cat dog --model paligemma2-3b-mix-224 (download: gated, Gemma" in line
    assert dinoclip("ask", scenes[0], "--caption").err == ""


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "one of the arguments"),
        (("--caption", "--detect", "cat"), "not allowed with"),
        (("--detect",), "expected at least one argument"),
        (("--question", ""), "empty question"),
        (("--question", "x" * 10_000), "10000 characters"),
        (("--detect", "a;b"), "';'"),
        (("--detect", "cat", "--masks", "m.json"), "--masks is for masks"),
        (("--caption", "--masks-from", "x.npz"), "--masks-from is for masks"),
        (("--detect", "cat", "--language", "de"), "--language"),
        (("--caption", "--language", "no language"), "language"),
        (("--caption", "--max-tokens", "0"), "max-tokens"),
        (("--caption", "--out", "figure.txt"), "figure.txt"),
    ],
)
def test_wrong_words_are_one_line(dinoclip, model, scenes, words, line):
    dinoclip("ask", scenes[0], *words).refused(line)


def test_a_missing_image_and_a_missing_model_are_one_line(dinoclip, scenes, tmp_path):
    dinoclip("ask", "gone.png", "--caption").refused("gone.png")
    dinoclip("ask", scenes[0], "--caption", "--model", tmp_path / "gone").refused("gone")
    dinoclip("ask", scenes[0], "--caption", "--model", "playground-clip").refused("playground-clip", "vision-language")


def test_a_real_model_of_random_weights_answers(dinoclip, scenes, tmp_path):
    from tests.tiny_models import tiny_paligemma

    folder = tiny_paligemma(tmp_path / "tiny")
    words = ("--detect", "cat", "dog", "--model", folder, "--max-tokens", "5", "--out", tmp_path / "f.png", "--json")
    done = dinoclip("ask", scenes[0], *words)
    assert done.code == 0 and done.json["complete"] is False and len(done.json["problems"]) >= 1
    assert "reached the limit of 5 tokens" in done.err and (tmp_path / "f.png").is_file()
    dinoclip("ask", scenes[0], "--segment", "cat", "--model", folder).refused("vae-oid.npz")
