"""Procrustes and CCA in closed form against numpy."""

import numpy as np
import pytest
import torch

from dinoclip_viz.training.alignment.closed import cca, covariances, procrustes


@pytest.fixture
def paired():
    chance = np.random.default_rng(0)
    shared = chance.normal(size=(400, 3))
    x = shared @ chance.normal(size=(3, 6)) + 0.3 * chance.normal(size=(400, 6)) + 5
    y = shared @ chance.normal(size=(3, 4)) + 0.3 * chance.normal(size=(400, 4)) - 2
    return x, y


def of(x, y, block=150):
    rows = range(0, len(x), block)
    return covariances((torch.from_numpy(x[at : at + block]), torch.from_numpy(y[at : at + block])) for at in rows)


def test_covariances_of_blocks_are_those_of_all_rows(paired):
    found, both = of(*paired), np.cov(np.hstack(paired).T, bias=True)
    np.testing.assert_allclose(found.xx, both[:6, :6], atol=1e-10)
    np.testing.assert_allclose(found.xy, both[:6, 6:], atol=1e-10)
    np.testing.assert_allclose(found.yy, both[6:, 6:], atol=1e-10)
    np.testing.assert_allclose(found.mean_x, paired[0].mean(0))


def test_procrustes_is_the_rotation_of_numpys_svd(paired):
    x, y = paired[0][:, :4], paired[1]
    left, right = procrustes(of(x, y))
    u, _, v = np.linalg.svd((x - x.mean(0)).T @ (y - y.mean(0)))
    np.testing.assert_allclose((left.T @ right).numpy(), u @ v, atol=1e-8)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    left, right = procrustes(of(y @ rotation, y))
    np.testing.assert_allclose((left.T @ right).numpy(), rotation.T, atol=1e-8)


def test_procrustes_of_two_widths_has_orthonormal_rows(paired):
    left, right = procrustes(of(*paired))
    assert left.shape == (4, 6)
    np.testing.assert_allclose(left @ left.T, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(right @ right.T, np.eye(4), atol=1e-10)
    assert procrustes(of(*paired), 2)[0].shape == (2, 6)


def test_cca_gives_the_correlations_of_the_generalised_eigenvalue_problem(paired):
    found, ridge = of(*paired), 0.2
    left, right = cca(found, ridge)
    xx, yy, xy = found.xx.numpy(), found.yy.numpy(), found.xy.numpy()
    xx, yy = (v + ridge * np.trace(v) / len(v) * np.eye(len(v)) for v in (xx, yy))
    squares = np.linalg.eigvals(np.linalg.solve(xx, xy) @ np.linalg.solve(yy, xy.T)).real
    expected = np.sqrt(np.sort(squares)[::-1][:4])
    cross, own = left.numpy() @ xy @ right.numpy().T, left.numpy() @ xx @ left.numpy().T
    np.testing.assert_allclose(np.diag(own), expected**2, atol=1e-8)  # variance 1, times the weight squared
    np.testing.assert_allclose(cross, np.diag(expected**3), atol=1e-8)  # uncorrelated across directions


def test_cca_without_a_ridge_leaves_directions_without_variance_out(paired):
    x = np.hstack([paired[0], np.full((400, 1), 3.0)])
    left, right = cca(of(x, paired[1]), 0.0)
    assert torch.isfinite(left).all() and torch.isfinite(right).all()
    plain = cca(of(*paired), 0.0)
    np.testing.assert_allclose(left[:, :6].abs(), plain[0].abs(), atol=1e-5)
    with pytest.raises(ValueError, match="ridge is -1"):
        cca(of(*paired), -1.0)
