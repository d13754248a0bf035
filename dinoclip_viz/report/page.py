"""The page of a report: findings and figures as the values of a template, every text escaped, and its policy."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from dinoclip_viz.report import drawings
from dinoclip_viz.report.embedding import MapView, map_script, map_view
from dinoclip_viz.report.findings import Findings
from dinoclip_viz.report.reading import Asked, Readable
from dinoclip_viz.report.settings import ModelRow, portable
from dinoclip_viz.tasks.pca.colours import component_strips
from dinoclip_viz.viz.scatter import library_code

LABELS_SHOWN, COUNTS_SHOWN = 3, 20
"""Labels of an image, and most frequent labels, that are listed."""
CAPTIONS_SHOWN = 2
WIDEST = 3.0
"""Ratio of the sides that longer images are shown with, so that they stay visible."""

View = Mapping[str, object]


@dataclass(frozen=True)
class Record:
    """What the page states about the run.

    Attributes:
        title: of the page.
        summary: one sentence on the images.
        notice: a limitation of the model, or "".
        models: encoders.
        versions: library -> version.
        options: name and value of each option.
        command: that makes the report again.
        date: with the time.
    """

    title: str
    summary: str
    notice: str
    models: Sequence[ModelRow]
    versions: Mapping[str, str]
    options: Sequence[tuple[str, str]]
    command: str
    date: str


@dataclass(frozen=True)
class Chosen:
    """What was asked of the pairs.

    Attributes:
        given: whether pairs were asked for.
        missing: names of the pairs of which an image could not be read.
    """

    given: bool
    missing: Sequence[str]


def render(
    images: Readable,
    asked: Asked,
    labels: Sequence[str],
    findings: Findings,
    chosen: Chosen,
    record: Record,
    pool: ThreadPoolExecutor,
) -> tuple[str, tuple[str, ...]]:
    """The page, and the names of its sections.

    Args:
        images: N images.
        asked: their model, prompts and method.
        labels: that they were classified by.
        findings: on the images.
        chosen: the pairs that were asked for.
        record: of the run.
        pool: draws the figures.
    """
    shared = drawings.shared_images(images, pool)
    rows = _images(images, drawings.sheet_images(images, pool), findings, labels)
    views: dict[str, object] = {
        "images": rows,
        "zero_shot": _zero_shot(rows, findings, labels, asked),
        "pca": _pca(rows, images, findings, asked, pool),
        "heat": _heat(rows, images, asked, pool),
        "neighbours": _neighbours(rows, findings),
        "pairs": _pairs(rows, images, findings, chosen, pool),
        "embedding": _embedding(images, findings, labels, asked),
    }
    sections = [(ident, name) for ident, key, name in _SECTIONS if views.get(key, True)]
    script = Markup(_text("report.js"))
    scripts: list[str] = [script]
    if views["embedding"]:
        script = Markup(f"{map_script()}\n{script}")
        scripts = [script, library_code()]
    page = _template().render(
        **views,
        **vars(record),
        failed=images.failed,
        sections=sections,
        style=Markup(_text("report.css")),
        shapes=Markup(_shapes(images, shared)),
        script=script,
        policy=policy(scripts),
    )
    return page, tuple(ident for ident, _ in sections)


def policy(scripts: Sequence[str]) -> str:
    """The content security policy of a page that loads nothing and runs these scripts alone.

    Args:
        scripts: content of each script element.

    Examples:
        >>> policy([""]).split("; ")[-1]
        "script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    """
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {allowed}"
    )


def decimal(value: float, digits: int = 2) -> str:
    """A number with a minus sign, not a hyphen.

    Examples:
        >>> decimal(-0.125), decimal(0.5, 3)
        ('−0.12', '0.500')
    """
    return f"{value:.{digits}f}".replace("-", "−")


_SECTIONS = (
    ("images", "images", "Contact sheet"),
    ("zero-shot", "zero_shot", "Zero-shot classification"),
    ("pca", "pca", "PCA of patch features"),
    ("heat", "heat", "Heat maps"),
    ("neighbours", "neighbours", "Nearest neighbours"),
    ("pairs", "pairs", "Correspondences"),
    ("map", "embedding", "Embedding map"),
    ("settings", "settings", "Settings and versions"),
)
"""Id of a section, the value that it needs, and its title."""


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_text("page.html"))


@cache
def _text(name: str) -> str:
    return files("dinoclip_viz.report").joinpath(name).read_text(encoding="utf-8").strip()


def _shapes(images: Readable, shared: Sequence[bytes]) -> str:
    """Style rules: the image and the shape of each `.t`, and the shape of each `.s`."""
    rules = []
    for number, (size, data) in enumerate(zip(images.sizes, shared, strict=True)):
        ratio = min(max(size[0] / size[1], 1 / WIDEST), WIDEST)
        rules.append(f".t{number},.s{number}{{aspect-ratio:{ratio:.4g}}}")
        rules.append(f".t{number}{{background-image:url({drawings.address(data, 'webp')})}}")
    return "\n".join(rules)


def _images(images: Readable, sources: Sequence[str], findings: Findings, labels: Sequence[str]) -> list[View]:
    best = None if findings.probabilities is None else findings.probabilities.argmax(1)
    rows: list[View] = []
    for number, (name, sample, size) in enumerate(zip(images.names, images.samples, images.sizes, strict=True)):
        captions = [" ".join(caption.split()) for caption in sample.captions[:CAPTIONS_SHOWN]]
        label = sample.label or ""
        found = "" if best is None else labels[int(best[number])]
        rows.append(
            {
                "number": number, "name": name, "width": size[0], "height": size[1], "captions": captions,
                "label": label, "source": sources[number], "alt": f"{name}: {captions[0]}" if captions else name,
                "words": " ".join((name, label, found, *captions)).lower(),
            }
        )  # fmt: skip
    return rows


def _zero_shot(rows: Sequence[View], findings: Findings, labels: Sequence[str], asked: Asked) -> View | None:
    if findings.probabilities is None:
        return None
    shown = []
    for image, chances in zip(rows, findings.probabilities, strict=True):
        order = np.argsort(-chances, kind="stable")[:LABELS_SHOWN]
        shown.append(
            {"image": image, "labels": [{"name": labels[i], "percent": f"{100 * chances[i]:.1f}"} for i in order]}
        )
    counted = Counter(int(best) for best in findings.probabilities.argmax(1)).most_common(COUNTS_SHOWN)
    highest = counted[0][1]
    counts = [{"label": labels[i], "count": count, "part": round(100 * count / highest)} for i, count in counted]
    return {"rows": shown, "counts": counts, "count": len(labels), "model": portable(asked.model.name)}


def _pca(rows: Sequence[View], images: Readable, findings: Findings, asked: Asked, pool: ThreadPoolExecutor) -> View:
    colours = findings.colours
    squares, sharp = drawings.patch_squares(colours), drawings.sharp_maps(images, colours, pool)
    cards = [
        {"image": image, "squares": one, "sharp": fine, "rows": part.shape[0], "columns": part.shape[1]}
        for image, one, fine, part in zip(rows, squares, sharp, colours.parts, strict=True)
    ]
    strips = [
        {"variance": f"{100 * fraction:.0f}", "stops": ", ".join(drawings.css_colour(colour) for colour in strip)}
        for fraction, strip in zip(colours.variance, component_strips(colours.mapping, drawings.STOPS), strict=True)
    ]
    return {"encoder": portable(asked.vision.name), "cards": cards, "strips": strips}


def _heat(rows: Sequence[View], images: Readable, asked: Asked, pool: ThreadPoolExecutor) -> View | None:
    if not asked.prompts:
        return None
    ranges = drawings.heat_ranges(images.maps)
    cards = []
    figures = drawings.heat_maps(images, ranges, pool)
    for image, sources, maps in zip(rows, figures, images.maps, strict=True):
        each = []
        for prompt, source, values in zip(asked.prompts, sources, maps, strict=True):
            lowest, highest = float(values.min()), float(values.max())
            y, x = (int(index) for index in np.unravel_index(int(values.argmax()), tuple(values.shape)))
            right, down = (100 * (index + 0.5) / side for index, side in zip((x, y), values.shape[::-1], strict=True))
            alt = (
                f"Heat map of {prompt} on {image['name']}: cosine {decimal(lowest)} to {decimal(highest)}, "
                f"highest at {right:.0f} % from the left and {down:.0f} % from the top"
            )
            each.append({"prompt": prompt, "source": source, "alt": alt, "highest": decimal(highest)})
        cards.append({"image": image, "maps": each})
    scales = [
        {"prompt": prompt, "low": decimal(low), "high": decimal(high)}
        for prompt, (low, high) in zip(asked.prompts, ranges, strict=True)
    ]
    return {
        "cards": cards, "scales": scales, "method": asked.method, "model": portable(asked.model.name),
        "stops": ", ".join(drawings.heat_stops()), "ends": [f"{end:g}" for end in drawings.ENDS],
    }  # fmt: skip


def _neighbours(rows: Sequence[View], findings: Findings) -> list[View]:
    return [
        {"image": image, "near": [{"image": rows[other], "cosine": decimal(cosine)} for other, cosine in near]}
        for image, near in zip(rows, findings.neighbours, strict=False)
    ]


def _pairs(
    rows: Sequence[View], images: Readable, findings: Findings, chosen: Chosen, pool: ThreadPoolExecutor
) -> View | None:
    if not findings.matches and not chosen.missing:
        return None
    cards = []
    figures = drawings.pair_figures(images, findings.matches, pool)
    for one, figure in zip(findings.matches, figures, strict=True):
        first, second = (rows[number] for number in one.pair)
        count = len(one.found)
        text = f"{count} matches; cosine of the images {decimal(one.cosine)}"
        if count:
            best, worst = float(one.found.similarity[0]), float(one.found.similarity[-1])
            text += f", of the patches {decimal(best, 3)} to {decimal(worst, 3)}"
        cards.append(
            {
                "first": first, "second": second, "source": figure.source, "width": figure.width,
                "height": figure.height, "text": text if count else f"{text}; {one.found.shortfall}",
                "alt": f"{first['name']} and {second['name']}, joined at {count} matching positions",
            }
        )  # fmt: skip
    choice = "" if chosen.given else "The pairs are the most similar images, each image in one pair at most."
    return {"cards": cards, "choice": choice, "missing": "; ".join(chosen.missing)}


def _embedding(images: Readable, findings: Findings, labels: Sequence[str], asked: Asked) -> MapView | None:
    if findings.points is None:
        return None
    groups, name = [sample.label or "" for sample in images.samples], "class"
    if findings.probabilities is not None:
        groups, name = [labels[int(best)] for best in findings.probabilities.argmax(1)], "most probable label"
    return map_view(
        findings.points, findings.projection, portable(asked.vision.name), images.names,
        groups if any(groups) else [], name,
    )  # fmt: skip
