import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.viz import attention_maps, colour_map, figure_to_image, norm_histograms, norm_maps
from dinoclip_viz.viz.maps.tokens import OUTLINE, value_range

NORMS = np.arange(24.0).reshape(2, 3, 4) + 1


def colours(image):
    return {colour for _, colour in image.getcolors(1 << 24)}


def first_map(sheet, shape, cell=96):
    """Colours at the middles of the patches of the sheet's first map, found by its first colour that is no grey."""
    pixels = np.asarray(sheet).astype(int)
    coloured = np.abs(pixels - pixels.mean(-1, keepdims=True)).max(-1) > 12
    top, left = np.argwhere(coloured).min(0)
    side = cell // max(shape)
    return pixels[top + side // 2 :: side, left + side // 2 :: side][: shape[0], : shape[1]]


def test_maps_on_one_scale_have_the_colours_of_their_norms():
    shown = first_map(norm_maps(NORMS, cell=96), (3, 4))
    assert shown.tolist() == colour_map(NORMS[0], 1, 24).tolist()


def test_maps_on_their_own_scales_use_all_colours_each():
    shown = first_map(norm_maps(NORMS, scale="layer", cell=96), (3, 4))
    assert shown.tolist() == colour_map(NORMS[0], 1, 12).tolist()


def test_artefact_tokens_are_outlined_and_only_they():
    found = np.zeros((3, 4), bool)
    assert OUTLINE not in colours(norm_maps(NORMS, found, cell=96))
    found[1, 2] = True
    sheet = np.asarray(norm_maps(NORMS, found, columns=1, cell=96))
    rows, columns = np.nonzero((sheet == OUTLINE).all(-1))
    assert np.ptp(columns) == 23  # one patch of 24 pixels wide, in both maps below one another
    assert len(rows) == 2 * len(np.unique(rows[rows < rows.mean()] * 10000 + columns[rows < rows.mean()]))


def test_constant_norms_can_be_drawn():
    norm_maps(np.full((2, 3, 3), 5.0), scale="layer", cell=96)
    figure_to_image(norm_histograms(np.full((2, 3, 3), 5.0)))
    assert value_range(np.zeros(3))[1] > 0


def test_histograms_count_every_token_and_mark_artefacts():
    norms = np.abs(np.random.default_rng(0).normal(10, 1, (3, 5, 5)))
    norms[:, 0, 0] = 90
    found = np.zeros((5, 5), bool)
    found[0, 0] = True
    figure = norm_histograms(norms, found)
    for axes in figure.axes:
        # stacked: the artefacts' bars stand on the others'
        steps = [patch.get_data() for patch in axes.patches]
        counts = [(step.values - step.baseline).sum() for step in steps]
        assert counts == [24, 1]
    assert "1 artefact token" in figure.get_supxlabel()
    assert "layer 2, median" in figure.axes[1].get_title("left")


def test_histograms_take_the_patches_of_several_images():
    figure = norm_histograms(np.ones((2, 30)), titles=["layer 11", "layer 12"])
    assert [axes.get_title("left") for axes in figure.axes] == ["layer 11, median 1", "layer 12, median 1"]


def test_attention_is_drawn_over_the_image_one_map_a_head():
    image = Image.new("RGB", (60, 40), (0, 0, 0))
    maps = np.full((3, 2, 3), 0.02)
    maps[1, 0, 0] = 0.9
    sheet = attention_maps(image, maps, columns=3, cell=96, opacity=1)
    assert sheet.width == 3 * 96 + 4 * 16
    top = colour_map([[1.0]], 0, 1, "magma")[0, 0]
    assert tuple(top.tolist()) in colours(sheet)


def test_wrong_arguments_are_told_in_one_line():
    calls = {
        r"norms of shape \(3, 4\); expected \(L, H, W\)": lambda: norm_maps(NORMS[0]),
        "scale='each'": lambda: norm_maps(NORMS, scale="each"),
        r"found is bool \(4, 3\)": lambda: norm_maps(NORMS, np.zeros((4, 3), bool)),
        "not finite": lambda: norm_maps(NORMS * np.nan),
        "cell=10": lambda: norm_maps(NORMS, cell=10),
        "found marks 5 tokens": lambda: norm_histograms(NORMS, np.zeros(5, bool)),
        "1 titles for 2 layers": lambda: norm_histograms(NORMS, titles=["one"]),
        "columns=0": lambda: norm_histograms(NORMS, columns=0),
        "values of 0 or more": lambda: attention_maps(np.zeros((9, 9)), -NORMS),
        r"attention of shape \(3, 4\)": lambda: attention_maps(np.zeros((9, 9)), NORMS[0]),
        "2 captions for 2|1 captions for 2": lambda: attention_maps(np.zeros((9, 9)), NORMS, ["one"]),
    }
    for words, call in calls.items():
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
