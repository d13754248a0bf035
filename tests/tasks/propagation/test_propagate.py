"""Masks and points, propagated through clips."""

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz import ImageError, PropagationSettings, load_encoder, playground, propagate
from dinoclip_viz.data.videos import drawn_clip
from dinoclip_viz.tasks.propagation.evaluation import clip_accuracy, together
from dinoclip_viz.tasks.propagation.labels import LabelPropagator, normalised, patch_fractions
from dinoclip_viz.tasks.propagation.propagate import checked_mask, label_map

SIZE = 96


@pytest.fixture(scope="module")
def moving():
    return playground.clip(1520, frames=7, size=SIZE, objects=2, index=2)


def test_the_embedded_encoder_follows_better_than_repeating():
    clips = [drawn_clip(str(index), playground.clip(1520, 7, SIZE, 1, index=index)) for index in range(3)]
    scores = {
        name: together([clip_accuracy(clip, name) for clip in clips]).figures() for name in ("playground-dino", None)
    }
    found, repeated = scores["playground-dino"], scores[None]
    assert found["j_and_f"] > repeated["j_and_f"] + 0.1
    assert found["point_error"] < repeated["point_error"]
    assert set(repeated) == set(found) and found["positions"] == repeated["positions"] > 10


def test_frames_come_one_by_one_with_what_was_found(moving):
    points = np.array([[40.0, 50.0], [70.5, 20.0]])
    drawn = []

    def frames():
        for number, frame in enumerate(moving):
            drawn.append(number)
            yield frame.image

    found = propagate(frames(), moving[0].instances, points=points)
    first = next(found)
    assert len(drawn) < 7  # read as they are needed
    assert np.array_equal(first.mask, moving[0].instances) and np.array_equal(first.points, points)
    assert first.similarity.tolist() == [1, 1]
    rest = list(found)
    assert [frame.number for frame in rest] == [1, 2, 3, 4, 5, 6]
    for frame in rest:
        assert frame.mask.shape == (SIZE, SIZE) and frame.mask.dtype == np.uint8 and frame.mask.max() <= 2
        assert frame.points.shape == (2, 2) and (frame.points >= 0).all() and (frame.points <= SIZE).all()
        assert (frame.similarity > 0.3).all() and frame.image.size == (SIZE, SIZE)
    only = list(propagate(np.stack([np.asarray(frame.image) for frame in moving]), points=points))
    assert only[3].mask is None and torch.allclose(only[3].points, rest[2].points, atol=1e-3)
    assert next(propagate([moving[0].image], moving[0].instances)).points is None


def test_masks_are_the_steps_of_the_protocol(moving):
    """Labels of patches, interpolated, each scaled by its own range, and the largest: by hand for one frame."""
    settings = PropagationSettings(context=1, topk=3, size=64, sharp="bilinear")
    images, mask = [moving[0].image, moving[3].image], moving[0].instances
    found = list(propagate(images, mask, settings=settings))[1].mask
    first, second = load_encoder("playground-dino").encode_each(images, 64, "whole")
    labels = LabelPropagator(first, patch_fractions(mask, (8, 8), 3), settings).step(second)
    pixels = torch.nn.functional.interpolate(labels.permute(2, 0, 1)[None], (SIZE, SIZE), mode="bilinear")[0]
    assert np.array_equal(found, normalised(pixels.permute(1, 2, 0)).argmax(-1).numpy())
    sharp = list(propagate(images, mask, settings=PropagationSettings(context=1, topk=3, size=64)))
    assert 0 < (sharp[1].mask != found).mean() < 0.2


def test_one_mask_per_object_is_the_label_map(moving):
    mask = moving[0].instances
    each = np.stack([mask == 1, mask == 2])
    assert np.array_equal(checked_mask(each, (SIZE, SIZE)), mask)
    assert np.array_equal(checked_mask(torch.from_numpy(each), (SIZE, SIZE)), mask)
    both = np.stack([mask > 0, mask == 2])  # the later object is on top
    assert np.array_equal(checked_mask(both, (SIZE, SIZE)), mask)


def test_a_large_frame_has_a_mask_of_its_size():
    values = torch.zeros(4, 8, 2)
    values[..., 0], values[:, 4:, 1] = 0.5, 1.0
    found = label_map(values, Image.new("RGB", (2200, 1100)))
    assert found.shape == (1100, 2200) and found[:, :1000].max() == 0 and found[:, 1200:].min() == 1


def test_what_does_not_fit_is_refused(moving):
    images, mask = [frame.image for frame in moving][:2], moving[0].instances
    with pytest.raises(ValueError, match="neither masks nor points"):
        propagate(images)
    with pytest.raises(ImageError, match="empty sequence"):
        propagate([], mask)
    for single in ("clip.mp4", images[0], np.asarray(images[0]), {"frame": images[0]}, None):
        with pytest.raises(ImageError, match=r"expected a sequence of images, such as .*dv\.frames"):
            propagate(single, mask)
    with pytest.raises(ImageError, match=r"frame 1: gone\.png"):
        list(propagate([images[0], "gone.png"], mask))
    for wrong, words in (
        (mask[:50], r"shape \(50, 96\) and type uint8; expected .* height 96 and width 96"),
        (mask / 2, "type float64"), (np.zeros_like(mask), "background only"), (np.full((96, 96), 300), "to 300"),
        (np.full((96, 96), 255), "background only"), (np.stack([mask]) * 3, "values other than 0 and 1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            propagate(images, wrong)
    for wrong, words in (
        ([[96.5, 3]], r"the point \(96.5, 3\); expected x from 0 to 96"), ([3, 4], r"shape \(2,\)"),
        ([[float("nan"), 1]], "the point"), (np.zeros((0, 2)), r"shape \(0, 2\)"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            propagate(images, points=wrong)
    found = propagate([images[0], images[1].resize((64, 64))], mask)
    next(found)
    with pytest.raises(ValueError, match="frame 1 is 64 x 64 pixels; expected 96 x 96"):
        next(found)


def test_clips_without_an_object_or_frames_are_refused(moving):
    short = drawn_clip("short", playground.clip(1520, 2, 64))
    with pytest.raises(ValueError, match="short: found 2 frames"):
        clip_accuracy(short, None)
