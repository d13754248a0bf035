"""`dinoclip dinoiser`: CLIP-DINOiser's two convolutions, trained on images without labels."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some, table
from dinoclip_viz.cli.loading import computed, model_of
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, output_folder, whole_number
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from PIL import Image

    from dinoclip_viz.data.base import Sample
    from dinoclip_viz.encoders.base import ImageEncoder
    from dinoclip_viz.training.dinoiser import DinoiserRecipe

SUMMARY = "train CLIP-DINOiser's layers for a CLIP, taught by a DINO, on images alone; resumable"
STEPS, BATCH, RATE, ROUNDS, HELD = 6250, 16, 5e-5, 25, 64
LARGEST = 448


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("source", metavar="SOURCE", help="a folder, list, tar shards or playground[:SEED:COUNT:SIZE]")
    parser.add_argument(
        "--model", metavar="CLIP", default="playground", help="the CLIP whose patches are pooled (%(default)s)"
    )
    parser.add_argument("--guide", metavar="DINO", help="the teacher; the playground's own by default")
    parser.add_argument("--out", required=True, type=output_folder, metavar="FOLDER", help="folder of the layers")
    parser.add_argument(
        "--size", type=whole_number, metavar="PX",
        help=f"side that images are stretched to; twice the CLIP's, at most {LARGEST}",
    )  # fmt: skip
    parser.add_argument("--steps", type=whole_number, default=STEPS, metavar="N", help="in all (%(default)s)")
    parser.add_argument("--batch", type=whole_number, default=BATCH, metavar="N", help="images per step (%(default)s)")
    parser.add_argument(
        "--rate", type=_rate, default=RATE, metavar="R", help="highest learning rate of the correlations (%(default)s)"
    )
    parser.add_argument(
        "--rounds", type=whole_number, metavar="N", help=f"records and checkpoints; {ROUNDS}, or one a step"
    )
    parser.add_argument(
        "--held", type=whole_number, metavar="N", help=f"images that judge the rounds; a tenth, at most {HELD}"
    )
    parser.add_argument("--split", metavar="S", help="part of the source, where it has parts")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N images")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of weights and order (%(default)s)")
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """Where the layers are, and the course of their training."""
    from tqdm import tqdm

    from dinoclip_viz.data.levels import with_levels
    from dinoclip_viz.data.opening import open_source
    from dinoclip_viz.training.card import save_dinoiser_card
    from dinoclip_viz.training.dinoiser import HEAD, fit_dinoiser
    from dinoclip_viz.viz import learning_curve

    source = with_levels(open_source(arguments.source, arguments.split, encoding=arguments.encoding), arguments.levels)
    clip, guide = _encoders(arguments)
    samples = list(islice(source.samples(), arguments.limit))
    recipe = _recipe(arguments, clip.size, len(samples))
    failed: dict[int, Failure] = {}
    images: list[Callable[[], Image.Image]] = [partial(_opened, samples, at, failed) for at in range(len(samples))]
    out: Path = arguments.out
    with tqdm(total=recipe.rounds, desc=source.name, unit="round", delay=2) as bar:  # errors come first
        _, history = fit_dinoiser(
            clip, guide, images, recipe, out, lambda record: bar.update(int(record["epoch"]) - bar.n)
        )
    with replacing(out / "learning_curve.png") as aside:
        learning_curve(history, f"CLIP-DINOiser for {clip.name}").save(aside)
    save_dinoiser_card(out, source.name)
    best = min(history, key=lambda row: row["held_loss"])
    result = {
        "out": str(out), "head": str(out / HEAD), "clip": clip.name, "guide": guide.name, "source": source.name,
        "images": len(samples), "rounds": len(history), "best": best, "history": history,
        **computed(clip),
    }  # fmt: skip
    lines = [["round", "loss", "held_loss"]]
    lines += [[f"{int(row['epoch'])}", f"{row['loss']:.4f}", f"{row['held_loss']:.4f}"] for row in history]
    kept = f"round {int(best['epoch'])} is kept in {out / HEAD}"
    return Answer(result, f"{table(lines)}\n{kept}", [failed[at] for at in sorted(failed)])


def _encoders(arguments: Namespace) -> tuple[ImageEncoder, ImageEncoder]:
    """The CLIP and its teacher.

    Raises:
        ValueError: there is no CLIP in the model, or no DINO is named.
    """
    model = model_of(arguments, arguments.model, arguments.guide)
    if model.clip is None:
        raise ValueError(f"{arguments.model} has no CLIP of its own; name a CLIP, such as playground-clip")
    if model.guide is None:
        raise ValueError(f"no DINO teaches {arguments.model}; name one by --guide, such as dinov2-small")
    return model.clip, model.guide


def _recipe(arguments: Namespace, published: int, images: int) -> DinoiserRecipe:
    from dinoclip_viz.training.dinoiser import DinoiserRecipe

    return DinoiserRecipe(
        size=arguments.size or min(2 * published, LARGEST),
        batch=arguments.batch,
        steps=arguments.steps,
        rounds=arguments.rounds or min(ROUNDS, arguments.steps),
        rate=arguments.rate,
        held=arguments.held or min(HELD, max(1, images // 10)),
        seed=arguments.seed,
    )


def _opened(samples: Sequence[Sample], at: int, failed: dict[int, Failure]) -> Image.Image:
    """The image, or the next one that can be read, so that one broken file does not end a long training.

    Raises:
        ValueError: none of them can be read.
    """
    from dinoclip_viz.images import ImageError

    for step in range(len(samples)):
        number = (at + step) % len(samples)
        try:
            return samples[number].load()
        except ImageError as error:
            failed[number] = Failure(samples[number].path or samples[number].key, str(error))
    check_some(0, list(failed.values()))
    raise ValueError("there is no image; expected at least two")


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < float("inf"):
        raise ArgumentTypeError(f"{text} is no learning rate; expected a number above 0, such as 5e-5")
    return rate


_rate.__name__ = "learning rate"
