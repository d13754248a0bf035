"""The tab of questions: captions, answers, boxes and masks from a vision-language model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from PIL import Image

from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered
from dinoclip_viz.app.handlers.streaming import streamed
from dinoclip_viz.app.images import image_input, read, shown
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.offer import ANSWERING, PLAYGROUND, missing
from dinoclip_viz.app.panel import Panel, scene_buttons
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.vlm.replies import details, figure, raw, sentence, vision_language_model
from dinoclip_viz.app.workbench import Workbench, labelled
from dinoclip_viz.app.zero_shot.tab import lines_of

if TYPE_CHECKING:
    from dinoclip_viz.vlm.asking import Task

FIRST = FIRST_SCENES["ask"]
QUESTION, NAMES = "what color is the bus?", "bus, bird, cup"
CAPTION: Final = "caption"
ANSWER: Final = "answer"
DETECT: Final = "detect"
SEGMENT: Final = "segment"
Stream = Callable[[str], object]

Shown = tuple[str, Image.Image, str, str, str, str]
"""Answer, figure, details as HTML, raw tokens, notice, and the task."""


def caption(bench: Workbench, path: str | None, model: str = ANSWERING, stream: Stream | None = None) -> Shown:
    """A sentence about the image; errors as in `answer`."""
    return answer(bench, CAPTION, path, model, "", stream)


def reply_to(
    bench: Workbench, path: str | None, question: str, model: str = ANSWERING, stream: Stream | None = None
) -> Shown:
    """A short answer to a question; errors as in `answer`."""
    return answer(bench, ANSWER, path, model, question, stream)


def detect(
    bench: Workbench, path: str | None, names: str, model: str = ANSWERING, stream: Stream | None = None
) -> Shown:
    """Boxes of the names, separated by commas or lines; errors as in `answer`."""
    return answer(bench, DETECT, path, model, lines_of(names, ",\n"), stream)


def segment(
    bench: Workbench, path: str | None, names: str, model: str = ANSWERING, stream: Stream | None = None
) -> Shown:
    """Boxes and masks of the names, separated by commas or lines; errors as in `answer`."""
    return answer(bench, SEGMENT, path, model, lines_of(names, ",\n"), stream)


def answer(
    bench: Workbench,
    task: Task,
    path: str | None,
    model: str,
    text: str | list[str],
    stream: Stream | None = None,
) -> Shown:
    """Answer, figure, details as HTML, raw tokens, a notice or "", and the task.

    Args:
        bench: the workbench.
        task: kind of the question.
        path: of the image.
        model: name of a vision-language model that the page offers.
        text: question or names.
        stream: receives each new piece of generated text.

    Raises:
        ValueError: the image is missing, or the text is invalid.
        EncoderError: the model cannot be loaded, or is not offered.
    """
    image = read(path)
    if line := missing(model):
        return "", shown(image.image), "", "", line, task
    from dinoclip_viz.vlm.asking import ask

    found = ask(vision_language_model(bench, model), image.image, task, text, stream=stream)
    note = NOTICE if model.startswith(PLAYGROUND) and image not in bench.scenes else ""
    return sentence(found), figure(image, found), details(found), raw(found), note, task


def partial(text: str) -> tuple[Any, ...]:
    """The outputs while text is generated: the text alone."""
    return text, *([gr.skip()] * 5)


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built; it has a model of its own, so that `key` is not read."""
    gr.Markdown(
        "A PaliGemma answers with text; location tokens in it become boxes, segmentation tokens masks. Its answers are "
        "the most probable ones, token by token."
    )
    offered = bench.offer.answering()
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input(bench.files, "Image", bench.scenes.draw(FIRST))
            draw, spread = scene_buttons(bench.scenes.noun)
            question = gr.Textbox(QUESTION, label="Question", lines=1, max_lines=6, elem_id="ask-question")
            with gr.Row():
                ask = gr.Button("Ask", variant="primary")
                describe = gr.Button("Caption")
            names = gr.Textbox(
                NAMES,
                label="Names, separated by commas or lines",
                info="Classes or expressions, such as the red car.",
                lines=1,
                max_lines=6,
                elem_id="ask-names",
            )
            with gr.Row():
                boxes = gr.Button("Detect", variant="primary")
                masks = gr.Button("Segment", variant="primary")
            model = gr.Dropdown(
                [(ANSWERING, ANSWERING), *labelled(offered[1:])],
                value=ANSWERING,
                label="Vision-language model",
                visible=len(offered) > 1,
            )
        with gr.Column(scale=3, elem_classes=["results"]):
            outputs = build_results()
    task = gr.State(DETECT)
    outputs.append(task)
    plain = {
        CAPTION: remembered(bench, "caption", functools.partial(caption, bench), [image, model]),
        ANSWER: remembered(bench, "ask", functools.partial(reply_to, bench), [image, question, model]),
        DETECT: remembered(bench, "detect", functools.partial(detect, bench), [image, names, model]),
        SEGMENT: remembered(bench, "segment", functools.partial(segment, bench), [image, names, model]),
    }

    def again(task: Task, path: str | None, question: str, names: str, model: str) -> Any:
        """The last kind of question, asked about another image."""
        texts = [] if task == CAPTION else [question] if task == ANSWER else [names]
        return plain[task](path, *texts, model)

    for button, kind, given in (
        (describe, CAPTION, [image, model]),
        (ask, ANSWER, [image, question, model]),
        (boxes, DETECT, [image, names, model]),
        (masks, SEGMENT, [image, names, model]),
    ):
        run = streamed(plain[kind], partial)
        button.click(run, given, outputs, show_progress="minimal", **MODEL_RUN, **HELPER)
    question.submit(
        streamed(plain[ANSWER], partial), [image, question, model], outputs, show_progress="minimal", **MODEL_RUN,
        **HELPER,
    )  # fmt: skip
    inputs: list[Any] = [task, image, question, names, model]
    image.upload(again, inputs, outputs, **AGAIN)
    draw_next(bench, draw, FIRST, bench.scenes.next, [image], (again, inputs, outputs))
    return Panel(again, inputs, outputs, image, spread)


def build_results() -> list[Any]:
    """The components of an answer: text, figure, details, raw tokens, notice; inside the tab being built."""
    note = gr.Markdown(elem_classes=["notice"])
    text = gr.Textbox(label="Answer", interactive=False, lines=2, max_lines=8, buttons=["copy"], elem_id="ask-answer")
    shown_image = gr.Image(
        label="Boxes and masks",
        alt_text="The image with the boxes, masks and labels of the answer",
        format="png",
        buttons=["download", "fullscreen"],
        interactive=False,
        elem_id="ask-result",
    )
    rows = gr.HTML(elem_id="ask-figures")
    with gr.Accordion("Raw tokens", open=False, elem_id="ask-tokens"):
        tokens = gr.Textbox(
            label="Prompt, then each generated token with its probability", interactive=False, lines=4, max_lines=16,
            buttons=["copy"], elem_id="ask-raw",
        )  # fmt: skip
    return [text, shown_image, rows, tokens, note]
