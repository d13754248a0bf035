import pytest
import torch

from dinoclip_viz.app.images import read
from dinoclip_viz.app.resolution import cost_line, size_of, tile_of


@pytest.fixture
def image(drawn):
    return read(drawn)


def test_patches_become_pixels_of_each_encoder(bench):
    dino = bench.model(bench.first_key).images
    assert size_of(dino, 0) is None
    assert size_of(dino, 24) == 24 * dino.patch
    assert size_of(dino, 1000) <= 1024


def test_the_cost_is_told_with_grid_time_and_memory(bench, image):
    model = bench.model(bench.first_key)
    line = cost_line(bench, [model.images], [image], 48, False)
    assert "playground-dino: 48 x 48 patches: about" in line and "MB" in line
    both = cost_line(bench, [model.images, model.clip], [image, image], 24, False)
    assert both.count("2 images") == 2 and "playground-clip" in both
    assert cost_line(bench, [model.images], [], 24, False) == ""


def test_tiles_are_said_to_see_themselves_alone(bench, image):
    dino = bench.model(bench.first_key).images
    line = cost_line(bench, [dino], [image], 96, True)
    assert "tiles" in line and "stays within a tile" in line


def test_tiled_patches_are_kept_apart_from_whole_ones(bench, image):
    dino = bench.model(bench.first_key).images
    whole = bench.patches(dino, image, 192)
    tiled = bench.patches(dino, image, 192, tile=96)
    assert tiled.grid == whole.grid and not torch.equal(tiled.patches, whole.patches)
    assert bench.patches(dino, image, 192, tile=96) is tiled
    assert tile_of(dino, False) is None


def test_a_pace_is_measured_once(bench):
    dino = bench.model(bench.first_key).images
    assert bench.pace(dino) is bench.pace(dino)
