import gradio as gr
import pytest

from dinoclip_viz.app.cache import Shelf
from dinoclip_viz.app.encoders import CLIP, DINO
from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.tokens import tab as tokens
from dinoclip_viz.encoders import inside


def test_norms_of_every_layer_come_with_the_counts(bench, drawn):
    sheets, counts, layer, head, register, note = tokens.answer(bench, bench.first_key, drawn)
    assert [caption for _, caption in sheets] == ["playground-dino"]
    assert sheets[0][0].width > 3 * tokens.CELL
    assert counts == "**playground-dino**: 0 artefact tokens of 576, 0 register tokens."
    assert (layer.maximum, register.maximum, note) == (6, 2, "")
    assert not isinstance(head, gr.Slider)  # no attention was read, so nothing is known of heads


@pytest.mark.parametrize("view", [tokens.NORMS, tokens.CLS, tokens.ROLLOUT])
def test_every_view_shows_two_encoders_side_by_side(bench, drawn, view):
    sheets, counts, _, head, _, _ = tokens.answer(bench, bench.first_key, drawn, view, compare=CLIP)
    assert [caption for _, caption in sheets] == ["playground-dino", "playground-clip"]
    assert sheets[0][0].tobytes() != sheets[1][0].tobytes()
    assert counts.count("register tokens") == 2
    if view != tokens.NORMS:
        assert head.maximum == 4


def test_the_same_encoder_twice_is_shown_once(bench, drawn):
    assert len(tokens.answer(bench, bench.first_key, drawn, compare=DINO)[0]) == 1


def test_a_layer_and_a_head_alone_are_other_images_than_all(bench, drawn):
    every = [
        tokens.answer(bench, bench.first_key, drawn, tokens.NORMS, layer=layer, patches=12)[0][0][0].tobytes()
        for layer in (0, 1, 6)
    ]
    heads = [
        tokens.answer(bench, bench.first_key, drawn, tokens.CLS, head=head, patches=12)[0][0][0].tobytes()
        for head in (0, 1, 4)
    ]
    assert len(set(every)) == 3 and len(set(heads)) == 3


def test_a_layer_past_the_last_is_the_last_and_the_slider_says_so(bench, drawn):
    answers = [tokens.answer(bench, bench.first_key, drawn, layer=layer, patches=12) for layer in (6, 40)]
    assert answers[0][0][0][0].tobytes() == answers[1][0][0][0].tobytes()
    assert answers[1][2].value == 6


def test_artefacts_that_are_taken_out_are_shown_before_and_after(bench, drawn):
    sheets = tokens.answer(bench, bench.first_key, drawn, ratio=1.1, repair=True, patches=12)[0]
    assert [caption for _, caption in sheets] == ["playground-dino", "playground-dino: artefact tokens replaced"]


def test_taking_out_changes_the_second_image_alone(bench, drawn):
    import torch

    encoder = tokens.encoder_for(bench, bench.first_key, DINO)
    features = bench.patches(encoder, tokens.read(drawn), 96)
    none, some = torch.zeros(12, 12, dtype=torch.bool), torch.zeros(12, 12, dtype=torch.bool)
    some[4, 5] = True
    assert tokens.before_and_after(features, none).tobytes() != tokens.before_and_after(features, some).tobytes()


def test_insides_are_computed_once(bench, drawn, monkeypatch):
    kept, calls = Shelf(4), []

    def look(*given, **named):
        calls.append(given)
        return inside.look_inside(*given, **named)

    monkeypatch.setattr(tokens, "look_inside", look)
    for layer in (0, 1, 2):
        tokens.answer(bench, bench.first_key, drawn, layer=layer, patches=12, kept=kept)
    assert len(calls) == 1
    tokens.answer(bench, bench.first_key, drawn, tokens.ROLLOUT, patches=12, kept=kept)
    tokens.answer(bench, bench.first_key, drawn, tokens.CLS, patches=12, kept=kept)
    assert len(calls) == 2


def test_a_photograph_brings_a_notice(bench, photograph):
    assert tokens.answer(bench, bench.first_key, photograph, patches=12)[5] == NOTICE


def test_what_cannot_be_shown_is_told_in_one_line(bench, drawn, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    wrong = {
        "there is no image yet": {"path": None},
        "broken": {"path": str(broken)},
        "found view 'norm'": {"view": "norm"},
        "no register tokens in playground-dino": {"view": tokens.REGISTER},
        "layer -1": {"layer": -1},
        "head 1.5": {"head": 1.5},
        "layer None": {"layer": None},
        "head nan": {"head": float("nan")},
        "ratio=0.5": {"ratio": 0.5},
        "does not offer": {"source": "/etc"},
    }
    for words, given in wrong.items():
        with pytest.raises(gr.Error, match=words) as caught:
            one_line_errors(tokens.answer)(bench, bench.first_key, **{"path": drawn, "patches": 12, **given})
        assert "\n" not in caught.value.message


def test_the_tab_is_built_without_running_a_model(bench, monkeypatch):
    monkeypatch.setattr(tokens, "look_inside", lambda *_, **__: pytest.fail("a model ran"))
    with gr.Blocks():
        panel = tokens.build(bench, gr.State(bench.first_key))
    assert isinstance(panel, Panel)
    assert len(panel.inputs) == 12 and len(panel.outputs) == 6
    first, second = tokens.offered(bench, bench.first_key)
    assert first.value == DINO and second.choices[0] == ("none", tokens.NONE)
