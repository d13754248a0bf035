"""PatchPCA: one colour a feature, the foreground up, a basis that survives the disk."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from dinoclip_viz import PatchPCA, SpaceError, load_encoder
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.playground import draw
from dinoclip_viz.tasks.pca.patch_pca import otsu


def features_of(patches, space="somewhere"):
    count = len(patches)
    vectors = torch.zeros(count, 2)
    return ImageFeatures(vectors, vectors, patches, torch.zeros(count, 4), torch.zeros(count, 2), space)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("playground-dino")


@pytest.fixture(scope="module")
def images():
    return [scene.image for scene in draw(6000, 6, 192, objects=1)]


def test_colours_are_the_same_alone_in_a_batch_and_after_save_and_load(encoder, images, tmp_path):
    batch = encoder.encode(images, fit="whole")
    pca = PatchPCA().fit(batch)
    together = pca.transform(batch)
    assert together.shape == (6, 24, 24, 3) and together.min() >= 0 and together.max() <= 1
    pca.save(tmp_path / "basis.safetensors")
    again = PatchPCA.load(tmp_path / "basis.safetensors")
    assert torch.equal(again.transform(batch), together)
    assert torch.equal(again.foreground(batch), pca.foreground(batch))
    for index, image in enumerate(images):
        alone = encoder.encode([image], fit="whole")
        assert (pca.transform(batch[index])[0] - together[index]).abs().max() <= 1e-6
        assert (pca.transform(alone)[0] - together[index]).abs().max() <= 1e-6


def test_components_are_scikit_learns_up_to_sign():
    patches = torch.randn(3, 5, 6, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 9)
    pca = PatchPCA(components=3, colours="rgb").fit(features_of(patches))
    reference = PCA(3, svd_solver="full").fit(patches.reshape(-1, 8).double().numpy())
    assert np.allclose(np.abs(pca.components_), np.abs(reference.components_), atol=1e-8)
    whitened = (patches.reshape(-1, 8).double().numpy() - pca.mean_) @ pca.components_.T / pca.deviations_
    assert np.allclose(pca.transform(features_of(patches)).reshape(-1, 3), 1 / (1 + np.exp(-2 * whitened)), atol=1e-6)


def test_the_border_votes_for_the_background_and_a_flip_turns_it_round():
    patches = torch.randn(2, 8, 8, 4, generator=torch.Generator().manual_seed(0)) * 0.1
    patches[:, 2:6, 2:6, 1] -= 5
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:6, 2:6] = True
    assert (PatchPCA().fit(features_of(patches)).foreground(features_of(patches)) == inside).all()
    assert (PatchPCA(flip=True).fit(features_of(patches)).foreground(features_of(patches)) == ~inside).all()


def test_images_of_other_sizes_are_fitted_jointly(encoder, images):
    wide = images[0].resize((192, 96))
    each = encoder.encode_each([wide, images[1]])
    pca = PatchPCA(subject="foreground").fit(each)
    colours = pca.transform(each)
    assert [tuple(c.shape) for c in colours] == [(1, 12, 24, 3), (1, 24, 24, 3)]
    assert [tuple(f.shape) for f in pca.foreground(each)] == [(1, 12, 24), (1, 24, 24)]
    assert PatchPCA().fit(images[:2]).transform(images[0]).shape == (1, 24, 24, 3)


def test_a_basis_is_not_applied_to_another_space():
    pca = PatchPCA().fit(features_of(torch.randn(1, 4, 4, 5)))
    with pytest.raises(SpaceError, match="project"):
        pca.transform(features_of(torch.randn(1, 4, 4, 5), "elsewhere"))


@pytest.mark.parametrize(
    "call, reason",
    [
        (lambda tmp: PatchPCA().transform(features_of(torch.randn(1, 2, 2, 3))), "not fitted"),
        (lambda tmp: PatchPCA().save(tmp / "x"), "not fitted"),
        (lambda tmp: PatchPCA(components=0), "components is 0"),
        (lambda tmp: PatchPCA().fit([]), "at least one image"),
        (lambda tmp: PatchPCA(components=5).fit(features_of(torch.randn(1, 2, 2, 8))), "cannot give 5"),
        (lambda tmp: PatchPCA().fit(features_of(torch.full((1, 4, 4, 8), float("nan")))), "not finite"),
        (lambda tmp: PatchPCA.load(tmp / "missing"), "no file"),
        (lambda tmp: ((tmp / "bad").write_bytes(b"junk"), PatchPCA.load(tmp / "bad")), "cannot be read as a basis"),
    ],
)
def test_bad_use_is_one_line(call, reason, tmp_path):
    with pytest.raises(ValueError, match=reason) as error:
        call(tmp_path)
    assert "\n" not in str(error.value)


def test_otsu_splits_two_groups():
    values = np.concatenate([np.random.default_rng(0).normal(0, 1, 500), np.random.default_rng(1).normal(10, 1, 300)])
    assert 3 < otsu(values) < 7
