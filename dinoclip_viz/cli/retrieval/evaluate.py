"""`dinoclip evaluate retrieval`: captions by images and images by captions, compared with the model's teacher."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, table
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, image_file, whole_number
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from dinoclip_viz.cli.retrieval.inputs import Compared

SUMMARY = "measure how often images find their captions and captions their images"
DEFAULT = "playground:3002:1000"
WORST = 20
WAYS = ("image_to_text", "text_to_image")
MEASURES = ("R@1", "R@5", "R@10", "median_rank")
PUBLISHED = {
    "flickr8k": "Flickr8k: 89.27 % of CLIP's in image retrieval, 89.90 % in text retrieval",
    "flickr30k": "Flickr30k: 92.10 % of CLIP's in image retrieval, 91.53 % in text retrieval",
    "coco": "COCO: 82.90 % of CLIP's in image retrieval, 77.57 % in text retrieval",
}


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=f"data set or store with captions ({DEFAULT})")
    parser.add_argument("--model", action="append", metavar="NAME", help="may be repeated (playground)")
    parser.add_argument("--image-folder", type=Path, metavar="FOLDER", help="where the files of a list or split lie")
    parser.add_argument("--split", metavar="S", help="part of the data sets, where they have parts")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N samples of each data set")
    parser.add_argument(
        "--captions", choices=("all", "first"), default="all", help="which of an image's captions (%(default)s)"
    )
    parser.add_argument("--images", metavar="STORE", help="features of the model's image encoder, in place of SOURCE")
    parser.add_argument("--targets", metavar="STORE", help="features of its teacher, with captions")
    parser.add_argument("--format", choices=("text", "markdown"), default="text", help="of the table (%(default)s)")
    parser.add_argument(
        "--worst", type=image_file, metavar="FILE", help=f"image of the first row's {WORST} worst queries"
    )
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """R@1, R@5, R@10 and median rank both ways for each data set and model, and the percentage of the teacher's."""
    if bool(arguments.images) != bool(arguments.targets):
        raise ValueError("--images and --targets go together; expected both stores, or neither")
    if arguments.images and arguments.sources:
        raise ValueError("--images and --targets stand in place of SOURCE; omit one of them")
    from dinoclip_viz.tasks.retrieval.recall import ranks, summary

    compared, failed = _compared(arguments)
    results = []
    drawn = False
    teachers: dict[tuple[str, str], Mapping[str, Mapping[str, float]]] = {}
    for number, one in enumerate(compared):
        found = ranks(one.images, one.texts, one.owners)
        if number == 0 and arguments.worst:
            drawn = _draw_worst(one, *found, arguments.worst)
        own = summary(*found)
        place = (one.data, one.teacher)
        if one.teacher_images is None or one.teacher_texts is None:
            teachers[place] = own
        elif place not in teachers:
            teachers[place] = summary(*ranks(one.teacher_images, one.teacher_texts, one.owners))
        results.append(_row(one, own, teachers[place]))
    text = _table(results, arguments.format)
    if arguments.worst:
        text += f"\nwrote {arguments.worst}" if drawn else f"\nno query failed, so {arguments.worst} was not written"
    return Answer({"results": results}, text, failed)


def _compared(arguments: Namespace) -> tuple[list[Compared], list[Failure]]:
    from tqdm import tqdm

    from dinoclip_viz.cli.retrieval.inputs import compare_stores, encode_source, with_teachers
    from dinoclip_viz.data import SourceError, open_source
    from dinoclip_viz.data.levels import with_levels
    from dinoclip_viz.store import store_folders

    models = list(dict.fromkeys(arguments.model or ["playground"]))
    sources = list(dict.fromkeys(arguments.sources)) or [DEFAULT]
    first_only = arguments.captions == "first"
    compared: list[Compared] = []
    failed: list[Failure] = []
    stored = [(arguments.images, arguments.targets)] if arguments.images else []
    stored += [(source, source) for source in sources if not arguments.images and store_folders(source)]
    for images, targets in stored:
        for model in models:
            one, missed = compare_stores(images, targets, model, arguments, first_only)
            compared.append(one)
            failed += [failure for failure in missed if failure not in failed]
    opened = []
    for source in sources if not arguments.images else ():
        if (source, source) in stored:
            continue
        try:
            opened.append(
                with_levels(
                    open_source(source, arguments.split, arguments.image_folder, encoding=arguments.encoding),
                    arguments.levels,
                )
            )
        except SourceError as error:
            if len(sources) == 1:
                raise
            failed.append(Failure(source, str(error)))
    pairs = with_teachers(models, arguments) if opened else []
    for source in opened:
        count = source.count if arguments.limit is None else min(source.count or arguments.limit, arguments.limit)
        with tqdm(total=count, unit="images", dynamic_ncols=True, desc=source.name, disable=None) as bar:
            rows, missed = encode_source(source, pairs, arguments.limit, first_only, bar.update)
        compared += rows
        failed += missed
    if not compared:
        raise ValueError(f"none of the {len(sources)} data sets could be opened; the first is {failed[0].reason}")
    return compared, failed


def _row(
    one: Compared, own: Mapping[str, Mapping[str, float]], teacher: Mapping[str, Mapping[str, float]]
) -> dict[str, object]:
    shares = {way: own[way]["R@1"] / teacher[way]["R@1"] if teacher[way]["R@1"] else None for way in WAYS}
    return {
        "data": one.data,
        "model": one.model,
        "encoder": one.encoder,
        "teacher": one.teacher,
        "images": len(one.images),
        "captions": len(one.captions),
        **{way: dict(own[way]) for way in WAYS},
        **{f"teacher_{way}": dict(teacher[way]) for way in WAYS},
        "share": shares,
        **one.computed,
    }


def _table(results: Sequence[Mapping[str, object]], form: str) -> str:
    head = ["data set", "encoder", "teacher"]
    head += [f"{measure.replace('_', ' ')} {way.replace('_to_', '->')}" for way in WAYS for measure in MEASURES]
    head += [f"teacher's R@1 {way.replace('_to_', '->')}" for way in WAYS]
    head += [f"share {way.replace('_to_', '->')}" for way in WAYS]
    rows = [_cells(result) for result in results]
    names = " ".join(str(result["data"]) for result in results).casefold().replace("flicker", "flickr")
    kinds = [kind for kind in PUBLISHED if kind in names or (kind.startswith("flickr") and _plain_flickr(names))]
    notes = [f"published (dinov2-clip, facebook/dinov2-base): {PUBLISHED[kind]}" for kind in kinds]
    if form == "markdown":
        lines = [head, ["---"] * 3 + ["---:"] * (len(head) - 3), *rows]
        shown = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return "\n\n".join([shown, *notes])
    return "\n".join([table([head, *rows]), *notes])


def _plain_flickr(names: str) -> bool:
    return "flickr" in names and "flickr8k" not in names and "flickr30k" not in names


def _cells(result: Mapping[str, object]) -> list[str]:
    cells = [str(result[name]) for name in ("data", "encoder", "teacher")]
    for way in WAYS:
        values = result[way]
        if isinstance(values, Mapping):
            cells += [f"{100 * values[name]:.2f}" for name in MEASURES[:3]] + [f"{values['median_rank']:g}"]
    for name, key in (*((f"teacher_{way}", "R@1") for way in WAYS), *(("share", way) for way in WAYS)):
        values = result[name]
        value = values[key] if isinstance(values, Mapping) else None
        cells.append("-" if value is None else f"{100 * value:.2f}" + (" %" if name == "share" else ""))
    return cells


def _draw_worst(one: Compared, image_ranks: Tensor, text_ranks: Tensor, file: Path) -> bool:
    """Whether any query failed; half of the sheet shows the images that failed worst, half the captions."""
    import numpy as np

    from dinoclip_viz.tasks.retrieval.recall import found_instead
    from dinoclip_viz.tasks.retrieval.vectors import Vectors
    from dinoclip_viz.viz import contact_sheet

    def failing(found: Tensor) -> list[int]:
        return [int(row) for row in found.argsort(descending=True, stable=True)[: WORST // 2] if found[row] > 1]

    def picked(vectors: Vectors, rows: list[int]) -> Vectors:
        return vectors[np.array(rows)] if not hasattr(vectors, "float") else vectors[rows]

    cells: list[Image.Image | str] = []
    titles: list[str] = []
    images, texts = failing(image_ranks), failing(text_ranks)
    if images:
        captions = [np.flatnonzero(one.owners == row).tolist() for row in images]
        others = found_instead(picked(one.images, images), one.texts, captions)
        for row, mine, other in zip(images, captions, others, strict=True):
            cells.append(one.image(row))
            titles.append(f"rank {image_ranks[row]}: {one.captions[mine[0]]}\nfound: {one.captions[other]}")
    if texts:
        owners = one.owners[texts].tolist()
        others = found_instead(picked(one.texts, texts), one.images, [[owner] for owner in owners])
        for row, owner, other in zip(texts, owners, others, strict=True):
            instead = one.captions[int(np.flatnonzero(one.owners == other)[0])]
            cells.append(one.image(owner))
            titles.append(f"rank {text_ranks[row]}: {one.captions[row]}\nfound the image of: {instead}")
    if not cells:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as aside:
        contact_sheet(cells, titles, columns=5, side=240).save(aside)
    return True
