"""The PCA tab's further views: segments, colours from a file, and the foreground of a few clicks."""

import numpy as np
import pytest

from dinoclip_viz import PatchPCA, load_encoder
from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.pca import tab as pca
from dinoclip_viz.app.pca import views as pca_views
from dinoclip_viz.app.pca.views import BACKGROUND, KMEANS, OBJECT, SPECTRAL, clicked, load_basis, save_bases, with_click
from dinoclip_viz.playground import draw


def both(key_bench):
    return lambda key: pca.encoders_of(key_bench.model(key), True)


def first(key_bench):
    return lambda key: pca.encoders_of(key_bench.model(key), False)[0][1]


@pytest.fixture
def pair(bench, tmp_path):
    """Two drawn images as a gallery hands them over, and the mask of the first."""
    scenes = [draw(seed, 1, 192, objects=1)[0] for seed in (1503, 1504)]
    for index, scene in enumerate(scenes):
        scene.image.save(tmp_path / f"{index}.png")
    return [(str(tmp_path / f"{index}.png"), None) for index in range(2)], scenes[0].mask > 0


@pytest.mark.parametrize("view", [KMEANS, SPECTRAL])
def test_segments_are_shown_in_place_of_components(bench, drawn, view):
    gallery, legend, *_ = pca.answer(bench, bench.first_key, [(drawn, None)], compare=False, view=view, count=3)
    plain = pca.answer(bench, bench.first_key, [(drawn, None)], compare=False)
    assert len(gallery) == 2
    assert gallery[1][0].tobytes() != plain[0][1][0].tobytes()
    assert legend.tobytes() != plain[1].tobytes()


def test_colours_go_into_a_file_and_come_back(bench, drawn, photograph, tmp_path):
    items = [(drawn, None), (photograph, None)]
    made = pca.answer(bench, bench.first_key, items, compare=False)
    (path,) = save_bases(bench, tmp_path, made[4])
    basis, keep, words = load_basis(bench, both(bench), bench.first_key, path)
    assert keep and "playground-dino" in words
    again = pca.answer(bench, bench.first_key, [(drawn, None)], basis, keep, compare=False)
    assert again[0][1][0].tobytes() == made[0][1][0].tobytes()
    assert len(save_bases(bench, tmp_path, pca.answer(bench, bench.first_key, items)[4])) == 2


def test_files_that_are_no_basis_are_told_in_one_line(bench, tmp_path):
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    features = load_encoder("pixels").encode([draw(1503, 1, 96)[0].image], fit="whole")
    PatchPCA(3).fit(features).save(tmp_path / "other.safetensors")
    own = load_encoder("playground-dino").encode([draw(1503, 1, 96)[0].image], fit="whole")
    PatchPCA(2).fit(own).save(tmp_path / "two.safetensors")
    for name, words in (("junk", "is no basis"), ("other", "load that model"), ("two", "expected 3")):
        with pytest.raises(ValueError, match=words) as error:
            load_basis(bench, both(bench), bench.first_key, str(tmp_path / f"{name}.safetensors"))
        assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value)
    assert load_basis(bench, both(bench), bench.first_key, None) == (None, False, "")
    with pytest.raises(ValueError, match="no basis yet"):
        save_bases(bench, tmp_path, None)


def test_clicks_find_the_object_and_say_what_is_missing(bench, pair):
    items, mask = pair
    rows, columns = np.nonzero(mask)
    middle = len(rows) // 2
    marked, found, words = clicked(bench, first(bench), bench.first_key, items, 1, [])
    assert found == [] and OBJECT in words and BACKGROUND in words
    clicks = with_click([], (columns[middle], rows[middle]), (192, 192), OBJECT)
    again, found, words = clicked(bench, first(bench), bench.first_key, items, 1, clicks)
    assert found == [] and OBJECT not in words and BACKGROUND in words
    assert again.tobytes() != marked.tobytes()
    clicks = with_click(clicks, (2, 2), (192, 192), BACKGROUND)
    _, found, words = clicked(bench, first(bench), bench.first_key, items, 1, clicks)
    assert [caption for _, caption in found] == ["image 1", "image 2"] and "2 clicks" in words


def test_clicks_that_cannot_be_used_are_told(bench, pair):
    items, _ = pair
    with pytest.raises(ValueError, match="outside"):
        with_click([], (200, 3), (192, 192), OBJECT)
    with pytest.raises(ValueError, match="Clear"):
        with_click([(0.5, 0.5, True)] * pca_views.MOST_CLICKS, (3, 3), (192, 192), OBJECT)
    with pytest.raises(ValueError, match="no image 3"):
        clicked(bench, first(bench), bench.first_key, items, 3, [])
    with pytest.raises(ValueError, match="as foreground and as background"):
        clicked(bench, first(bench), bench.first_key, items, 1, [(0.5, 0.5, True), (0.5, 0.5, False)])
    with pytest.raises(Exception, match="no image 3") as error:
        one_line_errors(clicked)(bench, first(bench), bench.first_key, items, 3, [])
    assert "\n" not in error.value.message


@pytest.mark.parametrize("view", [pca.COMPONENTS, KMEANS])
def test_maps_follow_edges_unless_patches_are_asked_for(bench, drawn, view):
    def shown(as_patches):
        made = pca.answer(
            bench, bench.first_key, [(drawn, None)], compare=False, hide=True, view=view, as_patches=as_patches
        )
        return np.asarray(made[0][1][0])

    sharp, patches = shown(False), shown(True)
    assert sharp.shape == patches.shape and not np.array_equal(sharp, patches)
