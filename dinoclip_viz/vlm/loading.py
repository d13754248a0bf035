"""Vision-language models by catalogue name, hub id or local folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from dinoclip_viz.encoders.cache import cached, files_state
from dinoclip_viz.encoders.catalog import CATALOG, PLAYGROUND, VISION_LANGUAGE, find
from dinoclip_viz.encoders.devices import AUTO, chosen_device, chosen_dtype
from dinoclip_viz.encoders.errors import EncoderError, one_line, type_name
from dinoclip_viz.encoders.hub import OFFLINE, fetch
from dinoclip_viz.encoders.huggingface import ARCHITECTURES, model_type
from dinoclip_viz.encoders.huggingface.texts import TOKENIZERS
from dinoclip_viz.encoders.huggingface.weights import read_model
from dinoclip_viz.encoders.loading import HUB_ID, quietly
from dinoclip_viz.vlm.generation import Generator
from dinoclip_viz.vlm.masks.codec import MaskCodec
from dinoclip_viz.vlm.masks.files import EMBEDDED, PUBLISHED, load_mask_codec
from dinoclip_viz.vlm.model import VisionLanguageModel

if TYPE_CHECKING:
    from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

DEFAULT = "playground-paligemma"
"""Name of the embedded model."""

MODEL_TYPE = "paligemma"
"""Model type in config.json, of PaliGemma and PaliGemma 2."""

_EXAMPLES = f"{DEFAULT} or paligemma2-3b-mix-448"
_OFFLINE = f"{DEFAULT} and local folders work without it"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Source:
    """Files of a model: its folder, its commit on the hub, and whether it is embedded."""

    folder: Path
    revision: str | None = None
    embedded: bool = False


def load_vlm(
    name: str = DEFAULT,
    device: str | torch.device | None = AUTO,
    dtype: str | torch.dtype | None = AUTO,
    masks: str | Path | None = None,
) -> VisionLanguageModel:
    """Load a PaliGemma or PaliGemma 2 by name; safetensors only, and no code from its folder is run.

    A model that was loaded with the same name and settings, and is still referenced, is returned again.

    Args:
        name: catalogue name, such as "playground-paligemma" or "paligemma2-3b-mix-448", hub id, or folder written by
            `save_pretrained`. Of the published ones, "mix" checkpoints answer at once; "pt" ones need fine-tuning.
        device: device to compute on, as in `load_encoder`.
        dtype: floating-point type to compute in, as in `load_encoder`; "auto" for bfloat16 on a GPU that is fast in it,
            else float32. With "auto", embedded models are float32 on every device.
        masks: mask codec for `segment`, as in `load_mask_codec`; by default "playground-masks" for the embedded model,
            else vae-oid.npz in the folder of the weights, if it exists.

    Raises:
        EncoderError: the model or the mask codec cannot be found, downloaded or read, it is a model of another kind, or
            the device or dtype is unknown or unavailable.
    """
    if not isinstance(name, str):
        raise EncoderError(
            f"found {type_name(name)}; expected the name of a vision-language model, such as {_EXAMPLES}"
        )
    where = chosen_device(device)
    how = _dtype(dtype, where, name)
    given = None if masks is None else str(masks)
    settings = (where, how, given, files_state(given))
    return cached("vlm", name, settings, lambda: _load(name, where, how, given))


def _dtype(dtype: str | torch.dtype | None, device: torch.device, name: str) -> torch.dtype:
    if dtype in (None, AUTO) and device.type == "cpu":
        return torch.float32
    return chosen_dtype(dtype, device, name)


def _load(name: str, device: torch.device, dtype: torch.dtype, masks: str | None) -> VisionLanguageModel:
    source = _resolve(name)
    folder = source.folder
    log.info("loading %s from %s on %s as %s", name, folder, device, dtype)
    _check_kind(name, folder)
    with quietly():
        processor = _processor(name, folder)
        model = _model(name, folder, dtype)
    _check_fit(name, model, processor)
    codec = _codec(source, masks, device)
    generator = Generator(model.eval().requires_grad_(False).to(device), processor)
    size = int(model.config.vision_config.image_size)
    return VisionLanguageModel(name, device, dtype, size, source.revision, generator, codec)


def _resolve(name: str) -> _Source:
    folder = Path(name).expanduser()
    if name not in CATALOG and folder.is_dir():
        if folder.resolve().parent != PLAYGROUND:
            return _Source(folder)
        name = folder.resolve().name
    elif name not in CATALOG and (folder.is_file() or name.startswith((".", "/", "~", "\\"))):
        found = f"{name} is a file" if folder.is_file() else f"there is no folder {name}"
        raise EncoderError(f"{found}; expected the folder of a saved model, or a name such as {_EXAMPLES}")
    try:
        entry = find(name)
    except EncoderError:
        if not HUB_ID.fullmatch(name):
            raise
        return _fetched(name, name)
    if entry.kind != VISION_LANGUAGE:
        loader = {"image-text": "load_model", "text": "load_text_encoder"}.get(entry.kind, "load_encoder")
        raise EncoderError(
            f"{name} is not a vision-language model but of kind {entry.kind}; load it with {loader}, or give a name "
            f"such as {_EXAMPLES}"
        )
    if entry.folder is not None:
        if not entry.folder.is_dir():
            raise EncoderError(f"{name}: {entry.folder} is missing; reinstall the package with its embedded models")
        return _Source(entry.folder, embedded=True)
    if "-pt-" in entry.name:
        log.warning("%s: %s", entry.name, entry.note)
    return _fetched(name, str(entry.weights), entry.revision, entry.gated)


def _fetched(name: str, repository: str, revision: str | None = None, gated: bool = False) -> _Source:
    try:
        return _Source(*fetch(name, repository, "transformers", revision, gated))
    except EncoderError as error:
        raise EncoderError(str(error).replace(OFFLINE, _OFFLINE)) from error


def _check_kind(name: str, folder: Path) -> None:
    kind = model_type(folder, name)
    if kind == MODEL_TYPE:
        return
    hint = "; load it with load_encoder or load_model" if kind in ARCHITECTURES else ""
    raise EncoderError(f"{name}: found model type {kind!r}; expected {MODEL_TYPE!r}, such as {_EXAMPLES}{hint}")


def _model(name: str, folder: Path, dtype: torch.dtype) -> PaliGemmaForConditionalGeneration:
    from transformers import AutoConfig, PaliGemmaForConditionalGeneration

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EncoderError(f"{name}: {folder / 'config.json'} cannot be read ({one_line(error)})") from error
    return read_model(PaliGemmaForConditionalGeneration, folder, name, config, dtype)


def _processor(name: str, folder: Path) -> PaliGemmaProcessor:
    from transformers import PaliGemmaProcessor

    if not any((folder / file).is_file() for file in TOKENIZERS):
        raise EncoderError(f"{name}: {folder} has no tokenizer; expected one of {', '.join(TOKENIZERS)}")
    try:
        return PaliGemmaProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, TypeError, KeyError) as error:
        raise EncoderError(f"{name}: the processor in {folder} cannot be read ({one_line(error)})") from error


def _check_fit(name: str, model: PaliGemmaForConditionalGeneration, processor: PaliGemmaProcessor) -> None:
    """Check that the processor is the model's: with another one, answers would be wrong without an error."""
    config = model.config
    patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
    if processor.image_seq_length != patches:
        raise EncoderError(
            f"{name}: the processor writes {processor.image_seq_length} image tokens, but the model has {patches} "
            "patches; expected the processor's image_seq_length to be their number"
        )
    if processor.image_token_id != config.image_token_id:
        raise EncoderError(
            f"{name}: the tokenizer's <image> is token {processor.image_token_id}, but the model's is "
            f"{config.image_token_id}; expected the tokenizer that the model was saved with"
        )
    if processor.tokenizer.eos_token_id is None or processor.tokenizer.bos_token is None:
        raise EncoderError(f"{name}: the tokenizer has no bos or no eos token; expected both")


def _codec(source: _Source, masks: str | None, device: torch.device) -> MaskCodec | None:
    """The mask codec that was given, or the model's own; None without one."""
    if masks is not None:
        return load_mask_codec(masks, device)
    if source.embedded:
        return load_mask_codec(EMBEDDED, device) if (PLAYGROUND / EMBEDDED).is_dir() else None
    beside = source.folder / PUBLISHED
    return load_mask_codec(beside, device) if beside.is_file() else None
