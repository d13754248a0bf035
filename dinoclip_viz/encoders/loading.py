"""A name becomes an encoder: a catalogue name, a hub id or a local folder."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dinoclip_viz.encoders import huggingface, openclip, pixels
from dinoclip_viz.encoders.base import EncoderError, ImageEncoder, TextEncoder
from dinoclip_viz.encoders.catalog import CATALOG, OPEN_CLIP, PLAYGROUND, find
from dinoclip_viz.encoders.hub import fetch

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_PREFIX = "hf-hub:"
RANDOM_PREFIX = "random:"
"""Before a name: that model's architecture with random weights, the floor under every figure."""
_SAMPLES, _SAMPLE_BYTES = 64, 1 << 18

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where a model's files are.

    Attributes:
        name: as the user wrote it.
        space: what the space of its vectors is called.
        folder: its files.
        revision: the hub's commit, where it came from the hub.
        published: open_clip's (model, pretrained), where the folder holds weights alone.
        random: whether the architecture alone is wanted, its weights random.
    """

    name: str
    space: str
    folder: Path
    revision: str | None = None
    published: tuple[str, str] | None = None
    random: bool = False


def load_encoder(name: str, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> ImageEncoder:
    """The image encoder of that name; of an image-text model the vision side alone.

    Args:
        name: catalogue name, hub id (org/name; hf-hub:org/name takes its open_clip files) or local folder;
            "random:NAME" is that model's architecture with random weights, always the same ones, and "pixels" the raw
            pixels of each patch: what every figure must stand above.
        device: where it computes; by default cuda, else mps, else cpu.
        dtype: how it computes; by default float32.

    Raises:
        EncoderError: it cannot be found, fetched or read; one line says what to do.
    """
    if name == pixels.NAME:
        return pixels.image_encoder()
    loaded = _load(name, device, dtype)
    if isinstance(loaded, openclip.Loaded):
        return openclip.image_encoder(loaded)
    encoder = huggingface.image_encoder(loaded)
    huggingface.drop_text(loaded)
    return encoder


def load_text_encoder(
    name: str, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> TextEncoder:
    """The text encoder of an image-text model; arguments and errors as in `load_encoder`."""
    return _texts(_load(name, device, dtype))


def load_pair(
    name: str, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> tuple[ImageEncoder, TextEncoder]:
    """Both encoders of an image-text model over one copy of its weights; arguments and errors as in `load_encoder`."""
    loaded = _load(name, device, dtype)
    texts = _texts(loaded)
    if isinstance(loaded, openclip.Loaded):
        return openclip.image_encoder(loaded), texts
    return huggingface.image_encoder(loaded), texts


def _texts(loaded: huggingface.Loaded | openclip.Loaded) -> TextEncoder:
    if isinstance(loaded, openclip.Loaded):
        return openclip.text_encoder(loaded)
    return huggingface.text_encoder(loaded)


def _load(
    name: str, device: str | torch.device | None, dtype: torch.dtype | None
) -> huggingface.Loaded | openclip.Loaded:
    where, how = _device(device), dtype or torch.float32
    if not how.is_floating_point:
        raise EncoderError(f"dtype {how} cannot hold a model; expected torch.float32, torch.bfloat16 or torch.float16")
    source = _resolve(name)
    log.info("loading %s from %s on %s as %s", name, source.folder, where, how)
    with _quietly():
        if source.published and not source.random:
            return openclip.load_published(
                *source.published, source.folder, name, source.space, where, how, source.revision
            )
        if (source.folder / "config.json").is_file() and not name.startswith(HUB_PREFIX):
            kind = huggingface.model_type(source.folder, name)
            if kind in huggingface.ARCHITECTURES or not (source.folder / "open_clip_config.json").is_file():
                return huggingface.load(source.folder, name, source.space, where, how, source.revision, source.random)
        if source.random:
            raise EncoderError(f"{name}: random weights are made of transformers' architectures alone")
        if (source.folder / "open_clip_config.json").is_file():
            return openclip.load_folder(source.folder, name, source.space, where, how, source.revision)
    raise EncoderError(
        f"{name}: {source.folder} has neither config.json (transformers) nor open_clip_config.json (open_clip); "
        "expected a folder written by save_pretrained"
    )


def _resolve(name: str) -> Source:
    if name.startswith(RANDOM_PREFIX):
        known = _resolve(name.removeprefix(RANDOM_PREFIX))
        return replace(known, name=name, space=RANDOM_PREFIX + known.space, random=True)
    if name in CATALOG:
        return _by_name(name)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        _refuse_paths(name, folder)
        return _by_name(name)
    if folder.resolve().parent == PLAYGROUND:
        return _by_name(folder.resolve().name)
    return Source(name, f"{folder.resolve().name}-{_fingerprint(folder)}", folder)


def _refuse_paths(name: str, folder: Path) -> None:
    if folder.is_file():
        raise EncoderError(
            f"{name} is a file; expected a catalogue name, a hub id or the folder that a model was saved in"
        )
    if name.startswith((".", "/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        raise EncoderError(f"there is no folder {name}; expected a folder with config.json and model.safetensors")


def _by_name(name: str) -> Source:
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
    if entry.folder is not None:
        if not entry.folder.is_dir():
            raise EncoderError(
                f"{name}: {entry.folder} is missing; this copy of the package came without its embedded models"
            )
        return Source(name, entry.source, entry.folder)
    if isinstance(entry.weights, tuple):
        return _published(name, entry.source, *entry.weights, entry.revision)
    folder, commit = fetch(name, entry.weights, "transformers", entry.revision, entry.gated)
    return Source(name, entry.source, folder, commit)


def _published(name: str, space: str, model: str, pretrained: str, revision: str | None) -> Source:
    folder, commit = fetch(name, openclip.repository(model, pretrained), "open_clip", revision)
    return Source(name, space, folder, commit, (model, pretrained))


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:120]
        raise EncoderError(
            f"device {str(device)!r} cannot be used here ({reason}); expected cpu, cuda, cuda:0, mps, ..."
        ) from error
    return chosen


def _fingerprint(folder: Path) -> str:
    """8 hexadecimal digits that tell one folder's weights from another's; large files are sampled all over."""
    digest = hashlib.sha256()
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        if not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            if size <= _SAMPLES * _SAMPLE_BYTES:
                digest.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek(sample * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:8]


@contextmanager
def _quietly() -> Iterator[None]:
    """Transformers without progress bars and reports, as it was before afterwards: what matters is raised by us."""
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
