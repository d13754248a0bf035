"""The Ask tab: what it answers, streams, escapes and refuses."""

import html

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.offer import ANSWERING, Offer
from dinoclip_viz.app.page import build_demo
from dinoclip_viz.app.vlm import tab
from dinoclip_viz.app.vlm.replies import NOTHING
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.vlm.locations import location_tokens
from tests.scripted_vlm import scripted_vlm

CODES = "".join(f"<seg{number:03d}>" for number in range(16))
MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"


def script(image, prompt):
    if prompt.startswith("caption"):
        return "a red bus"
    if prompt.startswith("answer"):
        return MARKUP
    verb, _, names = prompt.partition(" ")
    box = location_tokens((0, 0, image.width / 2, image.height), image.size)
    codes = CODES if verb == "segment" else ""
    return " ; ".join(f"{box}{codes} {name}" for name in names.split(" ; ") if name != "nothing")


@pytest.fixture
def model(monkeypatch):
    made = scripted_vlm(script, unknown=["zebra"])
    monkeypatch.setattr(tab, "missing", lambda name: "")
    monkeypatch.setattr(tab, "vision_language_model", lambda bench, name: made)
    return made


def test_a_caption_is_text_over_the_plain_image(bench, model, drawn):
    text, figure, details, raw, note, task = tab.caption(bench, drawn)
    assert (text, details, note, task) == ("a red bus", "", "", "caption")
    assert raw.splitlines() == ["prompt: caption en", "0.810  a", "0.810  red", "0.810  bus"]
    plain = Image.open(drawn).convert("RGB").resize(figure.size, Image.Resampling.BICUBIC)
    assert max(figure.size) >= 768 and (np.asarray(plain) == np.asarray(figure)).all()


def test_boxes_and_masks_are_drawn_and_listed(bench, model, drawn):
    text, boxes, details, _, _, task = tab.detect(bench, drawn, "bus, bird\nbus")
    assert (text, task) == ("1 x bus, 1 x bird", "detect")
    assert model._generator.asked == [("detect bus ; bird", 1)]
    assert details.count("<tr>") == 3 and "<td>0.81</td><td>0</td><td>0</td><td>96</td><td>192</td><td></td>" in details
    _, masks, details, raw, _, task = tab.segment(bench, drawn, "bus")
    assert task == "segment" and "<seg015>" in raw and np.asarray(masks).shape == np.asarray(boxes).shape
    assert (np.asarray(masks) != np.asarray(boxes)).any() and details.count("<tr>") == 2


def test_nothing_found_unknown_words_and_invalid_parts_are_reported(bench, model, drawn):
    text, _, details, *_ = tab.detect(bench, drawn, "nothing")
    assert text == NOTHING and "<table>" not in details
    assert "does not know: zebra" in tab.reply_to(bench, drawn, "is a zebra there ?")[2]
    model._generator.script = lambda image, prompt: "<loc0001> cat"
    assert "Not an object: &#x27;cat&#x27;: found 1 location token" in tab.detect(bench, drawn, "cat")[2]


def test_markup_in_names_and_answers_is_escaped_wherever_html_is_made(bench, model, drawn):
    _, _, details, *_ = tab.detect(bench, drawn, MARKUP)
    assert MARKUP not in details and html.escape(MARKUP) in details
    model._generator.unknown = {"<img"}
    _, _, details, *_ = tab.reply_to(bench, drawn, MARKUP)
    assert "<img" not in details and "&lt;img" in details


def test_texts_are_shown_by_components_that_do_not_render_html(bench):
    demo = build_demo(bench.model(bench.first_key))
    kinds = {block.elem_id: type(block) for block in demo.blocks.values() if getattr(block, "elem_id", None)}
    assert kinds["ask-answer"] is kinds["ask-raw"] is kinds["ask-question"] is gr.Textbox


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        (lambda bench, path: tab.reply_to(bench, path, " "), "empty question"),
        (lambda bench, path: tab.reply_to(bench, path, "x" * 10_000), "10000 characters"),
        (lambda bench, path: tab.detect(bench, path, ", \n"), "no names"),
        (lambda bench, path: tab.segment(bench, path, "a;b"), "';'"),
        (lambda bench, path: tab.caption(bench, None), "no image"),
    ],
)
def test_invalid_input_is_one_line(bench, model, drawn, ask, line):
    with pytest.raises(ValueError, match=line) as caught:
        ask(bench, drawn)
    assert "\n" not in str(caught.value)


def test_photographs_have_the_notice(bench, model, photograph):
    assert tab.caption(bench, photograph)[4] == NOTICE


def test_without_weights_one_line_stands_in_for_the_answer(bench, drawn, monkeypatch):
    monkeypatch.setattr(tab, "missing", lambda name: f"{name} has no weights")
    monkeypatch.setattr(tab, "vision_language_model", lambda bench, name: pytest.fail("loaded"))
    text, figure, details, raw, note, task = tab.detect(bench, drawn, "cat")
    assert (text, details, raw, task) == ("", "", "", "detect") and note == f"{ANSWERING} has no weights"
    assert max(figure.size) >= 768


def test_models_are_loaded_once_and_only_if_the_page_offers_them(bench, monkeypatch):
    from dinoclip_viz.app.vlm.replies import vision_language_model

    loads = []
    monkeypatch.setattr("dinoclip_viz.vlm.loading.load_vlm", lambda *given: loads.append(given) or "loaded")
    monkeypatch.setattr(bench, "further", type(bench.further)(3, lambda model: 1))
    assert [vision_language_model(bench, ANSWERING) for _ in range(2)] == ["loaded"] * 2
    assert loads == [(ANSWERING, bench.device, bench.dtype)]
    for name in ("playground-clip", "/etc", "paligemma2-3b-pt-224", "google/paligemma2-3b-mix-224"):
        with pytest.raises(EncoderError, match="does not offer"):
            vision_language_model(bench, name)


def test_a_public_page_offers_the_embedded_and_the_allowed_models():
    assert Offer("playground", "", allow=[]).answering() == [ANSWERING]
    allowed = Offer("playground", "", allow=["google/paligemma2-3b-mix-224"])
    assert allowed.answering() == [ANSWERING, "paligemma2-3b-mix-224"]
    assert allowed.models() == ["playground", "playground-clip"]
    every = Offer("playground", "").answering()
    assert "paligemma2-10b-mix-448" in every and not any("-pt-" in name for name in every)
    with pytest.raises(EncoderError, match="does not offer"):
        allowed.check_answering("paligemma2-10b-mix-448")


def test_the_weights_of_embedded_models_alone_are_looked_for():
    from dinoclip_viz.app.offer import missing

    assert missing("playground-clip") == missing("paligemma2-3b-mix-224") == ""
    line = missing("playground-no-such")
    assert line.startswith("playground-no-such has no weights") and "\n" not in line


def test_the_page_asks_again_what_was_asked_last(bench, model, drawn):
    demo = build_demo(bench.model(bench.first_key), tab="ask")
    (panel,) = [
        event for event in demo.fns.values()
        if event.api_name is not None and str(event.api_name).endswith("again") and len(event.inputs) == 5
    ][:1]  # fmt: skip
    for task in ("caption", "answer", "detect", "segment"):
        outputs = panel.fn(task, drawn, "what is this?", "bus", ANSWERING)
        assert outputs[-1] == task and isinstance(outputs[1], str)
    assert [prompt for prompt, _ in model._generator.asked] == [
        *("caption en", "answer en what is this?", "detect bus", "segment bus")
    ]
    assert panel.api_visibility == "private"
