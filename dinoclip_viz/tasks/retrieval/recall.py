"""Image-text retrieval: recall and ranks from images to captions and from captions to images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.retrieval.vectors import Indices, Vectors, VectorsLike, as_vectors, block, indices, lengths

_IMAGES_AT_ONCE = 1024
_PANEL = 8192  # images in memory as float32 during one pass over all texts
_KEPT = 192 << 20  # bytes of tiles kept from the first pass for the second
_NORM = 1e-12  # lower limit of a length, as in torch.nn.functional.normalize


def recall(
    image_vectors: VectorsLike, text_vectors: VectorsLike, text_to_image: Indices, chunk: int = 4096
) -> dict[str, dict[str, float]]:
    """R@1, R@5, R@10 (fractions, 0 to 1) and median rank, from images to texts and from texts to images.

    Any caption of an image counts: the rank of an image is that of its best caption. Ties count against the query.

    Args:
        image_vectors: (B, D) raw vectors: a tensor, an array, a nested list or rows of a store.
        text_vectors: (T, D) raw vectors of the same space.
        text_to_image: (T,) index of the image that each text describes; every image has at least one text.
        chunk: texts per block; memory grows with it, not with B x T.

    Returns:
        {"image_to_text": {"R@1", "R@5", "R@10", "median_rank"}, "text_to_image": {...}}.

    Raises:
        ValueError: inconsistent shapes, an index out of range, an image without a text, or vectors that are ragged, not
            numeric or not finite.

    Examples:
        >>> found = recall(torch.eye(2), torch.eye(2), [0, 1])
        >>> found["image_to_text"]["R@1"], found["text_to_image"]["median_rank"]
        (1.0, 1.0)
    """
    return summary(*ranks(image_vectors, text_vectors, text_to_image, chunk))


def summary(image_ranks: Tensor, text_ranks: Tensor) -> dict[str, dict[str, float]]:
    """R@k and median rank from ranks, as `recall` returns them.

    Args:
        image_ranks: (B,) from `ranks`.
        text_ranks: (T,) from `ranks`.

    Examples:
        >>> summary(torch.tensor([1, 2, 30]), torch.tensor([1, 1]))["image_to_text"]["median_rank"]
        2.0
    """
    return {"image_to_text": _recalls(image_ranks), "text_to_image": _recalls(text_ranks)}


def ranks(
    image_vectors: VectorsLike, text_vectors: VectorsLike, text_to_image: Indices, chunk: int = 4096
) -> tuple[Tensor, Tensor]:
    """(B,) rank of each image's best text among all texts, and (T,) of each text's image among all images, from 1.

    The other texts of an image do not affect the rank of its best one. Ties count against the query. Vectors on disk
    are read in blocks; peak memory is 8192 images and `chunk` texts as float32 and about 230 MB of scores.

    Args:
        image_vectors, text_vectors, text_to_image, chunk: as in `recall`.

    Raises:
        ValueError: as in `recall`.

    Examples:
        >>> images, texts = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> ranks(images, texts, [0, 0, 1])  # the second text is nearer to the other image
        (tensor([1, 1]), tensor([1, 2, 1]))
    """
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected 1 or more")
    images, texts = as_vectors(image_vectors, "image_vectors"), as_vectors(text_vectors, "text_vectors")
    pair = _Pair.of(images, texts, text_to_image)
    own = torch.empty(len(pair.owners), device=pair.device)
    kept: dict[tuple[int, int], Tensor] = {}
    for rows, columns, scores in pair.tiles(chunk, kept, own_only=True):
        at, mine = pair.inside(rows, columns)
        own[mine] = scores[at]
    best = torch.full((len(images),), -torch.inf, device=pair.device).scatter_reduce_(0, pair.owners, own, "amax")
    to_texts = -torch.bincount(pair.owners[own >= best[pair.owners]], minlength=len(best)).double()
    to_images = torch.zeros(len(own), device=pair.device, dtype=torch.float64)
    flags = torch.empty(0, device=pair.device)
    for rows, columns, scores in pair.tiles(chunk, kept):
        at, mine = pair.inside(rows, columns)
        scores[at] = own[mine]  # the same values, even where a second product would differ in its last bit
        flags = flags if flags.shape == scores.shape else torch.empty_like(scores)
        to_images[columns] += torch.ge(scores, own[columns], out=flags).sum(0)
        to_texts[rows] += torch.ge(scores, best[rows, None], out=flags).sum(1)
    text_ranks = torch.empty(len(own), dtype=torch.int64)
    text_ranks[pair.order] = to_images.long().cpu()
    return 1 + to_texts.long().cpu(), text_ranks


def found_instead(
    queries: VectorsLike, candidates: VectorsLike, answers: Sequence[Sequence[int]], chunk: int = 4096
) -> list[int]:
    """The nearest candidate of each query that is not one of its answers.

    Args:
        queries: (Q, D) raw vectors, held in memory.
        candidates: (C, D) raw vectors of the same space.
        answers: row numbers of the correct candidates of each query; at least one other candidate exists.
        chunk: candidates per block.

    Raises:
        ValueError: vectors that are ragged or not numeric.

    Examples:
        >>> found_instead(torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]]), [[0], [1]])
        [1, 0]
    """
    queries, candidates = as_vectors(queries, "queries"), as_vectors(candidates, "candidates")
    asked = block(queries, 0, len(queries))
    asked = asked / asked.norm(dim=1, keepdim=True).clamp_min(_NORM)
    best = torch.full((len(asked),), -torch.inf, device=asked.device)
    found = torch.full((len(asked),), -1, device=asked.device)
    for start in range(0, len(candidates), chunk):
        some = block(candidates, start, min(start + chunk, len(candidates))).to(asked.device)
        scores = asked @ (some / some.norm(dim=1, keepdim=True).clamp_min(_NORM)).T  # (Q, C)
        for query, own in enumerate(answers):
            scores[query, [index - start for index in own if start <= index < start + len(some)]] = -torch.inf
        values, columns = scores.max(1)
        found = torch.where(values > best, columns + start, found)
        best = torch.maximum(best, values)
    return [int(index) for index in found.tolist()]


@dataclass(frozen=True, eq=False)
class _Pair:
    """Images and texts whose scores are computed in tiles; texts in the order of their images.

    Tiles have one shape, padded with zeros, so that equal vectors get equal scores at every position.
    """

    images: Vectors
    texts: Vectors
    order: NDArray[np.int64]
    owners: Tensor
    image_lengths: Tensor
    text_lengths: Tensor
    device: torch.device

    @classmethod
    def of(cls, images: Vectors, texts: Vectors, text_to_image: Indices) -> _Pair:
        device = images.device if isinstance(images, Tensor) else torch.device("cpu")
        owners = _owners(text_to_image, len(images), len(texts))
        if texts.shape[1] != images.shape[1]:
            shapes = f"{tuple(images.shape)} and {tuple(texts.shape)}"
            raise ValueError(f"image_vectors and text_vectors have the shapes {shapes}; expected (B, D) and (T, D)")
        order = np.argsort(owners, kind="stable")
        measured = [lengths(vectors, name) for vectors, name in ((images, "image_vectors"), (texts, "text_vectors"))]
        scale = [length.clamp_min(_NORM).to(device) for length in measured]
        return cls(images, texts, order, torch.from_numpy(owners[order]).to(device), scale[0], scale[1][order], device)

    def tiles(
        self, chunk: int, kept: dict[tuple[int, int], Tensor], own_only: bool = False
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        """Slices of images and of texts in `order`, and their scores, valid until the next tile.

        Args:
            chunk: texts per tile.
            kept: tiles of the first pass, stored up to a limit of memory for the second.
            own_only: whether to skip tiles without matching pairs.
        """
        high, wide, width = min(_IMAGES_AT_ONCE, len(self.images)), min(chunk, len(self.order)), self.images.shape[1]
        tall = -(-min(_PANEL, len(self.images)) // high) * high
        panel = torch.empty(tall, width, device=self.device)
        texts = torch.empty(wide, width, device=self.device)
        scores = torch.empty(high, wide, device=self.device)
        firsts, lasts = self.owners[::wide].tolist(), self.owners[wide - 1 :: wide].tolist()
        lasts += [len(self.images) - 1] * (len(firsts) - len(lasts))
        for top in range(0, len(self.images), tall):
            bottom = min(top + tall, len(self.images))
            _fill(panel, block(self.images, top, bottom), self.image_lengths[top:bottom])
            for number, left in enumerate(range(0, len(self.order), wide)):
                right = min(left + wide, len(self.order))
                rows = range(top, bottom, high)
                if own_only:
                    rows = range(top, bottom, high)[_overlap(firsts[number], lasts[number], top, bottom, high)]
                if not rows:
                    continue
                _fill(texts, block(self.texts, left, right, self.order), self.text_lengths[left:right])
                for row in rows:
                    tile = kept.pop((row, left), None)
                    if tile is None:
                        keeps = own_only and (len(kept) + 1) * scores.nbytes <= _KEPT
                        tile = torch.empty_like(scores) if keeps else scores
                        torch.mm(panel[row - top : row - top + high], texts.T, out=tile)
                        if keeps:
                            kept[row, left] = tile
                    below = min(row + high, bottom)
                    yield slice(row, below), slice(left, right), tile[: below - row, : right - left]

    def inside(self, rows: slice, columns: slice) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Positions of the matching pairs within a tile, and the numbers of their texts."""
        owners = self.owners[columns]
        here = torch.nonzero((owners >= rows.start) & (owners < rows.stop))[:, 0]
        return (owners[here] - rows.start, here), here + columns.start


def _overlap(first: int, last: int, top: int, bottom: int, high: int) -> slice:
    """The blocks of `high` rows from `top` to `bottom` that contain a row from `first` to `last`."""
    if last < top or first >= bottom:
        return slice(0, 0)
    return slice((max(first, top) - top) // high, (min(last, bottom - 1) - top) // high + 1)


def _fill(buffer: Tensor, vectors: Tensor, scale: Tensor) -> None:
    """Write unit vectors to the first rows of the buffer and zeros below."""
    torch.div(vectors.to(buffer.device), scale[:, None], out=buffer[: len(vectors)])
    buffer[len(vectors) :].zero_()


def _owners(text_to_image: Indices, images: int, texts: int) -> NDArray[np.int64]:
    owners = indices(text_to_image)
    if len(owners) != texts:
        raise ValueError(f"text_to_image has {len(owners)} indices for {texts} texts; expected one per text")
    wrong = len(owners) == 0 or owners.min() < 0 or owners.max() >= images
    if wrong or (np.bincount(owners, minlength=images) == 0).any():
        raise ValueError(f"text_to_image has wrong indices; expected 0 to {images - 1}, each at least once")
    return owners


def _recalls(found: Tensor) -> dict[str, float]:
    recalls = {f"R@{k}": (found <= k).double().mean().item() for k in (1, 5, 10)}
    return {**recalls, "median_rank": found.double().median().item()}
