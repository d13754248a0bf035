"""The tab of linear probes: maps of the heads that fit, with the ground truth of a scene."""

import gradio as gr
import numpy as np
import pytest
import torch

from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.images import read
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.probes import tab as probes
from dinoclip_viz.app.workbench import key_of
from dinoclip_viz.playground import draw
from dinoclip_viz.tasks.probes.confusion import Confusion
from dinoclip_viz.tasks.probes.patch_head import PatchHead
from dinoclip_viz.tasks.probes.sharp import predict_sharp

CLASSES, DEPTH, PARTS = (f"playground-dino-{name}" for name in ("classes", "depth", "parts"))


@pytest.fixture(scope="module")
def own(tmp_path_factory, bench):
    """A folder with a head of the user's own for CLIP's patches, and one that fits nothing here."""
    folder = tmp_path_factory.mktemp("heads")
    head = PatchHead(names=("dark", "light"))
    head.weight_, head.bias_ = torch.randn(2, 128, generator=torch.Generator().manual_seed(0)), torch.zeros(2)
    for name, space in (("mine", bench.model(bench.first_key).clip.patch_space), ("stranger", "elsewhere")):
        head.space_ = space
        head.save(folder / f"{name}.safetensors")
    return folder


def test_the_heads_that_fit_the_model_are_offered(bench, own):
    assert list(probes.offered(bench, bench.first_key)) == [CLASSES, DEPTH, PARTS]
    assert list(probes.offered(bench, bench.first_key, own)) == [CLASSES, DEPTH, PARTS, "mine"]
    encoder, head = probes.offered(bench, bench.first_key, own)["mine"]
    assert encoder.patch_space == head.space_
    assert probes.choices(bench, bench.first_key).value == [CLASSES, DEPTH, PARTS]


def test_a_drawn_scene_brings_its_truth_and_the_figures(bench, drawn):
    maps, said, note = probes.answer(bench, bench.first_key, drawn, [CLASSES, DEPTH, PARTS])
    captions = [caption for _, caption in maps]
    assert captions[1::2] == [f"{name}: ground truth" for name in (CLASSES, DEPTH, PARTS)]
    assert "mIoU" in captions[0] and "RMSE" in captions[2] and note == ""
    assert all(image.width >= 768 and image.height > image.width for image, _ in maps)
    assert said.count("**") == 6


def test_the_figure_is_that_of_the_scene(bench, drawn):
    scene, image = draw(1007, 1, 192)[0], read(drawn)
    assert bench.scenes.scene(image).captions == scene.captions
    encoder, head = probes.offered(bench, bench.first_key)[CLASSES]
    labels = head.predict(encoder.encode([scene.image], fit="whole"))[0]
    miou = Confusion(head.names).add(labels, scene.mask).miou
    said = probes.answer(bench, bench.first_key, drawn, [CLASSES], as_patches=True)[1]
    assert f"mIoU {miou:.0%}" in said
    assert miou > 0.2
    sharp = predict_sharp(head, encoder.encode([scene.image], fit="whole"), scene.image)
    figure = Confusion(head.names).add(sharp, scene.mask).miou
    assert f"mIoU {figure:.0%}" in probes.answer(bench, bench.first_key, drawn, [CLASSES])[1]


def test_depth_is_predicted_from_the_encoders_own_cls_not_from_the_projected_vector(bench, drawn):
    encoder, head = probes.offered(bench, bench.first_key)[DEPTH]
    assert head.cls
    shown = head.predict(bench.patches(encoder, read(drawn)))[0]
    assert torch.allclose(shown, head.predict(encoder.encode([read(drawn).image], fit="whole"))[0], atol=1e-3)


def test_the_image_shows_through_the_classes_as_asked(bench, drawn):
    through = probes.answer(bench, bench.first_key, drawn, [CLASSES], opacity=0)[0][0][0]
    alone = probes.answer(bench, bench.first_key, drawn, [CLASSES], opacity=1)[0][0][0]
    scene = np.asarray(read(drawn).image.convert("L").convert("RGB"))
    shown = np.asarray(through)[2:768:4, 2:768:4]
    assert np.array_equal(shown, scene)
    assert len(np.unique(np.asarray(alone)[:768].reshape(-1, 3), axis=0)) <= 21


def test_a_photograph_has_no_truth_and_brings_a_notice(bench, photograph, own):
    maps, said, note = probes.answer(bench, bench.first_key, photograph, [CLASSES, "mine"], folder=own)
    assert [caption for _, caption in maps] == [CLASSES, "mine"]
    assert said == "" and note == NOTICE


def test_nothing_chosen_and_no_image_are_told_in_one_line(bench, drawn):
    for path, chosen, words in (
        (drawn, [], "no head is chosen"),
        (drawn, ["gone"], "expected one or more of"),
        (None, [DEPTH], "no image"),
    ):
        with pytest.raises(gr.Error) as caught:
            one_line_errors(probes.answer)(bench, bench.first_key, path, chosen)
        assert words in caught.value.message and "\n" not in caught.value.message


def test_a_model_without_heads_says_how_to_fit_one(bench, drawn, monkeypatch):
    monkeypatch.setattr(probes, "heads_for", lambda space, folder: {})
    maps, said, _ = probes.answer(bench, bench.first_key, drawn, [CLASSES])
    assert maps == [] and said == probes.NONE_FITS
    assert "--save" in said


def test_the_tab_is_built_with_the_users_folder(bench, own):
    with gr.Blocks():
        panel = probes.build(bench, gr.State(bench.first_key), own)
    chosen = panel.changed[0]
    assert [name for name, _ in chosen.choices] == [CLASSES, DEPTH, PARTS, "mine"]
    assert panel.image is panel.inputs[1] and panel.spread is not None
    assert panel.refresh(bench, key_of("playground", None)).value == [CLASSES, DEPTH, PARTS, "mine"]
