"""The dtype in which a projector is trained; its weights and its loss are float32 in any case."""

from __future__ import annotations

import torch

from dinoclip_viz.encoders.devices import AUTO, chosen_dtype, is_fast_in_bfloat16


def training_dtype(dtype: str | torch.dtype | None, device: torch.device, on_gpu: bool) -> torch.dtype:
    """The type that a projector's layers compute in while it is trained: float32, or bfloat16 by autocast.

    Args:
        dtype: "float32" or "bfloat16"; "auto" for bfloat16 on a CUDA GPU that is fast in it, if the recipe allows it,
            else float32.
        device: that the training runs on.
        on_gpu: `bf16` of the recipe.

    Raises:
        ValueError: another type.
    """
    if dtype is None or dtype == AUTO:
        fast = on_gpu and device.type == "cuda" and is_fast_in_bfloat16(device)
        return torch.bfloat16 if fast else torch.float32
    chosen = chosen_dtype(dtype, device)
    if chosen not in (torch.float32, torch.bfloat16):
        raise ValueError(f"found dtype {str(dtype).removeprefix('torch.')} for training; expected float32 or bfloat16")
    return chosen
