"""`dinoclip evaluate frozen`: every evaluation of frozen features, one column per encoder, in one table."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dinoclip_viz.cli.answer import Answer, Failure, table
from dinoclip_viz.cli.parser import add_device, whole_number
from dinoclip_viz.cli.probes import depth as evaluate_depth
from dinoclip_viz.cli.probes import knn as evaluate_knn
from dinoclip_viz.cli.probes import linear as evaluate_linear
from dinoclip_viz.cli.probes import segmentation as evaluate_segmentation
from dinoclip_viz.cli.probes.vector_inputs import ENCODERS
from dinoclip_viz.cli.retrieval import instances as evaluate_instances

SUMMARY = "measure frozen features on the playground: k-NN, linear, instances, segmentation, depth, in one table"


@dataclass(frozen=True)
class Column:
    """A figure of the table.

    Attributes:
        title: what it is called, with its unit.
        name: its key in the verb's result; a dot goes one deeper.
        scale: what it is multiplied with to be shown.
    """

    title: str
    name: str
    scale: float = 100.0


@dataclass(frozen=True)
class Task:
    """A verb that the table is made of.

    Attributes:
        name: its key in JSON.
        add: adds the verb's options; run: runs it.
        words: options that are given to it.
        columns: figures that are shown.
        limited: whether the verb has a --limit.
    """

    name: str
    add: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], Answer]
    words: tuple[str, ...]
    columns: tuple[Column, ...]
    limited: bool = True


TASKS = (
    Task(
        "knn", evaluate_knn.add_arguments, evaluate_knn.run, (),
        tuple(Column(f"k-NN, k = {k}, %", f"k{k}") for k in evaluate_knn.KS),
    ),
    Task("linear", evaluate_linear.add_arguments, evaluate_linear.run, (), (Column("linear class, %", "accuracy"),)),
    Task(
        "instances", evaluate_instances.add_arguments, evaluate_instances.run, (),
        (Column("instances, medium, mAP, %", "medium.mAP"), Column("instances, hard, mAP, %", "hard.mAP")),
        limited=False,
    ),
    Task(
        "segmentation", evaluate_segmentation.add_arguments, evaluate_segmentation.run, ("--truth", "class"),
        (Column("classes, mIoU, %", "miou"),),
    ),
    Task(
        "parts", evaluate_segmentation.add_arguments, evaluate_segmentation.run, ("--truth", "parts"),
        (Column("parts, mIoU, %", "miou"),),
    ),
    Task(
        "depth", evaluate_depth.add_arguments, evaluate_depth.run, (),
        (Column("depth, RMSE, m", "rmse", 1.0), Column("depth, AbsRel", "absrel", 1.0),
         Column("depth, delta < 1.25, %", "delta1")),
    ),
)  # fmt: skip
"""The table's tasks, each with the data that its own verb measures on by default."""


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--encoder", action="append", metavar="NAME", help=f"may be repeated ({', '.join(ENCODERS)})")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N images of each data set")
    parser.add_argument(
        "--task",
        action="append",
        choices=[task.name for task in TASKS],
        help="run this task only; may be repeated (all)",
    )
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """Every task's own result, and a table with one line per figure and one column per encoder."""
    results: dict[str, Sequence[Mapping[str, object]]] = {}
    failed: list[Failure] = []
    wanted = [task for task in TASKS if not arguments.task or task.name in arguments.task]
    for task in wanted:
        answer = task.run(_words(task, arguments))
        rows = answer.result["results"]
        results[task.name] = rows if isinstance(rows, list) else []
        failed += [failure for failure in answer.failed if failure not in failed]
    encoders = list(dict.fromkeys(arguments.encoder or ENCODERS))
    lines = [["", *encoders]]
    for task in wanted:
        by = {str(row["encoder"]): row for row in results[task.name]}
        lines += [[column.title, *(_shown(by[name], column) for name in encoders)] for column in task.columns]
    return Answer({"results": results}, table(lines), failed)


def _words(task: Task, arguments: Namespace) -> Namespace:
    """The options of a task's verb: its defaults, its own words, and what was asked for here."""
    parser = ArgumentParser(add_help=False)
    task.add(parser)
    words = [*task.words, "--device", arguments.device, "--dtype", arguments.dtype]
    for name in arguments.encoder or ENCODERS:
        words += ["--encoder", name]
    if arguments.limit and task.limited:
        words += ["--limit", str(arguments.limit)]
    return parser.parse_args(words, Namespace(computing=arguments.computing))


def _shown(row: Mapping[str, object], column: Column) -> str:
    value: object = row
    for part in column.name.split("."):
        value = value[part] if isinstance(value, Mapping) and part in value else None
    return f"{column.scale * value:.{1 if column.scale > 1 else 2}f}" if isinstance(value, float) else "-"
