"""`dinoclip train`: a projector from two feature stores."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.loading import show_line
from dinoclip_viz.cli.parser import add_device, check_actors, output_folder, whole_number
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from dinoclip_viz.store import FeatureStore
    from dinoclip_viz.training import Recipe
    from dinoclip_viz.training.loop import History

SUMMARY = "train a projector between two encoders from their stores, resumable"


def setting(text: str) -> tuple[str, str]:
    """Name and value of "name=value"."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise ArgumentTypeError(f"{text!r} is no setting; expected NAME=VALUE, such as epochs=10")
    return name.strip(), value.strip()


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    seen = parser.add_mutually_exclusive_group(required=True)
    seen.add_argument("--images", metavar="STORE", help="store of the encoder whose features go in, such as a DINO")
    seen.add_argument(
        "--choose", nargs="+", metavar="STORE",
        help="stores of unimodal encoders, of which the best pair is taken, for a recipe of both sides",
    )  # fmt: skip
    parser.add_argument(
        "--targets", metavar="STORE",
        help="store of the teacher, such as a CLIP, of the same images (with --recipe reinforced: the first teacher)",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=output_folder, metavar="FOLDER", help="folder of the projector")
    parser.add_argument(
        "--recipe", default="best", metavar="NAME", help="best, dinov2-clip, freeze-align, sail, ... (%(default)s)"
    )
    parser.add_argument(
        "--set", action="append", type=setting, default=[], metavar="NAME=VALUE", help="change one of its settings"
    )
    parser.add_argument("--texts", metavar="STORE", help="store whose captions are used (the teacher's)")
    parser.add_argument("--patches", metavar="STORE", help="stores of both encoders with patches, for the patch head")
    parser.add_argument("--init", metavar="FOLDER", help="trained projector to start from: fine-tuning")
    parser.add_argument("--average", choices=["none", "ema", "epochs"], help="which average of the weights is kept")
    parser.add_argument("--epochs", metavar="N", help="the same as --set epochs=N")
    parser.add_argument("--batch", metavar="N", help="the same as --set batch=N")
    parser.add_argument(
        "--engine", choices=["serial", "ray"], default="serial", help="this process, or Ray, extra scale (%(default)s)"
    )
    parser.add_argument(
        "--actors", type=whole_number, metavar="N", help="with --engine ray: processes that share every batch (2)"
    )
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """Where the projector is, and how well it retrieves held-out images."""
    from dinoclip_viz.encoders.devices import chosen_device, description, dtype_name
    from dinoclip_viz.training import fit_projector, pick_stores, save_card, training_dtype
    from dinoclip_viz.viz import learning_curve

    check_actors(arguments)
    recipe = _recipe(arguments)
    images, targets = _stores(arguments, recipe)
    patches: tuple[FeatureStore, FeatureStore] | None = None
    if arguments.patches:
        patches = pick_stores(arguments.patches, arguments.patches)
    device = chosen_device(arguments.device)
    dtype = training_dtype(arguments.dtype, device, recipe.bf16)
    show_line(arguments, f"training on {description(device, dtype)}")
    if arguments.engine == "ray" and recipe.side == "both":
        raise ValueError(f"the recipe {recipe.name!r} is trained in one process; omit --engine ray")
    if arguments.engine == "ray":
        history = _on_ray(arguments, images, targets, recipe, patches)
    else:
        _, history = fit_projector(
            images, targets, arguments.texts, recipe, arguments.out, arguments.init, patches, device, dtype=dtype
        )
    out: Path = arguments.out
    with replacing(out / "learning_curve.png") as aside:
        learning_curve(history, recipe.name).save(aside)
    save_card(out)
    rows = [record for record in history if "stage" not in record]
    best = max(rows, key=lambda record: sum(v for name, v in record.items() if name.endswith("_R@1")))
    result = {
        "out": str(out), "recipe": recipe.name, "epochs": len(rows), "best": best, "history": history,
        "device": str(device), "dtype": dtype_name(dtype), "stores": [str(images.path), str(targets.path)],
    }  # fmt: skip
    lines = [["epoch", *(name for name in best if name != "epoch")]]
    lines += [
        [f"{int(row['epoch'])}", *(f"{value:.4g}" for name, value in row.items() if name != "epoch")] for row in rows
    ]
    return Answer(result, f"{table(lines)}\nepoch {int(best['epoch'])} is kept in {out}")


def _stores(arguments: Namespace, recipe: Recipe) -> tuple[FeatureStore, FeatureStore]:
    """The stores of the encoder and of its teacher."""
    from dinoclip_viz.training import pick_stores
    from dinoclip_viz.training.reinforced import reinforced_stores

    if recipe.side == "both":
        from dinoclip_viz.cli.retrieval.choose import pair_of_stores

        return pair_of_stores(arguments, recipe)
    if arguments.choose:
        raise ValueError(
            f"the recipe {recipe.name!r} has one side; --choose is for those of both, such as freeze-align"
        )
    if recipe.reinforced:
        return reinforced_stores(arguments.images, arguments.targets, arguments.texts)
    if arguments.targets is None:
        raise ValueError(f"the recipe {recipe.name!r} needs --targets; expected the store of a teacher, such as a CLIP")
    return pick_stores(arguments.images, arguments.targets)


def _on_ray(
    arguments: Namespace,
    images: FeatureStore,
    targets: FeatureStore,
    recipe: Recipe,
    patches: tuple[FeatureStore, FeatureStore] | None,
) -> History:
    from dinoclip_viz.scale import fit_projector_on_ray

    _, history = fit_projector_on_ray(
        images.path, targets.path, arguments.texts, recipe, arguments.out, arguments.init,
        None if patches is None else (patches[0].path, patches[1].path), arguments.actors or 2, arguments.device,
        arguments.dtype,
    )  # fmt: skip
    return history


def _recipe(arguments: Namespace) -> Recipe:
    """The named recipe with what the options change.

    Raises:
        ValueError: there is no such recipe or setting, or a value is of another kind.
    """
    from dinoclip_viz.training import find_recipe

    recipe = find_recipe(arguments.recipe)
    wanted = dict(arguments.set)
    for name in ("epochs", "batch", "average"):
        if getattr(arguments, name) is not None:
            wanted[name] = getattr(arguments, name)
    changes: dict[str, object] = {}
    for name, text in wanted.items():
        find_recipe(recipe, **{name: getattr(recipe, name, None)})  # the name is one of its settings
        kind = type(getattr(recipe, name))
        try:
            changes[name] = text.lower() in ("1", "true", "yes") if kind is bool else kind(text)
        except ValueError as error:
            raise ValueError(
                f"{name} is {text!r}; expected {kind.__name__}, such as {getattr(recipe, name)}"
            ) from error
    return replace(recipe, **changes)  # type: ignore[arg-type]
