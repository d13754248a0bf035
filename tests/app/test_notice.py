"""The notice on photographs: its button loads models for photographs, or states in one line that it cannot."""

import gradio as gr
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from dinoclip_viz.app import notice, workbench
from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.page import build_demo, load_chosen
from dinoclip_viz.app.workbench import Workbench, key_of
from dinoclip_viz.app.zero_shot import tab as zero_shot
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.models import load_model


class Progress:
    """Records the fractions that are shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, fraction, desc=""):
        self.seen.append((fraction, desc))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folders of a tiny CLIP and a tiny DINOv2."""
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parent.parent / "tiny_models.py"
    spec = importlib.util.spec_from_file_location("tiny_models", path)
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    folder = tmp_path_factory.mktemp("tiny")
    return [str(make(folder / make.__name__)) for make in (models.tiny_clip, models.tiny_dinov2)]


def loader(bench):
    return lambda name, guide: load_chosen(bench, name, guide)


def test_the_button_names_models_size_and_licences():
    assert notice.offer().startswith("Load DINOv2-small and CLIP ViT-B/16 (")
    assert "licences: Apache-2.0 and MIT" in notice.offer()
    assert "download: about 0.7 GB" in notice.offer() or "on disk" in notice.offer()


def test_out_of_reach_is_one_line_and_the_model_stays(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(workbench, "load_model", unreachable)
    with pytest.raises(gr.Error) as caught:
        one_line_errors(notice.load_recommended)(loader(bench), Progress())
    message = caught.value.message
    assert message == f"huggingface.co cannot be reached: clip is not on this disk; {notice.STAY}"
    assert bench.model(bench.first_key).name == "playground"


def unreachable(*given):
    raise EncoderError(f"clip is not on this disk; {notice.OFFLINE}") from LocalEntryNotFoundError("no network")


def test_the_real_loader_offline_gives_the_same_line(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        EncoderError, match=r"huggingface\.co cannot be reached: .*HF_HUB_OFFLINE.*stay loaded"
    ) as caught:
        notice.load_recommended(loader(bench), Progress())
    assert "\n" not in str(caught.value)


def test_other_errors_are_not_blamed_on_the_network(bench, monkeypatch):
    monkeypatch.setattr(workbench, "load_model", lambda *given: (_ for _ in ()).throw(EncoderError("broken")))
    with pytest.raises(EncoderError, match=f"^broken; {notice.STAY}$"):
        notice.load_recommended(loader(bench), Progress())


def test_loaded_models_become_the_choice_and_the_notice_goes(bench, tiny, photograph, monkeypatch):
    board = Workbench(bench.model(bench.first_key))
    monkeypatch.setattr(workbench, "load_model", lambda *given: load_model(*tiny))
    progress = Progress()
    model, guide, key, description = notice.load_recommended(loader(board), progress)
    assert (model, guide, key) == (notice.MODEL, notice.GUIDE, key_of(notice.MODEL, notice.GUIDE))
    assert "Loaded:" in description and all(0 <= fraction < 1 for fraction, _ in progress.seen)
    assert zero_shot.answer(board, board.first_key, photograph, "cat, dog")[2] == notice.NOTICE
    assert zero_shot.answer(board, key, photograph, "cat, dog")[2] == ""


def test_every_tab_of_the_page_s_model_has_the_button_and_it_switches_the_shared_choice(bench):
    demo = build_demo(bench.model(bench.first_key))
    buttons = [block for block in demo.blocks.values() if getattr(block, "value", "") == notice.offer()]
    assert len(buttons) == 10 and not any(button.visible for button in buttons)
    (event,) = [
        event for event in demo.fns.values() if {target[0] for target in event.targets} >= {b._id for b in buttons}
    ]
    assert [type(output) for output in event.outputs] == [gr.Dropdown, gr.Dropdown, gr.State, gr.Markdown]


def test_bytes_of_a_download_are_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert notice.downloaded_bytes() == 0
    blobs = tmp_path / "models--facebook--dinov2-small" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "a.incomplete").write_bytes(b"12345")
    assert notice.downloaded_bytes() == 5
