"""Patch features of the last layers of a vision transformer, each after the final norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dinoclip_viz.encoders.base import EncoderError, Fit, ImageEncoder
from dinoclip_viz.encoders.loading import as_encoder
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder
from dinoclip_viz.encoders.towers.blocks import Blocks, twin
from dinoclip_viz.images import ImagesLike, load_images


@dataclass(frozen=True)
class LayerFeatures:
    """Features of B images from the last N layers, float32 on the CPU, without register tokens.

    Attributes:
        patches: (B, N, H, W, D) patches after each layer and the final norm, the last layer last.
        cls: (B, D) CLS of the last layer after the final norm; the mean of its patches for a model without CLS.
        boxes: (B, 4) region of each image that the grid covers, (x0, y0, x1, y1) in the image's pixels.
        sizes: (B, 2) width and height of each image in pixels.
        space: name of the space of the encoder's patches.
    """

    patches: Tensor
    cls: Tensor
    boxes: Tensor
    sizes: Tensor
    space: str

    def __len__(self) -> int:
        return self.patches.shape[0]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid."""
        return self.patches.shape[2], self.patches.shape[3]


def encode_layers(
    encoder: str | ImageEncoder,
    images: ImagesLike,
    layers: int = 3,
    size: int | None = None,
    fit: Fit = "whole",
    batch_size: int = 16,
) -> LayerFeatures:
    """Features of the last layers, as DINOv2's `get_intermediate_layers` returns them (Oquab et al. 2023).

    Args:
        encoder: vision transformer or its name.
        images: one image or B >= 1 images with a common patch grid.
        layers: N, 1 to the number of layers.
        size: as in `ImageEncoder.encode`.
        fit: as in `ImageEncoder.encode`.
        batch_size: images per forward pass.

    Raises:
        EncoderError: the encoder cannot be loaded, or is not a vision transformer.
        ImageError: there is no image, or one cannot be read.
        ValueError: as in `ImageEncoder.encode`, or `layers` is out of range.

    Examples:
        >>> from dinoclip_viz import playground
        >>> found = encode_layers("playground-dino", playground.draw(1000, 1)[0].image)
        >>> found.patches.shape, found.cls.shape
        (torch.Size([1, 3, 12, 12, 128]), torch.Size([1, 128]))
    """
    encoder, images = as_encoder(encoder), load_images(images)
    if not isinstance(encoder, BatchedImageEncoder) or encoder.blocks is None:
        raise EncoderError(
            f"{encoder.name} is not a vision transformer and has no layers of tokens; use one, such as dinov2-small"
        )
    blocks, record = encoder.blocks, list[Tensor]()
    model = twin(blocks.model)
    known = blocks.of(model)
    if not 1 <= layers <= len(known):
        raise ValueError(f"layers={layers}; expected 1 to {len(known)}, the layers of {encoder.name}")
    for layer in known[-layers:]:
        layer.register_forward_hook(_recorder(record, blocks))
    norm = model.get_submodule(blocks.norm) if blocks.norm else nn.Identity()
    plans, pixels = encoder.inputs(images, size, fit)
    grid = pixels.shape[2] // encoder.patch, pixels.shape[3] // encoder.patch
    patches, classes = list[Tensor](), list[Tensor]()
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            record.clear()
            blocks.run(model, pixels[start : start + batch_size].to(encoder.device, encoder.dtype))
            tokens = norm(torch.stack(record, dim=1)).to("cpu", torch.float32)  # (b, N, T, D)
            found = tokens[:, :, blocks.prefix :]
            patches.append(found.unflatten(2, grid))
            classes.append(tokens[:, -1, 0] if blocks.cls else found[:, -1].mean(1))
    return LayerFeatures(
        torch.cat(patches),
        torch.cat(classes),
        torch.tensor([plan.box for plan in plans], dtype=torch.float32),
        torch.tensor([image.size for image in images], dtype=torch.float32),
        encoder.patch_space,
    )


def _recorder(record: list[Tensor], blocks: Blocks) -> Callable[[nn.Module, tuple[object, ...], object], None]:
    """A hook that appends the tokens (b, T, D) of a block to a list."""

    def passed(_: nn.Module, __: tuple[object, ...], output: object) -> None:
        tokens = output if isinstance(output, Tensor) else output[0]  # type: ignore[index]
        record.append(tokens if blocks.batch_first else tokens.transpose(0, 1))

    return passed
