"""Endpoints with models of their own: `ask` and `afford`; and `models`, the names that the page offers."""

from __future__ import annotations

import numpy as np

from dinoclip_viz.app.affordance import tab as affordances
from dinoclip_viz.app.api import results
from dinoclip_viz.app.api.inputs import ImageInput, choice_of, image_of, number_of, text_of, texts_of
from dinoclip_viz.app.api.labels import FORMATS, NPY, OPACITY, PNG
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.offer import ANSWERING, PLAYGROUND, missing
from dinoclip_viz.app.vlm.replies import figure, vision_language_model
from dinoclip_viz.app.vlm.tab import ANSWER, CAPTION, DETECT, SEGMENT
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.tasks.open_vocabulary.masks import compress, run_lengths
from dinoclip_viz.vlm.asking import Task
from dinoclip_viz.vlm.asking import ask as asked
from dinoclip_viz.vlm.results import Detection

TASKS: dict[str, Task] = {CAPTION: CAPTION, ANSWER: ANSWER, DETECT: DETECT, SEGMENT: SEGMENT}
MOST_NAMES = 8


def ask(
    bench: Workbench,
    image: ImageInput,
    task: str = CAPTION,
    question: str = "",
    names: list[str] | None = None,
    model: str = "",
) -> results.Reply:
    """Asks a vision-language model (PaliGemma) about an image: a caption, an answer, boxes or masks.

    For example, the task "detect" with the names ["bus"] gives the box of each bus.

    Args:
        image: The image: an uploaded file, or a text: a data URI or an http(s) address.
        task: "caption", "answer" (needs question), "detect" or "segment" (need names).
        question: For "answer": the question, such as "what color is the bus?".
        names: For "detect" and "segment": 1 to 8 names, such as ["bus", "bird"].
        model: A name that the endpoint models lists under answering; empty is playground-paligemma.

    Returns:
        text: as generated; detections: label, box [x0, y0, x1, y1] in pixels, score and mask; figure; problems; model.
    """
    kind = TASKS[choice_of(task, "task", tuple(TASKS))]
    name = ANSWERING if model == "" else choice_of(model, "model", bench.offer.answering())
    words: str | list[str] = ""
    if kind == ANSWER:
        words = text_of(question, "question")
    elif kind in (DETECT, SEGMENT):
        words = texts_of(names, "names", 1, MOST_NAMES)
    given = image_of(bench, image)
    _check_here(name)
    reply = asked(vision_language_model(bench, name), given.image.image, kind, words)
    boxes = kind in (DETECT, SEGMENT)
    return {
        "text": reply.text,
        "detections": [_detected(one, given.scale) for one in reply.detections],
        "problems": list(reply.problems),
        "figure": figure(given.image, reply) if boxes else None,
        "model": name,
        "notice": NOTICE if name.startswith(PLAYGROUND) and given.image not in bench.scenes else "",
    }


def afford(
    bench: Workbench, image: ImageInput, verbs: list[str], threshold: float = 0.5, format: str = "png"
) -> results.Affordances:
    """Shows with which part of an object each verb can be done, such as the handle of a cup for "hold".

    For example, the verbs ["hold", "cut"] give two figures, or an array of shape (2, height, width).

    Args:
        image: The image: an uploaded file, or a text: a data URI or an http(s) address.
        verbs: 1 to 24 verbs, such as ["hold", "cut"].
        threshold: Value, 0 to 1, from which a pixel counts for a verb.
        format: "png" for a figure per verb, or "npy" for the float32 values, 0 to 1, of all verbs in one file.

    Returns:
        verbs: highest value, area above the threshold (fraction), trained and figure of each; array; width, height.
    """
    names = texts_of(verbs, "verbs", 1, affordances.MOST_VERBS)
    level, kind = number_of(threshold, "threshold", 0, 1), choice_of(format, "format", FORMATS)
    given = image_of(bench, image)
    _check_here(affordances.MODEL)
    model = affordances.affordance_model(bench)
    maps = np.asarray(model.predict(given.image.image, names))  # (V, h, w)
    rows: list[results.VerbMap] = []
    for name, values in zip(names, maps, strict=True):
        drawn = affordances.overlay(given.image, values, name, level, OPACITY)[0] if kind == PNG else None
        rows.append(
            {
                "verb": name,
                "highest": float(values.max()),
                "area": float((values >= level).mean()),
                "trained": name in model.verbs,
                "figure": drawn,
            }
        )
    return {
        "verbs": rows,
        "array": maps if kind == NPY else None,
        "width": maps.shape[2],
        "height": maps.shape[1],
        "model": affordances.MODEL,
        "notice": "" if given.image in bench.scenes else NOTICE,
    }


def models(bench: Workbench) -> results.Offered:
    """Lists the models that the other endpoints accept, and the heat-map methods of the page's own model.

    Returns:
        model: the page's own; models: names for model; methods: for heatmap; answering: names for model of ask.
    """
    return {
        "model": bench.first_name,
        "models": bench.model_names(),
        "methods": list(bench.model(bench.first_key).methods),
        "answering": bench.offer.answering(),
    }


def _check_here(name: str) -> None:
    """Nothing, if the weights of an embedded model are there.

    Raises:
        ValueError: they are not.
    """
    if line := missing(name):
        raise ValueError(line)


def _detected(one: Detection, scale: float) -> results.Detected:
    mask: dict[str, list[int] | str] | None = None
    if one.mask is not None:
        mask = {"size": list(one.mask.shape), "counts": compress(run_lengths(one.mask))}
    return {"label": one.label, "box": [edge * scale for edge in one.box], "score": one.score, "mask": mask}
