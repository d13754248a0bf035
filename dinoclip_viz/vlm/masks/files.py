"""Mask codecs on disk: folders with config.json and model.safetensors, and PaliGemma's published vae-oid.npz."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.disk import replacing_in, write_text
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.encoders.devices import chosen_device
from dinoclip_viz.encoders.errors import EncoderError, one_line
from dinoclip_viz.vlm.masks.codec import MaskCodec

EMBEDDED = "playground-masks"
"""Name of the embedded mask codec."""

PUBLISHED = "vae-oid.npz"
"""File name of the published mask codec."""

ADDRESS = f"gs://big_vision/paligemma/{PUBLISHED}"
"""Where the published mask codec is; it is also in the Space big-vision/paligemma on the hub."""

_KIND = "mask-codec"
_CODEBOOK = "_vq_vae._embedding"
_SETTINGS = ("width", "dimension", "decoder_widths", "encoder_widths")


def load_mask_codec(name: str | Path = EMBEDDED, device: str | torch.device | None = "cpu") -> MaskCodec:
    """A frozen mask codec in float32.

    Args:
        name: "playground-masks", a folder written by `save_mask_codec`, or a file in the layout of the published
            vae-oid.npz; a file without the encoder's arrays gives a codec that only decodes.
        device: device to compute on, as in `load_encoder`.

    Raises:
        EncoderError: the folder or file is missing, cannot be read, or holds arrays of other names or shapes; or the
            device is unknown or unavailable.
    """
    where = chosen_device(device)
    path = PLAYGROUND / EMBEDDED if name == EMBEDDED else Path(name).expanduser()
    if path.is_dir():
        codec = _from_folder(path)
    elif path.is_file():
        codec = _from_npz(path)
    else:
        raise EncoderError(
            f"there is no mask codec at {path}; expected a folder of a codec, or {PUBLISHED} ({ADDRESS})"
        )
    return codec.eval().requires_grad_(False).to(where)


def save_mask_codec(codec: MaskCodec, folder: str | Path) -> None:
    """Write a mask codec as config.json and model.safetensors, in the dtype of its weights.

    Args:
        codec: to write.
        folder: is made if it is missing.
    """
    from safetensors.torch import save_file

    settings = {"model_type": _KIND, **{key: getattr(codec, key) for key in _SETTINGS}}
    weights = {key: value.detach().cpu().contiguous() for key, value in codec.state_dict().items()}
    with replacing_in(folder) as aside:
        save_file(weights, aside / "model.safetensors", metadata={"format": "pt"})
        write_text(aside / "config.json", json.dumps(settings, indent=2) + "\n")


def _from_folder(folder: Path) -> MaskCodec:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for file in ("config.json", "model.safetensors"):
        if not (folder / file).is_file():
            raise EncoderError(f"{folder} has no {file}; expected a folder written by save_mask_codec")
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if settings.get("model_type") != _KIND:
            raise EncoderError(f"{folder}: found model type {settings.get('model_type')!r}; expected {_KIND!r}")
        codec = MaskCodec(**{key: settings[key] for key in _SETTINGS})
        weights = load_file(folder / "model.safetensors")
    except EncoderError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        raise EncoderError(f"{folder}: the mask codec cannot be read ({one_line(error)}); write it again") from error
    return _filled(codec, weights, str(folder))


def _from_npz(file: Path) -> MaskCodec:
    arrays = _arrays(file)
    decodes_only = not any(name.startswith("encoder.") for name in arrays)
    codec = MaskCodec(encoder_widths=()) if decodes_only else MaskCodec()
    weights = {
        "codebook" if name == _CODEBOOK else name: torch.from_numpy(values.astype(np.float32))
        for name, values in arrays.items()
        if values.dtype.kind == "f"
    }
    return _filled(codec, weights, str(file), {"codebook": _CODEBOOK})


def _arrays(file: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of an npz file; objects, which would run code, are refused by NumPy."""
    try:
        with np.load(file, allow_pickle=False) as found:
            return {str(name): np.asarray(found[name]) for name in found.files}
    except (OSError, ValueError, BadZipFile, EOFError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(
            f"{file} cannot be read as {PUBLISHED} ({one_line(error)}); expected NumPy arrays without pickled objects"
        ) from error


def _filled(
    codec: MaskCodec, weights: Mapping[str, Tensor], where: str, shown: Mapping[str, str] | None = None
) -> MaskCodec:
    """The codec with the weights, of which all must be there in the right shape; others are ignored."""
    expected = codec.state_dict()
    for name, values in expected.items():
        named = (shown or {}).get(name, name)
        if name not in weights:
            raise EncoderError(f"{where} has no array {named}; expected the {len(expected)} arrays of a mask codec")
        if weights[name].shape != values.shape:
            found, right = tuple(weights[name].shape), tuple(values.shape)
            raise EncoderError(f"{where}: {named} has shape {found}; expected {right}")
    codec.load_state_dict({name: weights[name].float() for name in expected})
    return codec
