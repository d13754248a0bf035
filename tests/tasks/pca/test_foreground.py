"""Foreground from clicks: scikit-learn's regression, the median by hand, a head that survives the disk."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.tasks.grids import patch_labels
from dinoclip_viz.tasks.pca.foreground import ForegroundHead, clicked_foreground


def features_of(patches, space="somewhere", side=8):
    count, rows, columns = patches.shape[:3]
    vectors, extent = torch.zeros(count, 2), torch.tensor([columns * side, rows * side])
    boxes = torch.cat([torch.zeros(2), extent]).repeat(count, 1)
    return ImageFeatures(vectors, vectors, patches, boxes, extent.repeat(count, 1), space)


@pytest.fixture(scope="module")
def planted():
    """Two images of 10 x 12 patches, and where their subject is."""
    patches = 0.5 * torch.randn(2, 10, 12, 16, generator=torch.Generator().manual_seed(0))
    patches[..., 5] += 2
    inside = torch.zeros(2, 10, 12, dtype=torch.bool)
    inside[0, 2:7, 3:9] = True
    inside[1, 4:9, 1:6] = True
    patches[inside] += 2 * torch.linspace(-1, 1, 16)
    return features_of(patches), inside


def test_one_click_on_each_side_finds_the_subject_in_both_images(planted):
    features, inside = planted
    mask = clicked_foreground(features, [(50, 36)], [(4, 4)]).mask(features)
    iou = (mask & inside).sum((1, 2)) / (mask | inside).sum((1, 2))
    assert (iou > 0.6).all()


def test_more_clicks_find_it_better(planted):
    features, inside = planted
    positions = [(50, 36), (36, 28), (60, 44)], [(4, 4), (90, 70), (8, 70), (80, 10)]
    mask = clicked_foreground(features, *positions).mask(features)
    assert ((mask & inside).sum() / (mask | inside).sum()) > 0.85


def test_probabilities_are_scikit_learns(planted):
    features, inside = planted
    tokens, labels = features.patches.flatten(0, 2)[:60], inside.flatten()[:60]
    head = ForegroundHead(0.1, median=1).fit(tokens, labels, "somewhere")
    scaled = torch.nn.functional.normalize(tokens.double(), dim=1).numpy() * 4  # the square root of 16 values
    reference = LogisticRegression(C=0.1, class_weight="balanced", tol=1e-8, max_iter=10_000).fit(scaled, labels)
    found = head.probability(features).flatten()[:60]
    assert np.allclose(found, reference.predict_proba(scaled)[:, 1], atol=1e-3)


def test_the_map_is_smoothed_by_the_median_of_three_by_three(planted):
    features, _ = planted
    head = clicked_foreground(features, [(50, 36)], [(4, 4)])
    raw = clicked_foreground(features, [(50, 36)], [(4, 4)], median=1).probability(features)
    padded = np.pad(raw.numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    smooth = head.probability(features)
    for row, column in [(0, 0), (4, 5), (9, 11), (0, 6)]:
        expected = np.median(padded[1, row : row + 3, column : column + 3])
        assert smooth[1, row, column].item() == pytest.approx(expected)


def test_the_scale_of_the_tokens_does_not_matter(planted):
    features, _ = planted
    larger = features_of(features.patches * 40)
    one, other = (clicked_foreground(each, [(50, 36)], [(4, 4)]).probability(each) for each in (features, larger))
    assert torch.allclose(one, other, atol=1e-5)


def test_a_saved_head_gives_the_same_map(planted, tmp_path):
    features, _ = planted
    head = clicked_foreground(features, [(50, 36)], [(4, 4)], median=5)
    head.save(tmp_path / "head.safetensors")
    again = ForegroundHead.load(tmp_path / "head.safetensors")
    assert torch.equal(again.probability(features), head.probability(features))
    with pytest.raises(dv.SpaceError):
        again.mask(features_of(features.patches, "elsewhere"))


def test_clicks_on_a_drawn_object_find_it_in_another_image_of_its_kind():
    encoder = dv.load_encoder("playground-dino")
    scene = dv.playground.draw(1503, 1, 192, objects=1)[0]
    features = encoder.encode([scene.image], fit="whole")
    target = patch_labels((scene.mask > 0).astype(np.int64), features.grid, 2)[None].bool()
    spots = [torch.nonzero(side[0])[:: max(1, int(side.sum()) // 4)][:4] * 8 + 4 for side in (target, ~target)]
    clicks = [[(float(x), float(y)) for y, x in positions.tolist()] for positions in spots]
    mask = clicked_foreground(features, *clicks).mask(features)
    assert (mask & target).sum() / (mask | target).sum() > 0.5


@pytest.mark.parametrize(
    ("clicks", "reason"),
    [
        (([(50, 36)], []), "click the background as well"),
        (([], [(50, 36)]), "click the foreground as well"),
        (([], []), "found no clicks"),
        (([(50, 36)], [(400, 36)]), "outside"),
        (([(50, 36)], [(51, 37)]), "row 4, column 6"),
    ],
)
def test_clicks_that_say_too_little_are_one_line(planted, clicks, reason):
    with pytest.raises(ValueError, match=reason) as error:
        clicked_foreground(planted[0], *clicks)
    assert "\n" not in str(error.value)


def test_other_bad_use_is_one_line(planted, tmp_path):
    (tmp_path / "bad").write_bytes(b"junk")
    for call, reason in [
        (lambda: ForegroundHead().mask(planted[0]), "not fitted"),
        (lambda: ForegroundHead().save(tmp_path / "x"), "not fitted"),
        (lambda: ForegroundHead(strength=0), "strength"),
        (lambda: ForegroundHead(median=2), "odd"),
        (lambda: ForegroundHead.load(tmp_path / "none"), "no file"),
        (lambda: ForegroundHead.load(tmp_path / "bad"), "cannot be read"),
        (lambda: ForegroundHead().fit(torch.ones(3, 2), torch.ones(2, dtype=torch.bool), "s"), "labels"),
    ]:
        with pytest.raises(ValueError, match=reason) as error:
            call()
        assert "\n" not in str(error.value)
