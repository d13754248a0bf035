"""A CLIP's vision tower with visual prompts and norms of its own, on top of the frozen weights of the base model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import get_ident

import torch
from torch import Tensor, nn

from dinoclip_viz.encoders.base import EncoderError, ImageEncoder
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder, TowerOutput
from dinoclip_viz.encoders.towers.blocks import Blocks

LAYERS = ("encoder.layers", "transformer.resblocks")
"""Lists of blocks of the CLIPs of transformers and of open_clip."""
_PATCH_INPUTS = 3 * 16 * 16


class PromptedTower(nn.Module):
    """Vision tower of a CLIP with trainable prompts and norms; all other weights are the base model's, frozen.

    The prompts are inserted between CLS and the patches after the model's first norm, without positions, and removed
    after the last block, so that patches, their mean and the pooled vector keep their meaning. The base model is used
    through hooks that act in the calling thread only: it is neither copied nor changed. Prompts and norms are float32,
    whatever the model computes in (visual prompts: Jia et al. 2022, https://arxiv.org/abs/2203.12119).

    Args:
        base: image encoder of a CLIP of transformers or open_clip.
        prompts: number of prompts; 0 leaves the outputs of the base model unchanged until the norms are trained.
        seed: of the prompts' initial values, uniform within sqrt(6 / (inputs + width)) for the inputs of a patch of 16
            pixels, whatever the model's patches are, as in NoLA's code.

    Attributes:
        prompts: (P, width) parameters.
        norms: copies of the norms of the tower; `names` holds their dotted names in the same order.

    Raises:
        EncoderError: the encoder is not a CLIP whose blocks can be read.
    """

    def __init__(self, base: ImageEncoder, prompts: int = 16, seed: int = 0) -> None:
        super().__init__()
        self._base, self._blocks = base_of(base)
        layers = self._blocks.of(self._blocks.model)
        found = [(name, one) for name, one in self._blocks.model.named_modules() if isinstance(one, nn.LayerNorm)]
        # in tuples, so that this module neither trains nor saves them
        self._ends, self._frozen = (layers[0], layers[-1]), tuple(norm for _, norm in found)
        self.names = tuple(name for name, _ in found)
        self.norms = nn.ModuleList(_copy(norm) for norm in self._frozen)
        width = int(self._frozen[0].normalized_shape[0])
        reach = (6 / (_PATCH_INPUTS + width)) ** 0.5
        drawn = torch.rand(prompts, width, generator=torch.Generator().manual_seed(seed))
        self.prompts = nn.Parameter(((2 * drawn - 1) * reach).to(self._base.device))

    @property
    def base_name(self) -> str:
        """Name of the base model."""
        return self._base.name

    def forward(self, pixels: Tensor, grid: tuple[int, int], methods: Sequence[str] = ()) -> TowerOutput:
        """Output for (B, 3, height, width) normalised pixels, differentiable in the prompts and the norms.

        Args:
            pixels: on the device and in the dtype of the base model.
            grid: rows and columns of patches.
            methods: none.
        """
        with self._applied():
            return self._base.tower(pixels, grid, ())

    @contextmanager
    def _applied(self) -> Iterator[None]:
        """Context of a forward pass of the base model with the prompts and norms of this module."""
        thread, axis, cls = get_ident(), 1 if self._blocks.batch_first else 0, 1
        count = len(self.prompts)

        def insert(
            _: nn.Module, positional: tuple[object, ...], named: dict[str, object]
        ) -> tuple[tuple[object, ...], dict[str, object]] | None:
            if get_ident() != thread:
                return None
            tokens = positional[0] if positional else named["hidden_states"]
            if not isinstance(tokens, Tensor):
                raise EncoderError(f"{self._base.name}: found no tokens at its first block; expected a CLIP")
            joined = self._with_prompts(tokens, axis, cls)
            return ((joined, *positional[1:]), named) if positional else ((), {**named, "hidden_states": joined})

        def remove(_: nn.Module, __: tuple[object, ...], output: object) -> object:
            if get_ident() != thread:
                return None
            if isinstance(output, tuple):
                return (_without(output[0], axis, cls, count), *output[1:])
            return _without(output, axis, cls, count)

        def normed(own: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            return own(given[0].float()).to(output.dtype) if get_ident() == thread else None

        with ExitStack() as stack:
            for frozen, own in zip(self._frozen, self.norms, strict=True):
                hook = frozen.register_forward_hook(lambda _, given, output, own=own: normed(own, given, output))
                stack.callback(hook.remove)
            if count:
                first, last = self._ends
                stack.callback(first.register_forward_pre_hook(insert, with_kwargs=True).remove)
                stack.callback(last.register_forward_hook(remove).remove)
            yield

    def tensors(self) -> dict[str, Tensor]:
        """Copies of the prompts and norms, by the names of the base model's modules."""
        found = {"prompts": self.prompts.detach().clone()}
        for name, norm in zip(self.names, self.norms, strict=True):
            found |= {f"{name}.{part}": values.detach().clone() for part, values in norm.named_parameters()}
        return found

    @torch.no_grad()
    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set prompts and norms to the values of `tensors`.

        Raises:
            EncoderError: a tensor is missing or has another shape than the base model's.
        """
        own = {"prompts": self.prompts}
        for name, norm in zip(self.names, self.norms, strict=True):
            own |= {f"{name}.{part}": values for part, values in norm.named_parameters()}
        for name, values in own.items():
            given = tensors.get(name)
            if given is None or given.shape != values.shape:
                shape = "none" if given is None else tuple(given.shape)
                raise EncoderError(
                    f"{name} has shape {shape}; expected {tuple(values.shape)}, as in {self._base.name}; use the model "
                    "that was tuned"
                )
            values.copy_(given)

    def _with_prompts(self, tokens: Tensor, axis: int, cls: int) -> Tensor:
        """Tokens with the prompts after CLS; the axis of the tokens is 1, or 0 where batches come second."""
        length = tokens.shape[axis]
        prompts = self.prompts.to(tokens.dtype).unsqueeze(1 - axis)  # (1, P, width) or (P, 1, width)
        shape = [*tokens.shape]
        shape[axis] = len(self.prompts)
        parts = tokens.narrow(axis, 0, cls), prompts.expand(shape), tokens.narrow(axis, cls, length - cls)
        return torch.cat(parts, dim=axis)


def prompted_encoder(base: ImageEncoder, tower: PromptedTower, name: str | None = None) -> BatchedImageEncoder:
    """The image encoder of a tuned tower; its features are in a space of their own, named after the weights.

    It serves no heat-map methods, since its patches were not tuned for comparison with texts: use the base model's.

    Args:
        base: the encoder that the tower was built on.
        tower: tuned prompts and norms.
        name: of the encoder; None names it after the base.
    """
    frozen, _ = base_of(base)
    space = f"{base.space}/nola-{fingerprint(tower)}"
    return replace(
        frozen,
        name=name or f"{base.name}, tuned by NoLA",
        space=space,
        patch_space=f"{space}/patches",
        methods=(),
        tower=tower,
        reader=None,
        revision=None,
        blocks=None,
    )


def tuned_encoder(base: ImageEncoder, tensors: Mapping[str, Tensor], name: str | None = None) -> BatchedImageEncoder:
    """The image encoder of a base model with trained prompts and norms.

    Args:
        base: image encoder of the CLIP that was tuned.
        tensors: of `PromptedTower.tensors`; others are ignored.
        name: as in `prompted_encoder`.

    Raises:
        EncoderError: the tensors are of another model.
    """
    tower = PromptedTower(base, len(tensors["prompts"]) if "prompts" in tensors else 0)
    tower.load_tensors(tensors)
    return prompted_encoder(base, tower.requires_grad_(False), name)


def tower_of(encoder: ImageEncoder) -> PromptedTower:
    """The tuned tower of an encoder.

    Raises:
        EncoderError: the encoder is not of `prompted_encoder`.
    """
    if isinstance(encoder, BatchedImageEncoder) and isinstance(encoder.tower, PromptedTower):
        return encoder.tower
    raise EncoderError(f"{encoder.name} is not tuned by NoLA; expected the encoder that fit_nola returned")


def fingerprint(tower: PromptedTower) -> str:
    """8 hexadecimal digits that identify the prompts and norms of a tower."""
    digest = hashlib.sha256()
    for name, values in sorted(tower.tensors().items()):
        digest.update(name.encode())
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def base_of(encoder: ImageEncoder) -> tuple[BatchedImageEncoder, Blocks]:
    """The encoder and its blocks.

    Raises:
        EncoderError: it is not a CLIP of transformers or open_clip with CLS and no registers.
    """
    blocks = encoder.blocks if isinstance(encoder, BatchedImageEncoder) else None
    if not isinstance(encoder, BatchedImageEncoder) or blocks is None or not blocks.cls or blocks.registers:
        raise EncoderError(f"{encoder.name} cannot take visual prompts; expected a CLIP with CLS and patch tokens")
    if blocks.layers not in LAYERS or encoder.reader is None or not encoder.reader.joint:
        raise EncoderError(f"{encoder.name} cannot take visual prompts; expected a CLIP of transformers or open_clip")
    return encoder, blocks


def _copy(norm: nn.LayerNorm) -> nn.LayerNorm:
    """The norm in float32, trainable and without hooks."""
    own = nn.LayerNorm(norm.normalized_shape, norm.eps, norm.elementwise_affine, norm.bias is not None)
    own.load_state_dict(norm.state_dict())
    return own.to(norm.weight.device)


def _without(tokens: object, axis: int, cls: int, count: int) -> Tensor:
    if not isinstance(tokens, Tensor):
        raise EncoderError(f"found {type(tokens).__name__} after the last block; expected tokens")
    rest = tokens.shape[axis] - cls - count
    return torch.cat([tokens.narrow(axis, 0, cls), tokens.narrow(axis, cls + count, rest)], dim=axis)
