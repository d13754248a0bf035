"""Streaming PCA: scikit-learn's components from chunks, the same threshold, and bases fitted on stores."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.tasks.pca import patch_pca as pca_module
from dinoclip_viz.tasks.pca.streaming import Moments, streaming_pca
from dinoclip_viz.tasks.pca.threshold import BinnedOtsu, otsu
from tests.made_stores import pair


def rows_of(count, width=24, offset=0.0, dtype=np.float64, seed=0):
    """Rows with a decaying spectrum in a turned basis."""
    chance = np.random.default_rng(seed)
    turn = np.linalg.qr(chance.normal(size=(width, width)))[0]
    return (chance.normal(size=(count, width)) * 0.8 ** np.arange(width) @ turn + offset).astype(dtype)


def features_of(patches, space="somewhere"):
    count = len(patches)
    vectors = torch.zeros(count, 2)
    return ImageFeatures(vectors, vectors, patches, torch.zeros(count, 4), torch.zeros(count, 2), space)


def images(count=40, seed=0):
    """Patches with a centre that differs from the border."""
    patches = torch.randn(count, 6, 7, 12, generator=torch.Generator().manual_seed(seed)) * torch.arange(12, 0, -1)
    patches[:, 2:4, 2:5] += 30 * torch.linspace(-1, 1, 12)
    return features_of(patches)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return pair(tmp_path_factory.mktemp("stores"), images=90, shard=40, patches=True)


@pytest.mark.parametrize("size", [1, 7, 1000, 20_000])
@pytest.mark.parametrize(("offset", "dtype"), [(0.0, np.float32), (1e6, np.float64), (50.0, np.float16)])
def test_components_are_scikit_learns_full_svd_whatever_the_chunks_and_the_mean(size, offset, dtype):
    rows = rows_of(700 if size == 1 else 12_000, offset=offset, dtype=dtype)
    reference = PCA(5, svd_solver="full").fit(rows.astype(np.float64))
    found = streaming_pca((rows[start : start + size] for start in range(0, len(rows), size)), 5)
    assert np.allclose(np.abs((found.components * reference.components_).sum(1)), 1, atol=1e-8)
    assert np.allclose(found.mean, reference.mean_, rtol=1e-12)
    assert np.allclose(found.deviations**2, reference.explained_variance_, rtol=1e-7)
    assert np.allclose(found.fractions, reference.explained_variance_ratio_, rtol=1e-7)


def test_a_mean_that_drifts_costs_no_digits():
    rows = rows_of(9000)
    rows[:, 0] += np.linspace(0, 1e7, len(rows))
    moments = Moments(24)
    for start in range(0, len(rows), 100):
        moments.add(rows[start : start + 100])
    expected = np.cov(rows[:, 1:].T)
    assert np.allclose(moments.scatter[1:, 1:] / (len(rows) - 1), expected, rtol=1e-9, atol=1e-12)


def test_the_rows_that_come_in_stay_as_they_are():
    rows = rows_of(50)
    before = rows.copy()
    Moments(24).add(rows)
    assert np.array_equal(rows, before)


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_of_bins_is_that_of_all_numbers(seed):
    chance = np.random.default_rng(seed)
    values = np.concatenate([chance.normal(-2, 1, 4000), chance.normal(3, 0.5, 1000), chance.normal(0, 40, 5)])
    values -= values.mean()
    marked = chance.random(len(values)) < 0.3
    cut = BinnedOtsu(values.std())
    for start in range(0, len(values), 999):
        cut.add(values[start : start + 999], marked[start : start + 999])
    assert abs(cut.threshold() - otsu(values)) <= values.std() / 2048
    assert cut.fraction_above() == pytest.approx((values[marked] > cut.threshold()).mean())


def test_two_far_groups_have_the_threshold_midway_to_the_last_digit():
    values = np.concatenate([np.linspace(-1.1, -1, 700), np.linspace(1, 1.3, 300)])
    assert BinnedOtsu(1.0).add(values, values < 0).threshold() == otsu(values)


def test_equal_numbers_are_one_group():
    assert BinnedOtsu(0.0).add(np.zeros(9), np.ones(9, bool)).threshold() == 0


@pytest.mark.parametrize("subject", ["all", "foreground"])
@pytest.mark.parametrize("flip", [False, True])
def test_a_fit_past_the_largest_streams_and_gives_the_same_colours(subject, flip, monkeypatch):
    features = images()
    whole = dv.PatchPCA(3, subject, flip).fit(features)
    monkeypatch.setattr(pca_module, "LARGEST_FIT", 100)
    streamed = dv.PatchPCA(3, subject, flip).fit([features[:13], features[13:]])
    assert abs(streamed.threshold_ - whole.threshold_) <= np.std(whole.first_component(features).numpy()) / 2048
    assert (streamed.transform(features) - whole.transform(features)).abs().max() < 1e-5
    assert torch.equal(streamed.foreground(features), whole.foreground(features))
    assert np.allclose(streamed.explained_variance_, whole.explained_variance_, rtol=1e-6)


@pytest.mark.parametrize("subject", ["all", "foreground"])
def test_a_store_gives_the_basis_of_its_patches(stores, subject):
    patches = torch.from_numpy(np.asarray(stores[0].patches).astype(np.float32))
    features = features_of(patches, stores[0].patch_space)
    kept, memory = dv.PatchPCA(3, subject).fit(stores[0]), dv.PatchPCA(3, subject).fit(features)
    assert (kept.transform(features) - memory.transform(features)).abs().max() < 1e-5
    assert torch.equal(kept.foreground(features), memory.foreground(features))
    colours = torch.cat(list(memory.transform_store(stores[0])))
    assert torch.equal(colours, memory.transform(features))


def test_a_basis_of_a_store_colours_images_and_one_of_images_the_store(tmp_path):
    dv.embed("playground:1510:6:96", ["playground-dino"], tmp_path / "store", patches="full")
    store = dv.FeatureStore.open(tmp_path / "store")
    seen = dv.load_encoder("playground-dino").encode(
        [scene.image for scene in dv.playground.draw(1510, 6, 96)], fit="crop"
    )
    on_store, on_images = dv.PatchPCA().fit_store(store), dv.PatchPCA().fit(seen)
    on_store.save(tmp_path / "basis.safetensors")
    shared = dv.PatchPCA.load(tmp_path / "basis.safetensors")
    assert (shared.transform(seen) - on_images.transform(seen)).abs().max() < 0.02  # the store is float16
    assert (torch.cat(list(on_images.transform_store(store))) - on_images.transform(seen)).abs().max() < 0.02


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: streaming_pca([], 2), "no rows"),
        (lambda: streaming_pca([np.ones((2, 4))], 2), "2 rows of 4 values"),
        (lambda: streaming_pca([np.ones((9, 4)), np.ones((9, 5))], 2), "shape"),
        (lambda: streaming_pca([np.array([[1.0], [np.inf], [-np.inf]])], 1), "NaN or infinite"),
        (lambda: BinnedOtsu(1.0).threshold(), "no values"),
    ],
)
def test_bad_use_is_one_line(call, reason):
    with pytest.raises(ValueError, match=reason) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_store_without_patches_or_of_another_space_is_refused(tmp_path, stores):
    bare = pair(tmp_path, images=5)[0]
    with pytest.raises(ValueError, match="keeps no patches"):
        dv.PatchPCA().fit(bare)
    with pytest.raises(dv.SpaceError):
        dv.PatchPCA().fit(stores[0]).transform_store(stores[1])
