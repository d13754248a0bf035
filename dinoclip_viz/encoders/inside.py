"""Token norms after every block of a vision transformer, its last attention, and attention rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dinoclip_viz.encoders.base import EncoderError, Fit, ImageEncoder
from dinoclip_viz.encoders.loading import as_encoder
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder
from dinoclip_viz.encoders.towers.blocks import Blocks, twin
from dinoclip_viz.images import ImagesLike, load_images

AT_ONCE = 8
"""Images per pass without attention; with attention, images are processed one by one to save memory."""


@dataclass(frozen=True)
class Insides:
    """Token norms and attention of a vision transformer with L blocks and R registers, for B images.

    All tensors are float32 on the CPU. CLS and register tokens are kept apart from the patches. A model without CLS
    (SigLIP) has neither `cls_norms` nor a query in `attention`; its rollout is the mean over the patches' queries.

    Attributes:
        norms: (B, L, H, W) L2 norm of each patch token after each block, before the model's final norm.
        cls_norms: (B, L) the same for CLS; None without CLS.
        register_norms: (B, L, R) the same for the register tokens.
        attention: (B, heads, Q, H, W) attention of the last block from CLS and then the registers to the patches;
            None if it was not requested.
        prefix_attention: (B, heads, Q, Q) attention of the same queries to CLS and registers; with `attention` it sums
            to 1 per query.
        rollout: (B, H, W) attention rollout from CLS to the patches through all blocks; None if it was not requested.
        boxes: (B, 4) region of each image that the grid covers, (x0, y0, x1, y1) in the image's pixels.
        sizes: (B, 2) width and height of each image in pixels.
        space: name of the space of the encoder's patches.
    """

    norms: Tensor
    cls_norms: Tensor | None
    register_norms: Tensor
    attention: Tensor | None
    prefix_attention: Tensor | None
    rollout: Tensor | None
    boxes: Tensor
    sizes: Tensor
    space: str

    def __len__(self) -> int:
        return self.norms.shape[0]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid."""
        return self.norms.shape[2], self.norms.shape[3]

    @property
    def layers(self) -> int:
        """Number of blocks L."""
        return self.norms.shape[1]

    @property
    def registers(self) -> int:
        """Number of register tokens R."""
        return self.register_norms.shape[2]

    @property
    def queries(self) -> tuple[str, ...]:
        """Names of the queries of `attention`, in order."""
        cls = () if self.cls_norms is None else ("CLS",)
        return (*cls, *(f"register {index + 1}" for index in range(self.registers)))


def look_inside(
    encoder: str | ImageEncoder,
    images: ImagesLike,
    size: int | None = None,
    fit: Fit = "whole",
    attention: bool = True,
) -> Insides:
    """Norms of all tokens after every block, the attention of the last block, and attention rollout.

    The pass runs on a twin of the model with the same weights, so that concurrent uses of the encoder are not affected.
    With attention, the weights of one block at a time are in memory, (heads, T, T) for T tokens.

    Args:
        encoder: vision transformer or its name.
        images: one image or B >= 1 images with a common patch grid.
        size: as in `ImageEncoder.encode`.
        fit: as in `ImageEncoder.encode`.
        attention: whether to compute attention and rollout.

    Raises:
        EncoderError: the encoder cannot be loaded, or is not a vision transformer.
        ValueError: as in `ImageEncoder.encode`.

    Examples:
        >>> from dinoclip_viz import load_encoder, playground
        >>> seen = look_inside(load_encoder("playground-dino"), [playground.draw(1000, 1)[0].image])
        >>> seen.norms.shape, seen.attention.shape, seen.queries
        (torch.Size([1, 6, 12, 12]), torch.Size([1, 4, 1, 12, 12]), ('CLS',))
    """
    encoder, images = as_encoder(encoder), load_images(images)
    if not isinstance(encoder, BatchedImageEncoder) or encoder.blocks is None:
        raise EncoderError(
            f"{encoder.name} is not a vision transformer and has no tokens; use one, such as dinov2-small"
        )
    blocks = encoder.blocks
    plans, pixels = encoder.inputs(images, size, fit)
    grid = pixels.shape[2] // encoder.patch, pixels.shape[3] // encoder.patch
    boxes, sizes = torch.tensor([plan.box for plan in plans]), torch.tensor([image.size for image in images])
    record = _Record()
    model = _watched(blocks, attention, record)
    step = 1 if attention else AT_ONCE
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), step):
            some = slice(start, start + step)
            record.clear()
            blocks.run(model, pixels[some].to(encoder.device, encoder.dtype))
            parts.append(_insides(record, blocks, grid, boxes[some], sizes[some], encoder.patch_space))
    return _joined(parts)


@dataclass
class _Record:
    """Values recorded by the hooks of one pass.

    Attributes:
        norms: (B, T) norms after each block so far.
        weights: (B, heads, T, T) attention of the latest block; None before the first block or without attention.
        rollout: (B, T, T) attention rollout through the blocks so far.
    """

    norms: list[Tensor] = field(default_factory=list)
    weights: Tensor | None = None
    rollout: Tensor | None = None

    def clear(self) -> None:
        self.norms, self.weights, self.rollout = [], None, None

    def add_attention(self, weights: Tensor) -> None:
        """Update the rollout (Abnar and Zuidema 2020): mean over heads, averaged with the identity for the residual."""
        self.weights = weights
        mixed = weights.mean(dim=1, dtype=torch.float32)  # (B, T, T)
        mixed.diagonal(dim1=-2, dim2=-1).add_(1)
        mixed /= mixed.sum(dim=-1, keepdim=True)
        self.rollout = mixed if self.rollout is None else mixed @ self.rollout


def _watched(blocks: Blocks, attention: bool, record: _Record) -> nn.Module:
    """A twin of the model whose hooks fill the record."""

    def passed(_: nn.Module, __: tuple[object, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        tokens = output if isinstance(output, Tensor) else output[0]
        norms = torch.linalg.vector_norm(tokens, dim=-1, dtype=torch.float32)  # (B, T)
        record.norms.append(norms if blocks.batch_first else norms.T)

    model = twin(blocks.model)
    layers = blocks.of(model)
    if attention:
        blocks.listen(model, layers, record.add_attention)
    for layer in layers:
        layer.register_forward_hook(passed)
    return model


def _insides(
    record: _Record, blocks: Blocks, grid: tuple[int, int], boxes: Tensor, sizes: Tensor, space: str
) -> Insides:
    """The tokens of one pass, split into CLS, registers and patches."""
    cls, prefix = int(blocks.cls), blocks.prefix
    norms = torch.stack(record.norms, dim=1).cpu()  # (B, L, T)
    to_patches, to_prefix, rollout = None, None, None
    if record.weights is not None and record.rollout is not None:
        asked = record.weights[:, :, :prefix].to("cpu", torch.float32)  # (B, heads, Q, T)
        to_prefix, to_patches = asked[..., :prefix].clone(), asked[..., prefix:].unflatten(-1, grid)
        reached = record.rollout[:, 0] if cls else record.rollout[:, prefix:].mean(dim=1)  # (B, T)
        rollout = reached[:, prefix:].cpu().unflatten(-1, grid)
    return Insides(
        norms=norms[..., prefix:].unflatten(-1, grid),
        cls_norms=norms[..., 0] if cls else None,
        register_norms=norms[..., cls:prefix],
        attention=to_patches,
        prefix_attention=to_prefix,
        rollout=rollout,
        boxes=boxes,
        sizes=sizes,
        space=space,
    )


def _joined(parts: Sequence[Insides]) -> Insides:
    """Concatenate along the axis B."""

    def every(values: Sequence[Tensor | None]) -> Tensor | None:
        known = [value for value in values if value is not None]
        return torch.cat(known) if known else None

    return Insides(
        norms=torch.cat([part.norms for part in parts]),
        cls_norms=every([part.cls_norms for part in parts]),
        register_norms=torch.cat([part.register_norms for part in parts]),
        attention=every([part.attention for part in parts]),
        prefix_attention=every([part.prefix_attention for part in parts]),
        rollout=every([part.rollout for part in parts]),
        boxes=torch.cat([part.boxes for part in parts]),
        sizes=torch.cat([part.sizes for part in parts]),
        space=parts[0].space,
    )
