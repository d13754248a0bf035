"""What `dinoclip evaluate retrieval` compares: images' and captions' vectors, encoded now or taken from stores."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dinoclip_viz.cli.answer import Failure, check_some
from dinoclip_viz.cli.loading import check_stored, computed, model_of, stored
from dinoclip_viz.encoders.devices import chosen_device

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from dinoclip_viz.data import Sample, Source
    from dinoclip_viz.models import ImageTextModel
    from dinoclip_viz.projector import Projector
    from dinoclip_viz.store import FeatureStore
    from dinoclip_viz.tasks.retrieval.vectors import Vectors

CHUNK = 8192  # rows of a store that are projected at a time


@dataclass(frozen=True, eq=False)
class Compared:
    """One model's and its teacher's vectors of one data set.

    Attributes:
        data: the data set's name; model: the model's; encoder: what sees the images; teacher: the CLIP behind it.
        images: (B, D) the model's images; texts: (T, D) captions in the same space.
        teacher_images, teacher_texts: the teacher's; None where the model is its own teacher.
        owners: (T,) which image each caption describes.
        captions: the T texts.
        image: opens an image by its number, or returns the reason why it cannot.
        computed: device and dtype of the encoder, for JSON.
    """

    data: str
    model: str
    encoder: str
    teacher: str
    images: Vectors
    texts: Vectors
    teacher_images: Vectors | None
    teacher_texts: Vectors | None
    owners: NDArray[np.int64]
    captions: Sequence[str]
    image: Callable[[int], Image.Image | str]
    computed: Mapping[str, str]


def with_teachers(names: Sequence[str], arguments: Namespace) -> list[tuple[ImageTextModel, ImageTextModel]]:
    """Each model and the CLIP that its text tower belongs to; each is loaded once, and a CLIP is its own teacher."""
    loaded = {name: model_of(arguments, name) for name in dict.fromkeys(names)}
    pairs = []
    for name in dict.fromkeys(names):
        model = loaded[name]
        if model.projector is None or model.projector.side == "both":  # no CLIP is behind two unimodal encoders
            pairs.append((model, model))
            continue
        teacher = model.projector.text_encoder
        if teacher not in loaded:
            loaded[teacher] = model_of(arguments, teacher)
        pairs.append((model, loaded[teacher]))
    return pairs


def encode_source(
    source: Source,
    pairs: Sequence[tuple[ImageTextModel, ImageTextModel]],
    limit: int | None,
    first_only: bool,
    watch: Callable[[int], object],
) -> tuple[list[Compared], list[Failure]]:
    """A data set through all models in one pass over its images, and the images that could not be used.

    Args:
        source: the data set.
        pairs: models with their teachers.
        limit: the first so many samples; None takes all.
        first_only: one caption per image, its first.
        watch: called with the number of samples finished since the last call.

    Raises:
        ValueError: no image could be used.
    """
    import torch

    from dinoclip_viz.pipeline.encoding import Job, encoded, vectors, with_patches

    models = {model.name: model for pair in pairs for model in pair}
    failed: list[Failure] = []
    numbers: list[int] = []
    captions: list[str] = []
    owners: list[int] = []
    parts: dict[str, list[Tensor]] = {name: [] for name in models}

    def refuse(sample: Sample) -> str | None:
        return None if _said(sample) else f"{sample.key}: no caption; expected one or more"

    jobs = [Job(model.images, with_patches if model.reads_patches else vectors) for model in models.values()]
    for part in encoded(islice(source.samples(), limit), jobs, refuse=refuse):
        watch(part.batch.seen)
        failed += [Failure(sample.path or sample.key, reason) for _, sample, reason in part.batch.failed]
        for number, sample in zip(part.batch.numbers, part.batch.samples, strict=True):
            said = _said(sample)[:1] if first_only else _said(sample)
            captions += said
            owners += [len(numbers)] * len(said)
            numbers.append(number)
        for model, kept in zip(models.values(), part.kept, strict=bool(part.kept)):
            parts[model.name].append(model.pooled_in_space(**kept))
    check_some(len(numbers), failed)
    if not numbers:
        raise ValueError(f"{source.name} has no samples; expected at least one image with a caption")
    images = {name: torch.cat(some) for name, some in parts.items()}
    texts = _encode_once(models, captions)

    def image_of(row: int) -> Image.Image | str:
        sample = next(iter(source.samples(numbers[row])))
        try:
            return sample.load()
        except ValueError:
            return sample.key

    compared = [
        Compared(
            source.name, model.name, model.images.name, teacher.name, images[model.name], texts[model.name],
            None if model is teacher else images[teacher.name], None if model is teacher else texts[teacher.name],
            np.array(owners), captions, image_of, computed(model.images, model.texts),
        )
        for model, teacher in pairs
    ]  # fmt: skip
    return compared, failed


def compare_stores(
    images: str, targets: str, model: str, arguments: Namespace, first_only: bool
) -> tuple[Compared, list[Failure]]:
    """A model's vectors from the store of its image encoder and from its teacher's, and the images without captions.

    Args:
        images: folder of the store, or of several.
        targets: folder of the teacher's store, with captions.
        model: a projector's folder, "playground", or the CLIP that `targets` is of.
        arguments: with `--limit` and the options of `add_device`; first_only: as in `encode_source`.

    Raises:
        ValueError: a store is missing, of another encoder or dtype, or without captions, or the two are of different
            images.
    """
    from dinoclip_viz.data.reopen import reopen
    from dinoclip_viz.tasks.retrieval.stored import stored_images, stored_texts

    projector = _projector(model)
    told = projector.text_space if projector is not None else _source_name(model)
    both = projector is not None and projector.side == "both"
    target = _open_texts(targets, told) if both else _open(targets, told)
    seen = target if projector is None else _open(images, projector.image_space)
    for store in (seen, target):
        check_stored(arguments, store)
    wanted = told if projector is not None else target.space
    if target.texts is None or target.text_to_image is None or target.text_space != wanted:
        held = f"of {target.text_space}" if target.text_space else "nowhere"
        raise ValueError(f"{target.path} has captions' vectors {held}; expected {wanted}'s: embed it with --texts")
    check_same_images(seen, target)
    every = np.asarray(target.text_to_image)
    described = np.unique(every)
    keys = target.metadata["key"].to_pylist() if "key" in target.metadata.column_names else range(len(target))
    bare = np.setdiff1d(np.arange(len(target)), described)
    failed = [Failure(str(keys[row]), f"{keys[row]}: no caption; expected one or more") for row in bare]
    rows = described[described < arguments.limit] if arguments.limit is not None else described
    said = np.flatnonzero(np.isin(every, rows))
    if first_only:
        said = said[np.unique(every[said], return_index=True)[1]]
    if not len(rows):
        raise ValueError(f"{target.path} has no captions; embed a source that has some, with --texts")
    words = target.captions()
    paths = target.metadata["image_path"].to_pylist() if "image_path" in target.metadata.column_names else None

    def image_of(row: int) -> Image.Image | str:
        key = str(keys[rows[row]])
        try:
            path = str(paths[rows[row]] or "") if paths is not None else ""
            return reopen(target.settings.source, key, path, levels=target.settings.image_levels)
        except ValueError:
            return key

    texts: Vectors = _rows(target.texts, said)
    vectors: Vectors = _rows(target.pooled, rows)
    teacher_images, teacher_texts = (None, None) if projector is None or both else (vectors, texts)
    if projector is not None and both:
        projector = projector.to(chosen_device(arguments.device))
        vectors, texts = stored_images(projector, seen, rows), stored_texts(projector, target, said)
    elif projector is not None:
        vectors, texts = _projected(projector.to(chosen_device(arguments.device)), seen, rows, texts)
    compared = Compared(
        target.settings.source, model, seen.settings.encoder, model if both else target.settings.encoder,
        vectors, texts, teacher_images, teacher_texts,
        np.searchsorted(rows, every[said]), [words[row] for row in said], image_of, stored(seen),
    )  # fmt: skip
    return compared, failed


def check_same_images(images: FeatureStore, targets: FeatureStore) -> None:
    """Nothing, if both stores hold the same images in the same order.

    Raises:
        ValueError: they do not; one line names both.
    """
    both = f"{images.path} and {targets.path}"
    if len(images) != len(targets):
        raise ValueError(
            f"{both} hold {len(images)} and {len(targets)} images; expected the same: embed one source with both"
        )
    if images.path == targets.path or any("key" not in one.metadata.column_names for one in (images, targets)):
        return
    one, other = images.metadata["key"].to_pylist(), targets.metadata["key"].to_pylist()
    differ = [row for row, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if differ:
        row = differ[0]
        raise ValueError(
            f"{both} hold different images: {len(differ)} of {len(one)} keys differ, row {row} first "
            f"({one[row]!r} and {other[row]!r}); embed one source with both encoders"
        )


def _said(sample: Sample) -> list[str]:
    return [text for text in sample.captions if text.strip()]


def _encode_once(models: dict[str, ImageTextModel], captions: Sequence[str]) -> dict[str, Tensor]:
    """Each model's vectors of the captions; a tower that two models share runs once."""
    by_space: dict[str, Tensor] = {}
    for model in models.values():
        if model.space not in by_space:
            unique = list(dict.fromkeys(captions))
            place = {text: row for row, text in enumerate(unique)}
            by_space[model.space] = model.encode_texts(unique).pooled[[place[text] for text in captions]]
    return {name: by_space[model.space] for name, model in models.items()}


def _projector(name: str) -> Projector | None:
    """The projector of that name; None where the name is a CLIP's. Its encoders are not loaded."""
    from dinoclip_viz.encoders.catalog import PLAYGROUND
    from dinoclip_viz.projector import Projector

    folder = PLAYGROUND / "playground-projector" if name == "playground" else Path(name).expanduser()
    file = folder / "config.json"
    if not file.is_file() or "image_encoder" not in json.loads(file.read_text(encoding="utf-8")):
        return None
    projector: Projector = Projector.from_pretrained(str(folder))
    return projector.eval().requires_grad_(False)


def _source_name(name: str) -> str:
    from dinoclip_viz.encoders.catalog import CATALOG

    return CATALOG[name].source if name in CATALOG else name


def _open(path: str, space: str) -> FeatureStore:
    """The store of a space among those at a path."""
    from dinoclip_viz.store import FeatureStore, store_folders

    store = FeatureStore.open(path, space if len(store_folders(path)) > 1 else None)
    if space not in (store.space, store.patch_space, store.settings.encoder):
        raise ValueError(
            f"{store.path} holds features of {store.settings.encoder}; expected {space}'s, as --model asks"
        )
    return store


def _open_texts(path: str, space: str) -> FeatureStore:
    """The store with captions of a space among those at a path."""
    from dinoclip_viz.store import FeatureStore, store_folders

    stores = [FeatureStore.open(folder) for folder in store_folders(path)] or [FeatureStore.open(path)]
    found = next((store for store in stores if store.text_space == space), None)
    if found is None:
        held = ", ".join(store.text_space or "none" for store in stores)
        raise ValueError(f"{path} has captions' vectors of {held}; expected {space}'s: embed it with --texts")
    return found


def _rows(vectors: Vectors, rows: NDArray[np.int64]) -> Vectors:
    return vectors if len(rows) == len(vectors) else vectors[rows]


def _projected(
    projector: Projector, seen: FeatureStore, rows: NDArray[np.int64], texts: Vectors
) -> tuple[Vectors, Vectors]:
    """Images and captions in the one space that the projector makes them meet in."""
    import torch

    from dinoclip_viz.tasks.retrieval.vectors import block

    device = projector.pooled_mean.device
    with torch.no_grad():
        if projector.side == "text":
            starts = range(0, len(texts), CHUNK)
            parts = [projector(block(texts, at, min(at + CHUNK, len(texts))).to(device)).cpu() for at in starts]
            return _rows(seen.pooled, rows), torch.cat(parts)
        if seen.mean is None and projector.inputs != "pooled":
            raise ValueError(f"{seen.path} has no `mean`, which the projector reads; embed the source again")
        mean = seen.mean if seen.mean is not None else seen.pooled
        parts = []
        for start in range(0, len(rows), CHUNK):
            stop = min(start + CHUNK, len(rows))
            pooled, means = (block(kind, start, stop, rows) for kind in (seen.pooled, mean))
            parts.append(projector(projector.choose(pooled, means).to(device)).cpu())
        return torch.cat(parts), texts
