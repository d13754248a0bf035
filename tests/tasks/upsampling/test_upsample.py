"""Maps at the resolution of images: edges are followed, ranges kept, every kind of input answered in its kind."""

import numpy as np
import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz import playground
from dinoclip_viz.cli.parser import SHARP
from dinoclip_viz.tasks import upsampling
from dinoclip_viz.tasks.upsampling import upsample_labels

METHODS = ("bilinear", "guided", "trained")


def halves(boundary=27, size=(64, 48)):
    """A dark and a bright half, whose boundary runs inside a patch, and patches (6, 8) that mix both there."""
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    image[:, boundary:] = 200
    patches = np.zeros((6, 8), np.float32)
    patches[:, 4:] = 1
    patches[:, 3] = (32 - boundary) / 8
    return Image.fromarray(image), patches


@pytest.mark.parametrize("method", ["guided", "trained"])
def test_maps_follow_the_edge_of_the_image(method):
    image, patches = halves()
    sharp = dv.upsample(patches, image, method=method)
    smooth = dv.upsample(patches, image, method="bilinear")
    truth = np.zeros((48, 64))
    truth[:, 27:] = 1
    assert sharp.shape == (48, 64) and sharp.dtype == np.float32
    assert np.abs(sharp - truth).mean() < 0.5 * np.abs(smooth - truth).mean()
    assert (sharp[:, :24] < 0.2).all() and (sharp[:, 30:] > 0.8).all()


@pytest.mark.parametrize("method", METHODS)
def test_values_stay_within_the_range_of_the_patches(method):
    image = playground.draw(1500, 1, 96)[0].image
    values = torch.randn(12, 12, 7, generator=torch.Generator().manual_seed(0))
    finer = dv.upsample(values, image, (100, 90), method)
    assert finer.shape == (90, 100, 7) and finer.isfinite().all()
    assert (finer >= values.amin((0, 1))).all() and (finer <= values.amax((0, 1))).all()
    assert torch.equal(finer, dv.upsample(values, image, (100, 90), method))


@pytest.mark.parametrize("method", METHODS)
def test_each_channel_is_upsampled_by_itself_and_linearly(method):
    image = playground.draw(1501, 1, 96)[0].image
    values = torch.randn(12, 12, 3, generator=torch.Generator().manual_seed(1))
    finer = dv.upsample(values, image, method=method)
    assert torch.allclose(finer[..., 1], dv.upsample(values[..., 1], image, method=method), atol=1e-5)
    assert torch.allclose(dv.upsample(2 * values + 1, image, method=method), 2 * finer + 1, atol=1e-5)
    flat = dv.upsample(torch.full((12, 12), 0.3), image, method=method)
    assert torch.allclose(flat, torch.full((96, 96), 0.3))


def test_arrays_stay_arrays_and_sizes_are_those_of_the_longer_side():
    image, patches = halves()
    assert isinstance(dv.upsample(patches, image), np.ndarray)
    assert isinstance(dv.upsample(torch.from_numpy(patches), image), torch.Tensor)
    assert dv.upsample(patches, image, 128).shape == (96, 128)
    assert dv.upsample(patches, image, (20, 31)).shape == (31, 20)
    assert dv.upsample(patches.astype(int), image).dtype == np.float32
    assert dv.upsample(patches, image, 8 * 40).shape == (240, 320)  # beyond the pixels per patch that are guided
    tiny = Image.new("RGB", (3, 2))
    assert dv.upsample(patches, tiny).shape == (6, 8)


@pytest.mark.parametrize("method", METHODS)
def test_features_become_finer_over_the_part_that_they_cover(method):
    scene = playground.draw(1502, 1, 96)[0].image
    image = Image.new("RGB", (160, 96), "white")
    image.paste(scene, (32, 0))
    features = dv.load_encoder("playground-clip").encode([image], methods=["maskclip"])
    assert features.boxes[0].tolist() == [32, 0, 128, 96]
    finer = dv.upsample(features, image, method=method)
    assert finer.grid == (96, 96) and torch.equal(finer.boxes, features.boxes)
    assert torch.equal(finer.pooled, features.pooled)
    alone = dv.upsample(features.patches[0], scene, method=method)
    assert torch.allclose(finer.patches[0], alone, atol=1e-4)
    dense = dv.upsample(features.dense["maskclip"][0], scene, method=method)
    assert torch.allclose(finer.dense["maskclip"][0], dense, atol=1e-4)
    assert dv.upsample(features, image, 48, method).grid == (48, 48)


def test_a_sharp_pca_map_shows_the_object_more_exactly_than_patches():
    encoder, wrong = dv.load_encoder("playground-dino"), {"guided": 0.0, "bilinear": 0.0}
    scenes = playground.draw(1503, 6, 192, objects=1)
    features = encoder.encode_each([scene.image for scene in scenes], 192, "whole")
    pca = dv.PatchPCA().fit(features)
    for scene, part in zip(scenes, features, strict=True):
        first = pca.first_component(part)[0]
        for method in wrong:
            found = dv.upsample(first, scene.image, method=method) > pca.threshold_
            wrong[method] += (found.numpy() != (scene.mask > 0)).mean()
    assert wrong["guided"] < 0.9 * wrong["bilinear"]


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (np.zeros((2, 2)), {"method": "magic"}, "'magic'; expected one of guided, trained, bilinear, anyup"),
        (np.zeros((2, 2, 2, 2)), {}, r"shape \(2, 2, 2, 2\)"),
        (np.zeros((0, 2)), {}, r"shape \(0, 2\)"),
        (np.array([[0, np.nan]]), {}, "not finite"),
        (np.zeros((9, 9)), {"size": 8}, "size is 8 x 6 pixels; expected at least one per patch, 9 x 9"),
        (np.zeros((2, 2)), {"method": "trained", "weights": "nowhere"}, "nowhere has no upsampler"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(values, settings, message):
    with pytest.raises(ValueError, match=message):
        dv.upsample(values, halves()[0], **settings)


def test_features_of_several_images_are_refused():
    scenes = [scene.image for scene in playground.draw(1504, 2, 96)]
    features = dv.load_encoder("playground-dino").encode(scenes)
    with pytest.raises(ValueError, match=r"features are of 2 images; expected one: pass features\[i\]"):
        dv.upsample(features, scenes[0])


def test_labels_are_those_of_the_largest_weight():
    image, _ = halves()
    labels = torch.tensor([[3, 3, 3, 3, 7, 7, 7, 7]] * 6)
    found = upsample_labels(labels, image, (48, 64))
    assert set(found.unique().tolist()) == {3, 7} and (found[:, :27] == 3).all() and (found[:, 27:] == 7).all()


def test_heat_maps_follow_edges_and_need_the_image():
    scene, model = playground.draw(1509, 1, 96)[0].image, dv.load_model("playground")
    features = model.encode_images(scene, fit="whole", methods=["maskclip"])
    sharp = dv.heatmap(model, scene, "a cat", "maskclip", sharp="guided")
    assert sharp.shape == (1, 96, 96) and not torch.allclose(sharp, dv.heatmap(model, scene, "a cat", "maskclip"))
    bilinear = dv.heatmap(model, [scene], "a cat", "maskclip", sharp="bilinear")[0]
    assert torch.allclose(bilinear, dv.heatmap(model, scene, "a cat", "maskclip"), atol=1e-6)
    with pytest.raises(ValueError, match="expected images for sharp maps"):
        dv.heatmap(model, features, "a cat", "maskclip", sharp="guided")
    with pytest.raises(ValueError, match="'magic'; expected one of guided"):
        dv.heatmap(model, scene, "a cat", sharp="magic")


def test_the_command_line_offers_the_same_methods():
    assert SHARP == upsampling.METHODS
