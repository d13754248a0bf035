"""A training loop with checkpoints; a resumed run reproduces an uninterrupted one bit for bit."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dinoclip_viz.disk import replacing
from dinoclip_viz.training.processes import Processes
from dinoclip_viz.training.recipes import Average

_SAVE_SECONDS = 60.0
_SLOWEST = 0.999  # decay of the moving average after warm-up

Weights = dict[str, Tensor]
History = list[dict[str, float]]
Watch = Callable[[dict[str, float]], None]
"""Called with the record of each epoch as it ends."""


class Loop:
    """One run of AdamW under OneCycleLR over epochs of equal length, with weight averaging and the best epoch kept.

    Args:
        module: the module to train; `weights()` holds the result.
        epochs, steps: number of epochs, and of steps per epoch.
        rate, decay: highest learning rate, weight decay.
        average: the average of the weights that is the result: "none", "ema", or "epochs".
        averaged: number of last epochs that "epochs" averages.
        checkpoint: file of the checkpoint; None saves none.
        processes: the processes of the run; the first one writes.
        rates: prefix of parameter names -> their highest learning rate, where it is not `rate`.

    Attributes:
        epoch, step: completed epochs, and completed steps of the current one.
        history: a record per epoch, of numbers only.
        best: weights and score of the best epoch so far.
    """

    def __init__(
        self,
        module: nn.Module,
        epochs: int,
        steps: int,
        rate: float,
        decay: float,
        average: Average,
        averaged: int,
        checkpoint: Path | None,
        processes: Processes,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        self.module, self.epochs, self.steps = module, epochs, steps
        self.average, self.averaged = average, averaged
        self.checkpoint, self.processes = checkpoint, processes
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in module.named_parameters():
            own = [given for prefix, given in (rates or {}).items() if name.startswith(prefix)]
            groups.setdefault(own[0] if own else rate, []).append(parameter)
        self.optimiser = torch.optim.AdamW(
            [{"params": parameters, "lr": given} for given, parameters in groups.items()], lr=rate, weight_decay=decay
        )
        # one more than the number of steps: the schedule also advances after the last one
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, max_lr=list(groups), total_steps=epochs * steps + 1
        )
        self.epoch, self.step, self.loss, self.stopped = 0, 0, 0.0, False
        self.history: list[dict[str, float]] = []
        self.best: Weights = {}
        self.best_score, self.best_epoch = float("-inf"), 0
        self._moving = copy.deepcopy(module.state_dict()) if average == "ema" else {}
        self._recent: list[Weights] = []
        if checkpoint is not None and checkpoint.is_file():
            self._restore(checkpoint)

    def run(self) -> Iterator[int]:
        """The remaining steps of the current epoch; the caller computes a loss and calls `update`."""
        saved = time.monotonic()
        while self.step < self.steps:
            yield self.step
            if time.monotonic() - saved > _SAVE_SECONDS:
                self.save()
                saved = time.monotonic()

    def update(self, loss: Tensor) -> None:
        """One optimiser step on a loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.sum_gradients(self.module)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        self.loss += loss.item()
        if self.average == "ema":
            done = self.epoch * self.steps + self.step
            keep = min(_SLOWEST, 1 - 1 / (done + 1))
            now = self.module.state_dict()
            with torch.no_grad():
                for name, value in self._moving.items():
                    value.lerp_(now[name], 1 - keep)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def weights(self) -> Weights:
        """The weights by which the current epoch is scored: the last ones, or an average."""
        if self.average == "ema":
            return {name: value.clone() for name, value in self._moving.items()}
        now = {name: value.clone() for name, value in self.module.state_dict().items()}
        if self.average == "none":
            return now
        together = [*self._recent[-(self.averaged - 1) :], now] if self.averaged > 1 else [now]
        return {name: torch.stack([one[name] for one in together]).mean(0) for name in now}

    def end_epoch(self, record: Mapping[str, float], score: float, patience: int) -> None:
        """Store the epoch's record and, if it is the best, its weights; stop after `patience` epochs without a best."""
        weights = self.weights()
        if self.average == "epochs" and self.averaged > 1:
            now = {name: value.clone() for name, value in self.module.state_dict().items()}
            self._recent = [*self._recent, now][-(self.averaged - 1) :]
        self.epoch, self.step = self.epoch + 1, 0
        self.history.append({"epoch": self.epoch, "loss": self.loss / self.steps, **record})
        self.loss = 0.0
        if score > self.best_score:
            self.best, self.best_score, self.best_epoch = weights, score, self.epoch
        self.stopped = self.epoch >= self.epochs or bool(patience and self.epoch - self.best_epoch >= patience)
        self.save()

    def save(self) -> None:
        """Write the checkpoint to a temporary file, then move it to its path."""
        if self.checkpoint is None or not self.processes.first:
            return
        state = {
            "module": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "moving": self._moving,
            "recent": self._recent,
            "best": self.best,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "position": [self.epoch, self.step, self.stopped],
            "loss": self.loss,
            "history": self.history,
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.checkpoint) as aside:
            torch.save(state, aside)

    def _restore(self, checkpoint: Path) -> None:
        try:
            state = torch.load(checkpoint, weights_only=True, map_location=next(self.module.parameters()).device)
            self.module.load_state_dict(state["module"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.load_state_dict(state["schedule"])
        except Exception as error:  # torch raises many kinds of errors for invalid files
            raise ValueError(
                f"{checkpoint} is not a checkpoint of this run ({type(error).__name__}); delete it to restart"
            ) from error
        self._moving, self._recent, self.best = state["moving"], state["recent"], state["best"]
        self.best_score, self.best_epoch = state["best_score"], state["best_epoch"]
        self.epoch, self.step, self.stopped = state["position"]
        self.loss, self.history = state["loss"], state["history"]
