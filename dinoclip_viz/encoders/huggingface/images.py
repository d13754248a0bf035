"""Image encoder of a model of transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from dinoclip_viz.dense.block import LastBlock
from dinoclip_viz.dense.reader import BlockReader, third_last
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.errors import one_line
from dinoclip_viz.encoders.huggingface.architectures import BLOCK_NORMS
from dinoclip_viz.encoders.huggingface.weights import Loaded, dimension_of, width_of
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder, Tower, TowerOutput
from dinoclip_viz.encoders.towers.blocks import FINAL_NORMS, TRANSFORMERS, Blocks, listen_to_transformers
from dinoclip_viz.encoders.towers.preprocessing import Preprocessing

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def image_encoder(loaded: Loaded) -> BatchedImageEncoder:
    """Build an `ImageEncoder` from the vision side of a model.

    `mean` is the mean of `last_hidden_state` as transformers returns it: after the final norm, except for CLIP and
    MetaCLIP, whose `last_hidden_state` is the output of the last block before `post_layernorm`. `patches` are always
    after the final norm. `pooled` is the joint embedding or CLS; the mean of the patches for I-JEPA, which has no CLS;
    the mean of the eight class tokens for Pixio; the norm of the mean of the feature map for DINOv3's ConvNeXt, whose
    patches are the cells of its last feature map.

    Raises:
        EncoderError: the folder has no supported preprocessing.
    """
    model, architecture = loaded.model, loaded.architecture
    config = model.config.vision_config if architecture.joint else model.config
    joint = architecture.joint
    reader = None if architecture.convolutional else _reader(loaded)
    return BatchedImageEncoder(
        name=loaded.name,
        space=loaded.space,
        patch_space=f"{loaded.space}/patches" if joint and not architecture.patches_are_joint else loaded.space,
        dimension=dimension_of(loaded),
        patch_dimension=width_of(config),
        patch=_patch(config),
        methods=reader.methods if reader else (),
        device=loaded.device,
        dtype=loaded.dtype,
        preprocessing=_preprocessing(loaded.folder, loaded.name, architecture.processor),
        tower=_vision_tower(loaded, reader),
        reader=reader,
        revision=loaded.revision,
        blocks=None if architecture.convolutional else _blocks(loaded),
    )


def _vision_tower(loaded: Loaded, reader: BlockReader | None) -> Tower:
    model, architecture = loaded.model, loaded.architecture
    prefix = architecture.prefix + _registers(loaded)
    forward: Callable[..., object] = model.get_image_features if architecture.joint else model
    extra = {"interpolate_pos_encoding": True} if architecture.asks_for_positions else {}

    def tower(pixels: Tensor, grid: tuple[int, int], methods: Sequence[str]) -> TowerOutput:
        dense: dict[str, Tensor] = {}
        if methods and reader is not None:
            with reader.reading(methods) as patches_by:
                output = forward(pixels, **extra)
            dense = patches_by(grid)
        else:
            output = forward(pixels, **extra)
        tokens = as_tensor(getattr(output, "last_hidden_state", None))  # (B, prefix + H * W, D')
        patches = tokens[:, prefix:]
        if architecture.joint or architecture.pooling == "class tokens":
            pooled = as_tensor(getattr(output, "pooler_output", None))
        else:
            pooled = tokens[:, 0] if architecture.pooling == "token" else patches.mean(dim=1, dtype=torch.float32)
        if architecture.block == "clip":
            patches = model.vision_model.post_layernorm(patches)
        return TowerOutput(pooled, tokens.mean(dim=1, dtype=torch.float32), patches, dense)

    return tower


def _blocks(loaded: Loaded) -> Blocks:
    model, architecture = loaded.model, loaded.architecture
    vision = model.vision_model if architecture.joint else model
    kind = model.config.model_type
    extra = {"interpolate_pos_encoding": True} if architecture.asks_for_positions else {}
    return Blocks(
        model=vision,
        run=lambda twin, pixels: twin(pixels, **extra),
        layers=TRANSFORMERS[kind][0],
        cls=architecture.prefix > 0,
        registers=_registers(loaded),
        listen=listen_to_transformers(kind),
        norm=next((name for name in FINAL_NORMS if hasattr(vision, name)), ""),
    )


def _registers(loaded: Loaded) -> int:
    """Number of register tokens, or further class tokens, between CLS and the patches."""
    if not loaded.architecture.prefix:
        return 0
    config = loaded.model.config.vision_config if loaded.architecture.joint else loaded.model.config
    return int(getattr(config, "num_register_tokens", 0)) + int(getattr(config, "n_cls_tokens", 1)) - 1


def _reader(loaded: Loaded) -> BlockReader:
    """Access to the last blocks."""
    model, architecture = loaded.model, loaded.architecture
    vision = model.vision_model if architecture.joint else model
    blocks, attention_name = TRANSFORMERS[model.config.model_type]
    layers = list(vision.get_submodule(blocks).children())
    layer, attention = layers[-1], layers[-1].get_submodule(attention_name)
    before, after = next(pair for pair in BLOCK_NORMS if hasattr(layer, pair[0]))
    prefix = architecture.prefix + _registers(loaded)
    config = model.config.vision_config if architecture.joint else model.config
    scales = [getattr(layer, f"layer_scale{number}", nn.Identity()) for number in (1, 2)]
    out = attention.get_submodule("out_proj" if hasattr(attention, "out_proj") else "o_proj")

    def finish(last: Tensor) -> Tensor:
        if architecture.block == "clip":
            return as_tensor(model.visual_projection(vision.post_layernorm(last)))
        return as_tensor(vision.layernorm(last))  # TIPS has no projection: its CLS token is the joint vector

    def take_apart(tokens: Tensor) -> LastBlock:
        return LastBlock(
            tokens,
            prefix,
            heads=config.num_attention_heads,
            norm1=layer.get_submodule(before),
            query=attention.get_submodule("q_proj"),
            key=attention.get_submodule("k_proj"),
            value=attention.get_submodule("v_proj"),
            out=lambda values: as_tensor(scales[0](out(values))),
            norm2=layer.get_submodule(after),
            mlp=lambda last: as_tensor(scales[1](layer.get_submodule("mlp")(last))),
            finish=finish,
        )

    return BlockReader(layer, third_last(layers, after), take_apart, joint=architecture.block is not None)


def _preprocessing(folder: Path, name: str, backend: str) -> Preprocessing:
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(folder, backend=backend, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, TypeError) as error:
        raise EncoderError(
            f"{name}: {folder} has no preprocessor_config.json that can be read ({one_line(error)}); "
            "expected one written by save_pretrained"
        ) from error
    size = {side: value for side, value in dict(processor.size).items() if value}
    short_side = size.get("shortest_edge")
    published = size.get("height") or short_side
    if getattr(processor, "do_center_crop", False):
        published = dict(processor.crop_size)["height"]
    if not published or not processor.do_resize or (short_side and not getattr(processor, "do_center_crop", False)):
        raise EncoderError(
            f"{name}: its preprocessor_config.json has size {size} without a square result; "
            "expected a resize to a square, or a resize of the shorter side and a centre crop"
        )
    if short_side is None and size["height"] != published:
        # a resize to a square and a smaller centre crop equals a resize of the shorter side only for square images
        raise EncoderError(f"{name}: found a resize to {size} and a crop to {published}; expected equal sizes")

    def squares(images: Sequence[Image.Image], side: int) -> Tensor:
        batch = processor(images=list(images), size={"height": side, "width": side}, return_tensors="pt")
        return as_tensor(batch["pixel_values"])

    return Preprocessing(
        size=int(published),
        short_side=int(short_side) if short_side else None,
        resample=Image.Resampling(int(processor.resample)),
        table=_table(processor),
        squares=None if processor.backend == "pil" else squares,
    )


def _table(processor: object) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """(3, 256) normalised value of each byte in each channel, by the functions of transformers' PIL processors."""
    from transformers.image_transforms import normalize, rescale

    values = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256))  # (channels, height, width)
    table = values.astype(np.float32)
    if getattr(processor, "do_rescale", True):
        table = rescale(values, getattr(processor, "rescale_factor", 1 / 255))
    if getattr(processor, "do_normalize", True):
        table = normalize(table, processor.image_mean, processor.image_std, input_data_format="channels_first")  # type: ignore[attr-defined]
    return np.ascontiguousarray(table[:, 0], dtype=np.float32)


def _patch(config: PreTrainedConfig) -> int:
    """Side of a patch in pixels; for a ConvNeXt, the stride of its last feature map."""
    if hasattr(config, "hidden_sizes"):  # a stem of stride 4, then one of 2 before each further stage
        return int(4 * 2 ** (len(config.hidden_sizes) - 1))
    side: int | Sequence[int] = config.patch_size
    return int(side) if isinstance(side, int) else int(side[0])


def as_tensor(value: object) -> Tensor:
    """The output of a model as a tensor.

    Raises:
        EncoderError: it is none.
    """
    if not isinstance(value, Tensor):
        raise EncoderError(f"the model returned {type(value).__name__}; expected a tensor")
    return value
