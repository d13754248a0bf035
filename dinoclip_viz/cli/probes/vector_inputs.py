"""What the measures on frozen vectors compare: a gallery and queries, from stores or encoded now, with their labels."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Failure, check_some
from dinoclip_viz.cli.loading import check_stored, computed, encoder_of, stored
from dinoclip_viz.cli.parser import whole_number

if TYPE_CHECKING:
    from torch import Tensor

    from dinoclip_viz.data import Sample, Source
    from dinoclip_viz.encoders.base import ImageEncoder
    from dinoclip_viz.store import FeatureStore
    from dinoclip_viz.tasks.retrieval.vectors import Vectors

ENCODERS = ("playground-dino", "playground-clip", "random:playground-dino")
GALLERY, QUERIES = "playground:2001:2000:96:1", "playground:3001:1000:96:1"


@dataclass(frozen=True, eq=False)
class Images:
    """What one encoder sees in some images.

    Attributes:
        data: the data set's name, or the store's folder; encoder: the encoder's name.
        pooled: (N, D); mean: (N, D'), None where a store has none.
        space: of `pooled`; patch_space: of `mean`.
        numbers: (N,) which samples of the source, or rows of the store, they are of.
        labels: N classes; empty where none were asked for.
        device, dtype: that the encoder computed on and in; "" where a store has no record of it.
    """

    data: str
    encoder: str
    pooled: Vectors
    mean: Vectors | None
    space: str
    patch_space: str
    numbers: Sequence[int]
    labels: Sequence[str]
    device: str
    dtype: str

    def vectors(self, which: str) -> Vectors:
        """(N, D) `pooled` or `mean`.

        Raises:
            ValueError: a store without `mean`.
        """
        if which == "pooled":
            return self.pooled
        if self.mean is None:
            raise ValueError(f"{self.data} has no `mean`; take --features pooled, or embed the source again")
        return self.mean


def add_labelled_arguments(parser: ArgumentParser) -> None:
    """The options of every measure with a gallery and queries."""
    parser.add_argument("--encoder", action="append", metavar="NAME", help=f"may be repeated ({', '.join(ENCODERS)})")
    for name, default, what in (("gallery", GALLERY, "known images"), ("queries", QUERIES, "images to measure on")):
        parser.add_argument(
            f"--{name}", default=default, metavar="SOURCE", help=f"{what}: data set or store (%(default)s)"
        )
        parser.add_argument(f"--{name}-split", metavar="S", help=f"part of --{name}, where it has parts")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N images of each")


def labelled_pairs(arguments: Namespace) -> tuple[list[tuple[Images, Images]], list[Failure]]:
    """Each encoder's known images and queries, both with labels, and the images that could not be used.

    Raises:
        ValueError: there are no labels, both are the same images, the queries have classes that the others have not,
            or a store is of another encoder.
    """
    places = [(arguments.gallery, arguments.gallery_split), (arguments.queries, arguments.queries_split)]
    if places[0] == places[1]:
        raise ValueError(
            f"--gallery and --queries are the same images, {places[0][0]}, which would find themselves; "
            "name other images, or other splits"
        )
    names = chosen_encoders(arguments.encoder, [place for place, _ in places])
    known, missed = seen(places[0], names, [places[1][0]], arguments, arguments.limit, labels=True)
    asked, missed_too = seen(places[1], names, [places[0][0]], arguments, arguments.limit, labels=True)
    pairs = list(zip(known, asked, strict=True))
    for one, other in pairs:
        check_spaces(one, other)
        strange = sorted(set(other.labels) - set(one.labels))
        if strange:
            listed = ", ".join(strange[:5]) + (", ..." if len(strange) > 5 else "")
            raise ValueError(
                f"{other.data} has {len(strange)} of {len(set(other.labels))} classes that {one.data} has not: "
                f"{listed}; expected images of the same classes"
            )
    return pairs, missed + [failure for failure in missed_too if failure not in missed]


def check_spaces(one: Images, other: Images) -> None:
    """Nothing, if both are by one encoder, computed in one dtype.

    Raises:
        SpaceError: they are by different encoders.
        StoreError: the dtypes differ.
        ValueError: they are called the same, and yet their vectors are of different width.
    """
    from dinoclip_viz.encoders.base import same_space
    from dinoclip_viz.store import check_one_dtype

    same_space(one.space, other.space)
    check_one_dtype(one.encoder, {one.data: one.dtype, other.data: other.dtype})
    if one.pooled.shape[1] != other.pooled.shape[1]:
        widths = f"{one.pooled.shape[1]} and {other.pooled.shape[1]}"
        raise ValueError(f"{one.data} and {other.data} have vectors of {widths} values; embed one of them again")


def chosen_encoders(given: Sequence[str] | None, places: Sequence[str]) -> list[str]:
    """The encoders asked for; without, those of the given stores; without stores, the usual three."""
    from dinoclip_viz.store import store_folders
    from dinoclip_viz.store.settings import read_settings

    held = [read_settings(folder)[0].encoder for place in places for folder in store_folders(place)]
    return list(dict.fromkeys(given or held or ENCODERS))


def seen(
    source_name: tuple[str, str | None],
    names: Sequence[str],
    others: Sequence[str],
    arguments: Namespace,
    limit: int | None,
    labels: bool,
) -> tuple[list[Images], list[Failure]]:
    """What each encoder sees in the images of a store or data set, and those that could not be used.

    Args:
        source_name: a store's folder, or a data set, and its split.
        names: of the encoders.
        others: what it will be compared with; where that is a store, images are encoded at its size, in its dtype.
        arguments: with the options of `add_device`, `add_levels` and `add_encoding`; a store stays what it is.
        limit: the first so many images.
        labels: whether images without a label are of no use.

    Raises:
        ValueError: no image could be used, or a store is of another encoder or dtype.
    """
    from dinoclip_viz.data import open_source
    from dinoclip_viz.data.levels import with_levels
    from dinoclip_viz.store import FeatureStore, store_folders

    path, split = source_name
    if store_folders(path):
        if split is not None:
            raise ValueError(f"{path} is a store, which has no splits; omit the split, or name the data set")
        stores = [FeatureStore.open(path, name) for name in names]
        for store in stores:
            check_stored(arguments, store)
        pairs = [_of_store(store, name, limit, labels) for store, name in zip(stores, names, strict=True)]
        return [one for one, _ in pairs], pairs[0][1]
    source = with_levels(open_source(path, split, encoding=arguments.encoding), arguments.levels)
    held = {name: FeatureStore.open(other, name) for name in names for other in others if store_folders(other)}
    encoders = {name: encoder_of(arguments, name, held.get(name)) for name in names}
    return encoded(source, encoders, {name: store.settings.size or None for name, store in held.items()}, limit, labels)


def encoded(
    source: Source,
    encoders: Mapping[str, ImageEncoder],
    sizes: Mapping[str, int | None],
    limit: int | None,
    labels: bool,
) -> tuple[list[Images], list[Failure]]:
    """What each encoder sees in a data set, in one pass over its images; arguments as in `seen`.

    Args:
        source: the data set.
        encoders: name -> encoder; sizes: name -> side of the crop in pixels, where it is not the published one.
        limit, labels: as in `seen`.

    Raises:
        ValueError: no image could be used.
    """
    import torch
    from tqdm import tqdm

    from dinoclip_viz.pipeline.encoding import Job
    from dinoclip_viz.pipeline.encoding import encoded as run_encoders

    failed: list[Failure] = []
    numbers: list[int] = []
    classes: list[str] = []
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in encoders}

    def refuse(sample: Sample) -> str | None:
        return f"{sample.key}: no label; expected a class" if labels and sample.label is None else None

    jobs = [Job(encoder, size=sizes.get(name)) for name, encoder in encoders.items()]
    count = source.count if limit is None else min(source.count or limit, limit)
    counted = tqdm(total=count, unit="images", dynamic_ncols=True, desc=source.name, disable=None)
    with counted as bar:
        for part in run_encoders(islice(source.samples(), limit), jobs, refuse=refuse):
            bar.update(part.batch.seen)
            failed += [Failure(sample.path or sample.key, reason) for _, sample, reason in part.batch.failed]
            numbers += part.batch.numbers
            classes += [sample.label for sample in part.batch.samples if labels and sample.label is not None]
            for name, kept in zip(encoders, part.kept, strict=bool(part.kept)):
                parts[name].append((kept["pooled"], kept["mean"]))
    _check_labelled(source.name, len(numbers), failed)
    found: list[Images] = []
    for name, encoder in encoders.items():
        pooled, mean = (torch.cat([part[kind] for part in parts[name]]) for kind in (0, 1))
        spaces = encoder.space, encoder.patch_space
        found.append(Images(source.name, name, pooled, mean, *spaces, numbers, classes, **computed(encoder)))
    return found, failed


def _of_store(store: FeatureStore, name: str, limit: int | None, labels: bool) -> tuple[Images, list[Failure]]:
    import numpy as np

    rows = np.arange(min(len(store), limit or len(store)))
    failed: list[Failure] = []
    classes: list[str] = []
    if labels:
        table = store.metadata
        told = table["label"].to_pylist() if "label" in table.column_names else [None] * len(store)
        keys = table["key"].to_pylist() if "key" in table.column_names else range(len(store))
        bare = [row for row in rows.tolist() if told[row] is None]
        failed = [Failure(str(keys[row]), f"{keys[row]}: no label; expected a class") for row in bare]
        rows = np.setdiff1d(rows, bare)
        classes = [str(told[row]) for row in rows]
    _check_labelled(str(store.path), len(rows), failed)

    def chosen(vectors: Vectors) -> Vectors:
        return vectors if len(rows) == len(store) else vectors[rows]

    mean = None if store.mean is None else chosen(store.mean)
    data = str(store.path)
    spaces = store.space, store.patch_space
    images = Images(data, name, chosen(store.pooled), mean, *spaces, rows.tolist(), classes, **stored(store))
    return images, failed


def _check_labelled(data: str, used: int, failed: Sequence[Failure]) -> None:
    """Nothing, if any image could be used.

    Raises:
        ValueError: none could; no image has a label; the line names the ways to give one.
    """
    if not used and failed and all("no label" in failure.reason for failure in failed):
        raise ValueError(
            f"none of the {len(failed)} images of {data} has a label; expected one folder per class, a column "
            "`label` or playground scenes of one object, such as playground:2001:2000:96:1"
        )
    check_some(used, failed)
    if not used:
        raise ValueError(f"{data} has no samples; expected at least one image")
