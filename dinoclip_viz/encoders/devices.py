"""The device that models compute on and the dtype that they compute in: chosen, checked and described.

Torch is imported on use, so that options can be parsed without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dinoclip_viz.encoders.catalog import CATALOG
from dinoclip_viz.encoders.errors import EncoderError, type_name

if TYPE_CHECKING:
    import torch

AUTO = "auto"
DEVICES = "auto, cpu, cuda, cuda:N or mps"
DTYPES = ("float32", "bfloat16", "float16")
RANDOM_PREFIX = "random:"
"""Prefix of a name: the architecture of that model with random weights, the baseline of every measurement."""
PIXELS = "pixels"

_WORD = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
_CPU = Path("/proc/cpuinfo")
_PACKAGE = Path(__file__).resolve().parent.parent


class Computing(Protocol):
    """What computes: an image encoder, a text encoder or a depth model.

    Attributes:
        name: as in `ImageEncoder`; device, dtype: likewise.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    @property
    def dtype(self) -> torch.dtype: ...  # noqa: D102


def device_word(text: str) -> str:
    """The text, if it is the word for a device; whether this machine has that device is left to `chosen_device`.

    Raises:
        EncoderError: it is not.

    Examples:
        >>> device_word("cuda:1")
        'cuda:1'
    """
    if not _WORD.fullmatch(text):
        raise EncoderError(f"found device {text!r}; expected {DEVICES}")
    return text


def dtype_word(text: str) -> str:
    """The text, if it is the word for a dtype.

    Raises:
        EncoderError: it is not.

    Examples:
        >>> dtype_word("bfloat16")
        'bfloat16'
    """
    if text not in (AUTO, *DTYPES):
        raise EncoderError(f"found dtype {text!r}; expected {AUTO}, {', '.join(DTYPES[:-1])} or {DTYPES[-1]}")
    return text


def chosen_device(device: str | torch.device | None = AUTO) -> torch.device:
    """The device to compute on; a CUDA device has its index.

    Args:
        device: "cpu", "cuda", "cuda:N", "mps" or a torch.device; "auto" or None for cuda, else mps, else cpu, the first
            that is available.

    Raises:
        EncoderError: the word is unknown, or this machine has no such device; the message names those that it has.
    """
    import torch

    if device is None or device == AUTO:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if not isinstance(device, str | torch.device):
        raise EncoderError(f"found {type_name(device)} for device; expected {DEVICES}")
    if isinstance(device, str) and not _WORD.fullmatch(device):
        here = ", ".join(available_devices())
        raise EncoderError(f"device {device!r} is not available; expected {DEVICES}; this machine has {here}")
    chosen = torch.device(device)
    try:
        if chosen.type == "cuda" and chosen.index is None:
            chosen = torch.device("cuda", torch.cuda.current_device())
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch asserts that it was built with CUDA
        found = available_devices()
        reason = f" ({' '.join(str(error).split())[:120]})" if str(chosen) in found else ""
        raise EncoderError(
            f"device {str(device)!r} is not available{reason}; this machine has {', '.join(found)}"
        ) from error
    return chosen


def available_devices() -> tuple[str, ...]:
    """Names of this machine's devices, the CPU first."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ("mps",) if torch.backends.mps.is_available() else ()
    return ("cpu", *(f"cuda:{index}" for index in range(count)), *mps)


def chosen_dtype(
    dtype: str | torch.dtype | None = AUTO, device: torch.device | None = None, name: str = ""
) -> torch.dtype:
    """The floating-point type to compute in.

    Args:
        dtype: "float32", "bfloat16", "float16" or a torch.dtype; "auto" or None for bfloat16 on a device that is fast
            in it (`is_fast_in_bfloat16`), else float32, and float32 for embedded models (`is_embedded`).
        device: of `chosen_device`; by default the one that "auto" chooses.
        name: of the model.

    Raises:
        EncoderError: the type is unknown or not a floating-point type.
    """
    import torch

    if dtype is None or dtype == AUTO:
        if is_embedded(name):
            return torch.float32
        return torch.bfloat16 if is_fast_in_bfloat16(device or chosen_device()) else torch.float32
    chosen = getattr(torch, dtype_word(dtype)) if isinstance(dtype, str) else dtype
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        found = f"dtype {chosen}" if isinstance(chosen, torch.dtype) else f"{type_name(dtype)} for dtype"
        raise EncoderError(f"found {found}; expected torch.float32, torch.bfloat16 or torch.float16, or their names")
    return chosen


def is_fast_in_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies matrices in bfloat16 in hardware: a CUDA GPU that does, a CPU with AMX."""
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and has_amx()


def has_amx() -> bool:
    """Whether the CPU has Intel's matrix extensions (AMX), and torch uses them."""
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    if supported is not None:
        return bool(supported())
    return _CPU.is_file() and "amx_bf16" in _CPU.read_text(encoding="utf-8", errors="replace").split()


def is_embedded(name: str) -> bool:
    """Whether a model comes with the package, where all of its figures were measured in float32.

    Args:
        name: of an encoder, a model or a projector, or its folder; with "random:", of the architecture.

    Examples:
        >>> is_embedded("playground-dino"), is_embedded("random:playground-dino"), is_embedded("dinov2-small")
        (True, True, False)
    """
    name = name.removeprefix(RANDOM_PREFIX)
    if name in CATALOG:
        return CATALOG[name].folder is not None
    if name in ("playground", PIXELS):
        return True
    try:
        folder = Path(name).expanduser()
        return bool(name) and folder.is_dir() and folder.resolve().is_relative_to(_PACKAGE)
    except (OSError, ValueError, RuntimeError):
        return False


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a dtype without its library, such as float32."""
    return str(dtype).removeprefix("torch.")


def dtypes_of(*encoders: Computing) -> str:
    """The dtype of encoders, or those of each, such as "bfloat16 and float32", where they differ."""
    names = [dtype_name(encoder.dtype) for encoder in encoders]
    return names[0] if len(set(names)) == 1 else " and ".join(names)


def description(device: torch.device, dtype: torch.dtype) -> str:
    """A device and a dtype, such as "cpu, float32" or "cuda:0 (NVIDIA H100), bfloat16"."""
    return f"{_with_product(device)}, {dtype_name(dtype)}"


def described(parts: Mapping[str, Computing]) -> str:
    """Device and dtype of one encoder or several, on one line.

    Args:
        parts: role -> encoder; roles are named where the encoders differ.
    """
    texts = {role: description(one.device, one.dtype) for role, one in parts.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    if len({one.device for one in parts.values()}) == 1:
        first = next(iter(parts.values()))
        return ", ".join(
            [_with_product(first.device), *(f"{role} {dtype_name(one.dtype)}" for role, one in parts.items())]
        )
    return "; ".join(f"{role} on {text}" for role, text in texts.items())


def _with_product(device: torch.device) -> str:
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
