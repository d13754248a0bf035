"""Encoders by catalogue name, hub id or local folder."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dinoclip_viz.encoders import huggingface, openclip, sentence_models, timm_models
from dinoclip_viz.encoders.base import EncoderError, ImageEncoder, TextEncoder
from dinoclip_viz.encoders.cache import cached, latest
from dinoclip_viz.encoders.catalog import CATALOG, OPEN_CLIP, PLAYGROUND, TIMM_PREFIX, VISION_LANGUAGE, find
from dinoclip_viz.encoders.devices import AUTO, RANDOM_PREFIX, chosen_device, chosen_dtype
from dinoclip_viz.encoders.errors import type_name
from dinoclip_viz.encoders.hub import fetch
from dinoclip_viz.encoders.towers import pixels

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_PREFIX = "hf-hub:"
_EXAMPLE = '"playground-dino"'
_PALIGEMMA = "paligemma"  # model type of vision-language models
_SAMPLES, _SAMPLE_BYTES = 64, 1 << 18

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Location of a model's files.

    Attributes:
        name: name as the user wrote it.
        space: name of the space of its vectors.
        folder: folder of its files.
        revision: commit on the hub; None for a local folder.
        published: open_clip's (model, pretrained), if the folder contains only weights.
        random: whether to use the architecture with random weights.
        architecture: timm's name of a model with random weights, for which no folder is needed.
        pooling: pooling mode of a text encoder, in place of its own; "" for its own.
    """

    name: str
    space: str
    folder: Path
    revision: str | None = None
    published: tuple[str, str] | None = None
    random: bool = False
    architecture: str = ""
    pooling: str = ""


def load_encoder(
    name: str, device: str | torch.device | None = AUTO, dtype: str | torch.dtype | None = AUTO
) -> ImageEncoder:
    """Load an image encoder by name; for an image-text model, its vision side only.

    An encoder that was loaded with the same name and settings, and is still referenced, is returned again.

    Args:
        name: catalogue name, hub id (org/name; hf-hub:org/name uses its open_clip files), timm:NAME for a model of
            timm, such as timm:vit_small_patch14_dinov2.lvd142m, or local folder. Baselines: "random:NAME" is the
            architecture of that model with random weights from a fixed seed, "pixels" the raw pixels of each patch,
            always read on the CPU as float32.
        device: device to compute on: "cpu", "cuda", "cuda:N" or "mps"; "auto" for cuda, else mps, else cpu.
        dtype: floating-point type to compute in: "float32", "bfloat16" or "float16"; "auto" for bfloat16 on a CUDA GPU
            or a CPU with AMX, else float32. With "auto", embedded models are float32 on every device.

    Raises:
        EncoderError: the model cannot be found, downloaded or read, or the device or dtype is unknown or unavailable.
    """
    _check_name(name)
    where = chosen_device(device)
    how = chosen_dtype(dtype, where, name)
    if name == pixels.NAME:
        where, how = torch.device("cpu"), torch.float32
    return cached("encoder", name, (where, how), lambda: _load_encoder(name, where, how))


def as_encoder(encoder: str | ImageEncoder) -> ImageEncoder:
    """Return a loaded encoder unchanged, or load it by name.

    A name finds an encoder that was loaded earlier under it, with any settings, while that is still referenced.

    Args:
        encoder: loaded encoder or its name, as in `load_encoder`.

    Raises:
        EncoderError: the value is neither, or the encoder cannot be loaded.
    """
    if isinstance(encoder, str):
        return latest("encoder", encoder, lambda: load_encoder(encoder))
    if not isinstance(encoder, ImageEncoder):
        raise EncoderError(f"found {type_name(encoder)}; expected an image encoder or its name, such as {_EXAMPLE}")
    return encoder


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise EncoderError(f"found {type_name(name)}; expected the name of an encoder, such as {_EXAMPLE}")


def _load_encoder(name: str, device: torch.device, dtype: torch.dtype) -> ImageEncoder:
    if name == pixels.NAME:
        return pixels.image_encoder()
    loaded = _load(name, device, dtype)
    encoder = _images(loaded)
    if isinstance(loaded, huggingface.Loaded):
        huggingface.drop_text(loaded)
    return encoder


def load_text_encoder(
    name: str, device: str | torch.device | None = AUTO, dtype: str | torch.dtype | None = AUTO
) -> TextEncoder:
    """Load the text encoder of an image-text model, or a text model without images.

    A text model in sentence-transformers' layout has its own pooling. For any other one of transformers the name states
    it, as in "mean:bert-base-uncased": "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean" or "lasttoken".
    Arguments and errors are those of `load_encoder`.
    """
    return _texts(_load(name, device, dtype))


def load_pair(
    name: str, device: str | torch.device | None = AUTO, dtype: str | torch.dtype | None = AUTO
) -> tuple[ImageEncoder, TextEncoder]:
    """Load both encoders of an image-text model, over one copy of its weights.

    Arguments and errors are those of `load_encoder`.
    """
    loaded = _load(name, device, dtype)
    texts = _texts(loaded)
    return _images(loaded), texts


AnyLoaded = huggingface.Loaded | openclip.Loaded | sentence_models.Loaded | timm_models.Loaded


def _images(loaded: AnyLoaded) -> ImageEncoder:
    if isinstance(loaded, sentence_models.Loaded):
        raise EncoderError(f"{loaded.name} is a text encoder without images; expected an image encoder")
    if isinstance(loaded, timm_models.Loaded):
        return timm_models.image_encoder(loaded)
    if isinstance(loaded, openclip.Loaded):
        return openclip.image_encoder(loaded)
    return huggingface.image_encoder(loaded)


def _texts(loaded: AnyLoaded) -> TextEncoder:
    if isinstance(loaded, timm_models.Loaded):
        raise EncoderError(f"{loaded.name} is an image encoder of timm without texts; expected an image-text model")
    if isinstance(loaded, openclip.Loaded):
        return openclip.text_encoder(loaded)
    if isinstance(loaded, sentence_models.Loaded):
        return sentence_models.text_encoder(loaded)
    return huggingface.text_encoder(loaded)


def _load(name: str, device: str | torch.device | None, dtype: str | torch.dtype | None) -> AnyLoaded:
    _check_name(name)
    where = chosen_device(device)
    how = chosen_dtype(dtype, where, name)
    source = _resolve(name)
    log.info("loading %s from %s on %s as %s", name, source.folder, where, how)
    with quietly():
        if source.architecture:
            return timm_models.random_model(source.architecture, name, source.space, where, how)
        if _is_timm(name) or timm_models.is_timm_folder(source.folder):
            return timm_models.load(source.folder, name, source.space, where, how, source.revision, source.random)
        if source.pooling or _is_text_alone(source.folder, name):
            return sentence_models.load(
                source.folder, name, source.space, where, how, source.revision, source.random, source.pooling
            )
        if source.published and not source.random:
            return openclip.load_published(
                *source.published, source.folder, name, source.space, where, how, source.revision
            )
        if (source.folder / "config.json").is_file() and not name.startswith(HUB_PREFIX):
            kind = huggingface.model_type(source.folder, name)
            if kind == _PALIGEMMA:
                raise _is_vision_language(name)
            if kind not in huggingface.ARCHITECTURES and sentence_models.is_text_model(source.folder, name):
                raise EncoderError(
                    f"{name} is a text model whose pooling is unknown (it has no modules.json); expected it before the "
                    f"name, as in mean:{name}; known are {', '.join(sentence_models.MODES)}"
                )
            if kind in huggingface.ARCHITECTURES or not (source.folder / "open_clip_config.json").is_file():
                return huggingface.load(source.folder, name, source.space, where, how, source.revision, source.random)
        if source.random:
            raise EncoderError(f"{name}: found an open_clip model; random weights need a transformers architecture")
        if (source.folder / "open_clip_config.json").is_file():
            return openclip.load_folder(source.folder, name, source.space, where, how, source.revision)
    raise EncoderError(
        f"{name}: {source.folder} has neither config.json (transformers) nor open_clip_config.json (open_clip); "
        "expected a folder written by save_pretrained"
    )


def _resolve(name: str) -> Source:
    if name.startswith(RANDOM_PREFIX):
        plain = name.removeprefix(RANDOM_PREFIX)
        known = _architecture_of_timm(plain) or _resolve(plain)
        return replace(known, name=name, space=RANDOM_PREFIX + known.space, random=True)
    mode, _, pooled = name.partition(":")
    if pooled and mode in sentence_models.MODES:
        known = _resolve(pooled)
        return replace(known, name=name, space=f"{mode}:{known.space}", pooling=mode)
    folder = Path(name.removeprefix(TIMM_PREFIX)).expanduser()
    if name in CATALOG or not folder.is_dir():
        return _of_timm(name) if _is_timm(name) else _by_name(name)
    if folder.resolve().parent == PLAYGROUND:
        return _by_name(folder.resolve().name)
    return Source(name, f"{folder.resolve().name}-{_fingerprint(folder)}", folder)


def _is_text_alone(folder: Path, name: str) -> bool:
    """Whether a folder is a text encoder's; image-text models may have sentence-transformers' modules.json as well."""
    if not sentence_models.is_sentence_folder(folder):
        return False
    config = (folder / "config.json").is_file()
    return not config or huggingface.model_type(folder, name) not in huggingface.ARCHITECTURES


def _is_timm(name: str) -> bool:
    return name.removeprefix(RANDOM_PREFIX).startswith(TIMM_PREFIX)


def _architecture_of_timm(name: str) -> Source | None:
    """A model of timm by timm's own name or its catalogue name, which need no download; None for any other."""
    entry = CATALOG.get(name)
    space = entry.source if entry is not None and entry.library == "timm" else name
    model = space.removeprefix(TIMM_PREFIX)
    if model == space or HUB_ID.fullmatch(model) or Path(model).expanduser().is_dir():
        return None
    return Source(name, space, Path(), architecture=model)


def _of_timm(name: str) -> Source:
    model = name.removeprefix(TIMM_PREFIX)
    _refuse_paths(model, Path(model).expanduser())
    repository = model if HUB_ID.fullmatch(model) else timm_models.repository(model)
    folder, commit = fetch(name, repository, "timm")
    return Source(name, name, folder, commit)


def _refuse_paths(name: str, folder: Path) -> None:
    if folder.is_file():
        raise EncoderError(f"{name} is a file; expected a catalogue name, a hub id or the folder of a saved model")
    if name.startswith((".", "/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        raise EncoderError(f"there is no folder {name}; expected one with config.json and model.safetensors")


def _by_name(name: str) -> Source:
    if name not in CATALOG:
        _refuse_paths(name, Path(name).expanduser())
    if name.startswith(f"{OPEN_CLIP}/") and name.count("/") == 2:
        _, model, pretrained = name.split("/")
        return _published(name, name, model, pretrained, None)
    if name.startswith(HUB_PREFIX):
        repository = name.removeprefix(HUB_PREFIX)
        folder, commit = fetch(name, repository, "open_clip")
        return Source(name, name, folder, commit)
    try:
        entry = find(name)
    except EncoderError:
        if not HUB_ID.fullmatch(name):
            raise
        folder, commit = fetch(name, name, "transformers")
        return Source(name, name, folder, commit)
    if entry.kind == VISION_LANGUAGE:
        raise _is_vision_language(name)
    if entry.folder is not None:
        if not entry.folder.is_dir():
            raise EncoderError(f"{name}: {entry.folder} is missing; reinstall the package with its embedded models")
        return Source(name, entry.source, entry.folder)
    if isinstance(entry.weights, tuple):
        return _published(name, entry.source, *entry.weights, entry.revision)
    folder, commit = fetch(name, entry.weights, entry.library, entry.revision, entry.gated)
    return Source(name, entry.source, folder, commit)


def _is_vision_language(name: str) -> EncoderError:
    return EncoderError(f"{name} is a vision-language model, which has no vectors to compare; load it with load_vlm")


def _published(name: str, space: str, model: str, pretrained: str, revision: str | None) -> Source:
    folder, commit = fetch(name, openclip.repository(model, pretrained), "open_clip", revision)
    return Source(name, space, folder, commit, (model, pretrained))


def _fingerprint(folder: Path) -> str:
    """8 hexadecimal digits that identify the weights in a folder; of a large file, 64 samples are hashed."""
    digest = hashlib.sha256()
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    if sentence_models.is_sentence_folder(folder):
        files += [
            folder / "modules.json",
            *sorted(folder.glob("*/config.json")),
            *sorted(folder.glob("*/*.safetensors")),
        ]
    for path in files:
        if not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size}".encode())
        with path.open("rb") as file:
            if size <= _SAMPLES * _SAMPLE_BYTES:
                digest.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek(sample * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:8]


@contextmanager
def quietly() -> Iterator[None]:
    """Transformers without progress bars and reports inside the block; its settings are restored afterwards."""
    from transformers.utils import logging as transformers_logging

    showed, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if showed:
            transformers_logging.enable_progress_bar()
