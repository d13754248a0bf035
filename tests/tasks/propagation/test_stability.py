"""How far colours change at points that are followed."""

import math

import pytest
import torch

from dinoclip_viz.tasks.propagation.stability import colour_stability


def test_the_figures_are_those_of_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(5, 6, 3, generator=generator)
    visible = torch.rand(5, 6, generator=generator) > 0.3
    found = colour_stability(colours, visible)
    flicker, drift, spread = [], [], []
    for frame in range(5):
        for point in range(6):
            if frame and visible[frame, point] and visible[frame - 1, point]:
                flicker.append(math.dist(colours[frame, point], colours[frame - 1, point]))
            if frame and visible[frame, point] and visible[0, point]:
                drift.append(math.dist(colours[frame, point], colours[0, point]))
            for other in range(point):
                if visible[frame, point] and visible[frame, other]:
                    spread.append(math.dist(colours[frame, point], colours[frame, other]))
    for ours, values in ((found.flicker, flicker), (found.drift, drift), (found.spread, spread)):
        assert ours == pytest.approx(sum(values) / len(values), rel=1e-5)
    assert found.points == 6
    assert found.relative_drift == pytest.approx(found.drift / found.spread)
    assert found.relative_flicker == pytest.approx(found.flicker / found.spread)


def test_colours_that_stay_neither_flicker_nor_drift():
    colours = torch.rand(1, 4, 3, generator=torch.Generator().manual_seed(1)).expand(3, 4, 3)
    found = colour_stability(colours, torch.ones(3, 4, dtype=torch.bool))
    assert (found.flicker, found.drift) == (0, 0) and found.spread > 0
    grey = colour_stability(torch.full((3, 4, 3), 0.5), torch.ones(3, 4, dtype=torch.bool))
    assert grey.spread == 0 and math.isnan(grey.relative_drift)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="two frames and two points or more"):
        colour_stability(torch.zeros(1, 4, 3), torch.ones(1, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"visible \(3, 5\)"):
        colour_stability(torch.zeros(3, 4, 3), torch.ones(3, 5, dtype=torch.bool))
