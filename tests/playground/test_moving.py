"""Moving scenes: their frames, and points that are followed through them."""

import numpy as np
import pytest

from dinoclip_viz import playground
from dinoclip_viz.playground.world import draw_one


def pixels(image):
    return np.asarray(image).astype(int)


@pytest.mark.parametrize(("index", "world", "pan"), [(0, 1, True), (1, 1, False), (2, 2, True)])
def test_the_first_frame_is_the_still_scene(index, world, pan):
    frame = playground.clip(1510, frames=5, size=64, index=index, world=world, pan=pan)[0]
    scene = draw_one(1510, index, 64, world=world)
    assert np.array_equal(pixels(frame.image), pixels(scene.image))
    for name in ("mask", "parts", "instances"):
        assert np.array_equal(getattr(frame, name), getattr(scene, name))


def test_a_frame_depends_on_the_arguments_alone():
    first, second = (playground.clip(1510, 6, 48, index=3) for _ in range(2))
    assert np.array_equal(pixels(first[4].image), pixels(second[4].image))
    assert np.array_equal(pixels(list(first)[4].image), pixels(first[-2].image))
    third = list(playground.clips(1510, 4, 6, 48))[3]
    assert np.array_equal(first[5].instances, third[5].instances)
    assert not np.array_equal(pixels(first[0].image), pixels(first[5].image))
    assert first.names == third.names and len(first) == 6


def test_objects_move_by_a_good_part_of_the_image():
    moved = []
    for moving in playground.clips(1510, 12, 2, 48):
        centres = [np.argwhere(frame.instances == 1).mean(0) for frame in moving]
        moved.append(np.linalg.norm(centres[1] - centres[0]) / 48)
    assert np.median(moved) > 0.25


@pytest.mark.parametrize("world", [1, 2])
def test_texture_is_carried_along(world):
    """Colours at followed points stay; at unmoved positions they do not."""
    generator, carried, unmoved = np.random.default_rng(0), [], []
    for index in range(6):
        moving = playground.clip(1510, frames=4, size=96, index=index, world=world, pan=True)
        points = generator.uniform(4, 92, (400, 2))
        positions, visible = moving.follow(points)
        first, last = pixels(moving[0].image), pixels(moving[3].image)
        start = first[points[:, 1].astype(int), points[:, 0].astype(int)]
        seen = visible[3]
        end = positions[3][seen].astype(int)
        carried.append(np.abs(last[end[:, 1], end[:, 0]] - start[seen]).mean(1))
        unmoved.append(np.abs(last[points[:, 1].astype(int), points[:, 0].astype(int)] - start).mean(1))
    carried, unmoved = np.concatenate(carried), np.concatenate(unmoved)
    assert np.median(carried) < 6 and carried.mean() < 0.5 * unmoved.mean()


def test_points_follow_their_object_and_are_visible_on_it_alone():
    moving = playground.clip(1511, frames=7, size=96, objects=3, index=1, pan=True)
    first = moving[0].instances
    rows, columns = np.nonzero(first >= 0)
    chosen = np.random.default_rng(1).choice(len(rows), 500, replace=False)
    points = np.stack([columns[chosen], rows[chosen]], 1) + 0.5
    positions, visible = moving.follow(points)
    owners = first[rows[chosen], columns[chosen]]
    assert visible[0].all() and np.allclose(positions[0], points)
    for number, frame in enumerate(moving):
        x, y = np.floor(positions[number][visible[number]]).astype(int).T
        assert np.array_equal(frame.instances[y, x], owners[visible[number]])
    assert 0 < visible[-1].mean() < 1
    back, _ = moving.follow(positions[6][visible[6]], start=6)
    assert np.allclose(back[0], points[visible[6]])


def test_a_still_background_stays_and_a_moving_one_moves_along_its_rows():
    still = playground.clip(1510, 3, 64, objects=1, pan=False)
    both = [frame.instances == 0 for frame in still]
    same = both[0] & both[2]
    inner = same[:-1, :-1] & same[1:, 1:] & same[:-1, 1:] & same[1:, :-1]  # without the smooth edges of objects
    differ = np.abs(pixels(still[0].image) - pixels(still[2].image)).max(-1)[:-1, :-1][inner]
    assert (differ == 0).mean() > 0.95
    moving = playground.clip(1510, 3, 64, objects=1, pan=True)
    corner = [[60.0, 2.0]] if moving.pans[-1] > 0 else [[3.0, 2.0]]
    positions, _ = moving.follow(corner)
    assert positions[2, 0, 1] == corner[0][1]
    assert abs(positions[2, 0, 0] - corner[0][0]) == pytest.approx(abs(moving.pans[2]) / 2)
    assert 0.1 <= abs(moving.pans[2]) / 128 <= 0.31


def test_what_is_out_of_range_is_refused():
    for words, arguments in (
        ("frames is 0", {"frames": 0}), ("size is 8", {"size": 8}), ("index is -1", {"index": -1}),
        ("world is 3", {"world": 3}), ("objects is 9", {"objects": 9}), ("seed is -1", {"seed": -1}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            playground.clip(**arguments)
    moving = playground.clip(1510, 2, 48)
    with pytest.raises(IndexError, match="frame 2 of 2"):
        moving[2]
    for points in ([[48.0, 1.0]], [[1.0, float("nan")]], [1.0, 2.0]):
        with pytest.raises(ValueError, match=r"expected \(N, 2\) x and y, each from 0 to below 48"):
            moving.follow(points)
