"""A report on a folder of images, from its options to the written file."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dinoclip_viz.data.locations import shown
from dinoclip_viz.encoders.devices import is_embedded
from dinoclip_viz.images import Levels, check_levels
from dinoclip_viz.models import ImageTextModel, as_model
from dinoclip_viz.pipeline.embedding import shown_levels
from dinoclip_viz.report.findings import NEIGHBOURS, find
from dinoclip_viz.report.page import Chosen, Record, render
from dinoclip_viz.report.reading import Asked, Readable, Watch, read
from dinoclip_viz.report.selection import Pair, Selection, select
from dinoclip_viz.report.settings import MAX_IMAGES, ReportSettings, listed, model_rows, now, portable, versions
from dinoclip_viz.tasks.embedding_map import method_for
from dinoclip_viz.tasks.embedding_map.projection import Method
from dinoclip_viz.tasks.zero_shot.classify import check_labels

SUFFIXES = (".html", ".htm")
NOTICE = (
    "The playground models were trained on synthetic scenes only, so results on photographs are unreliable; "
    "a published model, given by the options model and guide, reads them."
)


@dataclass(frozen=True)
class Report:
    """Result of `report`.

    Attributes:
        out: the written file.
        images: number of images in it.
        total: number of images in the folder.
        failed: name and reason of each image that could not be read.
        sections: ids of the page's sections.
        bytes: size of the file.
        seconds: duration in seconds.
    """

    out: Path
    images: int
    total: int
    failed: tuple[tuple[str, str], ...]
    sections: tuple[str, ...]
    bytes: int
    seconds: float


def report(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    model: str | ImageTextModel = "playground",
    labels: Sequence[str] = (),
    prompts: Sequence[str] = (),
    pairs: Sequence[tuple[str, str]] = (),
    method: str | None = None,
    max_images: int = MAX_IMAGES,
    levels: Levels = None,
    title: str = "",
    projection: Method = "auto",
    seed: int = 0,
    watch: Watch | None = None,
) -> Report:
    """Write an HTML file that shows what a model finds in a folder of images; it needs no network and no other file.

    The sections are a contact sheet, zero-shot classification, PCA of patch features with one basis, heat maps of
    prompts, nearest neighbours, correspondences, an embedding map, and all settings and versions. Images that cannot be
    read are listed with their reasons.

    Args:
        folder: of the images, with subfolders; captions and class names are read as `embed` reads them.
        out: the file to write, .html or .htm; it is replaced when the report is complete.
        model: image-text model or its name. PCA, neighbours, correspondences and the embedding map use its guide, if it
            has one, else its image encoder.
        labels: T >= 2 names for zero-shot classification; without names, the section is missing.
        prompts: of heat maps, used as typed; without prompts, the section is missing.
        pairs: names of two images each, relative to the folder, for correspondences; without pairs, the most similar
            images are paired.
        method: heat-map method, as in `heatmap`.
        max_images: largest number of images; of more, some are chosen that are spread evenly over the folder.
        levels: of all images, as in `load_image`.
        title: of the page; by default the folder's name.
        projection: method of the embedding map, as in `tasks.embedding_map.project`.
        seed: of the embedding map.
        watch: called with the name of a step, and the number of finished and of all images.

    Raises:
        SourceError: there is no such folder, it has no images, or it cannot be read.
        EncoderError: the model cannot be loaded.
        ValueError: no image can be read, or an option is invalid.
        ModuleNotFoundError: the projection is "umap", and umap-learn is not installed.
        OSError: the file cannot be written.

    Examples:
        >>> import tempfile
        >>> from dinoclip_viz import playground
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for number, scene in enumerate(playground.draw(1010, 3, 96)):
        ...         scene.image.save(f"{folder}/{number}.png")
        ...     made = report(folder, f"{folder}/report.html", prompts=["a cat"])
        ...     made.images, made.bytes == made.out.stat().st_size
        (3, True)
    """
    begun = time.monotonic()
    settings = ReportSettings(
        tuple(check_labels(labels)) if labels else (), _prompts(prompts), tuple(pairs), method, max_images,
        check_levels(levels), projection, seed, title,
    )  # fmt: skip
    if len(settings.labels) == 1:
        raise ValueError(f"labels has {settings.labels[0]!r} alone; expected two names or more")
    home, file = Path(folder).expanduser(), checked_out(Path(out).expanduser())
    selection = select(home, max_images, settings.pairs, settings.levels)
    method_for(len(selection.samples), projection)  # raises before anything is encoded
    model = as_model(model)
    asked = Asked(model, bool(settings.labels), settings.prompts, model.check_method(method) if prompts else "")
    partial = _opened(file)
    try:
        page, images, sections = _page(home, file, selection, asked, settings, watch or _ignore)
        partial.write_text(page, encoding="utf-8")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    size, seconds = file.stat().st_size, time.monotonic() - begun
    return Report(file, len(images.names), selection.total, images.failed, sections, size, seconds)


def checked_out(file: Path) -> Path:
    """The path of an HTML file to write.

    Raises:
        ValueError: it is a folder, or its extension is another.
    """
    if file.is_dir() or file.suffix.lower() not in SUFFIXES:
        found = "a folder" if file.is_dir() else "no HTML file"
        raise ValueError(f"{shown(file)} is {found}; expected a name in {' or '.join(SUFFIXES)}")
    return file


def _page(
    folder: Path, out: Path, selection: Selection, asked: Asked, settings: ReportSettings, watch: Watch
) -> tuple[str, Readable, tuple[str, ...]]:
    """The page, its images, and the names of its sections."""
    images = read(selection, asked, watch)
    pairs, missing = _readable_pairs(selection, images)
    findings = find(images, asked, settings.labels, pairs, settings.projection, settings.seed)
    watch("draw", 0, len(images.names))
    chosen = Chosen(bool(settings.pairs), missing)
    record = _record(folder, out, selection, images, asked, settings)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        page, sections = render(images, asked, settings.labels, findings, chosen, record, pool)
    watch("draw", len(images.names), len(images.names))
    return page, images, sections


def _readable_pairs(selection: Selection, images: Readable) -> tuple[list[Pair], list[str]]:
    """The pairs as numbers of readable images, and the names of the pairs that have another."""
    position = {number: index for index, number in enumerate(images.numbers)}
    found: list[Pair] = []
    missing: list[str] = []
    for first, second in selection.pairs:
        if first in position and second in position:
            found.append((position[first], position[second]))
        else:
            missing.append(f"{selection.names[first]} and {selection.names[second]}")
    return found, missing


def _record(
    folder: Path, out: Path, selection: Selection, images: Readable, asked: Asked, settings: ReportSettings
) -> Record:
    name = shown(folder.resolve().name) or "images"
    count, broken = len(images.names), len(images.failed)
    summary = f"{count} image{'s' * (count != 1)} of the folder {name}"
    if selection.total > len(selection.samples):
        summary += f", evenly spread over its {selection.total}"
    summary += f"; {broken} could not be read. " if broken else ". "
    vision = asked.vision.name
    summary += f"Model {portable(asked.model.name)}, image features of {portable(vision)}."
    known = _is_scenes(folder) or not is_embedded(asked.model.name)
    guide = asked.model.guide
    named = guide.name if guide is not None and guide is not asked.model.images else ""
    return Record(
        settings.title or name, summary, "" if known else NOTICE, model_rows(asked), versions(),
        _options(selection, asked, settings), settings.command(folder, asked.model.name, named, out), now(),
    )  # fmt: skip


def _options(selection: Selection, asked: Asked, settings: ReportSettings) -> list[tuple[str, str]]:
    vision = asked.vision
    templates = listed(asked.model.texts.templates, 5) if settings.labels else "not used"
    return [
        ("images", f"{len(selection.samples)} of {selection.total}, at most {settings.max_images}"),
        ("levels", shown_levels(settings.levels) or "the whole range of each image"),
        ("labels", listed(settings.labels) or "none given"),
        ("templates", templates),
        ("prompts", listed(settings.prompts) or "none given"),
        ("heat-map method", asked.method or "not used"),
        ("pairs", listed([f"{first} and {second}" for first, second in settings.pairs]) or "the most similar"),
        ("neighbours", str(NEIGHBOURS)),
        ("image vectors", f"{vision.dimension} values, of a crop of {vision.size} × {vision.size} px"),
        ("patch features", f"{vision.patch_dimension} values, of the whole image, patches of {vision.patch} px"),
        ("map", f"{settings.projection}, seed {settings.seed}"),
    ]


def _is_scenes(folder: Path) -> bool:
    """Whether `dinoclip playground draw` wrote the folder or the one that it is in."""
    return any((each / "scenes.json").is_file() for each in (folder, folder.resolve().parent))


def _prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """The prompts, each once.

    Raises:
        ValueError: one is empty, or there is one text instead of a sequence.
    """
    if isinstance(prompts, str):
        raise ValueError(f"prompts is the text {prompts!r}; expected a list of texts")
    for number, prompt in enumerate(prompts, 1):
        if not prompt.strip():
            raise ValueError(f"prompt {number} of {len(prompts)} is empty; expected a text")
    return tuple(dict.fromkeys(prompts))


def _opened(file: Path) -> Path:
    """An empty file next to the one to write, so that a folder that cannot be written is found at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.part")
    partial.touch()
    return partial


def _ignore(step: str, done: int, total: int) -> None:
    """Shows nothing."""
