"""Training of a projector by several processes of Ray Train: the same loop, checkpoints and result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from dinoclip_viz.projector import Projector
from dinoclip_viz.scale.cluster import connect
from dinoclip_viz.scale.errors import plain_error
from dinoclip_viz.training import Recipe, fit_projector
from dinoclip_viz.training.loop import History

_RETRIES = 3  # restarts of all processes after one has ended


def fit_projector_on_ray(
    images: str | Path,
    targets: str | Path,
    texts: str | Path | None = None,
    recipe: str | Recipe = "dinov2-clip",
    folder: str | Path = "projector",
    init: str | Path | None = None,
    patches: tuple[str | Path, str | Path] | None = None,
    actors: int = 2,
    device: str = "auto",
    dtype: str = "auto",
) -> tuple[Projector, History]:
    """A projector trained by `fit_projector` in several processes of Ray Train, and its history.

    Each process computes its slice of every batch, so that the loss is that of the whole batch; one process gives the
    weights of a run without Ray, bit for bit. The run resumes from the checkpoint in its folder, also when Ray starts
    the processes again. Stores and folder must be visible from all nodes under the same path.

    Args:
        images, targets, texts, recipe, init, dtype: as in `fit_projector`; stores by their folders.
        folder: for checkpoint, projector and `training.json`.
        patches: folders of the stores with patches.
        actors: number of processes, one per GPU if the cluster has GPUs.
        device: as in `fit_projector`.

    Raises:
        ScaleError: Ray is missing, has too few CPUs, or the training failed; the message holds its first error.
    """
    ray = connect(actors)
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    kept = Path(folder).expanduser().absolute()
    gpus = float(ray.cluster_resources().get("GPU", 0)) > 0 and device != "cpu"
    settings = {
        "stores": [str(Path(store).absolute()) for store in (images, targets)],
        "texts": None if texts is None else str(Path(texts).absolute()),
        "recipe": recipe,
        "folder": str(kept),
        "init": None if init is None else str(init),
        "patches": None if patches is None else [str(Path(store).absolute()) for store in patches],
        "device": device if device != "auto" or gpus else "cpu",
        "dtype": dtype,
        "threads": torch.get_num_threads(),
    }
    trainer = TorchTrainer(
        _train,
        train_loop_config=settings,
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(num_workers=actors, use_gpu=gpus),
        run_config=RunConfig(
            name=kept.name, storage_path=str(kept / "ray"), failure_config=FailureConfig(max_failures=_RETRIES)
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # Ray wraps whatever a process raises in errors of its own
        raise plain_error("the training failed on Ray", error) from error
    history: History = json.loads((kept / "training.json").read_text(encoding="utf-8"))["history"]
    return Projector.from_pretrained(kept).eval().requires_grad_(False), history


def _train(settings: dict[str, Any]) -> None:
    """What every process runs."""
    from dinoclip_viz.store import FeatureStore

    torch.set_num_threads(settings["threads"])
    patches = settings["patches"]
    fit_projector(
        settings["stores"][0],
        settings["stores"][1],
        settings["texts"],
        settings["recipe"],
        settings["folder"],
        settings["init"],
        None if patches is None else (FeatureStore.open(patches[0]), FeatureStore.open(patches[1])),
        settings["device"],
        dtype=settings["dtype"],
    )
