"""A resumable training loop: seeded steps, checkpoints, and a PAUSE file."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import nn

from dinoclip_viz.playground.recipe.optimiser import Optimiser

log = logging.getLogger(__name__)

PAUSE = "PAUSE"
"""Training is suspended while a file of this name is in the run's folder or its parent."""


def has_bfloat16(device: str | torch.device) -> bool:
    """Whether a device computes products of matrices in bfloat16 faster than in float32: GPUs, and CPUs with AMX."""
    kind = torch.device(device).type
    return kind == "cuda" or (kind == "cpu" and getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


class Loop:
    """Steps, averaged weights and checkpoint of one run.

    Attributes:
        modules: name -> trained module, on the device.
        device: of the modules and of the random generators.
        mixed: compute forward passes in bfloat16 where `precision` is entered.
        average: the moving average of `modules["model"]`, the result of the run.
        step: completed steps.
        seconds: training time, over all resumptions.
    """

    def __init__(
        self,
        folder: Path,
        modules: dict[str, nn.Module],
        optimiser: Optimiser,
        steps: int,
        seed: int,
        device: str | torch.device = "cpu",
        mixed: bool = False,
    ) -> None:
        self.device, self.mixed = torch.device(device), mixed
        self.folder, self.modules, self.optimiser, self.steps, self.seed = folder, modules, optimiser, steps, seed
        self.average = copy.deepcopy(modules["model"]).requires_grad_(False)
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._restore()

    @property
    def checkpoint(self) -> Path:
        """File of the checkpoint."""
        return self.folder / "checkpoint.pt"

    @property
    def progress(self) -> float:
        """Completed fraction of the run, 0 to 1."""
        return self.step / self.steps

    def generator(self) -> torch.Generator:
        """The random generator of this step, independent of interruptions."""
        return torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + self.step)

    def precision(self) -> AbstractContextManager[None]:
        """The context of forward passes: bfloat16 where the run is of mixed precision."""
        if not self.mixed:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def run(self, save_every: float = 180.0) -> Iterator[int]:
        """The remaining steps; the caller computes gradients and calls `update`."""
        saved = time.monotonic()
        while self.step < self.steps:
            self._wait_while_paused()
            begun = time.monotonic()
            yield self.step
            self.seconds += time.monotonic() - begun
            self.step += 1
            if time.monotonic() - saved > save_every:
                self.save()
                saved = time.monotonic()
        self.save()

    def update(self) -> None:
        """One optimiser step on a cosine schedule with warm-up, then an update of the average."""
        warm = min(1.0, (self.step + 1) / 60)
        self.optimiser.step(warm * (0.5 * (1 + math.cos(math.pi * self.progress)) + 0.005))
        keep = min(0.99 + 0.009 * self.progress, 1 - 1 / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.modules["model"].parameters()), 1 - keep)

    def record(self, **values: float) -> None:
        """Append a line to the run's log."""
        line = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 2),
            **{k: round(v, 4) for k, v in values.items()},
        }
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        log.info("%s: %s", self.folder.name, line)

    def save(self) -> None:
        """Write the checkpoint to a temporary file, then move it to its path."""
        state = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state(),
            "step": self.step,
            "seconds": self.seconds,
        }
        aside = self.checkpoint.with_suffix(".new")
        torch.save(state, aside)
        aside.replace(self.checkpoint)

    def _restore(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        self.average.load_state_dict(state["average"])
        self.optimiser.restore(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        log.info("%s resumes at step %d of %d", self.folder, self.step, self.steps)

    def _wait_while_paused(self) -> None:
        while (self.folder / PAUSE).exists() or (self.folder.parent / PAUSE).exists():
            time.sleep(1)
