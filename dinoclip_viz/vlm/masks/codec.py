"""The mask codec: a vector-quantised autoencoder between masks of 64 x 64 pixels and 16 codes (Ning et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dinoclip_viz.vlm.masks.tokens import CODES, TOKENS

SIDE = 64
"""Side in pixels of the masks that a codec encodes."""

_GRID = 4  # rows and columns of codes
_BATCH = 256


class MaskCodec(nn.Module):
    """Autoencoder of masks with 16 codes out of 128, in the layout of PaliGemma's published `vae-oid.npz`.

    Encoder: four 4 x 4 convolutions of stride 2, two residual blocks, a 1 x 1 convolution to the codebook's dimension.
    Decoder: a 1 x 1 convolution, two residual blocks, four transposed 4 x 4 convolutions of stride 2, a 1 x 1
    convolution to one channel. The tensors of `encoder` and `decoder` have the published names.

    Args:
        width: channels of the decoder's residual blocks.
        dimension: D of the codebook's vectors.
        decoder_widths: channels after each transposed convolution.
        encoder_widths: channels after each convolution of the encoder; empty for a codec that only decodes.

    Attributes:
        codebook: (128, D) vectors of the codes; a buffer, since it is updated by moving averages and not by gradients.

    Raises:
        ValueError: a width is not positive, or the numbers of widths differ from four (or none in the encoder).
    """

    codebook: Tensor

    def __init__(
        self,
        width: int = 128,
        dimension: int = 512,
        decoder_widths: Sequence[int] = (128, 64, 32, 16),
        encoder_widths: Sequence[int] = (16, 32, 64, 128),
    ) -> None:
        super().__init__()
        _check_widths(width, dimension, decoder_widths, encoder_widths)
        self.width, self.dimension = width, dimension
        self.decoder_widths, self.encoder_widths = tuple(decoder_widths), tuple(encoder_widths)
        self.register_buffer("codebook", torch.randn(CODES, dimension) * dimension**-0.5)
        self.encoder = _encoder(self.encoder_widths, dimension) if encoder_widths else None
        self.decoder = _decoder(width, dimension, self.decoder_widths)

    @property
    def device(self) -> torch.device:
        """Device on which the codec computes."""
        return self.codebook.device

    def latents(self, masks: Tensor) -> Tensor:
        """(N, D, 4, 4) vectors of masks before quantisation; differentiable.

        Args:
            masks: (N, 64, 64) in [0, 1]; 1 is inside.

        Raises:
            ValueError: the shape is another one, or the codec only decodes.
        """
        if self.encoder is None:
            raise ValueError("found a mask codec without an encoder, which only decodes; load one that has both")
        if masks.ndim != 3 or tuple(masks.shape[1:]) != (SIDE, SIDE):
            raise ValueError(f"found masks of shape {tuple(masks.shape)}; expected (N, {SIDE}, {SIDE})")
        found: Tensor = self.encoder(2 * masks[:, None].to(self.codebook) - 1)
        return found

    def from_latents(self, latents: Tensor) -> Tensor:
        """(N, 64, 64) maps, above 0 inside, of latent vectors; unbounded and differentiable.

        Args:
            latents: (N, D, 4, 4).

        Raises:
            ValueError: the shape is another one.
        """
        if latents.ndim != 4 or tuple(latents.shape[1:]) != (self.dimension, _GRID, _GRID):
            expected = f"(N, {self.dimension}, {_GRID}, {_GRID})"
            raise ValueError(f"found latents of shape {tuple(latents.shape)}; expected {expected}")
        found: Tensor = self.decoder(latents)
        return found[:, 0]

    def nearest(self, latents: Tensor) -> Tensor:
        """(N, 16) int64 numbers of the nearest vectors in the codebook, row by row.

        Args:
            latents: (N, D, 4, 4).
        """
        vectors = latents.flatten(2).transpose(1, 2)  # (N, 16, D)
        # the squared distance without the term that is the same for all codes
        distances: Tensor = self.codebook.square().sum(1) - 2 * vectors @ self.codebook.T  # (N, 16, 128)
        return distances.argmin(2)

    def vectors(self, codes: Tensor) -> Tensor:
        """(N, D, 4, 4) vectors of codes.

        Args:
            codes: (N, 16) int64 in 0..127, row by row.

        Raises:
            ValueError: the shape is another one, or a code is not in 0..127.
        """
        if codes.ndim != 2 or codes.shape[1] != TOKENS:
            raise ValueError(f"found codes of shape {tuple(codes.shape)}; expected (N, {TOKENS})")
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < CODES:
            raise ValueError(f"found codes from {int(codes.min())} to {int(codes.max())}; expected 0..{CODES - 1}")
        chosen = self.codebook[codes.to(self.device, torch.long)]  # (N, 16, D)
        return chosen.transpose(1, 2).reshape(-1, self.dimension, _GRID, _GRID)

    @torch.no_grad()
    def encode(self, masks: Tensor) -> Tensor:
        """(N, 16) int64 codes of masks, row by row; computed in batches.

        Args:
            masks: (N, 64, 64) in [0, 1]; 1 is inside.

        Raises:
            ValueError: the shape is another one, or the codec only decodes.
        """
        return torch.cat([self.nearest(self.latents(part)) for part in masks.split(_BATCH)])

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """(N, 64, 64) maps in [-1, 1], above 0 inside; computed in batches.

        Args:
            codes: (N, 16) int64 in 0..127, row by row.

        Raises:
            ValueError: the shape is another one, or a code is not in 0..127.
        """
        parts = [self.from_latents(self.vectors(part)).clamp(-1, 1) for part in codes.split(_BATCH)]
        return torch.cat(parts)


class _Residual(nn.Module):
    """Two 3 x 3 convolutions and one of 1 x 1, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, values: Tensor) -> Tensor:
        """The sum, of the shape of the input."""
        added: Tensor = self.net(values)
        return values + added


def _check_widths(width: int, dimension: int, decoder: Sequence[int], encoder: Sequence[int]) -> None:
    if len(decoder) != 4 or len(encoder) not in (0, 4):
        raise ValueError(
            f"found {len(decoder)} decoder widths and {len(encoder)} encoder widths; expected 4, and 4 or 0"
        )
    if min(width, dimension, *decoder, *encoder) < 1:
        raise ValueError(f"found widths {width}, {dimension}, {tuple(decoder)}, {tuple(encoder)}; expected 1 or more")


def _encoder(widths: tuple[int, ...], dimension: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise((1, *widths)):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, _Residual(widths[-1]), _Residual(widths[-1]), nn.Conv2d(widths[-1], dimension, 1))


def _decoder(width: int, dimension: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(dimension, width, 1), nn.ReLU(), _Residual(width), _Residual(width)]
    for before, after in pairwise((width, *widths)):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 1))
