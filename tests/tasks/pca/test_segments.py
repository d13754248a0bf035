"""Segments of patches: planted groups are found, the same in all images, and as scikit-learn cuts them."""

import sys

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.metrics import adjusted_rand_score

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.tasks.pca import segments as module
from dinoclip_viz.tasks.pca.parts import described, parts
from dinoclip_viz.tasks.pca.segments import PatchClusters, kmeans_segments, spectral_segments


def features_of(patches, space="somewhere", side=8):
    count, rows, columns = patches.shape[:3]
    vectors, extent = torch.zeros(count, 2), torch.tensor([columns * side, rows * side])
    boxes = torch.cat([torch.zeros(2), extent]).repeat(count, 1)
    return ImageFeatures(vectors, vectors, patches, boxes, extent.repeat(count, 1), space)


def planted(sizes=(6, 3, 2), images=2, seed=0):
    """Images of 11 columns in vertical bands of one direction each, and the bands' numbers (B, 9, 11)."""
    chance = torch.Generator().manual_seed(seed)
    centres = torch.linalg.qr(torch.randn(16, 16, generator=chance))[0][: len(sizes)] * 5
    target = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).expand(images, 9, 11)
    return features_of(centres[target] + 0.4 * torch.randn(images, 9, 11, 16, generator=chance)), target


@pytest.mark.parametrize("segment", [kmeans_segments, spectral_segments])
def test_planted_bands_come_back_the_largest_first_and_alike_in_all_images(segment):
    features, target = planted()
    assert torch.equal(segment(features, 3)[0], target)
    apart = segment([features[0], features[1]], 3)
    assert torch.equal(torch.cat(apart), target)


@pytest.mark.parametrize("segment", [kmeans_segments, spectral_segments])
def test_the_same_seed_gives_the_same_segments(segment):
    features = features_of(torch.randn(1, 8, 9, 6, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(segment(features, 4)[0], segment(features, 4)[0])


def test_kmeans_is_scikit_learns_on_unit_tokens():
    patches = torch.randn(2, 8, 9, 6, generator=torch.Generator().manual_seed(1))
    rows = torch.nn.functional.normalize(patches.flatten(0, 2), dim=1).numpy()
    reference = KMeans(4, n_init=4, random_state=5).fit_predict(rows)
    found = kmeans_segments(features_of(patches), 4, seed=5)[0].flatten().numpy()
    assert adjusted_rand_score(reference, found) == 1
    assert (np.diff(np.bincount(found)) <= 0).all()


def test_normalised_cuts_are_scikit_learns_of_the_same_graph():
    features, _ = planted((5, 4, 2), seed=3)
    rows = torch.nn.functional.normalize(features.patches.flatten(0, 2), dim=1)
    graph = ((rows @ rows.T - 1) / 0.1).exp().double().numpy()
    reference = SpectralClustering(3, affinity="precomputed", random_state=0).fit_predict(graph)
    assert adjusted_rand_score(reference, spectral_segments(features, 3)[0].flatten().numpy()) == 1


def test_normalised_cuts_follow_a_chain_that_kmeans_breaks():
    angles = torch.linspace(0, 1.9, 80)
    chain = torch.stack([angles.cos(), angles.sin(), torch.zeros(80)], 1)
    apart = torch.tensor([0.3, 0.3, 0.9]) + 0.01 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    features = features_of(torch.cat([chain, apart]).view(1, 10, 10, 3))
    expected = (torch.arange(100) >= 80).long().view(1, 10, 10)
    assert torch.equal(spectral_segments(features, 2, temperature=0.01)[0], expected)
    assert not torch.equal(kmeans_segments(features, 2)[0], expected)


def test_equal_patches_do_not_break_the_cut():
    features = features_of(torch.ones(1, 5, 5, 3))
    assert spectral_segments(features, 2)[0].shape == (1, 5, 5)


def test_centres_that_were_fitted_serve_other_images():
    features, target = planted()
    clusters = PatchClusters(3).fit(features[0])
    assert torch.equal(clusters.assign(features[1]), target[:1])
    with pytest.raises(dv.SpaceError):
        clusters.assign(features_of(features.patches, "elsewhere"))


def test_more_patches_than_fit_are_sampled(monkeypatch):
    features, target = planted(images=6)
    monkeypatch.setattr(module, "LARGEST_FIT", 100)
    assert torch.equal(kmeans_segments(features, 3)[0], target)


def test_a_graph_that_is_too_large_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_EXACT", 50)
    monkeypatch.setitem(sys.modules, "ncut_pytorch", None)
    with pytest.raises(ValueError, match="pip install ncut-pytorch") as error:
        spectral_segments(planted()[0], 3)
    assert "\n" not in str(error.value)


def test_a_graph_that_is_too_large_is_sampled(monkeypatch):
    pytest.importorskip("ncut_pytorch")
    monkeypatch.setattr(module, "LARGEST_EXACT", 50)
    features, target = planted(images=4)
    assert torch.equal(spectral_segments(features, 3)[0], target)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: kmeans_segments([], 3), "at least one image"),
        (lambda: kmeans_segments(planted()[0], 0), "count is 0"),
        (lambda: spectral_segments(planted()[0], 1), "count is 1"),
        (lambda: kmeans_segments(planted()[0], 65), "count is 65"),
        (lambda: kmeans_segments(features_of(torch.ones(1, 1, 2, 3)), 3), "2 patches"),
        (lambda: kmeans_segments(features_of(torch.full((1, 3, 3, 3), float("nan"))), 3), "not finite"),
        (lambda: spectral_segments(planted()[0], 3, temperature=0), "temperature"),
        (lambda: PatchClusters(3).assign(planted()[0]), "not fitted"),
    ],
)
def test_bad_use_is_one_line(call, reason):
    with pytest.raises(ValueError, match=reason) as error:
        call()
    assert "\n" not in str(error.value)


def subject():
    """An image of 96 x 80 px with two kinds of patches, six of one and three of the other."""
    patches = 0.1 * torch.randn(1, 10, 12, 8, generator=torch.Generator().manual_seed(0))
    patches[..., 0] += 5
    patches[0, 3:5, 4:7] = torch.tensor([-5.0, 4, 0, 0, 0, 0, 0, 0])
    patches[0, 5, 4:7] = torch.tensor([-5.0, -4, 0, 0, 0, 0, 0, 0])
    return features_of(patches)


def test_parts_have_the_mean_colour_the_share_and_an_example_of_their_patches():
    features = [features_of(torch.randn(1, 4, 4, 8) * 0.1 + torch.eye(8)[0] * 5), subject()]
    pca = dv.PatchPCA(3).fit(features)
    found = parts(pca, features, 2, ["top"])
    assert [(part.name, part.image) for part in found] == [("top", 1), ("part 2", 1)]
    assert [part.fraction for part in found] == pytest.approx([6 / 9, 3 / 9])
    colour = pca.transform(features[1])[0, 3, 4]
    assert found[0].colour == pytest.approx(tuple(colour.tolist()), abs=1e-6)
    x0, y0, x1, y1 = found[1].box
    assert (y0, y1, x1 - x0) == (32, 56, 24) and 24 <= x0 <= 40
    assert described(found)["parts"][0]["colour"] == [round(255 * value) for value in colour.tolist()]


def test_parts_report_bad_use_in_one_line():
    features = [subject()]
    pca = dv.PatchPCA(3).fit(features)
    with pytest.raises(ValueError, match="found 9 foreground patches"):
        parts(pca, features, 10)
    with pytest.raises(ValueError, match="3 names for 2"):
        parts(pca, features, 2, "abc")
    with pytest.raises(ValueError, match="expected 3"):
        parts(dv.PatchPCA(2).fit(features), features)
