"""Losses of a projector's training. Vectors are raw; each loss normalises its inputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def unit_norm_mse(projected: Tensor, targets: Tensor) -> Tensor:
    """Mean over all elements of (z/|z| - e/|e|)^2, which is (2 - 2 cos) / D: dinov2-clip's loss.

    Args:
        projected, targets: (B, D) raw vectors.

    Examples:
        >>> unit_norm_mse(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]])).item()
        1.0
    """
    return (F.normalize(projected, dim=-1) - F.normalize(targets, dim=-1)).square().mean()


def clip_loss(
    images: Tensor, texts: Tensor, owners: Tensor, scale: Tensor | float, ignored: Tensor | None = None
) -> Tensor:
    """CLIP's symmetric cross-entropy (Radford et al. 2021), with any number of captions per image.

    An image's positives are all of its captions, weighted equally; a caption's positive is its image.

    Args:
        images: (B, D) raw vectors.
        texts: (T, D) raw vectors.
        owners: (T,) index of the image that each text describes; every image has at least one text.
        scale: factor of the cosines.
        ignored: (B, T) bool, pairs that are neither positive nor negative, as from `false_negatives`; None for none.
    """
    logits = scale * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T  # (B, T)
    if ignored is not None:
        logits = logits.masked_fill(ignored, torch.finfo(logits.dtype).min)
    to_images = F.cross_entropy(logits.T, owners)
    own = torch.zeros_like(logits).scatter_(0, owners[None], 1.0)  # (B, T)
    to_texts = -(own * logits.log_softmax(dim=1)).sum(1) / own.sum(1)
    return (to_images + to_texts.mean()) / 2


def siglip_loss(
    images: Tensor,
    texts: Tensor,
    owners: Tensor,
    scale: Tensor | float,
    bias: Tensor | float,
    ignored: Tensor | None = None,
) -> Tensor:
    """SigLIP's pairwise sigmoid loss (Zhai et al. 2023), a sum over texts and a mean over images.

    Args:
        images, texts, owners, ignored: as in `clip_loss`.
        scale, bias: a pair's logit is scale * cosine + bias.
    """
    logits = scale * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T + bias  # (B, T)
    signs = torch.full_like(logits, -1.0).scatter_(0, owners[None], 1.0)
    each = F.logsigmoid(signs * logits)
    return -(each if ignored is None else each.masked_fill(ignored, 0.0)).sum() / len(images)


def false_negatives(owners: Tensor, captions: Tensor, images: int) -> Tensor:
    """(B, T) bool, True where a caption of another image is equal to a caption of the image.

    Args:
        owners: (T,) index of the image that each caption describes.
        captions: (T,) one number per distinct caption.
        images: B.

    Examples:
        >>> false_negatives(torch.tensor([0, 1, 2]), torch.tensor([7, 8, 7]), 3).int().tolist()
        [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    """
    equal = (captions[:, None] == captions[None]).float()  # (T, T)
    same = equal.new_zeros(images, len(captions)).index_add_(0, owners, equal) > 0  # (B, T)
    return same & (owners[None] != torch.arange(images, device=owners.device)[:, None])


def relation_loss(projected: Tensor, targets: Tensor, texts: Tensor, scale: Tensor | float) -> Tensor:
    """Divergence of the projected image-text similarities from the teacher's, in both directions.

    Kullback-Leibler divergence of the softmax over texts, and of that over images, from the teacher's (affinity
    mimicking, as in TinyCLIP, Wu et al. 2023). Texts that describe several images are not penalised.

    Args:
        projected, targets: (B, D) raw vectors of the same images.
        texts: (T, D) raw vectors.
        scale: factor of the cosines.
    """
    texts = F.normalize(texts, dim=-1)
    ours = scale * F.normalize(projected, dim=-1) @ texts.T  # (B, T)
    teacher = scale * F.normalize(targets, dim=-1) @ texts.T
    both = [
        F.kl_div(mine.log_softmax(dim=1), theirs.log_softmax(dim=1), log_target=True, reduction="batchmean")
        for mine, theirs in ((ours, teacher), (ours.T, teacher.T))
    ]
    return (both[0] + both[1]) / 2
