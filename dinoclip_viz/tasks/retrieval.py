"""Retrieval: how often a picture finds its caption, and a caption its picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def recall(
    image_vectors: Tensor, text_vectors: Tensor, text_to_image: Sequence[int] | Tensor, chunk: int = 1024
) -> dict[str, dict[str, float]]:
    """R@1, R@5, R@10 (shares, 0 to 1) and median rank, from images to texts and from texts to images.

    An image is found by any of its captions: its rank is that of the best one. A tie counts against the query: a score
    that cannot tell two candidates apart has not found either.

    Args:
        image_vectors: (B, D) raw vectors.
        text_vectors: (T, D) raw vectors of the same space.
        text_to_image: (T,) index of the image that each text describes; every image needs one text at least.
        chunk: queries compared at once; memory is chunk x candidates.

    Returns:
        {"image_to_text": {"R@1", "R@5", "R@10", "median_rank"}, "text_to_image": {...}}.

    Raises:
        ValueError: shapes that do not fit, an index out of range, or an image without a text.

    Examples:
        >>> found = recall(torch.eye(2), torch.eye(2), [0, 1])
        >>> found["image_to_text"]["R@1"], found["text_to_image"]["median_rank"]
        (1.0, 1.0)
    """
    owners = torch.as_tensor(text_to_image)
    if len(owners) != len(text_vectors):
        raise ValueError(f"{len(owners)} indices for {len(text_vectors)} texts; expected one a text")
    images, texts = F.normalize(image_vectors.float(), dim=-1), F.normalize(text_vectors.float(), dim=-1)
    counts = torch.bincount(owners, minlength=len(images))
    if len(counts) > len(images) or (counts == 0).any():
        raise ValueError(f"text_to_image must name each of the {len(images)} images at least once, and no other")
    to_texts, to_images = [], []
    for start in range(0, len(images), chunk):
        scores = images[start : start + chunk] @ texts.T  # (C, T)
        mine = owners[None] == torch.arange(start, start + len(scores))[:, None]
        best = scores.masked_fill(~mine, -2).amax(1, keepdim=True)
        to_texts.append(1 + ((scores >= best) & ~mine).sum(1))
    for start in range(0, len(texts), chunk):
        scores = texts[start : start + chunk] @ images.T  # (C, B)
        own = scores.gather(1, owners[start : start + chunk, None])
        to_images.append((scores >= own).sum(1))
    return {"image_to_text": _summary(torch.cat(to_texts)), "text_to_image": _summary(torch.cat(to_images))}


def _summary(ranks: Tensor) -> dict[str, float]:
    shares = {f"R@{k}": (ranks <= k).float().mean().item() for k in (1, 5, 10)}
    return {**shares, "median_rank": ranks.float().median().item()}
