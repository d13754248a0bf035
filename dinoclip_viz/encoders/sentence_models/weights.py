"""Frozen text encoders in sentence-transformers' layout from a local folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from dinoclip_viz.encoders.errors import EncoderError, one_line
from dinoclip_viz.encoders.huggingface.weights import RANDOM_SEED, read_model
from dinoclip_viz.encoders.sentence_models.layout import DENSE, Layout, is_sentence_folder, plain_layout, read_layout
from dinoclip_viz.encoders.sentence_models.pooling import Dense, Normalize, dense

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
"""Model type of an encoder-decoder -> the class of its encoder alone."""

_UNUSED = ("pooler.",)
"""Prefixes of the tensors that make a sentence vector of the first token, instead of which the layout has a pooling."""


@dataclass(frozen=True)
class Loaded:
    """A loaded text encoder and its properties.

    Attributes:
        model: model in evaluation mode, on `device`.
        after: modules after the pooling, likewise, in float32.
        layout: modules and their settings.
        dimension: D of the vectors.
        folder: folder of its files.
        name: name as the user wrote it.
        space: name of the space of its vectors.
        device: device on which the model computes.
        dtype: floating-point type in which the model computes.
        revision: commit on the hub; None for a local folder.
    """

    model: PreTrainedModel
    after: nn.Sequential
    layout: Layout
    dimension: int
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
    pooling: str = "",
) -> Loaded:
    """Load a text encoder; only safetensors are read and no code from the folder is run.

    Args:
        folder: folder in sentence-transformers' layout, or with `pooling` that of any text model of transformers.
        name: name as the user wrote it.
        space: name of the space of its vectors.
        device: device to compute on.
        dtype: floating-point type to compute in.
        revision: commit on the hub; None for a local folder.
        random: whether to initialise the weights of the model of transformers randomly, from a fixed seed.
        pooling: one of `MODES`, in place of the folder's own.

    Raises:
        EncoderError: a module or an architecture is not supported, a file is missing, or the weights do not fit.
    """
    layout = read_layout(folder, name) if is_sentence_folder(folder) else plain_layout(folder, name, pooling)
    layout = replace(layout, pooling=(pooling,)) if pooling else layout
    config = _config(layout.transformer, name)
    width = int(config.get_text_config().hidden_size)
    if layout.width not in (None, width):
        raise EncoderError(
            f"{name}: the pooling in {folder} is for vectors of {layout.width} values, but the model has {width}"
        )
    dimension, modules = width * len(layout.pooling), list[nn.Module]()
    for kind, inside in layout.after:
        module = dense(inside, name, dimension) if kind == DENSE else Normalize()
        dimension = module.outputs if isinstance(module, Dense) else dimension
        modules.append(module)
    model = _random(config, dtype) if random else _read(layout.transformer, name, config, dtype)
    after = nn.Sequential(*modules).eval().requires_grad_(False).to(device)
    model = model.eval().requires_grad_(False).to(device)
    return Loaded(model, after, layout, dimension, folder, name, space, device, dtype, revision)


def _config(folder: Path, name: str) -> PreTrainedConfig:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EncoderError(
            f"{name}: {folder / 'config.json'} is missing or not of a model of transformers ({one_line(error)})"
        ) from error
    if config.is_encoder_decoder and config.model_type not in _ENCODERS:
        raise EncoderError(
            f"{name}: model type {config.model_type!r} has an encoder and a decoder; expected an encoder, a decoder "
            f"or one of {', '.join(_ENCODERS)}"
        )
    return config


def _random(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        if config.model_type in _ENCODERS:
            return getattr(transformers, _ENCODERS[config.model_type])(config).to(dtype)
        return transformers.AutoModel.from_config(config).to(dtype)


def _read(folder: Path, name: str, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    import transformers

    reader = getattr(transformers, _ENCODERS.get(config.model_type, "AutoModel"))
    return read_model(reader, folder, name, config, dtype, _UNUSED)
