"""Training samples per second, relative to a Dataset and DataLoader loop on the same store and to the bare step.

`python tests/benchmarks/training.py` prints JSON. Both loops take the same steps (unit-norm MSE, AdamW) at batch 1024;
medians of alternating runs. The large head is the published one at full width, compared with a bare step on a batch in
memory.
"""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from dinoclip_viz.projector import Projector
from dinoclip_viz.store import FeatureStore, StoreSettings
from dinoclip_viz.store.writing import ImageRow, Shard, finish, prepare, write_shard
from dinoclip_viz.training import Pairs, Recipe, find_recipe
from dinoclip_viz.training.fit import Trained, _loss
from dinoclip_viz.training.losses import unit_norm_mse
from dinoclip_viz.training.processes import Processes

BATCH = 1024
SIZES = {"playground": (128, 128), "dinov2_base_to_clip_b16": (768, 512)}


def stores(folder: Path, images: int, sizes: tuple[int, int]) -> tuple[FeatureStore, FeatureStore]:
    """Random vectors of two sizes, in shards of 2048."""
    chance = np.random.default_rng(0)
    for name, width in zip(("dino", "clip"), sizes, strict=True):
        settings = StoreSettings(
            encoder=name, space=name, patch_space=name, dimension=width, patch_dimension=width, revision=None,
            processor="pil", dtype="float32", size=224, patches="", source="made", texts="", text_space="",
            text_dimension=0, shard_size=2048, versions={},
        )  # fmt: skip
        prepare(folder / name, settings)
        for number, start in enumerate(range(0, images, 2048)):
            rows = range(start, min(start + 2048, images))
            values = chance.normal(size=(len(rows), width)).astype(np.float16)
            imaged = [ImageRow(str(row), "", (), None, 9, 9) for row in rows]
            arrays = [{"img_emb": values, "mean_emb": values}]
            write_shard([folder / name], number, Shard(imaged, [], arrays, None, np.empty(0, np.int64)), 0.0)
        finish(folder / name, settings)
    return FeatureStore.open(folder / "dino"), FeatureStore.open(folder / "clip")


class Rows(Dataset):
    """The store as a map-style dataset: one row at a time."""

    def __init__(self, images: FeatureStore, targets: FeatureStore) -> None:
        self.images, self.targets = images, targets

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        seen, wanted = self.images.mean[row], self.targets.pooled[row]
        return torch.from_numpy(seen.astype(np.float32)), torch.from_numpy(wanted.astype(np.float32))


def projector(recipe: Recipe, sizes: tuple[int, int]) -> Projector:
    torch.manual_seed(0)
    names = {"image_encoder": "dino", "text_encoder": "clip", "image_space": "dino", "text_space": "clip"}
    return Projector(
        **names,
        width=sizes[0],
        outputs=sizes[1],
        head=recipe.head,
        inputs="mean",
        hidden=recipe.hidden,
        blocks=recipe.blocks,
    )


def ours(recipe: Recipe, pairs: Pairs, steps: int) -> Callable[[], None]:
    model = projector(recipe, (pairs.images.settings.dimension, pairs.targets.settings.dimension))
    trained = Trained(model, recipe)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=1e-3)
    state = {"epoch": 0}

    def run() -> None:
        order = pairs.order(0, state["epoch"])
        state["epoch"] += 1
        for step in range(steps):
            chance = np.random.default_rng([0, step])
            batch = pairs.batch(order[step * BATCH : (step + 1) * BATCH], 0, chance)
            loss = _loss(model, trained.whole, batch, recipe, Processes(), chance)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss.item()

    return run


def ordinary(
    recipe: Recipe, images: FeatureStore, targets: FeatureStore, steps: int, workers: int
) -> Callable[[], None]:
    model = projector(recipe, (images.settings.dimension, targets.settings.dimension))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = DataLoader(Rows(images, targets), BATCH, shuffle=True, num_workers=workers, drop_last=True)

    def run() -> None:
        for step, (seen, wanted) in enumerate(loader):
            if step == steps:
                break
            loss = unit_norm_mse(model(seen), wanted)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss.item()

    return run


def bare(recipe: Recipe, sizes: tuple[int, int], steps: int) -> Callable[[], None]:
    model = projector(recipe, sizes)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    seen, wanted = torch.randn(BATCH, sizes[0]), torch.randn(BATCH, sizes[1])

    def run() -> None:
        for _ in range(steps):
            loss = unit_norm_mse(model(seen), wanted)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss.item()

    return run


def in_turns(loops: dict[str, Callable[[], None]], steps: int, rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop()
    for _ in range(rounds):
        for name, loop in loops.items():
            begun = time.perf_counter()
            loop()
            times[name].append(time.perf_counter() - begun)
    return {name: round(steps * BATCH / float(np.median(taken)), 1) for name, taken in times.items()}


def small_heads(base: Recipe, images: FeatureStore, targets: FeatureStore) -> dict[str, object]:
    """Samples per second of both loops for the linear and the MLP head, and their ratio."""
    figures = {}
    for head, hidden in (("linear", 1), ("mlp", 512)):
        recipe = replace(base, head=head, hidden=hidden)
        loops = {"ours": ours(recipe, Pairs(images, targets, None, 0, "mean"), 20)}
        loops |= {f"loader_{count}_workers": ordinary(recipe, images, targets, 20, count) for count in (0, 2)}
        loops["bare_step"] = bare(recipe, (images.settings.dimension, targets.settings.dimension), 20)
        rates = in_turns(loops, 20, 5)
        best = max(rate for name, rate in rates.items() if name.startswith("loader"))
        ratios = {"to_the_faster_loader": rates["ours"] / best, "to_the_bare_step": rates["ours"] / rates["bare_step"]}
        figures[head] = {**rates, **{name: round(ratio, 2) for name, ratio in ratios.items()}}
    return figures


def main() -> None:
    base = replace(find_recipe("dinov2-clip"), batch=BATCH)
    figures: dict[str, object] = {"threads": torch.get_num_threads(), "batch": BATCH}
    for size, widths in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            figures[size] = small_heads(base, *stores(Path(folder), 40 * BATCH, widths))
    with tempfile.TemporaryDirectory() as folder:
        widths = SIZES["dinov2_base_to_clip_b16"]
        pairs = Pairs(*stores(Path(folder), 4 * BATCH, widths), holdout=0)
        rates = in_turns({"ours": ours(base, pairs, 2), "bare_step": bare(base, widths, 2)}, 2, 5)
        figures[base.head] = {**rates, "ratio": round(rates["ours"] / rates["bare_step"], 3)}
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
