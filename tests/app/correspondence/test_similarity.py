import base64
import json

import gradio as gr
import numpy as np
import pytest

from dinoclip_viz.app.correspondence import similarity as hover
from dinoclip_viz.app.encoders import CLIP, DINO
from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import EncoderError


def similarity(received, one, other):
    """Cosine of two patches, as the browser computes it."""
    levels = np.frombuffer(base64.b64decode(received["features"]), np.int8).reshape(-1, received["dimension"])
    scales = np.frombuffer(base64.b64decode(received["scales"]), "<f4")
    return float(levels[one].astype(int) @ levels[other].astype(int)) * scales[one] * scales[other]


def exact(patches, one, other):
    rows = patches.reshape(-1, patches.shape[-1]).double()
    return float(rows[one] @ rows[other] / rows[one].norm() / rows[other].norm())


def test_the_answer_holds_the_models_own_patches_and_their_images(bench, drawn):
    sent, note = hover.answer(bench, bench.first_key, [(drawn, None)])
    received = json.loads(sent)
    model = bench.model(bench.first_key)
    (features,) = (model.guide or model.images).encode_each([hover.read_all([(drawn, None)])[0].image])
    first = received["images"][0]
    assert (first["rows"], first["columns"]) == features.grid and first["box"] == [0, 0, 1, 1]
    assert first["src"].startswith("data:image/") and note == ""
    for one, other in ((0, 1), (5, 200), (17, 17)):
        assert abs(similarity(received, one, other) - exact(features.patches[0], one, other)) < 0.01


def test_clips_patches_differ_and_a_resolution_changes_the_grid(bench, drawn):
    answers = [hover.answer(bench, bench.first_key, [(drawn, None)], *how)[0] for how in ((), (CLIP,))]
    dino, clip = map(json.loads, answers)
    assert dino["digest"] != clip["digest"]
    small = json.loads(hover.answer(bench, bench.first_key, [(drawn, None)], DINO, 12)[0])
    assert small["images"][0]["rows"] < dino["images"][0]["rows"]


def test_images_of_different_shapes_each_have_their_own_grid(bench, drawn, tmp_path):
    from PIL import Image

    wide = tmp_path / "wide.png"
    Image.open(drawn).resize((192, 96)).save(wide)
    received = json.loads(hover.answer(bench, bench.first_key, [(drawn, None), (str(wide), None)])[0])
    grids = [(each["rows"], each["columns"]) for each in received["images"]]
    assert grids[0][0] == grids[0][1] and grids[1][0] * 2 == grids[1][1]


def test_features_are_computed_once(bench, drawn):
    hover.answer(bench, bench.first_key, [(drawn, None)])
    misses = bench.features_kept.misses
    first, again = (hover.answer(bench, bench.first_key, [(drawn, None)])[0] for _ in range(2))
    assert first == again and bench.features_kept.misses == misses


def test_a_photograph_brings_a_notice(bench, photograph):
    assert hover.answer(bench, bench.first_key, [(photograph, None)])[1] == NOTICE


def test_what_cannot_be_answered_is_told_in_one_line(bench, drawn, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    alone = Workbench("playground-clip")
    alone._first = type("Model", (), {"name": "alone", "clip": None, "guide": None, "images": None})()
    for board, items, source, words in (
        (bench, None, DINO, "no images yet"),
        (bench, [(drawn, None)] * 7, DINO, "found 7 images; expected at most 6"),
        (bench, [(str(broken), None)], DINO, "broken.png"),
        (bench, [(drawn, None)], "nobody's", "nobody"),
        (alone, [(drawn, None)], CLIP, "alone has no CLIP"),
    ):
        with pytest.raises(gr.Error, match=words) as caught:
            one_line_errors(hover.answer)(board, board.first_key, items, source)
        assert "\n" not in caught.value.message
    with pytest.raises(EncoderError, match="does not offer"):
        hover.answer(bench, "stranger|", [(drawn, None)])


def test_the_tab_is_built_without_running_a_model(bench):
    misses = bench.features_kept.misses
    with gr.Blocks():
        panel = hover.build(bench, gr.State(bench.first_key))
    assert isinstance(panel, Panel) and bench.features_kept.misses == misses
    assert panel.refresh(bench, bench.first_key).choices == [(DINO, DINO), (CLIP, CLIP)]
    assert isinstance(panel.outputs[0], gr.HTML) and isinstance(panel.image, gr.Gallery)
