"""Inputs of the evaluation of segmentation and depth: encoders, sources with ground truth, images that failed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Failure
from dinoclip_viz.cli.parser import output_file, whole_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from dinoclip_viz.data.labels.sources import TruthSource

ENCODERS = ("playground-dino", "playground-clip", "random:playground-dino")
TRAIN, DATA = "playground:2003:400:192", "playground:3004:200:192"
SIZE = 192


def add_dense_arguments(parser: ArgumentParser, truths: str) -> None:
    """The options of both measures.

    Args:
        parser: of the verb.
        ground truth: the sources that it accepts, in words.
    """
    parser.add_argument("--encoder", action="append", metavar="NAME", help=f"may be repeated ({', '.join(ENCODERS)})")
    parser.add_argument("--train", default=TRAIN, metavar="SOURCE", help=f"{truths}, to fit on ({TRAIN})")
    parser.add_argument("--data", default=DATA, metavar="SOURCE", help=f"likewise, to measure on ({DATA})")
    parser.add_argument("--train-split", metavar="S", help="part of --train, where it has parts; its training part")
    parser.add_argument("--split", metavar="S", help="part of --data, where it has parts; its validation part")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N images of each source")
    parser.add_argument(
        "--size", type=whole_number, default=SIZE, metavar="PX", help=f"longer side of an image ({SIZE})"
    )
    parser.add_argument("--save", type=output_file, metavar="FILE", help="write the fitted head; for one --encoder")


def chosen_encoders(arguments: Namespace) -> list[str]:
    """The encoders asked for, or those of the default.

    Raises:
        ValueError: `--save` with several encoders.
    """
    encoders = list(dict.fromkeys(arguments.encoder or ENCODERS))
    if arguments.save and len(encoders) > 1:
        raise ValueError(f"--save writes one head, but {len(encoders)} encoders are measured; name one by --encoder")
    return encoders


def usable_pairs(
    source: TruthSource, kind: str, limit: int | None, failed: list[Failure]
) -> Iterator[tuple[Image.Image, NDArray[np.generic]]]:
    """Images with their ground truth; invalid ones are appended to `failed`, each once.

    Raises:
        ValueError: no image at all could be used.
    """
    from tqdm import tqdm

    from dinoclip_viz.cli.answer import check_some
    from dinoclip_viz.data.labels.sources import pairs

    total = source.count if limit is None or source.count is None else min(limit, source.count)
    used, missed = 0, []
    for sample, found in tqdm(pairs(source, kind, limit), desc=source.name, total=total, unit="image"):
        if isinstance(found, str):
            missed.append(Failure(sample.path or sample.key, found))
            continue
        used += 1
        yield found
    check_some(used, missed)
    failed += [failure for failure in missed if failure not in failed]
