"""Whitened components to colours."""

import numpy as np
import pytest

from dinoclip_viz.playground import draw
from dinoclip_viz.tasks.pca.colours import MAPPINGS, component_colours, component_strips, oklab_to_srgb
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA


def lightness(colours):
    """CIE L* of sRGB, 0 to 100."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_equal_components_have_equal_colours_inside_the_gamut(mapping):
    whitened = np.random.default_rng(0).normal(0, 2, (50, 40, 3))
    colours = component_colours(whitened, mapping)
    assert colours.shape == whitened.shape and colours.min() >= 0 and colours.max() <= 1
    alone = np.stack([component_colours(row, mapping) for row in whitened])
    assert np.array_equal(colours, alone)


def test_oklab_agrees_with_published_values():
    """Ottosson's table: white, and the primaries of sRGB as lightness, a, b."""
    red = (0.62796, 0.22486, 0.12585)
    found = oklab_to_srgb(np.array(red[0]), np.hypot(*red[1:]), np.arctan2(red[2], red[1]))
    assert np.allclose(found, [1, 0, 0], atol=2e-3)
    blue = (0.45201, -0.03246, -0.31153)
    found = oklab_to_srgb(np.array(blue[0]), np.hypot(*blue[1:]), np.arctan2(blue[2], blue[1]))
    assert np.allclose(found, [0, 0, 1], atol=5e-3)


def test_no_colour_is_cut_off_by_the_gamut():
    """Cut-off channels would give different features one colour."""
    steps = np.linspace(-3, 3, 13)
    whitened = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    colours = component_colours(whitened, "oklab")
    assert (colours > 1e-4).all() and (colours < 1 - 1e-4).mean() > 0.99
    assert len(np.unique(colours.round(5), axis=0)) == len(whitened)


def test_the_first_component_is_lightness_alone_in_oklab():
    strips = component_strips("oklab", 9)
    assert np.ptp(strips[0], axis=1).max() < 1e-3  # grey
    assert (np.diff(lightness(strips[0])) > 0).all()
    whitened = np.random.default_rng(1).normal(0, 1, (500, 3))
    whitened[:250, 0], whitened[250:, 0] = 1.5, -1.5
    tones = lightness(component_colours(whitened, "oklab"))
    assert tones[:250].min() > tones[250:].max() + 10


def test_neighbouring_features_have_neighbouring_colours():
    angles = np.linspace(-np.pi, np.pi, 721)
    ring = np.stack([np.zeros_like(angles), 1.5 * np.cos(angles), 1.5 * np.sin(angles)], axis=1)
    colours = component_colours(ring, "oklab")
    assert np.abs(np.diff(colours, axis=0)).max() < 0.02


def test_a_basis_keeps_its_mapping_in_its_file(tmp_path):
    images = [scene.image for scene in draw(1750, 3)]
    for mapping in MAPPINGS:
        pca = PatchPCA(3, colours=mapping).fit(images)
        pca.save(tmp_path / "basis.safetensors")
        assert PatchPCA.load(tmp_path / "basis.safetensors").colours == mapping
    with pytest.raises(ValueError, match="oklab, rgb, hue"):
        PatchPCA(3, colours="lab")


def test_other_mappings_and_counts_are_refused():
    with pytest.raises(ValueError, match="expected one of"):
        component_colours(np.zeros((2, 3)), "hsv")
    with pytest.raises(ValueError, match="expected 3"):
        component_colours(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="expected one of"):
        component_strips("hsv")
