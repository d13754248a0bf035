"""The app's choice of models from a hub: loaded, or one line while the earlier model stays."""

from __future__ import annotations

import gradio as gr
import pytest

import dinoclip_viz as dv
from dinoclip_viz.app import notice
from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.page import load_chosen
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.app.zero_shot import tab as zero_shot
from tests import tiny_models


@pytest.fixture(scope="module")
def playground():
    return dv.load_model("playground")


@pytest.fixture
def bench(playground):
    return Workbench(playground)


def show(fraction: float, desc: str = "") -> None:
    """A progress bar that nobody sees."""


def load(bench, name, guide):
    return one_line_errors(load_chosen)(bench, name, guide, show)


def test_chosen_models_load_and_answer(hub, bench, tmp_path):
    image = tmp_path / "image.png"
    tiny_models.images((64, 48))[0].save(image)
    key, description = load(bench, "clip-vit-base-patch16", "dinov2-small")
    assert "images by clip-vit-base-patch16" in description and "guide dinov2-small" in description
    figure, *_ = zero_shot.answer(bench, key, str(image), "cat, dog")
    assert figure


def test_the_recommended_models_load_by_their_button(hub, bench):
    model, guide, _, description = one_line_errors(notice.load_recommended)(
        lambda name, guide: load_chosen(bench, name, guide, show), show
    )
    assert (model, guide) == (notice.MODEL, notice.GUIDE)
    assert "Loaded:" in description
    assert notice.downloaded_bytes() > 0


FAULTS = {
    "401": "or log in with `hf auth login`",
    "403": "is gated; accept its licence",
    "404": "the hub has no repository",
    "429": "try again in 55 s",
    "500": "the hub has a fault (500)",
    "half": "the hub broke off",
    "checksum": "arrived damaged",
    "never": "did not answer within 0.3 s",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_and_the_earlier_model_stays(fault, hub, bench):
    hub.misbehave(fault, seconds=55)
    for act in (
        lambda: load(bench, "siglip-base-patch16-224", None),
        lambda: one_line_errors(notice.load_recommended)(
            lambda name, guide: load_chosen(bench, name, guide, show), show
        ),
    ):
        with pytest.raises(gr.Error) as caught:
            act()
        assert FAULTS[fault] in caught.value.message
        assert "\n" not in caught.value.message
        assert "cannot be reached" not in caught.value.message
    assert bench.model(bench.first_key).name == "playground"
    hub.behave()
    assert "Loaded:" in load(bench, "siglip-base-patch16-224", None)[1]
