"""Stores of made-up features, written as `embed` writes them but without any encoder."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from dinoclip_viz.store import FeatureStore, StoreSettings
from dinoclip_viz.store.writing import ImageRow, Shard, finish, prepare, write_shard

DINO, CLIP = "made-dino", "made-clip"


def settings(encoder, width, texts="", text_width=0, patches="", source="made"):
    return StoreSettings(
        encoder=encoder, space=encoder, patch_space=encoder, dimension=width, patch_dimension=width, revision=None,
        processor="pil", dtype="float32", size=96, patches=patches, source=source, texts=texts, text_space=texts,
        text_dimension=text_width, shard_size=50, versions={},
    )  # fmt: skip


def pair(folder, images=300, captions=2, seed=0, shard=100, patches=False, bare=()):
    """Stores of a made-up DINO and of a made-up CLIP, the second a noisy nonlinear map of the first.

    `bare` names rows without captions.
    """
    chance = np.random.default_rng(seed)
    seen = chance.normal(size=(images, 12)).astype(np.float32)
    mean = seen @ np.random.default_rng(1).normal(size=(12, 12)).astype(np.float32)
    mixed = np.random.default_rng(2).normal(size=(12, 8)).astype(np.float32)
    taught = np.tanh(seen @ mixed) + 0.1 * chance.normal(size=(images, 8)).astype(np.float32)
    owners = np.array([row for row in range(images) for _ in range(captions) if row not in bare], np.int64)
    said = taught[owners] + 0.1 * chance.normal(size=(len(owners), 8)).astype(np.float32)
    grids = chance.normal(size=(images, 2, 3, 12)).astype(np.float32)
    grid = "2 x 3" if patches else ""
    folders = [Path(folder) / DINO, Path(folder) / CLIP]
    plan = [settings(DINO, 12, CLIP, 8, grid), settings(CLIP, 8, CLIP, 8, grid)]
    for place, one in zip(folders, plan, strict=True):
        prepare(place, one)
    for number, start in enumerate(range(0, images, shard)):
        rows = range(start, min(start + shard, images))
        here = slice(rows.start, rows.stop)
        mine = (owners >= rows.start) & (owners < rows.stop)
        arrays = [{"img_emb": seen[here], "mean_emb": mean[here]}, {"img_emb": taught[here], "mean_emb": taught[here]}]
        if patches:
            arrays[0]["patch_emb"] = grids[here]
            arrays[1] |= {"patch_emb": grids[here] @ mixed, "dense_emb": np.tanh(grids[here] @ mixed)}
        rows = [
            ImageRow(f"k{r}", f"{r}.png", tuple(f"{r} {c}" for c in range(captions * (r not in bare))), None, 9, 9)
            for r in rows
        ]
        halves = [{kind: values.astype(np.float16) for kind, values in one.items()} for one in arrays]
        shard_of = Shard(rows, [], halves, said[mine].astype(np.float16), owners[mine] - start)
        write_shard(folders, number, shard_of, 0.0)
    for place, one in zip(folders, plan, strict=True):
        finish(place, one)
    return tuple(FeatureStore.open(place) for place in folders)


WORDS = "made-text"


def unimodal(folder, images=300, captions=2, seed=0, noise=0.3, equal=False, tokens=True, patches="full", name="made"):
    """A store of a made-up image encoder with captions of a made-up text encoder, which share 4 of their directions.

    With `equal`, captions of an image are equal, as are those of images 0 and 1.
    """
    chance, fixed = np.random.default_rng(seed), np.random.default_rng(7)
    meaning = chance.normal(size=(images, 4))
    to_image, to_text = fixed.normal(size=(4, 12)), fixed.normal(size=(4, 8))
    patch = meaning[:, None, None] @ to_image + noise * chance.normal(size=(images, 2, 3, 12))
    pooled = meaning @ to_image + noise * chance.normal(size=(images, 12))
    owners = np.repeat(np.arange(images), captions)
    counts = chance.integers(2, 5, len(owners))
    said = np.repeat(meaning[owners], counts, axis=0) @ to_text
    values = said + noise * chance.normal(size=(counts.sum(), 8))
    edges = np.concatenate([[0], np.cumsum(counts)])
    texts = np.array([values[a:b].mean(0) for a, b in pairwise(edges)]).reshape(-1, 8)
    place = Path(folder) / name
    plan = settings(name, 12, WORDS, 8, patches)
    plan = StoreSettings(**{**vars(plan), "token_dimension": 8 if tokens else 0})
    prepare(place, plan)
    arrays = {"img_emb": pooled, "mean_emb": patch.mean((1, 2))} | ({"patch_emb": patch} if patches else {})
    rows = [
        ImageRow(f"k{r}", f"{r}.png", (f"{max(r, int(equal))}",) * captions if equal else tuple(
            f"{r} {c}" for c in range(captions)), None, 9, 9)
        for r in range(images)
    ]  # fmt: skip
    halves = {kind: kept.astype(np.float16) for kind, kept in arrays.items()}
    pieces = (values.astype(np.float16), counts.astype(np.int64)) if tokens else None
    write_shard([place], 0, Shard(rows, [], [halves], texts.astype(np.float16), owners, pieces), 0.0)
    finish(place, plan)
    return FeatureStore.open(place)
