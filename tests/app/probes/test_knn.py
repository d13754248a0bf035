"""The neighbours tab's handler as a plain function, on drawn scenes and on stores with and without labels."""

import re

import gradio as gr
import pytest
from PIL import Image

from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.probes import knn as neighbours
from dinoclip_viz.app.retrieval import gallery
from dinoclip_viz.app.workbench import key_of
from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.pipeline import embed
from dinoclip_viz.tasks.probes.linear import LinearProbe
from dinoclip_viz.tasks.probes.linear_files import probes_for


@pytest.fixture(scope="module")
def scenes(bench):
    """The gallery of drawn scenes, fewer of them: some have one object, and so a label."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "SCENES", 24)
        drawn = gallery.Gallery(None, bench.model(bench.first_key))
        drawn.store(bench.model(bench.first_key))
        yield drawn


@pytest.fixture(scope="module")
def labelled(bench, tmp_path_factory):
    """A store of which every image has a label."""
    folder = tmp_path_factory.mktemp("labelled") / "store"
    embed(PlaygroundSource(2112, 40, 96, 1), "playground-dino", folder)
    return gallery.Gallery(folder, bench.model(bench.first_key))


@pytest.fixture
def plane(bench, tmp_path):
    """A drawn plane."""
    bench.scenes.draw(neighbours.FIRST).save(tmp_path / "plane.png")
    return str(tmp_path / "plane.png")


def test_labelled_neighbours_vote_and_the_words_agree(bench, labelled, plane):
    tiles, bars, said, note = neighbours.answer(bench, labelled, bench.first_key, plane, 7)
    assert len(tiles) == 7 and isinstance(bars, Image.Image) and note == ""
    told_of = [re.fullmatch(r"(.+) · (-?\d\.\d{2}) · (\d+)%", caption) for _, caption in tiles]
    cosines = [float(match[2]) for match in told_of]
    assert cosines == sorted(cosines, reverse=True)
    shares = {}
    for match in told_of:
        shares[match[1]] = shares.get(match[1], 0) + int(match[3])
    assert sum(shares.values()) == pytest.approx(100, abs=7)
    best = max(shares, key=shares.get)
    assert said.startswith(f"k-NN predicts **{best}**: {shares[best] // 10}")
    assert "the 7 nearest among 40 images" in said


def test_scenes_of_several_objects_do_not_vote(bench, scenes, plane):
    store = scenes.store(bench.model(bench.first_key))
    names = [name for name in neighbours.labels_of(store) if name is not None]
    assert 0 < len(names) < 24
    tiles, _, said, _ = neighbours.answer(bench, scenes, bench.first_key, plane, 48)
    assert len(tiles) == len(names)
    assert sorted(caption.split(" · ")[0] for _, caption in tiles) == sorted(names)
    assert f"the {len(names)} labelled of 24 images" in said


def test_a_low_temperature_lets_the_nearest_decide(bench, labelled, plane):
    tiles, *_ = neighbours.answer(bench, labelled, bench.first_key, plane, 5, 0.001)
    even, *_ = neighbours.answer(bench, labelled, bench.first_key, plane, 5, 1.0)
    first, equal = (int(re.search(r"(\d+)%", group[0][1])[1]) for group in (tiles, even))
    assert first > 60 and 20 <= equal <= 26


def test_a_gallery_without_labels_shows_its_closest_and_nobody_votes(bench, plane, tmp_path):
    (tmp_path / "files").mkdir()
    for sample in PlaygroundSource(2000, 4).samples():
        sample.load().save(tmp_path / "files" / f"{sample.key}.png")
    embed(tmp_path / "files", "playground-dino", tmp_path / "store")
    bare = gallery.Gallery(tmp_path / "store", bench.model(bench.first_key))
    tiles, bars, said, _ = neighbours.answer(bench, bare, bench.first_key, plane, 3)
    assert len(tiles) == 3 and bars is None and said.startswith(neighbours.UNLABELLED)


def test_saved_probes_that_fit_the_encoder_speak(bench, labelled, plane, tmp_path):
    _, _, said, _ = neighbours.answer(bench, labelled, bench.first_key, plane, 5)
    assert "The linear probe playground-dino predicts **plane" in said.split("\n\n")[1]
    store = labelled.store(bench.model(bench.first_key))
    own = LinearProbe(grid=[0.1]).fit(store, neighbours.labels_of(store))
    own.save(tmp_path / "mine.safetensors")
    (tmp_path / "other.safetensors").write_text("no probe")
    assert list(probes_for(store, tmp_path)) == ["playground-dino", "mine"]
    _, _, said, _ = neighbours.answer(bench, labelled, bench.first_key, plane, 5, heads=tmp_path)
    assert "The linear probe mine predicts " in said
    with pytest.raises(ValueError, match="found no folder"):
        probes_for(store, tmp_path / "gone")


def test_a_model_without_a_probe_is_told_how_to_fit_one(bench, monkeypatch, tmp_path):
    monkeypatch.setattr("dinoclip_viz.tasks.probes.linear_files.CLASS_PROBES", tmp_path)
    features = bench.model(bench.first_key).images.encode([Image.new("RGB", (96, 96))])
    assert neighbours.probe_summary(features) == neighbours.NO_PROBE


def test_a_photograph_brings_a_notice_and_what_fails_one_line(bench, labelled, photograph, plane):
    assert neighbours.answer(bench, labelled, bench.first_key, photograph, 3)[3] == NOTICE
    run = one_line_errors(neighbours.answer)
    for key, path, words in (
        (bench.first_key, None, "there is no image yet"),
        (key_of("playground-clip", ""), plane, "cannot search this gallery"),
    ):
        with pytest.raises(gr.Error, match=words) as caught:
            run(bench, labelled, key, path, 3)
        assert "\n" not in caught.value.message


def test_the_tab_is_built_and_its_handler_fills_every_output(bench, labelled, plane):
    with gr.Blocks():
        panel = neighbours.build(bench, gr.State(bench.first_key), labelled)
    answer = panel.run(bench.first_key, plane, 3, 0.07)
    assert len(answer) == len(panel.outputs) == 4 and panel.image in panel.inputs and panel.spread is not None
