"""Tuning of visual prompts, norms and classifier of a CLIP on pseudo-labels; resumable, one checkpoint per epoch."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dinoclip_viz.adapt.nola.classifier import WEIGHT
from dinoclip_viz.adapt.nola.criterion import EpochRecord, agreement, choose_epoch, class_entropy
from dinoclip_viz.adapt.nola.prompted import PromptedTower, tuned_encoder
from dinoclip_viz.adapt.nola.settings import NolaSettings
from dinoclip_viz.adapt.nola.views import Pixels, batches_ahead, encoded
from dinoclip_viz.disk import replacing, write_json
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder

log = logging.getLogger(__name__)

CHECKPOINT, HISTORY = "checkpoint.pt", "history.json"
PREDICTIONS = "predictions"
"""Name of the (N,) class numbers in the file of an epoch."""
_PASS = 64  # images per forward pass; their gradients are added up over a batch
_SAME_TARGETS = 0.98  # fraction of equal pseudo-labels at which a checkpoint belongs to the same images
_SAME_TEXTS = 1e-4  # largest difference of their values

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Task:
    """What is tuned, and on what.

    Attributes:
        base: image encoder of a CLIP.
        images: N images.
        texts: (C, D) unit rows, the initial weight of the classifier.
        class_names: C names.
        targets: (N,) pseudo-labels.
        neighbours: (N, k) rows of the unlabelled criterion.
        settings: of the tuning.
        folder: of the checkpoints; None saves none.
    """

    base: BatchedImageEncoder
    images: Pixels
    texts: Tensor
    class_names: tuple[str, ...]
    targets: Tensor
    neighbours: Tensor
    settings: NolaSettings
    folder: Path | None = None


class Tuner:
    """State of a tuning: current weights, their moving average, and the best epoch so far.

    Step 3 of NoLA (Imam et al. 2024, https://arxiv.org/abs/2411.19346): cross-entropy with label smoothing between the
    pseudo-label of the weak view and the prediction for a strong view, by AdamW at a constant rate. The published code
    chooses the epoch by labelled accuracy; here it is the epoch whose averaged weights agree most with the frozen
    guide's neighbours.

    Args:
        task: what is tuned.

    Attributes:
        epoch: completed epochs.
        history: one record per epoch.

    Raises:
        EncoderError: the encoder is not a CLIP that can be tuned.
        ValueError: the folder holds a run on other images, classes, texts or settings.
    """

    def __init__(self, task: Task) -> None:
        settings = task.settings
        self.task, self.epoch = task, 0
        self.history: list[EpochRecord] = []
        self.tower = PromptedTower(task.base, settings.prompts, settings.seed)
        self.weight = nn.Parameter(task.texts.detach().float().clone().to(task.base.device))
        named = [*self.tower.named_parameters(), (WEIGHT, self.weight)]
        decayed = [values for name, values in named if "bias" not in name]
        biases = [values for name, values in named if "bias" in name]
        self.optimiser = torch.optim.AdamW(decayed, lr=settings.rate, weight_decay=settings.decay)
        self.optimiser.add_param_group({"params": biases, "weight_decay": 0.0})
        self.steps = 0
        self.average = self.tensors()
        self.best: Tensors = {}
        self.targets = task.targets
        if task.folder is not None and (task.folder / CHECKPOINT).is_file():
            self._restore(task.folder / CHECKPOINT)

    def tensors(self) -> Tensors:
        """Copies of the current prompts, norms and classifier by name."""
        return {**self.tower.tensors(), WEIGHT: self.weight.detach().clone()}

    def run(self, progress: Callable[[float, str], None]) -> tuple[Tensors, EpochRecord]:
        """Prompts, norms and classifier of the chosen epoch, and its record, after the remaining epochs.

        Args:
            progress: receives the completed fraction of the tuning, 0 to 1, and one line.
        """
        epochs = self.task.settings.epochs
        while self.epoch < epochs:
            record = self._run_epoch()
            progress(
                self.epoch / epochs,
                f"epoch {self.epoch} of {epochs}: loss {record.loss:.3f}, "
                f"agreement with neighbours {100 * record.agreement:.1f} %, entropy {record.entropy:.2f} nats",
            )
        chosen = self.chosen()
        if chosen.entropy < self.least_entropy:
            log.warning(
                "the predictions collapsed to few classes: their entropy is %.2f nats; expected %.2f or more",
                chosen.entropy,
                self.least_entropy,
            )
        return self.best, chosen

    @property
    def least_entropy(self) -> float:
        """Entropy of the predicted classes in nats below which an epoch counts as collapsed."""
        return self.task.settings.least_entropy * class_entropy(self.targets)

    def chosen(self) -> EpochRecord:
        """The record of the best epoch so far by the unlabelled criterion."""
        return choose_epoch(self.history, self.least_entropy)

    def _run_epoch(self) -> EpochRecord:
        """One epoch; the record of its averaged weights, which are stored."""
        losses = [self._step(rows, views) for rows, views in self._batches()]
        self.epoch += 1
        predictions = predict(self.task.base, self.average, self.task.images)
        record = EpochRecord(
            epoch=self.epoch,
            loss=sum(losses) / len(losses),
            agreement=agreement(predictions, self.task.neighbours),
            entropy=class_entropy(predictions),
            kept=(predictions == self.targets).float().mean().item(),
        )
        self.history.append(record)
        if self.chosen().epoch == self.epoch:
            self.best = {name: values.clone() for name, values in self.average.items()}
        self._save(predictions)
        return record

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows (b,) and strong views (b, size, size, 3) of the batches of the next epoch."""
        settings, count = self.task.settings, len(self.task.images)
        number = self.epoch + 1
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + number)
        batches = torch.randperm(count, generator=generator).split(min(settings.batch, count))
        rows = [batch.tolist() for batch in batches]
        views = batches_ahead(self.task.images, rows, self.task.base.size, settings.seed, number)
        yield from zip(batches, views, strict=True)

    def _step(self, rows: Tensor, views: Tensor) -> float:
        """One step on a batch; the loss."""
        base, settings, total = self.task.base, self.task.settings, 0.0
        self.optimiser.zero_grad(set_to_none=True)
        for part, some in zip(rows.split(_PASS), views.split(_PASS), strict=True):
            pixels = base.preprocessing.normalised(some.to(base.device), base.dtype)
            grid = pixels.shape[2] // base.patch, pixels.shape[3] // base.patch
            logits = self.tower(pixels, grid).pooled.float() @ self.weight.T  # (b, C)
            targets = self.targets[part].to(base.device)
            loss = F.cross_entropy(logits, targets, label_smoothing=settings.smoothing, reduction="sum") / len(rows)
            loss.backward()
            total += loss.item()
        self.optimiser.step()
        self.steps += 1
        keep = min(settings.average, (1 + self.steps) / (10 + self.steps))
        for name, values in self.tensors().items():
            self.average[name].lerp_(values, 1 - keep)
        return total

    def _save(self, predictions: Tensor) -> None:
        """Write the epoch's averaged weights and predictions, then the checkpoint, each to a temporary file first."""
        folder = self.task.folder
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        epoch = {**self.average, PREDICTIONS: predictions.to(torch.int32)}
        with replacing(epoch_file(folder, self.epoch)) as aside:
            save_file({name: values.cpu().contiguous() for name, values in epoch.items()}, aside)
        state = {
            "run": run_name(self.task),
            "current": self.tensors(),
            "average": self.average,
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
            "targets": self.targets,
            "texts": self.task.texts,
            "position": [self.epoch, self.steps],
            "history": [asdict(record) for record in self.history],
        }
        with replacing(folder / CHECKPOINT) as aside:
            torch.save(state, aside)
        history = {"chosen": self.chosen().epoch, "epochs": state["history"]}
        write_json(folder / HISTORY, history)

    def _restore(self, file: Path) -> None:
        task = self.task
        try:
            state = torch.load(file, map_location=task.base.device, weights_only=True)
            run, targets, texts = str(state["run"]), state["targets"].cpu(), state["texts"].cpu()
        except Exception as error:  # torch raises many kinds of errors for invalid files
            raise ValueError(f"{file} is not a checkpoint of NoLA ({type(error).__name__}); delete it") from error
        same = len(targets) == len(task.targets) and (targets == task.targets).float().mean() >= _SAME_TARGETS
        if run != run_name(task) or not same or not torch.allclose(texts, task.texts, atol=_SAME_TEXTS):
            raise ValueError(
                f"{file.parent} holds a run on other images, classes, texts or settings; expected the same ones; "
                "choose another folder"
            )
        self.targets = targets
        self.tower.load_tensors(state["current"])
        self.weight.data.copy_(state["current"][WEIGHT])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.best = state["average"], state["best"]
        self.epoch, self.steps = state["position"]
        self.history = [EpochRecord(**record) for record in state["history"]]


def predict(base: ImageEncoder, tensors: Mapping[str, Tensor], images: Pixels) -> Tensor:
    """(N,) class numbers of images by a base model with prompts, norms and classifier of `tensors`."""
    encoder = tuned_encoder(base, tensors)
    return torch.cat([part.pooled @ tensors[WEIGHT].cpu().T for part in encoded(encoder, images)]).argmax(dim=1)


def epoch_file(folder: Path, epoch: int) -> Path:
    """File of the averaged weights of an epoch, from 1."""
    return folder / f"epoch-{epoch:04d}.safetensors"


def epoch_tensors(folder: Path, epoch: int) -> Tensors:
    """Averaged prompts, norms and classifier of an epoch, and its predictions, from the folder of a run."""
    found: Tensors = load_file(epoch_file(folder, epoch))
    return found


def run_name(task: Task) -> str:
    """Model, classes, number of images and settings of a run as JSON; a run may be resumed for more epochs."""
    settings = {name: value for name, value in asdict(task.settings).items() if name != "epochs"}
    about = {"model": task.base.name, "classes": task.class_names, "images": len(task.images), "settings": settings}
    return json.dumps(about, sort_keys=True)
