"""`dinoclip evaluate zero-shot`: how often the class that fits an image best in words is the right one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some, table
from dinoclip_viz.cli.loading import computed, model_of
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from dinoclip_viz.data import Sample, Source
    from dinoclip_viz.models import ImageTextModel
    from dinoclip_viz.tasks.zero_shot.class_lists import ClassList

SUMMARY = "measure zero-shot classification on labelled images"
DEFAULT = "playground:3000:1000:96:1"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("source", nargs="?", metavar="SOURCE", default=DEFAULT, help="data set (%(default)s)")
    parser.add_argument(
        "--classes",
        metavar="LIST",
        help="imagenet, coco, cifar10, cifar100, voc, playground, or a text file with one class per line; "
        "the default SOURCE has the playground's",
    )
    parser.add_argument(
        "--model", metavar="NAME", default="playground", help="image-text model, also an adapted one (%(default)s)"
    )
    parser.add_argument(
        "--template",
        action="append",
        metavar="T",
        help='prompt with one "{}", may be repeated; openai are CLIP\'s 80 for ImageNet, simple the 7 best of them; '
        "default: the model's",
    )
    parser.add_argument("--image-folder", type=Path, metavar="FOLDER", help="where the files of a list or split lie")
    parser.add_argument("--split", metavar="S", help="part of the data set, where it has parts")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N samples")
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """Top-1, top-5 and the accuracy of each class."""
    from dinoclip_viz.data import open_source
    from dinoclip_viz.data.levels import with_levels
    from dinoclip_viz.tasks.zero_shot.accuracy import top_k_accuracy, top_k_accuracy_by_class
    from dinoclip_viz.tasks.zero_shot.class_lists import TEMPLATES, class_list, template_set

    if arguments.classes is None and not arguments.source.startswith("playground"):
        raise ValueError(
            f"--classes is missing; expected a list, such as imagenet, that {arguments.source} is labelled by"
        )
    classes = class_list(arguments.classes or "playground")
    given = arguments.template
    templates = given and [text for one in given for text in (template_set(one) if one in TEMPLATES else (one,))]
    source = with_levels(
        open_source(arguments.source, arguments.split, arguments.image_folder, encoding=arguments.encoding),
        arguments.levels,
    )
    model = model_of(arguments, arguments.model)
    scores, truth, failed = _scores(model, source, classes, templates, arguments.limit)
    each = top_k_accuracy_by_class(scores, truth)
    count = truth.bincount(minlength=len(classes.names)).tolist()
    top1 = top_k_accuracy(scores, truth)
    top5 = top_k_accuracy(scores, truth, 5) if len(classes.names) >= 5 else None
    per_class = [
        {"class": name, "images": images, "top1": share if images else None}
        for name, images, share in zip(classes.names, count, each.tolist(), strict=True)
    ]
    result = {
        "data": source.name,
        "model": arguments.model,
        "method": model.classifier.method if model.classifier is not None else None,
        "classes": classes.name,
        "templates": len(templates) if templates else None,
        "images": len(truth),
        "top1": top1,
        "top5": top5,
        "per_class": per_class,
        **computed(model.images, model.texts),
    }
    lines = [[str(row["class"]), str(row["images"]), _percent(row["top1"])] for row in per_class if row["images"]]
    lines = [["class", "images", "top-1 %"], *lines, ["all", str(len(truth)), _percent(top1)]]
    return Answer({"results": [result]}, f"{table(lines)}\ntop-5 % {_percent(top5)}", failed)


def _percent(share: object) -> str:
    return f"{100 * share:.2f}" if isinstance(share, float) else "-"


def _scorer(
    model: ImageTextModel, classes: ClassList, templates: list[str] | None
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Kept features of a batch -> (B, C) cosines, or probabilities of an adapted model."""
    from dinoclip_viz.models.classifier import check_known, label_probabilities
    from dinoclip_viz.tasks.zero_shot.classify import check_no_templates, cosines, label_vectors

    check_no_templates(model, templates)
    unique = list(dict.fromkeys(classes.names))  # ImageNet has two missiles
    columns = [unique.index(name) for name in classes.names]
    classifier = model.classifier
    if classifier is None:
        labels = label_vectors(model.texts, unique, templates)[columns]  # (C, D)
        return lambda kept: cosines(model.pooled_in_space(**kept), labels)
    check_known(classifier.class_names, unique)

    def by_classifier(kept: Mapping[str, Tensor]) -> Tensor:
        vectors = kept["pooled"] if model.classifier_images is not None else model.pooled_in_space(**kept)
        return label_probabilities(classifier, vectors, unique)[:, columns]

    return by_classifier


def _scores(
    model: ImageTextModel,
    source: Source,
    classes: ClassList,
    templates: list[str] | None,
    limit: int | None,
) -> tuple[Tensor, Tensor, list[Failure]]:
    """(B, C) scores, (B,) the true classes' numbers, and the images that could not be used."""
    import torch
    from tqdm import tqdm

    from dinoclip_viz.pipeline.encoding import Job, encoded, vectors, with_patches

    failed: list[Failure] = []
    truth: list[int] = []
    parts: list[Tensor] = []

    def refuse(sample: Sample) -> str | None:
        if sample.label is None:
            return f"{sample.key}: no label; expected a class of {classes.name}"
        try:
            classes.index(sample.label)
        except ValueError as error:
            return str(error)
        return None

    counted = tqdm(total=limit or source.count, unit="images", dynamic_ncols=True, desc=source.name, disable=None)
    score = _scorer(model, classes, templates)
    jobs = [Job(model.classifier_images or model.images, with_patches if model.reads_patches else vectors)]
    with counted as bar:
        for part in encoded(islice(source.samples(), limit), jobs, refuse=refuse):
            bar.update(part.batch.seen)
            failed += [Failure(sample.path or sample.key, reason) for _, sample, reason in part.batch.failed]
            truth += [classes.index(str(sample.label)) for sample in part.batch.samples]
            if part.kept:
                parts.append(score(part.kept[0]))
    check_some(len(truth), failed)
    if not truth:
        raise ValueError(f"{source.name} has no samples; expected at least one image with a label")
    return torch.cat(parts), torch.tensor(truth), failed
