"""Results of the heat-map tab: prompts with colours, maps and masks of each method, times and mIoU."""

from __future__ import annotations

import html
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz import viz
from dinoclip_viz.app.images import GivenImage, shown
from dinoclip_viz.app.resolution import OWN, SHARP, size_of
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.app.zero_shot.tab import lines_of
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.playground import CLASSES, Scene
from dinoclip_viz.tasks.open_vocabulary.heatmap import contrast
from dinoclip_viz.tasks.open_vocabulary.masks import label_image, mask_record
from dinoclip_viz.tasks.open_vocabulary.named_classes import classes_named, ground_truth_of_named, named_confusion
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, areas, hard_labels, score_maps, vocabulary_vectors
from dinoclip_viz.viz.enlarge import enlarge_labels

METHODS = {
    "projector": "DINO's patches through the trained projector",
    "text-to-dino": "texts mapped into the space of DINO's patches (Talk2DINO)",
    "maskclip": "values of CLIP's last layer without attention (MaskCLIP)",
    "sclip": "each CLIP patch attends to patches with a similar query or key (SCLIP)",
    "naclip": "each CLIP patch attends to nearby patches with a similar key (NACLIP)",
    "clearclip": "each CLIP patch attends to patches with a similar query, without residual and MLP (ClearCLIP)",
    "dinoiser-pooling": "MaskCLIP averaged over patches with similar DINO features (teacher of CLIP-DINOiser)",
    "dinoiser": "the same with similarities predicted by two trained layers instead of DINO (CLIP-DINOiser)",
    "proxyclip": "values of CLIP with attention between patches of similar DINO features (ProxyCLIP)",
    "lposs": "MaskCLIP scores propagated over a graph of similar, nearby patches (LPOSS)",
}
"""Heat-map method -> what it does."""

MOST_PROMPTS = 24
LONGEST_NAME = 40
"""Number of displayed letters of a prompt."""
QUIET = "#8a8a93"
"""Colour of background prompts, which have no mask."""

Annotated = tuple[Image.Image, list[tuple[NDArray[np.float64], str]]]
"""Value of `gr.AnnotatedImage`: an image, and its masks with their names."""


@dataclass(frozen=True)
class Request:
    """The prompts of one run.

    Attributes:
        vocabulary: the prompts, then the background prompts.
        names: displayed names of the prompts, all distinct; colours: (T, 3) of the prompts.
        against: the contrast prompts, or None.
        threshold: cosine below which a pixel belongs to no prompt; None for no threshold.
    """

    vocabulary: Vocabulary
    names: tuple[str, ...]
    colours: NDArray[np.uint8]
    against: Vocabulary | None = None
    threshold: float | None = None

    @property
    def count(self) -> int:
        """Number of prompts without background prompts."""
        return len(self.names)

    @property
    def background(self) -> list[int]:
        """Indices of the background prompts."""
        return list(range(self.count, len(self.vocabulary.names)))


@dataclass(frozen=True)
class Found:
    """The result of one method.

    Attributes:
        method: its name.
        maps: (C, height, width) score of each entry of the vocabulary: its cosine, minus that of the nearest contrast
            prompt.
        labels: (height, width) index of the best entry, -1 for none.
        encoding, prompting: seconds for the image's patches, once per image, and for the prompts and their maps.
        miou: against the ground truth of a synthetic scene, 0 to 1; None without ground truth.
    """

    method: str
    maps: Tensor
    labels: Tensor
    encoding: float
    prompting: float
    miou: float | None = None


def request_of(prompts: str, background: str = "", against: str = "", threshold: float | None = None) -> Request:
    """The typed prompts: one per line, synonyms separated by semicolons.

    Raises:
        ValueError: there is no prompt, or there are too many.
    """
    lines, behind, others = (lines_of(text) for text in (prompts, background, against))
    count = len(lines) + len(behind) + len(others)
    if count > MOST_PROMPTS:
        raise ValueError(f"found {count} prompts; expected at most {MOST_PROMPTS}; remove some")
    vocabulary = Vocabulary.of(lines, behind)
    names = shown_names([name for name in vocabulary.names if name not in vocabulary.background])
    contrasts = Vocabulary.of(others) if others else None
    return Request(vocabulary, tuple(names), viz.class_palette(len(names)), contrasts, threshold)


def shown_names(names: Sequence[str]) -> list[str]:
    """The names, long ones cut, all distinct.

    Examples:
        >>> shown_names(["cat", "x" * 50, "x" * 60])[1:] == ["x" * 39 + "…", "x" * 39 + "… (2)"]
        True
    """
    found: list[str] = []
    for name in names:
        flat = " ".join(name.split())
        cut = flat if len(flat) <= LONGEST_NAME else f"{flat[: LONGEST_NAME - 1]}…"
        number, one = 2, cut
        while one in found:
            number, one = number + 1, f"{cut} ({number})"
        found.append(one)
    return found


def chips(prompts: str, background: str = "") -> str:
    """The prompts as a line of escaped HTML, each in its colour, the background prompts in grey."""
    try:
        request = request_of(prompts, background)
    except ValueError as error:
        return f'<div class="chips"><span class="quiet">{html.escape(str(error))}</span></div>'
    parts = []
    for name, synonyms, colour in zip(request.names, request.vocabulary.prompts, request.colours, strict=False):
        ink = "#fff" if colour @ np.array([0.299, 0.587, 0.114]) < 140 else "#111"
        more = f" +{len(synonyms) - 1}" if len(synonyms) > 1 else ""
        parts.append(f'<span style="background:{hexadecimal(colour)};color:{ink}">{html.escape(name)}{more}</span>')
    behind = [request.vocabulary.names[number] for number in request.background]
    parts += [f'<span class="quiet">{html.escape(name)}</span>' for name in shown_names(behind)]
    return f'<div class="chips">{"".join(parts)}</div>'


def hexadecimal(colour: Sequence[int] | NDArray[np.uint8]) -> str:
    """The colour in hexadecimal notation.

    Examples:
        >>> hexadecimal((230, 159, 0))
        '#e69f00'
    """
    return "#" + "".join(f"{int(value):02x}" for value in colour)


def find(
    bench: Workbench,
    key: str,
    image: GivenImage,
    request: Request,
    methods: Sequence[str],
    patches: int = OWN,
    as_patches: bool = False,
) -> list[Found]:
    """The result of each method; the image is encoded once, the prompts each time.

    Args:
        bench: the workbench; key: of the model.
        image: the image.
        request: the prompts.
        methods: methods that the model supports.
        patches: along the longer side; 0 for the encoder's own.
        as_patches: whether maps are interpolated between patches, without the edges of the image.
    """
    sharp = None if as_patches else SHARP
    model, scene = bench.model(key), bench.scenes.scene(image)
    size = size_of(model.images, int(patches))
    found = []
    for method in methods:
        features, encoding = bench.ready(key, image, method, size)
        start = perf_counter()
        words = vocabulary_vectors(model, request.vocabulary, method)
        maps = score_maps(model, features, words, method, image.image, sharp)
        if request.against is not None:
            words = vocabulary_vectors(model, request.against, method)
            maps = contrast(maps, score_maps(model, features, words, method, image.image, sharp))
        labels = hard_labels(maps, request.threshold, request.background)
        prompting = perf_counter() - start
        found.append(Found(method, maps, labels, encoding, prompting, agreement(labels, request, scene)))
    return found


def agreement(labels: Tensor, request: Request, scene: Scene | None) -> float | None:
    """The mIoU against a scene's ground truth, over the prompts that name a class; None without ground truth."""
    if scene is None:
        return None
    target, named = scene.mask.astype(np.int64) - 1, classes_named(request.vocabulary, CLASSES)
    counted = named_confusion(labels.numpy(), target, named, request.vocabulary.names, may_be_none(request))
    return None if counted is None or math.isnan(counted.miou) else counted.miou


def may_be_none(request: Request) -> bool:
    """Whether a pixel may belong to no prompt."""
    return request.threshold is not None or bool(request.background)


def target_labels(request: Request, scene: Scene | None) -> NDArray[np.int64] | None:
    """(height, width) ground truth as indices of prompts; None without ground truth for any prompt."""
    named = classes_named(request.vocabulary, CLASSES)
    if scene is None or all(one is None for one in named):
        return None
    return ground_truth_of_named(scene.mask.astype(np.int64) - 1, named)


def annotated(image: GivenImage, labels: NDArray[np.int64], request: Request, opacity: float) -> Annotated:
    """The image in grey, so that all colours are those of prompts, and a mask for each prompt with pixels."""
    grey = shown(image.image).convert("L").convert("RGB")
    large = enlarge_labels(labels, grey.width, grey.height)
    masks = [(large == number) * float(opacity) for number in range(request.count)]
    return grey, [(mask, name) for mask, name in zip(masks, request.names, strict=True) if mask.any()]


def colour_map_of(request: Request) -> dict[str, str]:
    """Name -> colour of each prompt."""
    return {name: hexadecimal(colour) for name, colour in zip(request.names, request.colours, strict=True)}


def figures(found: Sequence[Found], request: Request) -> str:
    """A table as HTML: times, mIoU where there is ground truth, and the percentage of pixels of each prompt."""
    known = any(one.miou is not None for one in found)
    head = ["method", "image (ms)", "prompts (ms)", *(["mIoU"] if known else []), *request.names]
    rows = []
    for one in found:
        covered = areas(one.labels, len(request.vocabulary.names))[: request.count]
        miou = [] if not known else ["" if one.miou is None else f"{one.miou:.0%}"]
        times = [f"{one.encoding * 1000:.0f}", f"{one.prompting * 1000:.1f}"]
        rows.append([one.method, *times, *miou, *(f"{fraction:.0%}" for fraction in covered)])
    cells = "".join(f"<th>{html.escape(word)}</th>" for word in head)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(word)}</td>' for word in row)}</tr>" for row in rows)
    legend = "image: encoding time, once per image; prompts: time per run; below a prompt: percentage of the pixels"
    if known:
        counted = "all pixels" if may_be_none(request) else "the pixels of the prompted classes"
        legend += f"; mIoU: over {counted}, against the ground truth"
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="figures">{table}</div><div class="figures"><p>{legend}.</p></div>'


def write_masks(home: Path, found: Sequence[Found], request: Request) -> list[str]:
    """Files to download: for each method its masks as JSON, and an image whose pixels are labels.

    Args:
        home: folder in which a new one is made for them.
        found: the result of each method; request: the prompts.
    """
    folder = Path(tempfile.mkdtemp(dir=home))
    paths = []
    for one in found:
        record = mask_record(one.labels, request.vocabulary, one.method, request.threshold)
        paths.append(folder / f"masks-{one.method}.json")
        paths[-1].write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")
        paths.append(folder / f"labels-{one.method}.png")
        label_image(one.labels, request.colours.tolist()).save(paths[-1])
    return [str(path) for path in paths]


def chosen_methods(model: ImageTextModel, methods: str | Sequence[str] | None) -> list[str]:
    """The chosen methods in the model's order; the model's default for None.

    Raises:
        ValueError: none is chosen, or the model does not support one.
    """
    if methods is None or isinstance(methods, str):
        return [model.check_method(methods)]
    if not methods:
        raise ValueError(f"no method is chosen; expected one or more of: {', '.join(model.methods)}")
    checked = {model.check_method(method) for method in methods}
    return [method for method in model.methods if method in checked]
