"""Matches against a plain loop, soft-argmax and PCK by hand, position taken out, and what is refused."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from dinoclip_viz import Correspondences, PatchPCA, SpaceError, load_encoder, match
from dinoclip_viz.encoders.base import ImageFeatures, concatenate
from dinoclip_viz.playground import draw
from dinoclip_viz.tasks.correspondence import match as correspondence
from dinoclip_viz.tasks.correspondence.accuracy import PointHits, part_hits, pck, pck_over_pairs
from dinoclip_viz.tasks.correspondence.colours import dense_colours
from dinoclip_viz.tasks.correspondence.match import match_features, mutual_nearest, spread
from dinoclip_viz.tasks.correspondence.position import position_directions, without_position
from dinoclip_viz.tasks.correspondence.transfer import point_similarity, soft_argmax, transfer


def features_of(patches, space="somewhere", side=8.0):
    """Features of one image whose patches are `side` pixels wide."""
    rows, columns = patches.shape[:2]
    box = torch.tensor([[0.0, 0.0, columns * side, rows * side]])
    vector = torch.zeros(1, 2)
    return ImageFeatures(vector, vector, patches[None], box, box[:, 2:].long(), space)


def random_features(rows=6, columns=7, seed=0, **named):
    return features_of(torch.randn(rows, columns, 16, generator=torch.Generator().manual_seed(seed)), **named)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("playground-dino")


@pytest.fixture(scope="module")
def cars():
    """Features of a scene, and of the same scene mirrored."""
    image = next(scene.image for scene in draw(1510, 40, 96, objects=1) if scene.objects[0]["name"] == "car")
    return image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def test_mutual_nearest_neighbours_are_those_of_a_plain_loop():
    a, b = (F.normalize(random_features(seed=seed).patches.reshape(42, 16), dim=1) for seed in (0, 1))
    cells = torch.tensor([[row, column] for row in range(6) for column in range(7)])
    scores = (a @ b.T).tolist()
    expected = []
    for i in range(42):
        j = max(range(42), key=lambda column: scores[i][column])
        if max(range(42), key=lambda row: scores[row][j]) == i:
            expected.append((i, j, scores[i][j]))
    found = list(zip(*(part.tolist() for part in mutual_nearest(a, b, cells)), strict=True))
    assert [pair[:2] for pair in found] == [pair[:2] for pair in expected]
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in expected])
    assert 0 < len(found) < 42


def test_a_tolerance_adds_pairs_that_come_back_beside_their_start_and_no_others(monkeypatch):
    a, b = (F.normalize(random_features(seed=seed).patches.reshape(42, 16), dim=1) for seed in (2, 3))
    cells = torch.tensor([[row, column] for row in range(6) for column in range(7)])
    strict, loose = (set(mutual_nearest(a, b, cells, tolerance)[0].tolist()) for tolerance in (0, 1))
    assert strict < loose
    forth, back = (a @ b.T).argmax(1), (a @ b.T).argmax(0)
    for row in range(42):
        home = cells[back[forth[row]]]
        assert (row in loose) == (max(abs(home - cells[row]).tolist()) <= 1)
    monkeypatch.setattr(correspondence, "_ROWS", 5)  # in blocks, the same
    assert set(mutual_nearest(a, b, cells, 1)[0].tolist()) == loose


def test_an_image_matches_itself_place_by_place(encoder, cars):
    found = match(encoder, cars[0], cars[0], count=20)
    assert len(found) == 20 and found.shortfall == ""
    assert found.similarity.min() > 0.999
    assert (found.a - found.b).norm(dim=1).median() < 4  # half a patch
    assert isinstance(found, Correspondences)


def test_matches_follow_an_image_that_is_turned_round(encoder, cars):
    found = match(encoder, *cars, size=192)
    turned = torch.stack([96 - found.a[:, 0], found.a[:, 1]], dim=1)
    assert (turned - found.b).norm(dim=1).median() < (found.a - found.b).norm(dim=1).median()


def test_matches_come_best_first_from_images_as_from_features(encoder, cars):
    features = encoder.encode_each(list(cars))
    found, named = match(encoder, *features, count=10), match("playground-dino", *cars, count=10)
    assert torch.equal(found.a, named.a) and torch.allclose(found.b, named.b, atol=1e-3)
    assert (found.similarity.diff() <= 0).all()
    mixed = match(encoder, features[0], cars[1], count=10)
    assert torch.equal(mixed.a, found.a)


def test_chosen_pairs_are_spread_and_still_the_best_of_their_places():
    positions = torch.tensor([[8.0 * x, 8.0 * y] for y in range(8) for x in range(8)])
    similarity = 0.9 - 0.002 * positions.norm(dim=1)  # best in one corner
    chosen, top = positions[spread(positions, similarity, 8)], positions[similarity.topk(8).indices]

    def nearest(points):
        return (torch.cdist(points, points) + 1e6 * torch.eye(len(points))).min(1).values.mean()

    assert nearest(chosen) > 1.2 * nearest(top)
    assert torch.equal(chosen[0], positions[similarity.argmax()])
    assert spread(positions[:3], torch.tensor([0.1, 0.3, 0.2]), 8).tolist() == [1, 2, 0]


def test_matches_stay_on_the_foreground_unless_all_patches_are_asked_for():
    parts = []
    for corner in (1, 3):
        patches = 0.02 * torch.randn(8, 8, 24, generator=torch.Generator().manual_seed(corner))
        patches[..., 23] += 1
        thing = 4 * torch.eye(24)[0] + torch.eye(24)[1:17]  # 16 patches, alike and each unlike all others
        patches[corner : corner + 4, corner : corner + 4] = thing.view(4, 4, 24)
        parts.append(features_of(patches))
    found = match_features(*parts, count=30)
    assert len(found) == 16 and found.compared == (16, 16)
    assert ((found.a > 8) & (found.a < 40)).all() and ((found.b > 20) & (found.b < 60)).all()
    assert "16 of the 30" in found.shortfall
    everywhere = match_features(*parts, count=64, foreground=False)
    assert everywhere.compared == (64, 64) and len(everywhere) > 16
    own = PatchPCA(1).fit(parts)
    assert torch.equal(match_features(*parts, count=30, foreground=own).a, found.a)


def test_an_empty_foreground_gives_no_match_and_says_so():
    a, b = random_features(seed=0), random_features(seed=1)
    pca = PatchPCA(1).fit([a, b])
    pca.threshold_ = 1e9
    found = match_features(a, b, foreground=pca)
    assert len(found) == 0 and found.a.shape == found.b.shape == (0, 2)
    assert "the foreground of the first image is empty" in found.shortfall


def test_soft_argmax_is_the_weighted_mean_of_the_centres():
    chance = torch.Generator().manual_seed(0)
    similarity, centres = torch.rand(3, 9, generator=chance), torch.rand(9, 2, generator=chance) * 50
    found = soft_argmax(similarity, centres, kernel=12, temperature=0.1)
    for query in range(3):
        best = centres[similarity[query].argmax()]
        weights = [
            math.exp(similarity[query, i] / 0.1) * math.exp(-float((centres[i] - best).square().sum()) / (2 * 12**2))
            for i in range(9)
        ]
        expected = sum(weight * centres[i] for i, weight in enumerate(weights)) / sum(weights)
        assert torch.allclose(found[query], expected, atol=1e-4)
    assert torch.allclose(soft_argmax(similarity, centres, 1e-3), centres[similarity.argmax(1)])


def test_a_second_peak_far_away_draws_no_point_off():
    centres = torch.tensor([[4.0 + 8 * i, 4.0] for i in range(12)])
    similarity = torch.full((1, 12), 0.1)
    similarity[0, 2], similarity[0, 11] = 0.9, 0.89
    assert abs(soft_argmax(similarity, centres, kernel=8)[0, 0] - 20) < 0.1


def test_points_are_carried_to_where_their_patches_went():
    """A grid that is shifted by two columns and one row; smooth, so that positions between patches mean something."""
    rows, columns = torch.meshgrid(torch.linspace(0, 3, 12), torch.linspace(0, 3, 12), indexing="ij")
    waves = torch.stack([f(k * g) for g in (rows, columns) for k in (1, 2) for f in (torch.sin, torch.cos)], dim=-1)
    a, b = features_of(waves[:10, :10]), features_of(waves[1:11, 2:12])
    points = torch.tensor([[44.0, 44.0], [40.0, 30.0], [62.5, 51.0]])
    found = transfer(a, b, points, kernel=1.0, temperature=0.001)
    assert (found - (points - torch.tensor([16.0, 8.0]))).abs().max() < 4  # half a patch
    assert transfer(a, b, []).shape == (0, 2)
    assert point_similarity(a, b, points).shape == (3, 10, 10)


def test_dense_colours_are_common_to_both_images(encoder, cars):
    a, b = encoder.encode_each(list(cars))
    colours, fronts, pca = dense_colours(a, b)
    joint = PatchPCA(3).fit([a, b])
    assert torch.equal(colours[1], joint.transform(b)[0]) and torch.equal(fronts[0], joint.foreground(a)[0])
    assert pca.components == 3


# Position


def test_directions_of_position_are_those_of_an_empty_image_and_are_gone_from_the_patches(encoder, cars):
    features = encoder.encode_each([cars[0]])[0]
    directions = position_directions(encoder, features.grid, 5)
    assert torch.allclose(directions @ directions.T, torch.eye(5), atol=1e-5)
    empty = encoder.encode([Image.new("RGB", (96, 96))], fit="whole").patches[0].reshape(-1, 128).double().numpy()
    values = np.linalg.svd(empty - empty.mean(0), compute_uv=False)
    kept = np.linalg.norm((empty - empty.mean(0)) @ directions.double().numpy().T)
    assert kept == pytest.approx(np.sqrt((values[:5] ** 2).sum()), rel=1e-4)  # no other five keep more
    cleaned = without_position(encoder, features, 5)
    assert (cleaned.patches @ directions.T).abs().max() < 1e-4
    assert torch.equal(cleaned.pooled, features.pooled)
    assert without_position(encoder, features).patch_space.endswith("without 3 directions of position")


def test_patches_without_position_are_not_compared_with_others(encoder, cars):
    features = encoder.encode_each([cars[0]])[0]
    with pytest.raises(SpaceError, match="without 5 directions"):
        match_features(features, without_position(encoder, features, 5))
    assert len(match(encoder, *cars, debias=5)) == 30
    assert not torch.equal(match(encoder, *cars, debias=20).similarity, match(encoder, *cars).similarity)


def test_raw_pixels_have_no_position_to_take_out(cars):
    pixels = load_encoder("pixels")
    features = pixels.encode_each([cars[0]])[0]
    assert position_directions(pixels, features.grid, 4).shape == (0, 192)
    assert torch.equal(without_position(pixels, features, 4).patches, features.patches)


# Accuracy


def test_pck_counts_points_within_the_threshold():
    predicted, target = [[0, 0], [0, 0], [0, 0]], [[3, 4], [3, 4.1], [0, 0]]
    assert pck(predicted, target, 5) == pytest.approx(2 / 3)
    assert pck(predicted, target, torch.tensor([5.0, 6.0, 0.0])) == 1
    pairs = [
        PointHits(torch.zeros(2, 2), torch.tensor([[0.9, 0.0], [1.1, 0.0]]), 10.0),
        PointHits(torch.zeros(1, 2), torch.tensor([[1.9, 0.0]]), 20.0),
        PointHits(torch.zeros(0, 2), torch.zeros(0, 2), 20.0),
    ]
    both = pck_over_pairs(pairs, [0.1])
    assert both == {"per_point": {0.1: pytest.approx(2 / 3)}, "per_image": {0.1: 0.75}}


def test_matches_on_the_same_part_are_counted_beside_chance():
    a, b = np.array([[1, 2, 0, 2]]), np.array([[1, 1, 2, 0]])
    begin = torch.tensor([[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [3.5, 0.5]])
    end = torch.tensor([[1.9, 0.1], [0.5, 0.5], [3.5, 0.5], [2.5, 0.5]])
    hits = part_hits(Correspondences(begin, end, torch.ones(4), 4, (4, 4)), a, b)
    assert (hits.matches, hits.on_object, hits.same_part) == (4, 3, 2)  # nothing on nothing is no hit
    assert hits.chance == pytest.approx(2 / 3 + 1 / 3 + 1 / 3)


# What is refused


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda a, b: match_features(a, b, count=0), "count is 0"),
        (lambda a, b: match_features(concatenate([a, a]), b), "of 2 images"),
        (lambda a, b: match_features(a, features_of(torch.full((2, 2, 16), torch.nan))), "not finite"),
        (lambda a, b: match_features(a, b, tolerance=-1), "tolerance is -1"),
        (lambda a, b: match("playground-dino", a, b, size=96), "size is 96 for features"),
        (lambda a, b: transfer(a, b, [[400, 4]]), r"\(400, 4\) is outside"),
        (lambda a, b: transfer(a, b, [[math.nan, 4]]), "is outside"),
        (lambda a, b: transfer(a, b, [[4, 4]], kernel=0), "kernel is 0"),
        (lambda a, b: soft_argmax(torch.ones(1, 1), torch.ones(1, 2), 1, temperature=0), "temperature 0"),
        (lambda a, b: pck([], [], 1), "N >= 1"),
        (lambda a, b: pck([[0, 0]], [[0, 0], [1, 1]], 1), r"\(1, 2\) and target \(2, 2\)"),
        (lambda a, b: pck([[0, math.nan]], [[0, 0]], 1), "not finite"),
        (lambda a, b: pck([[0, 0]], [[0, 0]], torch.ones(2)), r"expected one number, or \(1,\)"),
        (lambda a, b: pck_over_pairs([]), "no pair has points"),
    ],
)
def test_bad_use_is_refused_in_one_line(call, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        call(random_features(seed=0), random_features(seed=1))
    assert "\n" not in str(caught.value)


def test_directions_out_of_range_are_refused(encoder):
    for wrong in (0, 128):
        with pytest.raises(ValueError, match="expected 1 to 127"):
            position_directions(encoder, (12, 12), wrong)
    with pytest.raises(SpaceError):
        match_features(random_features(), random_features(space="elsewhere"))
