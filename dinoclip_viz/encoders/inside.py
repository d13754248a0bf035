"""What happens inside a vision transformer: norms of the tokens after every block, and who attends to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor, nn

from dinoclip_viz.encoders.base import EncoderError, Fit, ImageEncoder
from dinoclip_viz.encoders.batching import BatchedImageEncoder
from dinoclip_viz.encoders.blocks import Blocks, twin

AT_ONCE = 8
"""Images in one pass where only norms are wanted; with attention they go one by one, for its memory's sake."""


@dataclass(frozen=True)
class Insides:
    """The inside of a vision transformer for B images of one grid: L blocks, R register tokens, float32 on the CPU.

    CLS and register tokens never stand among the patches. A model without CLS (SigLIP) has no `cls_norms`, and no query
    in `attention`; its rollout is the mean over the patches' rows.

    Attributes:
        norms: (B, L, H, W) length of each patch token after each block, before the model's final norm.
        cls_norms: (B, L) the same of CLS; None without CLS.
        register_norms: (B, L, R) the same of the register tokens.
        attention: (B, heads, Q, H, W) what the last block's queries, CLS and then the registers, give to each patch;
            None if it was not asked for.
        prefix_attention: (B, heads, Q, Q) what they give to CLS and registers: a query's two parts sum to 1 together.
        rollout: (B, H, W) what reaches CLS from each patch through all blocks; None if not asked for.
        boxes: (B, 4) the part of each image that the grid covers, (x0, y0, x1, y1) in the image's pixels.
        sizes: (B, 2) width and height of each image in pixels.
        space: name of the space that the encoder's patches live in.
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
        """L, how many blocks there are."""
        return self.norms.shape[1]

    @property
    def registers(self) -> int:
        """R, how many register tokens there are."""
        return self.register_norms.shape[2]

    @property
    def queries(self) -> tuple[str, ...]:
        """What the queries of `attention` are called, in order."""
        cls = () if self.cls_norms is None else ("CLS",)
        return (*cls, *(f"register {index + 1}" for index in range(self.registers)))


def look_inside(
    encoder: ImageEncoder,
    images: Sequence[Image.Image],
    size: int | None = None,
    fit: Fit = "whole",
    attention: bool = True,
) -> Insides:
    """Norms of all tokens after every block; the last block's attention, and its rollout through all blocks.

    Works on a twin of the model over the same weights, so that whatever else uses the encoder meanwhile is not touched.
    With attention, one block's weights at a time are in memory, (heads, T, T) for T tokens; without, the model computes
    as it always does.

    Args:
        encoder: a vision transformer, as `load_encoder` gives it.
        images: B >= 1 images that share one patch grid.
        size: as in `ImageEncoder.encode`.
        fit: as in `ImageEncoder.encode`.
        attention: whether to compute attention and rollout.

    Raises:
        EncoderError: the encoder is no vision transformer.
        ValueError: as in `ImageEncoder.encode`.

    Examples:
        >>> from dinoclip_viz import load_encoder, playground
        >>> seen = look_inside(load_encoder("playground-dino"), [playground.draw(1000, 1)[0].image])
        >>> seen.norms.shape, seen.attention.shape, seen.queries
        (torch.Size([1, 6, 12, 12]), torch.Size([1, 4, 1, 12, 12]), ('CLS',))
    """
    if not isinstance(encoder, BatchedImageEncoder) or encoder.blocks is None:
        raise EncoderError(
            f"{encoder.name} has no tokens to look at: it is no vision transformer; take one, such as dinov2-small"
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
    """What the hooks of one pass have seen.

    Attributes:
        norms: of each block so far, (B, T).
        weights: (B, heads, T, T) of the latest block; None before the first, or where attention is not read.
        rollout: (B, T, T) through the blocks so far.
    """

    norms: list[Tensor] = field(default_factory=list)
    weights: Tensor | None = None
    rollout: Tensor | None = None

    def clear(self) -> None:
        self.norms, self.weights, self.rollout = [], None, None

    def heard(self, weights: Tensor) -> None:
        """Abnar and Zuidema 2020: each block's attention, mean over heads, half of it the residual's identity."""
        self.weights = weights
        mixed = weights.mean(dim=1, dtype=torch.float32)  # (B, T, T)
        mixed.diagonal(dim1=-2, dim2=-1).add_(1)
        mixed /= mixed.sum(dim=-1, keepdim=True)
        self.rollout = mixed if self.rollout is None else mixed @ self.rollout


def _watched(blocks: Blocks, attention: bool, record: _Record) -> nn.Module:
    """A twin of the model whose blocks tell the record what passes through them."""

    def passed(_: nn.Module, __: tuple[object, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        tokens = output if isinstance(output, Tensor) else output[0]
        norms = torch.linalg.vector_norm(tokens, dim=-1, dtype=torch.float32)  # (B, T)
        record.norms.append(norms if blocks.batch_first else norms.T)

    model = twin(blocks.model)
    layers = blocks.of(model)
    if attention:
        blocks.listen(model, layers, record.heard)
    for layer in layers:
        layer.register_forward_hook(passed)
    return model


def _insides(
    record: _Record, blocks: Blocks, grid: tuple[int, int], boxes: Tensor, sizes: Tensor, space: str
) -> Insides:
    """The tokens of one pass, sorted into CLS, registers and patches."""
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
    """The images of all parts, in order."""

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
