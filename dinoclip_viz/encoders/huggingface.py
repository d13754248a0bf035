"""Models of the transformers library as encoders: DINO, DINOv2, DINOv3, CLIP, MetaCLIP 2, SigLIP, SigLIP 2, TIPSv2.

Whatever is odd about one of them stays here. All of it reads a local folder; `loading` finds or fetches that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from dinoclip_viz.dense.block import LastBlock
from dinoclip_viz.dense.reader import BlockReader, third_last
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.batching import BatchedImageEncoder, BatchedTextEncoder, Tower, TowerOutput
from dinoclip_viz.encoders.blocks import TRANSFORMERS, Blocks, listen_to_transformers
from dinoclip_viz.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Architecture:
    """What sets one model type apart.

    Attributes:
        model: name of the class in transformers.
        prefix: tokens before the patches, registers not counted.
        asks_for_positions: whether the call must ask for position embeddings to be interpolated.
        joint: whether images and texts meet in one space.
        block: where the last block's parts are; None where a dense method would make no sense: no text, or a pooled
            vector that is no projection of single tokens (SigLIP pools by attention).
        patches_are_joint: whether the patches live in the joint space as they are.
        padding: how texts are padded, as the model was trained.
        templates: prompts that the model is published with.
        processor: which of transformers' image processors; PIL's meets the published pixels, but not all have one.
    """

    model: str
    prefix: int = 1
    asks_for_positions: bool = False
    joint: bool = False
    block: Literal["clip", "tips"] | None = None
    patches_are_joint: bool = False
    padding: Literal["longest", "max_length"] = "longest"
    templates: Literal["openai", "siglip"] = "openai"
    processor: Literal["pil", "torchvision"] = "pil"


ARCHITECTURES: dict[str, Architecture] = {
    "dinov2": Architecture("Dinov2Model"),
    "dinov2_with_registers": Architecture("Dinov2WithRegistersModel"),
    "dinov3_vit": Architecture("DINOv3ViTModel", processor="torchvision"),
    "vit": Architecture("ViTModel", asks_for_positions=True),
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
"""Model type in config.json -> what we know of it."""

_NORMS = (("norm1", "norm2"), ("layer_norm1", "layer_norm2"), ("layernorm_before", "layernorm_after"))
"""What libraries call the two norms of a block."""

RANDOM_SEED = 0
"""Of the weights of a random model."""

# Without one of these, transformers makes an empty tokenizer and says nothing.
_TOKENIZERS = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")


@dataclass(frozen=True)
class Loaded:
    """A model with what an encoder of it needs to know.

    Attributes:
        model: the weights, on `device`.
        folder: where its files are.
        name: as the user wrote it.
        space: of its pooled vectors.
        revision: the hub's commit, where it came from the hub.
    """

    model: PreTrainedModel
    architecture: Architecture
    folder: Path
    name: str
    space: str
    device: torch.device
    dtype: torch.dtype
    revision: str | None = None


def load(
    folder: Path,
    name: str,
    space: str,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None = None,
    random: bool = False,
) -> Loaded:
    """The model in a local folder; reads safetensors alone, runs no code from the folder.

    Args:
        folder: its files.
        name: as the user wrote it.
        space: of its pooled vectors.
        device: where it computes; dtype: how.
        revision: the hub's commit, where it came from the hub.
        random: the architecture alone, with random weights as its library initialises them, always the same.

    Raises:
        EncoderError: the architecture is not one of ours, a file is missing, or the weights do not fit.
    """
    import transformers
    from safetensors import SafetensorError

    config = _config(folder, name)
    architecture = ARCHITECTURES[config.model_type]
    model_class = getattr(transformers, architecture.model)
    extra = {"add_pooling_layer": False} if config.model_type == "vit" else {}
    if random:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            model = model_class(config, **extra).to(dtype)
        return Loaded(_frozen(model, device), architecture, folder, name, space, device, dtype, revision)
    _refuse_pickles(folder, name)
    try:
        model, report = model_class.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **extra,
        )
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise EncoderError(
            f"{name}: the weights in {folder} cannot be read ({_one_line(error)}); fetch them again"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise EncoderError(
            f"{name}: the weights in {folder} lack {len(missing)} tensors of a {config.model_type} model, "
            f"{missing[0]} first; they are not a whole model of this kind"
        )
    return Loaded(_frozen(model, device), architecture, folder, name, space, device, dtype, revision)


def _frozen(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    return model.eval().requires_grad_(False).to(device)


def drop_text(loaded: Loaded) -> None:
    """Frees the memory of a text tower that nobody will ask."""
    if loaded.architecture.joint:
        loaded.model.text_model = None


def image_encoder(loaded: Loaded) -> BatchedImageEncoder:
    """The model's vision side as an `ImageEncoder`.

    `mean` is taken over `last_hidden_state` as transformers returns it: after the final norm for all of them but CLIP
    and MetaCLIP, whose last_hidden_state is the last block's output before `post_layernorm`. `patches` are always
    after the final norm.

    Raises:
        EncoderError: the folder has no preprocessing.
    """
    model, architecture = loaded.model, loaded.architecture
    config = model.config.vision_config if architecture.joint else model.config
    patch = _side(config.patch_size)
    joint = architecture.joint
    reader = _reader(loaded)
    return BatchedImageEncoder(
        name=loaded.name,
        space=loaded.space,
        patch_space=f"{loaded.space}/patches" if joint and not architecture.patches_are_joint else loaded.space,
        dimension=_dimension(loaded),
        patch_dimension=config.hidden_size,
        patch=patch,
        methods=reader.methods,
        device=loaded.device,
        dtype=loaded.dtype,
        preprocessing=_preprocessing(loaded.folder, loaded.name, architecture.processor),
        tower=_vision_tower(loaded, reader),
        reader=reader,
        revision=loaded.revision,
        blocks=_blocks(loaded),
    )


def text_encoder(loaded: Loaded) -> BatchedTextEncoder:
    """The model's text side as a `TextEncoder`.

    Raises:
        EncoderError: it has none, or its tokenizer and its text tower do not agree.
    """
    from transformers import AutoTokenizer

    model, architecture, name = loaded.model, loaded.architecture, loaded.name
    if not architecture.joint:
        joint = ", ".join(kind for kind, known in ARCHITECTURES.items() if known.joint)
        raise EncoderError(
            f"{name} is a vision model ({model.config.model_type}) and reads no text; kinds that do: {joint}"
        )
    if not any((loaded.folder / file).is_file() for file in _TOKENIZERS):
        raise EncoderError(f"{name}: {loaded.folder} has no tokenizer; expected one of {', '.join(_TOKENIZERS)}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(loaded.folder, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, TypeError) as error:
        raise EncoderError(f"{name}: no tokenizer can be read from {loaded.folder} ({_one_line(error)})") from error
    config = model.config.text_config
    if architecture.block == "clip":
        largest = max(tokenizer.get_vocab().values()) if model.config.model_type == "clip" else None
        _check_end_of_text(name, config.eos_token_id, tokenizer.eos_token_id, largest)
    keep = ("input_ids",) if architecture.templates == "siglip" else ("input_ids", "attention_mask")

    def tower(texts: list[str]) -> Tensor:
        padding = True if architecture.padding == "longest" else "max_length"
        tokens = tokenizer(
            texts, padding=padding, truncation=True, max_length=config.max_position_embeddings, return_tensors="pt"
        )
        # SigLIP was trained to attend to its padding, so it gets no mask
        inputs = {key: tokens[key].to(loaded.device) for key in keep if key in tokens}
        return _tensor(model.get_text_features(**inputs).pooler_output)

    return BatchedTextEncoder(
        name=name,
        space=loaded.space,
        dimension=_dimension(loaded),
        templates=_templates(loaded),
        logit_scale=_logit_scale(model),
        device=loaded.device,
        dtype=loaded.dtype,
        tower=tower,
        revision=loaded.revision,
    )


def _vision_tower(loaded: Loaded, reader: BlockReader) -> Tower:
    model, architecture = loaded.model, loaded.architecture
    prefix = architecture.prefix + _registers(loaded)
    forward: Callable[..., object] = model.get_image_features if architecture.joint else model
    extra = {"interpolate_pos_encoding": True} if architecture.asks_for_positions else {}

    def tower(pixels: Tensor, grid: tuple[int, int], methods: Sequence[str]) -> TowerOutput:
        dense: dict[str, Tensor] = {}
        if methods:
            with reader.reading(methods) as patches_by:
                output = forward(pixels, **extra)
            dense = patches_by(grid)
        else:
            output = forward(pixels, **extra)
        tokens = _tensor(getattr(output, "last_hidden_state", None))  # (B, prefix + H * W, D')
        pooled = _tensor(getattr(output, "pooler_output", None)) if architecture.joint else tokens[:, 0]
        patches = tokens[:, prefix:]
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
    )


def _registers(loaded: Loaded) -> int:
    """How many register tokens stand between CLS and the patches."""
    if not loaded.architecture.prefix:
        return 0
    config = loaded.model.config.vision_config if loaded.architecture.joint else loaded.model.config
    return int(getattr(config, "num_register_tokens", 0))


def _reader(loaded: Loaded) -> BlockReader:
    """The way into the last blocks."""
    model, architecture = loaded.model, loaded.architecture
    vision = model.vision_model if architecture.joint else model
    places = TRANSFORMERS[model.config.model_type]
    layers = list(vision.get_submodule(places[0]).children())
    layer, attention = layers[-1], layers[-1].get_submodule(places[1])
    before, after = next(pair for pair in _NORMS if hasattr(layer, pair[0]))
    prefix = architecture.prefix + _registers(loaded)
    config = model.config.vision_config if architecture.joint else model.config
    scales = [getattr(layer, f"layer_scale{number}", nn.Identity()) for number in (1, 2)]
    out = attention.get_submodule("out_proj" if hasattr(attention, "out_proj") else "o_proj")

    def finish(last: Tensor) -> Tensor:
        if architecture.block == "clip":
            return _tensor(model.visual_projection(vision.post_layernorm(last)))
        return _tensor(vision.layernorm(last))  # TIPS has no projection: its CLS token is the joint vector

    def take_apart(tokens: Tensor) -> LastBlock:
        return LastBlock(
            tokens,
            prefix,
            heads=config.num_attention_heads,
            norm1=layer.get_submodule(before),
            query=attention.get_submodule("q_proj"),
            key=attention.get_submodule("k_proj"),
            value=attention.get_submodule("v_proj"),
            out=lambda values: _tensor(scales[0](out(values))),
            norm2=layer.get_submodule(after),
            mlp=lambda last: _tensor(scales[1](layer.get_submodule("mlp")(last))),
            finish=finish,
        )

    return BlockReader(layer, third_last(layers, after), take_apart, joint=architecture.block is not None)


def _preprocessing(folder: Path, name: str, backend: str) -> Preprocessing:
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(folder, backend=backend, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, TypeError) as error:
        raise EncoderError(
            f"{name}: {folder} has no preprocessor_config.json that can be read ({_one_line(error)})"
        ) from error
    size = {side: value for side, value in dict(processor.size).items() if value}
    short_side = size.get("shortest_edge")
    published = size.get("height") or short_side
    if getattr(processor, "do_center_crop", False):
        published = dict(processor.crop_size)["height"]
    if not published or not processor.do_resize or (short_side and not getattr(processor, "do_center_crop", False)):
        raise EncoderError(
            f"{name}: its preprocessor_config.json asks for size {size} without a square result; "
            "expected a resize to a square, or a resize of the shorter side and a centre crop"
        )
    if short_side is None and size["height"] != published:
        # a resize to a square and then a smaller centre crop: the same as resizing the shorter side only for squares
        raise EncoderError(f"{name}: resizing to {size} and cropping to {published} is not supported")

    def squares(images: Sequence[Image.Image], side: int) -> Tensor:
        batch = processor(images=list(images), size={"height": side, "width": side}, return_tensors="pt")
        return _tensor(batch["pixel_values"])

    return Preprocessing(
        size=int(published),
        short_side=int(short_side) if short_side else None,
        resample=Image.Resampling(int(processor.resample)),
        table=_table(processor),
        squares=None if processor.backend == "pil" else squares,
    )


def _table(processor: object) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """(3, 256) the value of each byte in each channel, by the functions that transformers' PIL processors use."""
    from transformers.image_transforms import normalize, rescale

    values = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256))  # (channels, height, width)
    table = values.astype(np.float32)
    if getattr(processor, "do_rescale", True):
        table = rescale(values, getattr(processor, "rescale_factor", 1 / 255))
    if getattr(processor, "do_normalize", True):
        table = normalize(table, processor.image_mean, processor.image_std, input_data_format="channels_first")  # type: ignore[attr-defined]
    return np.ascontiguousarray(table[:, 0], dtype=np.float32)


def model_type(folder: Path, name: str) -> str | None:
    """The model type in the folder's config.json, supported or not.

    Raises:
        EncoderError: the file is missing or not JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise EncoderError(f"{name}: {folder} has no config.json; expected a folder written by save_pretrained")
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise EncoderError(f"{name}: {path} is not a JSON object ({_one_line(error)})") from error
    return str(kind) if kind is not None else None


def _config(folder: Path, name: str) -> PreTrainedConfig:
    from transformers import AutoConfig

    kind = model_type(folder, name)
    if kind not in ARCHITECTURES:
        hint = "; take a fixed-resolution SigLIP 2 such as google/siglip2-base-patch16-224" if kind == "siglip2" else ""
        raise EncoderError(f"{name}: model type {kind!r} is not supported{hint}; supported: {', '.join(ARCHITECTURES)}")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EncoderError(f"{name}: {folder / 'config.json'} cannot be read ({_one_line(error)})") from error


def _refuse_pickles(folder: Path, name: str) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickles:
        raise EncoderError(
            f"{name}: {folder} holds {pickles[0]}, a pickle that could run code, and no model.safetensors; "
            "it is not loaded: convert it with save_pretrained(..., safe_serialization=True)"
        )
    raise EncoderError(f"{name}: {folder} has no model.safetensors")


def _check_end_of_text(name: str, expected: int, actual: int | None, largest: int | None) -> None:
    """CLIP's text vector is read at the first end-of-text token; where that is not found, all texts are alike.

    In a CLIP (`largest` is given) an id of 2 is a historic default that transformers reads as "the largest id".
    """
    if expected != actual and not (expected == 2 and largest is not None and actual == largest):
        raise EncoderError(
            f"{name}: the tokenizer ends a text with token {actual}, but text_config.eos_token_id is {expected}, so "
            "every text would get the same vector; write the tokenizer's id into config.json"
        )


def _templates(loaded: Loaded) -> tuple[str, ...]:
    own = own_templates(loaded.folder)
    if own:
        return own
    if loaded.architecture.templates == "siglip":
        return ("This is a photo of {}.",)
    if loaded.name.startswith("playground"):
        return ("a photo of a {}.",)
    return openai_templates()


def own_templates(folder: Path) -> tuple[str, ...]:
    """The prompts in a model folder's templates.json, a list of strings with one {} each; none without that file.

    Raises:
        EncoderError: the file holds something else.
    """
    path = folder / "templates.json"
    if not path.is_file():
        return ()
    try:
        templates = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EncoderError(f"{path} is not valid JSON ({_one_line(error)})") from error
    if (
        not isinstance(templates, list)
        or not templates
        or not all(isinstance(one, str) and "{}" in one for one in templates)
    ):
        raise EncoderError(f"{path} holds no list of prompts with {{}} in each")
    return tuple(templates)


def openai_templates() -> tuple[str, ...]:
    """The 80 prompts that CLIP's zero-shot ImageNet figures were measured with (Radford et al., 2021)."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)


def _logit_scale(model: PreTrainedModel) -> float:
    if hasattr(model, "temperature"):
        return 1.0 / float(model.temperature)
    return float(model.logit_scale.float().exp())


def _dimension(loaded: Loaded) -> int:
    config = loaded.model.config
    if not loaded.architecture.joint:
        return int(config.hidden_size)
    if hasattr(loaded.model, "visual_projection"):
        return int(config.projection_dim)
    return int(config.vision_config.hidden_size)


def _side(value: int | Sequence[int]) -> int:
    return int(value) if isinstance(value, int) else int(value[0])


def _tensor(value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise EncoderError(f"the model returned {type(value).__name__} where a tensor was expected")
    return value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
