"""Images and captions of stores in the space of a projector of both sides, and checks of what the stores hold."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.projector import PATCHES, Projector
from dinoclip_viz.store import FeatureStore, StoreError

IMAGES = 256  # per block with patches
ROWS = 8192  # images or captions per block of pooled vectors
TEXTS = 1024  # captions per block of token vectors


def check_images(store: FeatureStore, inputs: str) -> None:
    """Check that a store has the image features that a projector reads.

    Args:
        store: features of its image encoder.
        inputs: of the projector, as in `Projector`.

    Raises:
        StoreError: features are missing, or patches were averaged to a smaller grid; the message names the option.
    """
    if inputs == PATCHES and (store.patches is None or store.settings.patches != "full"):
        found = f"patches averaged to {store.settings.patches}" if store.patches is not None else "no patches"
        raise StoreError(f"{store.path} has {found}; expected all of them: embed the source with --patches full")
    if "mean" in inputs.split("+") and store.mean is None:
        raise StoreError(f"{store.path} has no `mean`, which the projector reads; embed the source again")


def check_texts(store: FeatureStore, tokens: bool) -> None:
    """Check that a store has the caption features that a projector reads.

    Args:
        store: features of the captions.
        tokens: whether the projector reads token vectors.

    Raises:
        StoreError: the captions or their token vectors were not stored; the message names the option.
    """
    if store.texts is None or store.text_to_image is None or not len(store.texts):
        raise StoreError(f"{store.path} has no encoded captions; embed a source that has some, with --texts MODEL")
    if tokens and store.tokens is None:
        raise StoreError(
            f"{store.path} has no token vectors of its captions; embed the source with --texts "
            f"{store.settings.texts} --text-tokens"
        )


@torch.no_grad()
def stored_images(projector: Projector, store: FeatureStore, rows: NDArray[np.int64] | None = None) -> Tensor:
    """(B, D) raw vectors of images in the projector's joint space, on the CPU.

    Args:
        projector: of any side.
        store: features of its image encoder.
        rows: (B,) row numbers; None for all.

    Raises:
        StoreError: as in `check_images`.
    """
    check_images(store, projector.inputs)
    device, mean = projector.pooled_mean.device, store.mean if store.mean is not None else store.pooled
    rows = np.arange(len(store)) if rows is None else rows
    parts = []
    each = IMAGES if projector.reads_patches else ROWS
    for start in range(0, len(rows), each):
        some = rows[start : start + each]
        pooled, means = (tensor(kind[some]).to(device) for kind in (store.pooled, mean))
        patches = tensor(store.patches[some]).to(device) if projector.reads_patches and store.patches else None
        parts.append(projector.image_vectors(pooled, means, patches).float().cpu())
    return torch.cat(parts) if parts else torch.empty(0, projector.outputs)


@torch.no_grad()
def stored_texts(projector: Projector, store: FeatureStore, captions: NDArray[np.int64] | None = None) -> Tensor:
    """(T, D) raw vectors of captions in the projector's joint space, on the CPU.

    Args:
        projector: of both sides.
        store: features of the captions by its text encoder.
        captions: (T,) caption numbers; None for all.

    Raises:
        StoreError: as in `check_texts`.
        ValueError: the projector has no text side.
    """
    side, device = projector.text_side, projector.pooled_mean.device
    if side is None:
        raise ValueError(f"this projector maps {projector.side}s; expected one of both sides")
    check_texts(store, side.tokens is not None)
    captions = np.arange(len(store.texts or ())) if captions is None else captions
    parts = []
    each = ROWS if side.tokens is None else TEXTS
    for start in range(0, len(captions), each):
        some = captions[start : start + each]
        if side.tokens is not None and store.tokens is not None:
            values, counts = store.tokens.read(some)
            offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
            parts.append(side.project_ragged(tensor(values).to(device), offsets).float().cpu())
        elif store.texts is not None:
            parts.append(side(tensor(store.texts[some]).to(device)).float().cpu())
    return torch.cat(parts) if parts else torch.empty(0, projector.outputs)


def tensor(rows: NDArray[np.generic]) -> Tensor:
    """Rows of a store as a float32 tensor."""
    return torch.from_numpy(np.array(rows)).float()  # torch widens float16 faster than numpy does
