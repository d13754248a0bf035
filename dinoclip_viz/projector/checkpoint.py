"""Loading of the published dinov2-clip checkpoint, weights only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dinoclip_viz.encoders.errors import EncoderError
from dinoclip_viz.projector.heads import ProjectorWithResiduals

_NESTED = ("state_dict", "model_state_dict", "model", "projector_state_dict", "projector")


def load_dinov2_clip_checkpoint(path: str | Path) -> ProjectorWithResiduals:
    """The published projector with the weights of a `.pt`, `.pth` or `.safetensors` file, in evaluation mode.

    The sizes are inferred from the weights. `Projector.around` wraps it as an image-text model.

    Args:
        path: file with a state dict of `ProjectorWithResiduals`, by itself or within a training checkpoint.

    Raises:
        EncoderError: the file is missing, holds other objects than weights, or other weights.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise EncoderError(f"there is no file {file}; expected a dinov2-clip checkpoint, .pt or .safetensors")
    weights = _plain(_read(file))
    if not {"input_proj.weight", "output_proj.2.weight"} <= weights.keys():
        found = ", ".join(sorted(weights)[:3]) or "no tensors"
        raise EncoderError(f"{file} is no dinov2-clip projector: found {found}; expected input_proj.weight and others")
    blocks = {name.split(".")[1] for name in weights if name.startswith("residual_blocks.")}
    hidden, inputs = weights["input_proj.weight"].shape
    projector = ProjectorWithResiduals(inputs, weights["output_proj.2.weight"].shape[0], hidden, len(blocks))
    try:
        projector.load_state_dict(weights)
    except RuntimeError as error:
        raise EncoderError(f"{file} does not fit ProjectorWithResiduals ({' '.join(str(error).split())})") from error
    return projector.eval().requires_grad_(False)


def _read(file: Path) -> object:
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise EncoderError(f"{file} cannot be read as safetensors ({error}); download it again") from error
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of errors for invalid files
        raise EncoderError(
            f"{file} cannot be read as weights alone ({type(error).__name__}): it is broken, or holds code, which is "
            "never run; save the state dict by itself"
        ) from error


def _plain(found: object) -> dict[str, Tensor]:
    """Name -> float32 tensor of a state dict, also of one nested in a training checkpoint."""
    while isinstance(found, Mapping) and not any(isinstance(value, Tensor) for value in found.values()):
        inner = next((found[name] for name in _NESTED if isinstance(found.get(name), Mapping)), None)
        if inner is None:
            return {}
        found = inner
    if not isinstance(found, Mapping):
        return {}
    names = {str(name).removeprefix("_orig_mod.").removeprefix("module."): value for name, value in found.items()}
    return {name: value.float() for name, value in names.items() if isinstance(value, Tensor)}
