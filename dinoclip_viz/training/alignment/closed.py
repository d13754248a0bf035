"""Linear maps between two sets of paired vectors in closed form: orthogonal Procrustes and regularised CCA."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Covariances:
    """Means and covariances of N paired vectors, float64.

    Attributes:
        mean_x: (D,); mean_y: (E,).
        xx: (D, D); xy: (D, E); yy: (E, E), centred and divided by N.
    """

    mean_x: Tensor
    mean_y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor


def covariances(blocks: Iterable[tuple[Tensor, Tensor]]) -> Covariances:
    """Means and covariances from blocks of paired vectors.

    Args:
        blocks: (n, D) and (n, E) vectors, row by row pairs.

    Raises:
        ValueError: there is no block.
    """
    count, sums, products = 0, list[Tensor](), list[Tensor]()
    for x, y in blocks:
        one, other = x.double(), y.double()
        new_sums = [one.sum(0), other.sum(0)]
        new = [one.T @ one, one.T @ other, other.T @ other]
        sums = [a + b for a, b in zip(sums, new_sums, strict=True)] if sums else new_sums
        products = [a + b for a, b in zip(products, new, strict=True)] if products else new
        count += len(x)
    if not count:
        raise ValueError("found no pair of vectors; expected at least one")
    mean_x, mean_y = (total / count for total in sums)
    xx, xy, yy = (total / count for total in products)
    return Covariances(
        mean_x, mean_y, xx - torch.outer(mean_x, mean_x), xy - torch.outer(mean_x, mean_y),
        yy - torch.outer(mean_y, mean_y),
    )  # fmt: skip


def procrustes(found: Covariances, outputs: int = 0) -> tuple[Tensor, Tensor]:
    """(K, D) and (K, E) maps with orthonormal rows under which the centred pairs are most similar.

    With xy = U S V^T they are U^T and V^T. For D = E, comparing U^T x with V^T y is comparing x with U V^T y, the
    solution of the orthogonal Procrustes problem (Schoenemann 1966).

    Args:
        found: of the pairs.
        outputs: K, at most the smaller of D and E; 0 for that.
    """
    left, _, right = torch.linalg.svd(found.xy, full_matrices=False)
    kept = outputs or len(found.xy)
    return left.T[:kept], right[:kept]


def cca(found: Covariances, ridge: float = 0.1, outputs: int = 0) -> tuple[Tensor, Tensor]:
    """(K, D) and (K, E) canonical directions, each scaled by its canonical correlation.

    Canonical correlation analysis by an SVD (Hotelling 1936), with ridge regularisation and directions weighted by
    their correlations (Gong et al., IJCV 2014): xx^-1/2 xy yy^-1/2 = U S V^T gives S U^T xx^-1/2 and S V^T yy^-1/2.

    Args:
        found: of the pairs.
        ridge: fraction of the mean variance that is added to every variance.
        outputs: K, at most the smaller of D and E; 0 for that.

    Raises:
        ValueError: the ridge is negative.
    """
    if ridge < 0:
        raise ValueError(f"ridge is {ridge}; expected 0 or more")
    white_x, white_y = (_inverse_root(variances, ridge) for variances in (found.xx, found.yy))
    left, correlations, right = torch.linalg.svd(white_x @ found.xy @ white_y, full_matrices=False)
    kept = outputs or len(correlations)
    weights = correlations[:kept, None]
    return weights * (left.T[:kept] @ white_x), weights * (right[:kept] @ white_y)


def _inverse_root(variances: Tensor, ridge: float) -> Tensor:
    """The inverse square root of a regularised covariance matrix; directions without variance are dropped."""
    size = len(variances)
    added = ridge * variances.trace() / size * torch.eye(size, dtype=variances.dtype)
    values, vectors = torch.linalg.eigh(variances + added)
    kept = values > 1e-10 * values[-1]
    root: Tensor = (vectors[:, kept] / values[kept].sqrt()) @ vectors[:, kept].T
    return root
