import gradio as gr
import pytest
from PIL import Image

from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.retrieval import gallery, search
from dinoclip_viz.app.workbench import key_of
from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.encoders.base import SpaceError
from dinoclip_viz.models import load_model
from dinoclip_viz.pipeline import embed
from dinoclip_viz.store import StoreError


@pytest.fixture(scope="module")
def scenes(bench):
    """The gallery of synthetic scenes, fewer of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "SCENES", 20)
        drawn = gallery.Gallery(None, bench.model(bench.first_key))
        drawn.store(bench.model(bench.first_key))
        yield drawn


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A store over three files, one of which is gone."""
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "files").mkdir()
    for sample in PlaygroundSource(2000, 3).samples():
        sample.load().save(folder / "files" / f"{sample.key}.png")
    embed(folder / "files", "playground-dino", folder / "store")
    (folder / "files" / "2000-000001.png").unlink()
    return folder


def test_drawn_scenes_are_found_by_words(bench, scenes):
    found, note = search.by_text(bench, scenes, bench.first_key, "a red car", 4)
    assert len(found) == 4 and note == ""
    assert all(isinstance(image, Image.Image) and max(image.size) >= gallery.TILE for image, _ in found)
    scores = [float(caption.split(" · ")[0]) for _, caption in found]
    assert scores == sorted(scores, reverse=True)


def test_scenes_are_embedded_once_a_model(bench, scenes):
    model = bench.model(bench.first_key)
    assert scenes.store(model) is scenes.store(model)
    other = load_model("playground-clip")
    assert scenes.store(other).space == other.images.space
    assert "synthetic scenes" in str(scenes)


def test_a_drawn_image_finds_others_and_a_photograph_brings_a_notice(bench, scenes, drawn, photograph):
    found, note = search.by_image(bench, scenes, bench.first_key, drawn, 3)
    assert len(found) == 3 and note == ""
    assert search.by_image(bench, scenes, bench.first_key, photograph, 3)[1] == NOTICE


def test_a_named_store_is_searched_and_lost_files_are_grey(bench, files):
    named = gallery.Gallery(files / "store", bench.model(bench.first_key))
    found, _ = search.by_image(bench, named, bench.first_key, str(files / "files" / "2000-000002.png"), 24)
    assert len(found) == 3
    assert "2000-000002" in found[0][1]
    grey = [caption for image, caption in found if image.getpixel((3, 3)) == (200, 200, 200)]
    assert len(grey) == 1 and "2000-000001" in grey[0]
    assert "3 images of store" in str(named)


def test_a_model_that_does_not_fit_is_told(bench, files):
    named = gallery.Gallery(files / "store", bench.model(bench.first_key))
    key = key_of("playground-clip", "")
    for run, query in ((search.by_text, "a cat"), (search.by_image, str(files / "files" / "2000-000002.png"))):
        with pytest.raises(gr.Error, match="cannot search this gallery") as caught:
            one_line_errors(run)(bench, named, key, query, 3)
        assert "\n" not in caught.value.message
    with pytest.raises(SpaceError, match="cannot search this gallery"):
        gallery.Gallery(files / "store", load_model("playground-clip"))


def test_a_gallery_that_is_none_is_told_at_the_start(bench, tmp_path):
    with pytest.raises(StoreError, match="no folder"):
        gallery.Gallery(tmp_path / "none", bench.model(bench.first_key))


def test_no_words_no_image_and_a_broken_one_are_told(bench, scenes, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    for run, query, words in (
        (search.by_text, " ", "text is empty"),
        (search.by_text, None, "text is empty"),
        (search.by_image, None, "no image yet"),
        (search.by_image, str(broken), "broken.png"),
    ):
        with pytest.raises(gr.Error, match=words):
            one_line_errors(run)(bench, scenes, bench.first_key, query, 3)
