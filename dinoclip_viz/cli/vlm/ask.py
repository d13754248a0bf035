"""`dinoclip ask`: a caption, an answer, boxes or masks of an image from a vision-language model."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.loading import computed, show_line
from dinoclip_viz.cli.parser import add_device, add_levels, image_file, output_file, whole_number
from dinoclip_viz.cli.vlm.inputs import MODEL, vlm_of
from dinoclip_viz.disk import replacing, write_text

if TYPE_CHECKING:
    from PIL import Image

    from dinoclip_viz.vlm.asking import Reply, Task

SUMMARY = "ask a vision-language model about an image: caption, answer, boxes, masks"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("image", metavar="IMAGE", help="file or http(s) address")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--caption", action="store_true", help="a sentence about the image")
    kind.add_argument("--question", metavar="Q", help="a short answer to a question")
    kind.add_argument("--detect", nargs="+", metavar="NAME", help="boxes of what is named, in one prompt")
    kind.add_argument("--segment", nargs="+", metavar="NAME", help="boxes and masks of what is named, in one prompt")
    kind.add_argument("--prompt", metavar="RAW", help="a prompt as the model takes it, such as 'detect cat ; dog'")
    parser.add_argument("--language", metavar="CODE", help="of the caption or the answer (en)")
    parser.add_argument("--model", metavar="NAME", default=MODEL, help="vision-language model (%(default)s)")
    parser.add_argument("--masks-from", metavar="PATH", help="the published mask decoder, vae-oid.npz")
    parser.add_argument("--max-tokens", type=whole_number, metavar="N", help="most tokens of the answer (256)")
    parser.add_argument("--out", type=image_file, metavar="FIGURE", help="image to write, with boxes, masks and labels")
    parser.add_argument(
        "--masks", type=output_file, metavar="FILE.json", help="write boxes and masks, as COCO's compressed run lengths"
    )
    add_levels(parser)
    add_device(parser)


def run(arguments: Namespace) -> Answer:
    """The text and the detections; the figure and the masks are written."""
    import json

    from dinoclip_viz.images import load_image
    from dinoclip_viz.tasks.vlm.detection import detections_record
    from dinoclip_viz.vlm.asking import ask

    task, text = _task(arguments)
    if arguments.language is not None and task not in ("caption", "answer"):
        raise ValueError("--language is for --caption and --question; omit it")
    for option in ("masks", "masks_from"):
        if getattr(arguments, option) is not None and task not in ("segment", "prompt"):
            raise ValueError(f"--{option.replace('_', '-')} is for masks; expected it with --segment or --prompt")
    image = load_image(arguments.image, levels=arguments.levels)
    model = vlm_of(arguments, arguments.masks_from)
    reply = ask(model, image, task, text, arguments.language or "en", max_tokens=arguments.max_tokens)
    for line in _remarks(reply):
        show_line(arguments, line)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(arguments.out) as aside:
            _figure(image, reply).save(aside)
    if arguments.masks:
        arguments.masks.parent.mkdir(parents=True, exist_ok=True)
        record = detections_record(reply.detections, image.size)
        write_text(arguments.masks, json.dumps(record, ensure_ascii=False))
    found = [{"label": one.label, "box": list(one.box), "score": one.score} for one in reply.detections]
    result: dict[str, object] = {"text": reply.text, "detections": found}
    result |= {"image": arguments.image, "model": arguments.model, "prompt": reply.prompt}
    result |= {"score": reply.generation.score, "complete": reply.generation.complete, **computed(model)}
    result |= {"problems": list(reply.problems), "unknown_words": list(reply.unknown)}
    result |= {name: str(path) for name, path in (("out", arguments.out), ("masks", arguments.masks)) if path}
    return Answer(result, _text(arguments, task, reply))


def _task(arguments: Namespace) -> tuple[Task, str | list[str]]:
    """The kind of the question, and its text or names."""
    if arguments.caption:
        return "caption", ""
    if arguments.question is not None:
        return "answer", str(arguments.question)
    if arguments.prompt is not None:
        return "prompt", str(arguments.prompt)
    return ("detect", arguments.detect) if arguments.detect is not None else ("segment", arguments.segment)


def _remarks(reply: Reply) -> list[str]:
    """Lines for standard error: words that the model does not know, parts of its answer that are no objects."""
    lines = [f"the model does not know: {', '.join(reply.unknown)}"] if reply.unknown else []
    lines += [f"not an object: {problem}" for problem in reply.problems]
    if not reply.generation.complete:
        lines.append(f"the answer reached the limit of {len(reply.generation.tokens)} tokens; see --max-tokens")
    return lines


def _figure(image: Image.Image, reply: Reply) -> Image.Image:
    from dinoclip_viz.viz import detection_image

    found = reply.detections
    return detection_image(
        image,
        [one.label for one in found],
        [one.box for one in found],
        [one.score for one in found],
        [one.mask for one in found],
    )


def _text(arguments: Namespace, task: Task, reply: Reply) -> str:
    """The text of a caption or an answer; a table of the objects for the others."""
    lines = [reply.text] if task in ("caption", "answer", "prompt") else []
    rows = [
        [one.label, f"{one.score:.2f}", " ".join(f"{edge:.0f}" for edge in one.box), _area(one.mask)]
        for one in reply.detections
    ]
    if rows:
        lines.append(table([["label", "score", "box x0 y0 x1 y1", "mask"], *rows]))
    elif not lines:
        lines.append("nothing was found")
    written = [str(path) for path in (arguments.out, arguments.masks) if path]
    return "\n".join([*lines, *([f"wrote {' and '.join(written)}"] if written else [])])


def _area(mask: object) -> str:
    import numpy as np

    return "-" if mask is None else f"{int(np.asarray(mask).sum())} px"
