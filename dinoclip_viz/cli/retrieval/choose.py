"""The image encoder and the text encoder of `dinoclip train` with a recipe of both sides."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.loading import show_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dinoclip_viz.store import FeatureStore
    from dinoclip_viz.tasks.retrieval.pairing import PairScore
    from dinoclip_viz.training import Recipe


def pair_of_stores(arguments: Namespace, recipe: Recipe) -> tuple[FeatureStore, FeatureStore]:
    """The stores of the images and of the captions: those of the options, or the best pair of `--choose`.

    Raises:
        ValueError: a store is missing or lacks what the recipe reads, or both ways are mixed.
    """
    from dinoclip_viz.store import FeatureStore

    if not arguments.choose:
        images = FeatureStore.open(arguments.images)
        return images, FeatureStore.open(arguments.targets or arguments.texts or arguments.images)
    if arguments.targets or arguments.texts:
        raise ValueError("--choose replaces --images, --targets and --texts; omit these")
    return _best(arguments, recipe)


def _best(arguments: Namespace, recipe: Recipe) -> tuple[FeatureStore, FeatureStore]:
    from dinoclip_viz.cli.retrieval.alignment import opened_stores
    from dinoclip_viz.tasks.retrieval.pairing import rank_pairs

    scores = rank_pairs(opened_stores(arguments.choose))
    usable = [one for one in scores if not _lacks(one, recipe)]
    if not usable:
        best = scores[0]
        raise ValueError(
            f"none of {len(scores)} pairs has what the recipe {recipe.name!r} reads; the best, {_named(best)}, lacks "
            f"{_lacks(best, recipe)}"
        )
    show_line(arguments, _reason(scores, usable))
    return usable[0].images, usable[0].texts


def _lacks(score: PairScore, recipe: Recipe) -> str:
    """What the stores of a pair lack for a recipe, "" for nothing."""
    from dinoclip_viz.store import StoreError
    from dinoclip_viz.tasks.retrieval.stored import check_images, check_texts

    try:
        check_images(score.images, recipe.inputs)
        check_texts(score.texts, recipe.text_inputs == "tokens")
    except StoreError as error:
        return f"features: {error}"
    return ""


def _reason(scores: Sequence[PairScore], usable: Sequence[PairScore]) -> str:
    """Which pair is taken and why."""
    best = usable[0]
    low, high = best.low, best.high
    line = (
        f"{_named(best)}, rank {best.rank} of {len(scores)}: debiased CKA {best.debiased_cka:.4f} ({low:.4f} to "
        f"{high:.4f}), mutual neighbours {best.mutual_neighbours:.4f}"
    )
    if len(usable) > 1:
        second = usable[1]
        line += f"; next {_named(second)}: {second.debiased_cka:.4f}, {second.mutual_neighbours:.4f}"
    skipped = best.rank - 1
    return line + (f"; {skipped} better pairs skipped, whose stores lack what the recipe reads" if skipped else "")


def _named(score: PairScore) -> str:
    return f"{score.images.settings.encoder} ({score.column}) with {score.texts.settings.texts}"
