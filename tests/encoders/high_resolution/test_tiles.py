"""Tiles against one pass over the whole, where the two must be equal, and where they may differ."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz import load_encoder, playground
from dinoclip_viz.encoders.high_resolution.tiles import LARGEST, encode_tiled, plan_tiles


@pytest.fixture(scope="module")
def image():
    return playground.draw(1500, 1, 256)[0].image.crop((0, 0, 256, 180))


@pytest.fixture(scope="module")
def dino():
    return load_encoder("playground-dino")


@pytest.mark.parametrize("overlap", [0, 0.25, 0.6])
def test_tiles_cover_every_patch_and_end_with_the_image(overlap):
    for size in (64, 96, 200, 333):
        tiling = plan_tiles((640, 427), patch=8, size=size, tile=64, overlap=overlap)
        covered = torch.zeros(tiling.grid)
        for row, column in tiling.corners:
            covered[row : row + tiling.tile[0], column : column + tiling.tile[1]] += 1
            assert row + tiling.tile[0] <= tiling.grid[0] and column + tiling.tile[1] <= tiling.grid[1]
        assert covered.min() >= 1
        columns = sorted({column for _, column in tiling.corners})
        shared = [first + tiling.tile[1] - second for first, second in itertools.pairwise(columns)]
        assert all(count >= overlap * tiling.tile[1] - 1 for count in shared)


def test_features_that_see_their_own_patch_alone_are_equal_in_tiles(image):
    pixels = load_encoder("pixels")
    whole = pixels.encode([image], 256, "whole")
    tiled = encode_tiled(pixels, image, 256, tile=72)
    assert tiled.grid == whole.grid
    assert (tiled.patches - whole.patches).abs().max() < 1e-5
    assert torch.equal(tiled.boxes, whole.boxes) and torch.equal(tiled.sizes, whole.sizes)


def test_an_image_that_fits_into_one_tile_is_encoded_whole(dino, image):
    whole, tiled = dino.encode([image], 192, "whole"), encode_tiled(dino, image, 192, tile=192)
    assert torch.equal(tiled.patches, whole.patches) and torch.equal(tiled.pooled, whole.pooled)


def test_a_transformer_differs_in_tiles_but_points_the_same_way(dino, image):
    whole, tiled = dino.encode([image], 256, "whole"), encode_tiled(dino, image, 256, tile=128, overlap=0.5)
    alike = F.cosine_similarity(whole.patches, tiled.patches, dim=-1)
    assert (whole.patches - tiled.patches).abs().max() > 1e-2
    assert alike.mean() > 0.8


def test_dense_patches_are_blended_too(image):
    clip = load_encoder("playground-clip")
    tiled = encode_tiled(clip, image, 256, tile=128, methods=["maskclip"])
    assert tiled.dense["maskclip"].shape == (1, *tiled.grid, clip.dimension)


def test_images_beyond_one_pass_answer_in_tiles(dino):
    long = playground.draw(1500, 1, 96)[0].image.resize((1600, 100))
    assert encode_tiled(dino, long, 1600, tile=256).grid == (13, 200)
    with pytest.raises(ValueError, match="expected 8"):
        dino.encode([long], 1600, "whole")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": LARGEST + 1}, f"expected from one patch \\(8\\) to {LARGEST}"),
        ({"size": 256, "tile": 4}, "a tile of 4 pixels; expected 8"),
        ({"size": 256, "overlap": 1.0}, "an overlap of 1.0; expected a fraction"),
        ({"size": 256, "methods": ["nonsense"]}, "nonsense"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(dino, image, given, words):
    with pytest.raises(ValueError, match=words) as caught:
        encode_tiled(dino, image, **given)
    assert "\n" not in str(caught.value)
