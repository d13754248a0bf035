"""PAMR against loops in float64, and what it is for: noisy scores drawn to an image's edges."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz.dense.refinement import neighbour_weights, refine


def refined(scores, colours, dilations, steps):
    """By loops over pixels, neighbours and channels."""
    classes, height, width = scores.shape

    def at(row, column):
        return min(max(row, 0), height - 1), min(max(column, 0), width - 1)

    around = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    for _ in range(steps):
        made = np.zeros_like(scores)
        for row in range(height):
            for column in range(width):
                places = [
                    at(row + d * down, column + d * across) for d in dilations for down, across in around
                ]  # fmt: skip
                deviation = [np.std([colours[place][c] for place in places], ddof=1) for c in range(3)]
                others = [
                    at(row + d * down, column + d * across) for d in dilations for down, across in around
                    if (down, across) != (0, 0)
                ]  # fmt: skip
                logits = [
                    -sum(
                        abs(colours[place][c] - colours[row, column][c]) / (0.1 * deviation[c] + 1e-8) for c in range(3)
                    )
                    / 3
                    for place in others
                ]
                powers = [math.exp(logit - max(logits)) for logit in logits]
                for number in range(classes):
                    total = sum(power * scores[number][place] for power, place in zip(powers, others, strict=True))
                    made[number, row, column] = total / sum(powers)
        scores = made
    return scores


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(0).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    noise[:3, :3] = 40  # flat: no deviation at all in the corner
    return Image.fromarray(noise)


@pytest.mark.parametrize(("dilations", "steps"), [((1,), 1), ((1, 2), 3), ((2, 9), 2)])
def test_it_is_the_formula_pixel_by_pixel(image, dilations, steps):
    scores = torch.randn(10, 7, 6, generator=torch.Generator().manual_seed(0))
    slow = refined(scores.double().numpy(), np.asarray(image) / 255, dilations, steps)
    found = refine(scores, image, dilations, steps)
    torch.testing.assert_close(found.double(), torch.from_numpy(slow), rtol=0, atol=1e-4)


def test_scores_stay_within_their_range_and_what_went_in_is_kept(image):
    scores = torch.rand(3, 7, 6, generator=torch.Generator().manual_seed(1))
    before = scores.clone()
    found = refine(scores, image)
    assert torch.equal(scores, before)
    for own, made in zip(scores, found, strict=True):
        assert own.min() - 1e-5 <= made.min() and made.max() <= own.max() + 1e-5
    assert torch.equal(refine(scores, image, steps=0), scores)


def test_weights_are_shares_and_another_size_is_that_of_the_resized_image(image):
    weights = neighbour_weights(image, 7, 6, (1, 2))
    torch.testing.assert_close(weights.sum(0), torch.ones(7, 6))
    large = image.resize((60, 70), Image.Resampling.NEAREST)
    scores = torch.rand(2, 7, 6)
    small = large.resize((6, 7), Image.Resampling.BILINEAR)
    torch.testing.assert_close(refine(scores, large), refine(scores, small))


def test_scores_are_drawn_to_the_image_s_edge():
    colours = np.full((48, 48, 3), 30, np.uint8)
    colours[:, 20:] = 220
    truth = torch.zeros(48, 48, dtype=torch.long)
    truth[:, 20:] = 1
    generator = torch.Generator().manual_seed(0)
    blocks = torch.zeros(2, 6, 6)  # an edge on the grid of 8 pixels, at 24, and noise
    blocks[0, :, :3] = blocks[1, :, 3:] = 1
    scores = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2) + 0.3 * torch.randn(2, 48, 48, generator=generator)
    before = (scores.argmax(0) == truth).float().mean().item()
    after = (refine(scores, Image.fromarray(colours)).argmax(0) == truth).float().mean().item()
    assert before < 0.95 and after > 0.99


@pytest.mark.parametrize(
    ("scores", "settings", "words"),
    [
        (torch.ones(4, 4), {}, "expected \\(classes, height, width\\)"),
        (torch.ones(0, 4, 4), {}, "expected \\(classes, height, width\\)"),
        (torch.full((1, 4, 4), float("nan")), {}, "some scores are NaN"),
        (torch.ones(1, 4, 4), {"dilations": ()}, "expected 1 or more"),
        (torch.ones(1, 4, 4), {"dilations": (0,)}, "expected 1 or more"),
        (torch.ones(1, 4, 4), {"steps": -1}, "-1 steps"),
    ],
)
def test_it_refuses_what_it_cannot_refine(scores, settings, words):
    with pytest.raises(ValueError, match=words):
        refine(scores, Image.new("RGB", (4, 4)), **settings)
