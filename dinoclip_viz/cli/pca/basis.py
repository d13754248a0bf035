"""The basis of the colours: fitted or read, written, and what its parts are."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, table
from dinoclip_viz.disk import replacing, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image
    from torch import Tensor

    from dinoclip_viz.encoders.base import ImageFeatures
    from dinoclip_viz.store import FeatureStore
    from dinoclip_viz.tasks.pca.parts import Part
    from dinoclip_viz.tasks.pca.patch_pca import PatchPCA


PARTS = 6


def basis_of(arguments: Namespace) -> tuple[PatchPCA, FeatureStore | None]:
    """The saved basis, the one of a store with that store, or one that is still to be fitted.

    Raises:
        ValueError: it has not three components, or the file or store is invalid.
    """
    from dinoclip_viz.tasks.pca.patch_pca import PatchPCA

    if arguments.fit:
        from dinoclip_viz.store import FeatureStore

        store = FeatureStore.open(arguments.fit, arguments.encoder)
        return PatchPCA(3, arguments.subject, arguments.flip).fit_store(store), store
    pca = PatchPCA.load(arguments.basis) if arguments.basis else PatchPCA(3, arguments.subject, arguments.flip)
    if pca.components != 3:
        raise ValueError(f"{arguments.basis} has {pca.components} components; expected 3, which make a colour")
    return pca, None


def write_basis(arguments: Namespace, pca: PatchPCA) -> None:
    """The basis on disk, where that was asked for."""
    if arguments.save_basis:
        arguments.save_basis.parent.mkdir(parents=True, exist_ok=True)
        pca.save(arguments.save_basis)


def parts_of(arguments: Namespace, pca: PatchPCA, features: Sequence[ImageFeatures]) -> list[Part]:
    """The parts for the legend; none where no legend was asked for."""
    from dinoclip_viz.tasks.pca.parts import parts

    if not arguments.legend:
        return []
    names = [name.strip() for name in arguments.names.split(",")] if arguments.names else []
    return parts(pca, features, arguments.parts or max(PARTS, len(names)), names)


def write_legend(arguments: Namespace, found: Sequence[Part], images: Sequence[Image.Image]) -> None:
    """The legend on disk, where that was asked for."""
    from dinoclip_viz.tasks.pca.parts import described
    from dinoclip_viz.viz import parts_legend

    if not arguments.legend:
        return
    arguments.legend.parent.mkdir(parents=True, exist_ok=True)
    if arguments.legend.suffix.lower() == ".json":
        write_json(arguments.legend, described(found))
        return
    examples = [images[part.image].crop(part.box) for part in found]
    names, shares = [part.name for part in found], [part.fraction for part in found]
    note = "fraction of the foreground's patches"
    with replacing(arguments.legend) as aside:
        parts_legend([part.colour for part in found], examples, names, shares, note, 480).save(aside)


def summary_of(
    arguments: Namespace,
    pca: PatchPCA,
    names: Sequence[str],
    shares: Sequence[float],
    failed: Sequence[Failure],
    found: Sequence[Part],
    further: dict[str, object],
) -> Answer:
    """The verb's summary; `further` is added to the JSON object."""
    from dinoclip_viz.tasks.pca.parts import described

    variance = pca.explained_variance_.tolist()
    result: dict[str, object] = {
        "explained_variance": variance, "foreground": list(shares), "images": list(names), "out": str(arguments.out),
        **further, **(described(found) if arguments.legend else {}),
    }  # fmt: skip
    rows = [[name, f"foreground {share:.1%}"] for name, share in zip(names, shares, strict=True)]
    lines = [table(rows), f"explained variance {', '.join(f'{share:.1%}' for share in variance)}"]
    if found:
        lines.append(table([[part.name, f"{part.fraction:.1%} of the foreground"] for part in found]))
    lines += [f"wrote {file}" for file in (arguments.out, arguments.legend, arguments.save_basis) if file]
    return Answer(result, "\n".join(lines), failed)


def fraction_of_each(labels: Tensor, count: int) -> list[float]:
    """(K,) fraction of an image's patches in each segment."""
    return [float((labels == index).float().mean()) for index in range(count)]
