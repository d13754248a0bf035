"""Labels of patches, propagated from frame to frame."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz import PropagationSettings, SpaceError
from dinoclip_viz.tasks.propagation.labels import LabelPropagator, normalised, patch_fractions, propagated_labels


def random_frames(count, rows=5, columns=7, dimension=6, seed=0):
    return torch.randn(count, rows, columns, dimension, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("reach", "topk", "temperature"), [(2, 5, 0.1), (1, 50, 0.5), (0, 3, 0.07), (99, 1, 1.0)])
def test_labels_are_those_of_a_plain_loop(plain, reach, topk, temperature):
    frames = F.normalize(random_frames(4), dim=-1)
    labels = torch.rand(3, 5, 7, 2, generator=torch.Generator().manual_seed(1))
    settings = PropagationSettings(neighbourhood=reach, topk=topk, temperature=temperature)
    found = propagated_labels(frames[3], frames[:3], labels, settings)
    everywhere = 99 if reach == 0 else reach
    expected = plain.propagated(frames[3].numpy(), frames[:3].numpy(), labels.numpy(), everywhere, topk, temperature)
    assert np.allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("context", [0, 1, 2, 7])
def test_each_frame_is_compared_with_the_first_and_the_last_ones(plain, features, context):
    """The whole protocol again: the first frame, then a queue of the last frames with their soft labels."""
    frames = random_frames(6, rows=4, columns=5)
    labels = F.one_hot(torch.arange(20).view(4, 5) % 3, 3).float()
    propagator = LabelPropagator(features(frames[0]), labels, PropagationSettings(context=context, neighbourhood=2))
    seen = plain.unit(frames.numpy())
    known = [(seen[0], labels.numpy())]
    for number in range(1, 6):
        used = [known[0], *known[1:][-context:]] if context else known[:1]
        earlier, soft = (np.stack(parts) for parts in zip(*used, strict=True))
        expected = plain.propagated(seen[number], earlier, soft, 2, 5, 0.1)
        assert np.allclose(propagator.step(features(frames[number])).numpy(), expected, atol=1e-4)
        known.append((seen[number], expected))


def test_labels_follow_features_that_shift(features):
    """A pattern that moves by one patch per frame takes its labels along, also around the neighbourhood's edge."""
    wide = random_frames(1, rows=6, columns=20, dimension=32)[0]
    labels = torch.rand(6, 20, 2, generator=torch.Generator().manual_seed(2))
    settings = PropagationSettings(topk=1, neighbourhood=1, context=3)
    propagator = LabelPropagator(features(wide[:, :12]), labels[:, :12], settings)
    for step in range(1, 5):
        found = propagator.step(features(wide[:, step : step + 12]))
        assert torch.equal(found[:, : 12 - step], labels[:, step:12])


def test_memory_does_not_grow_with_the_frames(features):
    frames = random_frames(12)
    propagator = LabelPropagator(features(frames[0]), torch.ones(5, 7, 1), PropagationSettings(context=2))
    before = propagator._patches.shape, propagator._labels.shape
    for frame in frames[1:]:
        propagator.step(features(frame))
    assert (propagator._patches.shape, propagator._labels.shape) == before == ((3, 5, 7, 6), (3, 5, 7, 1))


def test_fractions_of_patches_are_counted():
    mask = np.random.default_rng(0).integers(0, 3, (12, 20))
    found = patch_fractions(mask, (3, 4), 3)
    for row in range(3):
        for column in range(4):
            cell = mask[4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
            assert found[row, column].tolist() == pytest.approx([(cell == label).mean() for label in range(3)])
    assert torch.equal(found.sum(-1), torch.ones(3, 4))
    finer = patch_fractions(np.array([[0, 1]]), (2, 4), 2)
    assert finer[..., 1].tolist() == [[0, 0, 1, 1]] * 2


def test_labels_are_scaled_each_by_its_own_range():
    values = torch.tensor([[[0.2, 0.0, 0.5], [0.3, 0.0, 0.5], [0.6, 0.0, 0.5]]])
    found = normalised(values)
    assert torch.allclose(found[0, :, 0], torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(found[..., 1:], values[..., 1:])  # absent, or the same everywhere


def test_what_does_not_fit_is_refused(features):
    frames = random_frames(2)
    first = features(frames[0])
    with pytest.raises(ValueError, match=r"labels have shape \(7, 5, 1\); expected \(5, 7, C\)"):
        LabelPropagator(first, torch.ones(7, 5, 1))
    propagator = LabelPropagator(first, torch.ones(5, 7, 1))
    with pytest.raises(SpaceError, match="'other'"):
        propagator.step(features(frames[1], space="other"))
    with pytest.raises(ValueError, match="4 x 7 patches; expected 5 x 7 as the first"):
        propagator.step(features(frames[1, :4]))
    with pytest.raises(ValueError, match="not finite"):
        propagator.step(features(frames[1] * torch.nan))
    for settings, words in (
        ({"context": -1}, "context is -1; expected 0"), ({"topk": 0}, "topk is 0; expected 1"),
        ({"temperature": 0.0}, "temperature is 0.0"), ({"neighbourhood": -1}, "neighbourhood is -1"),
        ({"sharp": "fine"}, "method 'fine'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            PropagationSettings(**settings)
