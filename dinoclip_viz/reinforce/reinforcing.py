"""Reinforcement of a data source: views, further captions and teachers' embeddings into a store, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from PIL import Image

from dinoclip_viz.data import PlaygroundSource, Sample, Source, SourceError, open_source
from dinoclip_viz.data.levels import with_levels
from dinoclip_viz.disk import locked
from dinoclip_viz.encoders import as_encoder, load_pair
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder, same_space
from dinoclip_viz.images import ImageError, Levels
from dinoclip_viz.pipeline.embedding import shown_levels, store_settings
from dinoclip_viz.pipeline.encoding import BatchSize
from dinoclip_viz.reinforce.augment import Augmentation, draw_view, pixel_hash, replay
from dinoclip_viz.reinforce.captions import NONE, SCENES, Captioner, load_captioner
from dinoclip_viz.reinforce.encoding import PendingViews, Pupil, Viewed, chunks
from dinoclip_viz.reinforce.settings import MANIFEST, Manifest, ReinforcedSettings, claimed, joined, read_manifest
from dinoclip_viz.reinforce.store import checked_views
from dinoclip_viz.reinforce.tables import ViewRow, read_rows, table_file, write_rows
from dinoclip_viz.store import StoreError, StoreSettings
from dinoclip_viz.store.settings import read_settings, slug
from dinoclip_viz.store.writing import finish, first_missing, missing, prepare, write_shard

Watch = Callable[[int, int | None], None]
"""Called with the number of finished samples and the total, None if unknown."""

Teacher = str | tuple[ImageEncoder, TextEncoder]
"""An image-text model by name, or its two encoders."""

NO_CAPTION = "no caption; expected at least one per image, or a captioner"


@dataclass(frozen=True)
class ReinforceReport:
    """Result of `reinforce`.

    Attributes:
        store: its folder.
        students, teachers: names of the encoders' folders inside it.
        images: number of images.
        captions: number of captions, the synthetic ones included.
        views: K.
        failed: key and reason of each image that could not be read or has no caption.
        encoded: number of images that this run encoded.
        seconds: duration of this run in seconds.
    """

    store: Path
    students: tuple[str, ...]
    teachers: tuple[str, ...]
    images: int
    captions: int
    views: int
    failed: tuple[tuple[str, str], ...]
    encoded: int
    seconds: float


def reinforce(
    source: Source | str | Path,
    teachers: Teacher | Sequence[Teacher],
    store: str | Path,
    student: str | ImageEncoder | None = None,
    views: int | None = None,
    captioner: str | None = None,
    captions: int | None = None,
    seed: int | None = None,
    augmentation: Augmentation | None = None,
    batch_size: BatchSize = 32,
    shard_size: int | None = None,
    watch: Watch | None = None,
    levels: Levels = None,
) -> ReinforceReport:
    """Reinforce a data source (Vasu et al. 2024); an interrupted run resumes with the same result.

    On a store that exists, settings that are None are those of the store, and further teachers and students encode the
    same views, replayed from their parameters and checked against the stored pixels.

    Args:
        source: captioned images, or a path or name that `open_source` opens.
        teachers: image-text models, by name or as (image encoder, text encoder); the first one of a store is the model
            that a projector is trained for. None are required to add a student.
        store: folder of the reinforced store.
        student: image encoder to train on, by name or loaded.
        views: K, number of random views per image; 8 in a new store.
        captioner: "none", "scenes", or an image-to-text model by name; "scenes" for a new store of the playground's
            scenes, else "none".
        captions: number of captions that the captioner writes per image; 5 in a new store.
        seed: of the views' parameters and of the captioner; 0 in a new store.
        augmentation: settings of the views; in a new store those of DataCompDR at the first encoder's size.
        batch_size: images per forward pass, as in `embed`.
        shard_size: samples per shard, the unit of resumption; 512 in a new store.
        watch: called with the number of finished samples and the total.
        levels: levels with which images are read, as in `load_image`.

    Raises:
        StoreError: the folder holds another store, an encoder that differs from the stored one of its name, or views of
            other images.
        SourceError: the source cannot be read, is empty, or has no captions.
        EncoderError: an encoder or the captioner cannot be loaded.
        ValueError: there is no encoder, or an argument is out of range.
    """
    begun = time.monotonic()
    folder = Path(store).expanduser()
    opened = open_source(str(source)) if isinstance(source, str | Path) else source
    given = [teachers] if isinstance(teachers, str | tuple) else list(teachers)
    taught = [_teacher(each) for each in given]
    pupils = [*taught, *([Pupil(as_encoder(student))] if student is not None else [])]
    _check_names(pupils)
    asked = {
        "seed": seed, "views": views, "captioner": captioner, "captions": captions, "shard_size": shard_size,
        "augmentation": augmentation, "levels": shown_levels(levels) or None,
    }  # fmt: skip
    wanted = _settings(folder, opened, pupils, asked)
    writer = load_captioner(wanted.captioner)
    names = tuple(slug(pupil.images.name) for pupil in pupils)
    with locked(folder, StoreError):
        manifest = claimed(folder, wanted)
        plan = [
            replace(
                store_settings(one.images, wanted.source, one.texts, None, None, wanted.shard_size),
                levels=wanted.levels,
            )
            for one in pupils
        ]
        finished = [_prepare(folder / name, settings) for name, settings in zip(names, plan, strict=True)]
        manifest = joined(manifest, names[len(taught) :], names[: len(taught)])
        encoded = 0
        if not all(finished):
            manifest.write(folder)
            run = _Run(folder, manifest, names, pupils, frozenset(range(len(taught), len(pupils))), writer, batch_size)
            encoded = run.shards(with_levels(opened, plan[0].image_levels), watch)
            for name, settings in zip(names, plan, strict=True):
                finish(folder / name, settings)
        if not manifest.complete:
            manifest = replace(manifest, complete=_all_complete(folder, manifest))
            manifest.write(folder)
    return _report(folder, manifest, encoded, time.monotonic() - begun)


def _teacher(teacher: Teacher) -> Pupil:
    images, texts = load_pair(teacher) if isinstance(teacher, str) else teacher
    same_space(images.space, texts.space)
    return Pupil(images, texts)


def _check_names(pupils: Sequence[Pupil]) -> None:
    if not pupils:
        raise ValueError("found no teacher and no student; expected at least one, such as playground-clip")
    names = [slug(pupil.images.name) for pupil in pupils]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"found {twice} twice among teachers and student; expected each once")


def _settings(folder: Path, source: Source, pupils: Sequence[Pupil], asked: Mapping[str, object]) -> ReinforcedSettings:
    """The store's settings with those that are asked for; of a new store, the defaults."""
    if (folder / MANIFEST).is_file():
        known = replace(read_manifest(folder).settings, source=source.name)
    else:
        scenes = isinstance(source, PlaygroundSource)
        drawn = Augmentation(size=pupils[0].images.size)
        known = ReinforcedSettings(source.name, captioner=SCENES if scenes else NONE, augmentation=drawn)
    return replace(known, **{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]


def _prepare(folder: Path, settings: StoreSettings) -> bool:
    """Whether the encoder's store is finished already.

    Raises:
        StoreError: it is that of another encoder.
    """
    try:
        return prepare(folder, settings)
    except StoreError as error:
        raise StoreError(f"{settings.encoder} differs from the encoder of that name in the store: {error}") from error


class _Run:
    """The shards of one run."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        names: Sequence[str],
        pupils: Sequence[Pupil],
        students: frozenset[int],
        captioner: Captioner | None,
        batch_size: BatchSize,
    ) -> None:
        self._folder, self._manifest, self._settings = folder, manifest, manifest.settings
        self._folders = [folder / name for name in names]
        self._pupils, self._students = pupils, students
        self._captioner, self._batch_size = captioner, batch_size

    def shards(self, source: Source, watch: Watch | None) -> int:
        """Write the missing shards; returns the number of images encoded.

        Raises:
            SourceError: the source is empty, or none of the images of its first shard has a caption.
        """
        rows, encoded, number = self._settings.shard_size, 0, first_missing(self._folders)
        samples = source.samples(number * rows)
        while block := list(islice(samples, rows)):
            lacking = [place for place, each in enumerate(self._folders) if number in missing([each], number + 1)]
            if lacking:
                encoded += self._shard(number, block, lacking, watch, source.count)
            if watch:
                watch(number * rows + len(block), source.count)
            number += 1
        if not number:
            raise SourceError(f"{source.name} has no samples; expected at least one image")
        return encoded

    def _shard(
        self, number: int, block: Sequence[Sample], lacking: Sequence[int], watch: Watch | None, count: int | None
    ) -> int:
        """Encode a shard by the encoders that lack it; returns the number of images."""
        stored = table_file(self._folder, number).is_file()
        known = {row.key: row for row in read_rows(self._folder, number)} if stored else None
        pupils = [self._pupils[place] for place in lacking]
        students = frozenset(here for here, place in enumerate(lacking) if place in self._students)
        pending = PendingViews(pupils, students, self._batch_size)
        done = number * self._settings.shard_size
        with chunks(block, self._settings.views, lambda sample: self._look(sample, known), pupils) as parts:
            for chunk in parts:
                pending.add(chunk)
                done += len(chunk.whole)
                if watch:
                    watch(done, count)
        if not number and not pending.rows:
            reason = pending.failed[0].error
            raise SourceError(f"none of the first {len(block)} images can be reinforced; the first is {reason}")
        self._check_rows(number, known, pending.rows)
        if known is None:
            write_rows(self._folder, number, pending.rows)
        for here, place in enumerate(lacking):
            shard, seconds = pending.shard(here)
            write_shard([self._folders[place]], number, shard, seconds)
        return len(pending.rows)

    def _look(self, sample: Sample, known: dict[str, ViewRow] | None) -> Viewed:
        """Image, row and views of a sample: those of the store, or newly drawn ones."""
        if known is not None:
            row, image = known.get(sample.key), sample.load()
            if row is None:
                raise StoreError(f"image {sample.key!r} is not in {self._folder}; expected the images of the store")
            return image, row, checked_views(image, row, self._manifest)
        settings = self._settings
        real = tuple(text.strip() for text in sample.captions if text.strip())
        if not real and self._captioner is None:
            raise ImageError(f"{sample.path or sample.key}: {NO_CAPTION}")
        image = sample.load()
        further: tuple[str, ...] = ()
        if self._captioner is not None:
            further = self._captioner.captions_of(sample, image, settings.seed, settings.captions)
        if not real and not further:
            raise ImageError(f"{sample.path or sample.key}: no caption, and an empty one by {settings.captioner}")
        numbers = range(settings.views)
        drawn = tuple(draw_view(image.size, settings.augmentation, settings.seed, sample.key, each) for each in numbers)
        views: list[Image.Image] = [replay(image, view, settings.augmentation.size) for view in drawn]
        return image, ViewRow(sample.key, *image.size, real, further, drawn, pixel_hash(views)), views

    def _check_rows(self, number: int, known: dict[str, ViewRow] | None, rows: Sequence[ViewRow]) -> None:
        """Check that a shard's images are those of the stored table, in the same order.

        Raises:
            StoreError: they are others.
        """
        if known is None or [row.key for row in rows] == list(known):
            return
        lost = next((key for key in known if key not in {row.key for row in rows}), None)
        found = f"image {lost!r} of the store cannot be read in this source" if lost else "another order of the images"
        raise StoreError(f"shard {number} of {self._folder}: {found}; expected the images of the store")


def _all_complete(folder: Path, manifest: Manifest) -> bool:
    """Whether the stores of all encoders are finished."""
    names = (*manifest.students, *manifest.teachers)
    return all(read_settings(folder / name)[1].get("complete") for name in names)


def _report(folder: Path, manifest: Manifest, encoded: int, seconds: float) -> ReinforceReport:
    import pyarrow.parquet as pq

    names = (*manifest.teachers, *manifest.students)
    first = folder / names[0]
    found = read_settings(first)[1]
    failed = [
        (str(row["key"]), str(row["error"])) for file in _failures(first) for row in pq.read_table(file).to_pylist()
    ]
    images, captions = (int(str(found[name])) for name in ("images", "captions"))
    return ReinforceReport(
        folder, manifest.students, manifest.teachers, images, captions, manifest.settings.views, tuple(failed), encoded,
        seconds,
    )  # fmt: skip


def _failures(folder: Path) -> Iterator[Path]:
    yield from sorted((folder / "failed").glob("failed_*.parquet"))
