"""Scores by sliding windows: whole patches, full cover, the mean by a loop, and any method's grid."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz import playground
from dinoclip_viz.models import ImageTextModel, load_model
from dinoclip_viz.tasks.open_vocabulary import windows
from dinoclip_viz.tasks.open_vocabulary.scores import (
    Vocabulary,
    VocabularyVectors,
    class_scores,
    score_maps,
    vocabulary_vectors,
)
from dinoclip_viz.tasks.open_vocabulary.windows import window_scores

VOCABULARY = Vocabulary.of(["cat", "tree;house", "grass"])


@pytest.fixture(scope="module")
def model():
    return load_model("playground-clip")


@pytest.fixture(scope="module")
def words(model):
    return vocabulary_vectors(model, VOCABULARY, "maskclip")


@pytest.fixture(scope="module")
def image():
    return playground.draw(2000, 1, 192)[0].image.resize((200, 100))


def test_an_image_that_fits_into_one_window_is_encoded_as_it_is(model, words, image):
    found = window_scores(model, image, words, "maskclip", size=96, window=96, stride=48)
    features = model.encode_images([image], 96, "whole", ["maskclip"])
    torch.testing.assert_close(found, score_maps(model, features, words, "maskclip"), rtol=0, atol=1e-5)
    assert found.shape == (3, 100, 200)


def test_the_scores_are_the_mean_over_the_windows(model, words, image):
    """By a loop over windows of 6 x 6 patches on the stretched image's 12 x 24, at most three patches apart."""
    assert model.images.patch == 8
    large = image.resize((192, 96), 3)
    total, count = torch.zeros(3, 12, 24), torch.zeros(12, 24)
    for row in (0, 3, 6):
        for column in (0, 3, 6, 9, 12, 15, 18):
            crop = large.crop((8 * column, 8 * row, 8 * column + 48, 8 * row + 48))
            dense = model.encode_images([crop], 48, "whole", ["maskclip"]).dense["maskclip"][0]
            total[:, row : row + 6, column : column + 6] += class_scores(dense, words)
            count[row : row + 6, column : column + 6] += 1
    slow = F.interpolate((total / count)[None], size=(100, 200), mode="bilinear", align_corners=False)[0]
    found = window_scores(model, image, words, "maskclip", size=192, window=48, stride=24)
    torch.testing.assert_close(found, slow, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("size", "window", "stride"), [(200, 64, 64), (200, 64, 40), (176, 56, 9), (100, 1000, 300)])
def test_windows_cover_every_place_and_end_with_the_image(model, words, image, monkeypatch, size, window, stride):
    seen, patch = [], model.images.patch
    plan = windows.plan_tiles

    def kept(*settings):
        seen.append(plan(*settings))
        return seen[-1]

    monkeypatch.setattr(windows, "plan_tiles", kept)
    found = window_scores(model, image, words, "maskclip", size=size, window=window, stride=stride)
    assert torch.isfinite(found).all() and found.abs().max() <= 1 + 1e-5
    [tiling] = seen
    for axis in (0, 1):
        starts = sorted({corner[axis] for corner in tiling.corners})
        assert starts[0] == 0 and starts[-1] + tiling.tile[axis] == tiling.grid[axis]
        apart = [after - before for before, after in pairwise(starts)]
        assert all(step * patch <= max(stride, patch) for step in apart)
        assert all(step <= tiling.tile[axis] for step in apart)


@pytest.mark.parametrize("grid", [(6, 6), (7, 7), (12, 12), (4, 4)])
def test_methods_on_their_guide_s_grid_are_averaged_too(image, grid):
    """Whatever the grid, a model that sees only the position yields the image of that position."""

    class Places(ImageTextModel):
        """A model whose patches are their own colours, on a grid that is not the patches'."""

        images = type("Encoder", (), {"patch": 8, "size": 48})
        check_method = staticmethod(lambda method: method)

        def __init__(self):
            """Nothing is loaded."""

        @staticmethod
        def encode_images(images, size, fit, methods):
            small = torch.from_numpy(np.array(images[0].resize(grid[::-1], 4))).float() + 1
            return type("Features", (), {"dense": {methods[0]: small.reshape(1, *grid, 3)}})

    words = VocabularyVectors(F.normalize(torch.tensor([[1.0, 0, 0], [0, 1, 1]]), dim=-1), torch.arange(2), 2)
    found = window_scores(Places(), image, words, "proxyclip", size=192, window=48, stride=24)
    colours = F.normalize(torch.from_numpy(np.array(image)).float() + 1, dim=-1)
    expected = torch.einsum("hwd,pd->phw", colours, words.vectors)
    assert found.shape == (2, 100, 200)
    assert (found - expected).abs().mean() < 0.07


@pytest.mark.parametrize("method", ["proxyclip", "lposs", "naclip"])
def test_every_kind_of_method_slides(model, image, method):
    words = vocabulary_vectors(model, VOCABULARY, method)
    found = window_scores(model, image, words, method, size=160, window=80, stride=48)
    assert found.shape == (3, 100, 200) and torch.isfinite(found).all()


def test_what_cannot_slide_is_refused(model, words, image):
    for wrong, message in (
        ({"stride": 40}, "stride is 40 pixels; expected a tenth of the window's 448 to the whole"),
        ({"stride": 500}, "stride is 500 pixels"),
        ({"window": 4, "stride": 4}, "a tile of 4 pixels"),
        ({"size": 5000}, "longer side of 5000 pixels"),
        ({"method": "none"}, "does not serve the heat-map method 'none'"),
    ):
        with pytest.raises(ValueError, match=message):
            window_scores(model, image, words, **{"method": "maskclip", **wrong})
    alone = replace(words, classes=3)
    assert window_scores(model, image.resize((3, 2)), alone, "maskclip").shape == (3, 2, 3)
