"""From token vectors to one vector per text: pooling, dense layers and normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoclip_viz.encoders.errors import EncoderError, one_line
from dinoclip_viz.encoders.sentence_models.layout import positive, read_json

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (nn.Identity, nn.Tanh, nn.GELU, nn.ReLU, nn.SiLU, nn.Sigmoid)
}
_VECTOR = "sentence_embedding"


def pool(tokens: Tensor, mask: Tensor, modes: Sequence[str]) -> Tensor:
    """(T, M * D) pooled vectors of T texts, M modes concatenated.

    Args:
        tokens: (T, L, D) token vectors.
        mask: (T, L) 1 for a token and 0 for padding, on either side; every text has at least one token.
        modes: M of `layout.MODES`. "cls" is the first token, "lasttoken" the last; "max" and "mean" are over tokens;
            "mean_sqrt_len_tokens" divides the sum by the square root of the number of tokens; "weightedmean" weights
            tokens by their position, counted from 1 (Muennighoff, 2022).

    Examples:
        >>> tokens = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> pool(tokens, torch.tensor([[1, 1, 0]]), ["mean", "max", "lasttoken", "cls"])
        tensor([[2., 3., 3., 1.]])
    """
    kept = mask.bool()
    return torch.cat([_POOLINGS[mode](tokens, kept) for mode in modes], dim=1)


def _first(tokens: Tensor, kept: Tensor) -> Tensor:
    return _at(tokens, kept.int().argmax(1))


def _last(tokens: Tensor, kept: Tensor) -> Tensor:
    return _at(tokens, kept.shape[1] - 1 - kept.flip(1).int().argmax(1))


def _at(tokens: Tensor, columns: Tensor) -> Tensor:
    return tokens[torch.arange(len(tokens), device=tokens.device), columns]


def _maximum(tokens: Tensor, kept: Tensor) -> Tensor:
    return tokens.masked_fill(~kept[..., None], -torch.inf).amax(1)


def _mean(tokens: Tensor, kept: Tensor) -> Tensor:
    return _weighted(tokens, kept.to(tokens.dtype))


def _mean_by_root(tokens: Tensor, kept: Tensor) -> Tensor:
    return _mean(tokens, kept) * kept.sum(1, keepdim=True).to(tokens.dtype).sqrt()


def _mean_by_position(tokens: Tensor, kept: Tensor) -> Tensor:
    positions = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
    return _weighted(tokens, kept.to(tokens.dtype) * positions)


def _weighted(tokens: Tensor, weights: Tensor) -> Tensor:
    return (tokens * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)


_POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": _first,
    "max": _maximum,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean": _mean_by_position,
    "lasttoken": _last,
}


class Normalize(nn.Module):
    """Vectors of length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        """(T, D) normalised vectors."""
        return F.normalize(vectors, dim=1)


class Dense(nn.Module):
    """A linear layer and an activation, with an optional residual connection."""

    def __init__(self, inputs: int, outputs: int, bias: bool, activation: nn.Module, residual: bool) -> None:
        super().__init__()
        self.outputs = outputs
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.activation = activation
        self.skips = residual
        self.residual = nn.Linear(inputs, outputs, bias=False) if residual and inputs != outputs else nn.Identity()

    def forward(self, vectors: Tensor) -> Tensor:
        """(T, D') vectors."""
        out: Tensor = self.activation(self.linear(vectors))
        return out + self.residual(vectors) if self.skips else out


def dense(folder: Path, name: str, inputs: int) -> Dense:
    """The dense layer in a folder of sentence-transformers.

    Args:
        folder: with config.json and model.safetensors.
        name: name of the model as the user wrote it.
        inputs: dimension of its input vectors.

    Raises:
        EncoderError: a file is missing or invalid, or does not fit `inputs`.
    """
    settings = read_json(folder / "config.json", name)
    given, outputs = (positive(settings, f"{side}_features", name, folder) for side in ("in", "out"))
    if given != inputs or outputs is None:
        raise EncoderError(
            f"{name}: {folder} has a dense layer of {given} inputs and {outputs} outputs; expected {inputs} inputs, as "
            "many as the vectors before it have, and a number of outputs"
        )
    for key in ("module_input_name", "module_output_name"):
        if settings.get(key) not in (None, _VECTOR):
            raise EncoderError(f"{name}: {folder} has {key} {settings[key]!r}; expected {_VECTOR!r}")
    path = str(settings.get("activation_function") or "torch.nn.modules.activation.Tanh")
    activation = _ACTIVATIONS.get(path.rpartition(".")[2]) if path.startswith("torch.nn.") else None
    if activation is None:
        raise EncoderError(f"{name}: {folder} has the activation {path!r}; expected one of {', '.join(_ACTIVATIONS)}")
    bias, residual = bool(settings.get("bias", True)), bool(settings.get("use_residual", False))
    layer = Dense(inputs, outputs, bias, activation(), residual)
    _read_weights(layer, folder, name)
    return layer


def _read_weights(layer: Dense, folder: Path, name: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    if not path.is_file():
        raise EncoderError(f"{name}: {folder} has no model.safetensors, and a pickle is never loaded; save it again")
    try:
        layer.load_state_dict(load_file(path))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise EncoderError(f"{name}: the weights in {path} cannot be read ({one_line(error)})") from error
