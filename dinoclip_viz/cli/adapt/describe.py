"""`dinoclip describe`: requests for descriptions of classes to a language model, and its answers as descriptions."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dinoclip_viz.cli.adapt.names import class_names_of
from dinoclip_viz.cli.answer import Answer
from dinoclip_viz.cli.parser import output_file, whole_number
from dinoclip_viz.disk import write_text

SUMMARY = "write requests for class descriptions to a language model, and read its answers"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "--labels", required=True, metavar="A,B|FILE", help="class names, or a text file with one class per line"
    )
    parser.add_argument(
        "--out", required=True, type=output_file, metavar="FILE",
        help='JSON lines with "custom_id" and "prompt"; with --answers, the descriptions for `dinoclip adapt`',
    )  # fmt: skip
    parser.add_argument("--per-question", type=whole_number, metavar="N", help="answers per class and question (10)")
    parser.add_argument(
        "--answers", type=Path, metavar="FILE",
        help='JSON lines with the "custom_id" of a request and its "answer", or the output of OpenAI\'s batch API',
    )  # fmt: skip


def run(arguments: Namespace) -> Answer:
    """The number of requests or of descriptions."""
    import json

    from dinoclip_viz.adapt.requests import PER_QUESTION, description_requests, read_answers

    names = class_names_of(arguments.labels)
    out: Path = arguments.out
    if arguments.answers is not None:
        if arguments.per_question is not None:
            raise ValueError("--per-question is for requests; omit it with --answers")
        found = read_answers(arguments.answers, names)
        content, count = json.dumps(found, indent=1, ensure_ascii=False), sum(map(len, found.values()))
        kind = "descriptions"
    else:
        requests = description_requests(names, arguments.per_question or PER_QUESTION)
        content, count = "\n".join(json.dumps(row, ensure_ascii=False) for row in requests), len(requests)
        kind = "requests"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, content + "\n")
    return Answer(
        {"out": str(out), "classes": len(names), kind: count}, f"{count} {kind} of {len(names)} classes in {out}"
    )
