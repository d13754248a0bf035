"""Supported model types of transformers and their differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Architecture:
    """Properties of one model type.

    Attributes:
        model: name of the class in transformers.
        prefix: number of tokens before the patches, without registers and further class tokens.
        asks_for_positions: whether the call must request interpolated position embeddings.
        joint: whether the model encodes images and texts into one space.
        pooling: pooled vector of a vision model: its first token, the mean of its patches, or the mean of all of its
            class tokens, which transformers computes.
        convolutional: whether the patches are the cells of a feature map; there are no blocks to read.
        block: layout of the last block; None if dense methods do not apply, because there is no text encoder or the
            pooled vector is not a projection of single tokens (SigLIP pools by attention).
        patches_are_joint: whether the patches are in the joint space without a projection.
        padding: padding of texts, as in training.
        templates: prompt templates that the model is published with.
        processor: image processor of transformers; PIL's reproduces the published pixels, but some models have none.
    """

    model: str
    prefix: int = 1
    asks_for_positions: bool = False
    joint: bool = False
    pooling: Literal["token", "patches", "class tokens"] = "token"
    convolutional: bool = False
    block: Literal["clip", "tips"] | None = None
    patches_are_joint: bool = False
    padding: Literal["longest", "max_length"] = "longest"
    templates: Literal["openai", "siglip"] = "openai"
    processor: Literal["pil", "torchvision"] = "pil"


ARCHITECTURES: dict[str, Architecture] = {
    "dinov2": Architecture("Dinov2Model"),
    "dinov2_with_registers": Architecture("Dinov2WithRegistersModel"),
    "dinov3_vit": Architecture("DINOv3ViTModel", processor="torchvision"),
    # its first token is the mean of the feature map, after the final norm
    "dinov3_convnext": Architecture("DINOv3ConvNextModel", convolutional=True, processor="torchvision"),
    "vit": Architecture("ViTModel", asks_for_positions=True),
    "ijepa": Architecture("IJepaModel", prefix=0, asks_for_positions=True, pooling="patches"),
    "pixio": Architecture("PixioModel", pooling="class tokens"),
    "clip": Architecture("CLIPModel", asks_for_positions=True, joint=True, block="clip"),
    "metaclip_2": Architecture("MetaClip2Model", asks_for_positions=True, joint=True, block="clip"),
    "siglip": Architecture(
        "SiglipModel", prefix=0, asks_for_positions=True, joint=True, padding="max_length", templates="siglip"
    ),
    "tipsv2": Architecture(
        "Tipsv2Model",
        joint=True,
        block="tips",
        patches_are_joint=True,
        padding="max_length",
        processor="torchvision",
    ),
}
"""Model type in config.json -> its properties."""


BLOCK_NORMS = (("norm1", "norm2"), ("layer_norm1", "layer_norm2"), ("layernorm_before", "layernorm_after"))
"""Names of the two norms of a block in transformers."""
