"""Answers of a vision-language model on the page: figure, table, and the tokens as they were generated."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.images import SHOWN, GivenImage
from dinoclip_viz.app.workbench import Workbench

if TYPE_CHECKING:
    from dinoclip_viz.vlm.asking import Reply
    from dinoclip_viz.vlm.model import VisionLanguageModel

NOTHING = "nothing found"


def vision_language_model(bench: Workbench, name: str) -> VisionLanguageModel:
    """The model of a name; loaded once while it is kept.

    Raises:
        EncoderError: it cannot be loaded, or is not offered by this page.
    """
    from dinoclip_viz.vlm import load_vlm

    bench.offer.check_answering(name)
    model: VisionLanguageModel = bench.further.get(
        ("vision-language", name), lambda: load_vlm(name, bench.device, bench.dtype)
    )
    return model


def figure(image: GivenImage, reply: Reply) -> Image.Image:
    """The image, enlarged, with the boxes, masks and labels of the answer."""
    found = reply.detections
    return viz.detection_image(
        image.image,
        [one.label for one in found],
        [one.box for one in found],
        [one.score for one in found],
        [one.mask for one in found],
        size=SHOWN,
    )


def sentence(reply: Reply) -> str:
    """The answer for people: the text, or the number of objects by label."""
    if not reply.detections and reply.prompt.startswith(("detect", "segment")):
        return NOTHING
    if not reply.detections:
        return reply.text
    labels = [one.label for one in reply.detections]
    return ", ".join(f"{labels.count(label)} x {label}" for label in dict.fromkeys(labels))


def details(reply: Reply) -> str:
    """A table of the objects and the remarks on the answer as escaped HTML; "" without any."""
    return "".join(f'<div class="figures">{part}</div>' for part in (_table(reply), _remarks(reply)) if part)


def _table(reply: Reply) -> str:
    if not reply.detections:
        return ""
    head = "".join(f"<th>{word}</th>" for word in ("label", "score", "x0", "y0", "x1", "y1", "mask (pixels)"))
    rows = []
    for one in reply.detections:
        area = "" if one.mask is None else str(int(one.mask.sum()))
        cells = [one.label, f"{one.score:.2f}", *(f"{edge:.0f}" for edge in one.box), area]
        rows.append(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _remarks(reply: Reply) -> str:
    """Paragraphs: what scores are, words that the model does not know, parts of its answer that are no objects."""
    lines = ["Score: geometric mean of the probabilities of the object's tokens, not calibrated. Boxes in pixels."]
    lines = lines if reply.detections else []
    lines += [f"Words that the model does not know: {', '.join(reply.unknown)}"] if reply.unknown else []
    lines += [f"Not an object: {problem}" for problem in reply.problems]
    if not reply.generation.complete:
        lines.append(f"The answer reached the limit of {len(reply.generation.tokens)} tokens.")
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def raw(reply: Reply) -> str:
    """The prompt, then each generated token with its probability, one per line."""
    found = reply.generation
    pairs = zip(found.tokens, found.probabilities, strict=True)
    return "\n".join([f"prompt: {reply.prompt}", *(f"{probability:.3f}  {token}" for token, probability in pairs)])
