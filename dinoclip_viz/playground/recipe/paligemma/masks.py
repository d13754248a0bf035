"""Training of playground-masks: PaliGemma's mask codec at half its width, on masks of drawn objects."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoclip_viz.playground.recipe.loop import Loop, has_bfloat16
from dinoclip_viz.playground.recipe.optimiser import Optimiser
from dinoclip_viz.vlm.masks import MaskCodec, save_mask_codec

log = logging.getLogger(__name__)

SHARPNESS = 3.0
"""Factor of the decoder's output, in [-1, 1], to logits."""


@dataclass(frozen=True)
class MaskRecipe:
    """Settings of the training.

    Attributes:
        steps: optimiser steps; batch: masks per step.
        rate: learning rate; decay: weight decay; clip: largest gradient norm; seed: of weights and order.
        keep: of the moving averages of the codebook; commitment: weight of the encoder's distance from its codes.
        revive: steps after which codes that are not used are replaced by random latents.
    """

    steps: int = 3000
    batch: int = 96
    rate: float = 2e-3
    decay: float = 0.0
    clip: float = 1.0
    seed: int = 5
    keep: float = 0.99
    commitment: float = 0.25
    revive: int = 50

    @classmethod
    def on(cls, device: str) -> MaskRecipe:
        """The recipe of a device: on a GPU, fewer steps of larger batches."""
        return cls() if device == "cpu" else cls(steps=2000, batch=512, rate=4e-3)


def new_codec(seed: int) -> MaskCodec:
    """The codec before training, of half the published width."""
    torch.manual_seed(seed)
    return MaskCodec(width=64, dimension=64, decoder_widths=(64, 64, 32, 16), encoder_widths=(16, 32, 64, 64))


class Memory(nn.Module):
    """Moving averages of how often each code is used, and of the sums of its latents; saved with a checkpoint.

    Args:
        codebook: (K, D) codes.
    """

    counts: Tensor
    sums: Tensor

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.register_buffer("counts", torch.ones(len(codebook)))
        self.register_buffer("sums", codebook.detach().clone())


class Codebook:
    """The codebook as moving averages of the latents that are nearest to each code (van den Oord et al. 2017)."""

    def __init__(self, codec: MaskCodec, keep: float) -> None:
        self.codec, self.keep = codec, keep
        self.memory = Memory(codec.codebook)

    @torch.no_grad()
    def update(self, rows: Tensor, codes: Tensor) -> None:
        """Move the codes towards (N, D) latents of (N,) codes."""
        counts, sums = self.memory.counts, self.memory.sums
        counts.lerp_(codes.bincount(minlength=len(counts)).float(), 1 - self.keep)
        sums.lerp_(torch.zeros_like(sums).index_add_(0, codes, rows), 1 - self.keep)
        self.codec.codebook.copy_(sums / counts[:, None].clamp_min(1e-3))

    @torch.no_grad()
    def revive(self, rows: Tensor, chance: torch.Generator) -> None:
        """Replace codes that are hardly used by random latents."""
        unused = torch.lt(self.memory.counts, 0.05)
        if unused.any():
            new = rows[torch.randint(len(rows), (int(unused.sum()),), generator=chance, device=rows.device)]
            self.codec.codebook[unused] = new
            self.memory.sums[unused], self.memory.counts[unused] = new, 1.0


def train_masks(masks: Tensor, folder: Path, recipe: MaskRecipe, device: str | torch.device = "cpu") -> Path:
    """Train in `folder`, resuming an earlier call, and return the folder of the codec.

    Args:
        masks: (N, 64, 64) uint8, 0 to 255, masks of objects within their boxes.
        folder: for the checkpoint, the log and the codec.
        recipe: settings.
        device: to train on.
    """
    codec = new_codec(recipe.seed).to(device).to(memory_format=torch.channels_last)
    book = Codebook(codec, recipe.keep)
    book.memory.to(device)
    optimiser = Optimiser(codec.named_parameters(), recipe.rate, recipe.decay, recipe.clip)
    modules: dict[str, nn.Module] = {"model": codec, "codebook": book.memory}
    loop = Loop(folder, modules, optimiser, recipe.steps, recipe.seed, device, has_bfloat16(device))
    average = cast(MaskCodec, loop.average)
    for step in loop.run():
        chance = loop.generator()
        rows = torch.randint(len(masks), (recipe.batch,), generator=chance, device=loop.device).cpu()
        wanted = masks[rows].to(device).float() / 255
        loss, latents = reconstruction(loop, wanted, recipe.commitment, book)
        loss.backward()
        loop.update()
        average.codebook.copy_(codec.codebook)  # its own average already
        if step % recipe.revive == recipe.revive - 1 and loop.progress < 0.8:
            book.revive(latents, chance)
        if step % 100 == 99:
            loop.record(loss=loss.item(), iou=overlap(average, wanted).mean().item())
    target = loop.folder / "model"
    save_mask_codec(average.half(), target)
    record = {"recipe": asdict(recipe), "steps": loop.step, "minutes": round(loop.seconds / 60, 1), "masks": len(masks)}
    (target / "training.json").write_text(json.dumps(record, indent=1))
    return target


def reconstruction(loop: Loop, wanted: Tensor, commitment: float, book: Codebook) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and its latents as rows (N, D); the codebook is updated.

    Args:
        loop: of the training.
        wanted: (B, 64, 64) masks in [0, 1].
        commitment: weight of the distance between latents and their codes.
        book: averages of the codebook.
    """
    codec = book.codec
    with loop.precision():
        latents = codec.latents(wanted)  # (B, D, 4, 4)
    latents = latents.float()
    rows = latents.detach().permute(0, 2, 3, 1).reshape(-1, latents.shape[1])  # (16 B, D)
    codes = codec.nearest(latents.detach())  # (B, 16)
    book.update(rows, codes.flatten())
    nearest = codec.vectors(codes)
    with loop.precision():
        decoded = codec.from_latents(latents + (nearest - latents).detach())
    drawn = F.binary_cross_entropy_with_logits(SHARPNESS * decoded.float(), (wanted > 0.5).float())
    return drawn + commitment * F.mse_loss(latents, nearest), rows


@torch.no_grad()
def overlap(codec: MaskCodec, masks: Tensor) -> Tensor:
    """(N,) intersection over union of masks (N, 64, 64) in [0, 1] with those decoded from their 16 codes."""
    made, wanted = codec.decode(codec.encode(masks)) > 0, masks > 0.5
    inside, either = (made & wanted).sum((1, 2)), (made | wanted).sum((1, 2))
    return inside / either.clamp_min(1)
