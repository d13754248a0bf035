"""What the heat-map tab works out: prompts with their colours, maps and masks by each method, times and agreement."""

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
from dinoclip_viz.app.resolution import OWN, size_of
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.app.zero_shot.tab import lines_of
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.playground import CLASSES, Scene
from dinoclip_viz.tasks.open_vocabulary.heatmap import contrast
from dinoclip_viz.tasks.open_vocabulary.masks import label_image, mask_record
from dinoclip_viz.tasks.open_vocabulary.named_classes import classes_named, named_confusion, truth_of_named
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, areas, hard_labels, score_maps, vocabulary_vectors
from dinoclip_viz.viz.enlarge import enlarge_labels

MOST_PROMPTS = 24
LONGEST_NAME = 40
"""Letters of a prompt that are shown."""
QUIET = "#8a8a93"
"""The colour of background words, which have no mask."""

Annotated = tuple[Image.Image, list[tuple[NDArray[np.float64], str]]]
"""What `gr.AnnotatedImage` shows: an image, and its masks with their names."""


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    Attributes:
        vocabulary: the prompts, then the background words.
        names: of the prompts as they are shown, each another one; colours: (T, 3) of the prompts.
        against: the contrast prompts, None where there are none.
        threshold: below which a place is none of the prompts; None for no threshold.
    """

    vocabulary: Vocabulary
    names: tuple[str, ...]
    colours: NDArray[np.uint8]
    against: Vocabulary | None = None
    threshold: float | None = None

    @property
    def count(self) -> int:
        """How many prompts, background words aside."""
        return len(self.names)

    @property
    def background(self) -> list[int]:
        """Numbers of the background words."""
        return list(range(self.count, len(self.vocabulary.names)))


@dataclass(frozen=True)
class Found:
    """What one method finds.

    Attributes:
        method: its name.
        maps: (C, height, width) score of each entry of the vocabulary: its cosine, less the closest contrast prompt's.
        labels: (height, width) the best of them, -1 for none.
        encoding, prompting: seconds for the image's patches, once an image, and for the prompts and their maps.
        miou: agreement with a drawn scene's truth, 0 to 1; None where nothing is known.
    """

    method: str
    maps: Tensor
    labels: Tensor
    encoding: float
    prompting: float
    miou: float | None = None


def asked(prompts: str, background: str = "", against: str = "", threshold: float | None = None) -> Asked:
    """What was typed: a prompt a line, synonyms between semicolons.

    Raises:
        ValueError: no prompt, or too many.
    """
    lines, behind, others = (lines_of(text) for text in (prompts, background, against))
    count = len(lines) + len(behind) + len(others)
    if count > MOST_PROMPTS:
        raise ValueError(f"{count} prompts are more than the {MOST_PROMPTS} answered at once; take fewer")
    vocabulary = Vocabulary.of(lines, behind)
    names = shown_names([name for name in vocabulary.names if name not in vocabulary.background])
    contrasts = Vocabulary.of(others) if others else None
    return Asked(vocabulary, tuple(names), viz.class_palette(len(names)), contrasts, threshold)


def shown_names(names: Sequence[str]) -> list[str]:
    """The names, long ones cut, each still another one.

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
    """The prompts as a line of HTML, each in its colour, the background words in grey; what was typed is escaped."""
    try:
        wanted = asked(prompts, background)
    except ValueError as error:
        return f'<div class="chips"><span class="quiet">{html.escape(str(error))}</span></div>'
    parts = []
    for name, synonyms, colour in zip(wanted.names, wanted.vocabulary.prompts, wanted.colours, strict=False):
        ink = "#fff" if colour @ np.array([0.299, 0.587, 0.114]) < 140 else "#111"
        more = f" +{len(synonyms) - 1}" if len(synonyms) > 1 else ""
        parts.append(f'<span style="background:{hexadecimal(colour)};color:{ink}">{html.escape(name)}{more}</span>')
    words = [wanted.vocabulary.names[number] for number in wanted.background]
    parts += [f'<span class="quiet">{html.escape(name)}</span>' for name in shown_names(words)]
    return f'<div class="chips">{"".join(parts)}</div>'


def hexadecimal(colour: Sequence[int] | NDArray[np.uint8]) -> str:
    """The colour as pages write it.

    Examples:
        >>> hexadecimal((230, 159, 0))
        '#e69f00'
    """
    return "#" + "".join(f"{int(value):02x}" for value in colour)


def find(
    bench: Workbench, key: str, image: GivenImage, wanted: Asked, methods: Sequence[str], patches: int = OWN
) -> list[Found]:
    """What each method finds in the image; its patches are computed once an image, the prompts each time.

    Args:
        bench: the workbench; key: of the model.
        image: the image.
        wanted: what to look for.
        methods: that the model serves.
        patches: along the longer side; 0 leaves it to the encoder.
    """
    model, scene = bench.model(key), bench.drawn.scene(image)
    size = size_of(model.images, int(patches))
    found = []
    for method in methods:
        features, encoding = bench.ready(key, image, method, size)
        start = perf_counter()
        maps = score_maps(model, features, vocabulary_vectors(model, wanted.vocabulary, method), method)
        if wanted.against is not None:
            words = vocabulary_vectors(model, wanted.against, method)
            maps = contrast(maps, score_maps(model, features, words, method))
        labels = hard_labels(maps, wanted.threshold, wanted.background)
        prompting = perf_counter() - start
        found.append(Found(method, maps, labels, encoding, prompting, agreement(labels, wanted, scene)))
    return found


def agreement(labels: Tensor, wanted: Asked, scene: Scene | None) -> float | None:
    """MIoU with a drawn scene's truth, over the prompts that name what it may hold; None where nothing is known."""
    if scene is None:
        return None
    truth, named = scene.mask.astype(np.int64) - 1, classes_named(wanted.vocabulary, CLASSES)
    counted = named_confusion(labels.numpy(), truth, named, wanted.vocabulary.names, may_be_none(wanted))
    return None if counted is None or math.isnan(counted.miou) else counted.miou


def may_be_none(wanted: Asked) -> bool:
    """Whether a place may be none of the prompts."""
    return wanted.threshold is not None or bool(wanted.background)


def truth_labels(wanted: Asked, scene: Scene | None) -> NDArray[np.int64] | None:
    """(height, width) the truth in the prompts' numbers; None where no prompt names anything that is known."""
    named = classes_named(wanted.vocabulary, CLASSES)
    if scene is None or all(one is None for one in named):
        return None
    return truth_of_named(scene.mask.astype(np.int64) - 1, named)


def annotated(image: GivenImage, labels: NDArray[np.int64], wanted: Asked, opacity: float) -> Annotated:
    """The image in greys, so that all colours are those of the prompts, and a mask for each prompt that is found."""
    grey = shown(image.image).convert("L").convert("RGB")
    large = enlarge_labels(labels, grey.width, grey.height)
    masks = [(large == number) * float(opacity) for number in range(wanted.count)]
    return grey, [(mask, name) for mask, name in zip(masks, wanted.names, strict=True) if mask.any()]


def colour_map_of(wanted: Asked) -> dict[str, str]:
    """The colour of each prompt's mask, the same as its chip's."""
    return {name: hexadecimal(colour) for name, colour in zip(wanted.names, wanted.colours, strict=True)}


def figures(found: Sequence[Found], wanted: Asked) -> str:
    """A table as HTML: times, agreement with the truth where it is known, and the share that each prompt covers."""
    known = any(one.miou is not None for one in found)
    head = ["method", "image", "prompts", *(["mIoU"] if known else []), *wanted.names]
    rows = []
    for one in found:
        covered = areas(one.labels, len(wanted.vocabulary.names))[: wanted.count]
        miou = [] if not known else ["" if one.miou is None else f"{one.miou:.0%}"]
        times = [f"{one.encoding * 1000:.0f} ms", f"{one.prompting * 1000:.1f} ms"]
        rows.append([one.method, *times, *miou, *(f"{share:.0%}" for share in covered)])
    cells = "".join(f"<th>{html.escape(word)}</th>" for word in head)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(word)}</td>' for word in row)}</tr>" for row in rows)
    words = "image: its patches, once an image; prompts: each time; below a prompt: the share that it covers"
    if known:
        counted = "all pixels, none of these too" if may_be_none(wanted) else "the pixels of what the prompts name"
        words += f"; mIoU: over {counted}, against what was drawn"
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="figures">{table}</div><div class="figures"><p>{words}.</p></div>'


def write_masks(home: Path, found: Sequence[Found], wanted: Asked) -> list[str]:
    """Files to download: for each method its masks as JSON, and an image whose pixels are labels.

    Args:
        home: folder that they are written to, each time into a new one inside.
        found: what each method finds; wanted: what was asked for.
    """
    folder = Path(tempfile.mkdtemp(dir=home))
    paths = []
    for one in found:
        record = mask_record(one.labels, wanted.vocabulary, one.method, wanted.threshold)
        paths.append(folder / f"masks-{one.method}.json")
        paths[-1].write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")
        paths.append(folder / f"labels-{one.method}.png")
        label_image(one.labels, wanted.colours.tolist()).save(paths[-1])
    return [str(path) for path in paths]


def chosen_methods(model: ImageTextModel, methods: str | Sequence[str] | None) -> list[str]:
    """The methods to use: those that were chosen, in the model's order, or its best one.

    Raises:
        ValueError: none is chosen, or the model does not serve one.
    """
    if methods is None or isinstance(methods, str):
        return [model.check_method(methods)]
    if not methods:
        raise ValueError(f"no method is chosen; choose from {', '.join(model.methods)}")
    checked = {model.check_method(method) for method in methods}
    return [method for method in model.methods if method in checked]
