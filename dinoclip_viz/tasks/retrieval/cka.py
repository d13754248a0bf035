"""Centred kernel alignment with and without its bias, and an interval, from one pass over sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dinoclip_viz.tasks.retrieval.vectors import VectorsLike, as_vectors, block, lengths

_GROUPS = 10  # of the jackknife
_NORMAL = 1.96  # standard errors of a 95 % interval


@dataclass(frozen=True)
class Cka:
    """Linear centred kernel alignment of two encoders.

    Attributes:
        biased: as published (Kornblith et al. 2019), 0 to 1; it rises with dimensions / images.
        debiased: from the unbiased estimate of HSIC (Song et al. 2012), about 0 for unrelated vectors, at most 1.
        low, high: 95 % interval of `debiased`, by a jackknife over groups of images.
    """

    biased: float
    debiased: float
    low: float
    high: float


def cka(a: VectorsLike, b: VectorsLike, groups: int = _GROUPS) -> Cka:
    """Linear CKA of two encoders' vectors of the same items, biased and debiased.

    Kernels are never formed: with centred X and Y the biased value is ||X^T Y||^2 / (||X^T X|| ||Y^T Y||), and the
    debiased one follows from the same products and from sums over rows, in O(N (D + E)^2) and float64.

    Args:
        a: (N, D) raw vectors; b: (N, E) raw vectors of the same items in the same order.
        groups: groups of the jackknife, 2 to N / 4.

    Raises:
        ValueError: the numbers of vectors differ, there are fewer than 4 per group, all vectors of one are equal, or
            vectors are not finite.

    Examples:
        >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [3.0, 5.0], [4.0, 4.0], [5.0, 2.0], [0.0, 3.0],
        ...                        [2.0, 2.0]])
        >>> found = cka(points, 3 * points.flip(1) + 1, groups=2)
        >>> round(found.biased, 6), round(found.debiased, 6)
        (1.0, 1.0)
    """
    x, y = (_centred(vectors, name) for vectors, name in ((a, "a"), (b, "b")))
    if len(x) != len(y) or groups < 2 or len(x) < 4 * groups:
        raise ValueError(
            f"found {len(x)} and {len(y)} vectors for {groups} groups; expected as many of both, 4 per group or more"
        )
    total = _Sums.of(x, y)
    parts = [total.without(_Sums.of(x[group::groups], y[group::groups])).debiased() for group in range(groups)]
    left_out = torch.tensor(parts, dtype=torch.float64)
    spread = float(((groups - 1) / groups * (left_out - left_out.mean()).square().sum()).sqrt())
    debiased = total.debiased()
    return Cka(total.biased(), debiased, debiased - _NORMAL * spread, debiased + _NORMAL * spread)


@dataclass(frozen=True)
class _Sums:
    """Sums over rows x of X and y of Y, with k = x . x and m = y . y; each is that of its parts.

    Attributes:
        count: number of rows.
        xy, xx, yy: products.
        x, y: sums of rows.
        scaled: sums of k x, m x, k y and m y.
        squares: sums of k, m, k k, k m and m m.
    """

    count: int
    xy: Tensor
    xx: Tensor
    yy: Tensor
    x: Tensor
    y: Tensor
    scaled: tuple[Tensor, Tensor, Tensor, Tensor]
    squares: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> _Sums:
        k, m = x.square().sum(1), y.square().sum(1)
        squares = torch.stack([k.sum(), m.sum(), k @ k, k @ m, m @ m])
        return cls(len(x), x.T @ y, x.T @ x, y.T @ y, x.sum(0), y.sum(0), (k @ x, m @ x, k @ y, m @ y), squares)

    def without(self, part: _Sums) -> _Sums:
        """The sums over the other rows."""
        scaled = [mine - theirs for mine, theirs in zip(self.scaled, part.scaled, strict=True)]
        return _Sums(
            self.count - part.count, self.xy - part.xy, self.xx - part.xx, self.yy - part.yy, self.x - part.x,
            self.y - part.y, (scaled[0], scaled[1], scaled[2], scaled[3]), self.squares - part.squares,
        )  # fmt: skip

    def biased(self) -> float:
        """Linear CKA."""
        cross, own_x, own_y = (
            float(torch.linalg.matrix_norm(product - torch.outer(one, other) / self.count))
            for product, one, other in ((self.xy, self.x, self.y), (self.xx, self.x, self.x), (self.yy, self.y, self.y))
        )
        return cross**2 / (own_x * own_y)

    def debiased(self) -> float:
        """CKA from unbiased estimates of HSIC."""
        k, m, kk, km, mm = self.squares.tolist()
        kx, mx, ky, my = self.scaled
        cross = self._hsic(self.xy, (self.x, self.y), (mx, ky), (k, m), km)
        own_x = self._hsic(self.xx, (self.x, self.x), (kx, kx), (k, k), kk)
        own_y = self._hsic(self.yy, (self.y, self.y), (my, my), (m, m), mm)
        if own_x <= 0 or own_y <= 0:
            raise ValueError(f"the vectors of {'a' if own_x <= 0 else 'b'} vary too little for {self.count} items")
        return cross / math.sqrt(own_x * own_y)

    def _hsic(
        self,
        product: Tensor,
        sums: tuple[Tensor, Tensor],
        scaled: tuple[Tensor, Tensor],
        traces: tuple[float, float],
        both: float,
    ) -> float:
        """N (n - 3) times the unbiased HSIC of two linear kernels without their diagonals."""
        n, (x, y) = self.count, sums
        hadamard = float(product.square().sum()) - both  # tr(K L)
        ones_k, ones_l = float(x @ x) - traces[0], float(y @ y) - traces[1]  # 1' K 1, 1' L 1
        rows = float(x @ product @ y) - float(x @ scaled[0]) - float(scaled[1] @ y) + both  # 1' K L 1
        return hadamard + ones_k * ones_l / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)


def _centred(vectors: VectorsLike, name: str) -> Tensor:
    """(N, D) float64 vectors minus their mean."""
    found = as_vectors(vectors, name)
    lengths(found, name)
    rows = block(found, 0, len(found)).double().cpu()
    centred = rows - rows.mean(0)
    if float(centred.square().sum()) <= 1e-12 * float(rows.square().sum()):
        raise ValueError(f"all {len(rows)} vectors of {name} are equal; expected vectors that vary")
    return centred
