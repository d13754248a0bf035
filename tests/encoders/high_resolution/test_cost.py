"""Estimates: their shape and their arithmetic; how near they are is measured by tests/benchmarks/resolution.py."""

import itertools

import pytest

from dinoclip_viz import load_encoder
from dinoclip_viz.encoders.high_resolution.cost import Pace, measure_pace


@pytest.fixture(scope="module")
def pace():
    return Pace(overhead=0.01, rate=1e-9, patch=8, width=128)


def test_costs_grow_with_the_image(pace):
    costs = [pace.cost((640, 480), size) for size in (96, 192, 384, 768)]
    assert [cost.grid for cost in costs] == [(9, 12), (18, 24), (36, 48), (72, 96)]
    for small, large in itertools.pairwise(costs):
        assert large.seconds > small.seconds and large.megabytes > 3 * small.megabytes


def test_time_is_the_overhead_and_a_block_s_multiplications(pace):
    tokens = 9 * 12
    assert pace.cost((640, 480), 96).seconds == pytest.approx(0.01 + 1e-9 * tokens * (6 * 128 + tokens) * 128)


def test_tiles_need_less_memory_and_are_counted(pace):
    whole, tiled = pace.cost((640, 480), 768), pace.cost((640, 480), 768, tile=256)
    assert tiled.megabytes < whole.megabytes / 2
    assert tiled.passes > 1 and whole.passes == 1
    assert "in 12 tiles" in str(tiled) and "tiles" not in str(whole)


def test_a_pace_is_measured_on_the_machine():
    pace = measure_pace(load_encoder("playground-dino"), rounds=1)
    assert pace.rate > 0 and pace.overhead >= 0
    assert (pace.patch, pace.width) == (8, 128)


def test_sizes_out_of_range_are_refused(pace):
    with pytest.raises(ValueError, match="longer side of 4 pixels"):
        pace.cost((640, 480), 4)
