"""`dinoclip pca --out FILE.gif`: frames next to their patches, with one basis and so one meaning of each colour."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some
from dinoclip_viz.cli.loading import encoder_of
from dinoclip_viz.cli.pca.basis import basis_of, fraction_of_each, parts_of, summary_of, write_basis, write_legend
from dinoclip_viz.cli.pca.sharp import sharp_colours, sharp_labels
from dinoclip_viz.cli.pca.sources import Shown, moving
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from PIL import Image

    from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
    from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
    from dinoclip_viz.tasks.pca.segments import PatchClusters

SAMPLE = 32
"""Frames that a basis is fitted on: at least so many, where there are, and fewer than twice that."""
PALETTE = 16
"""Most frames that a GIF's colours are taken from."""
AT_ONCE = 16
LONGEST = 1024  # pixels of a frame's longer side: encoders take no more
HEIGHT = 288
SLOW = 0.5  # seconds of a frame that comes without a time


def animate(arguments: Namespace) -> Answer:
    """The verb's answer; the animation is written."""
    from dinoclip_viz.viz import save_animation

    (pca, store), failed = basis_of(arguments), dict[str, Failure]()
    sample, pace = _sample(arguments, failed)
    check_some(len(sample), list(failed.values()))
    encoder = encoder_of(arguments, arguments.encoder, store)
    images = [shown.image for shown in sample]
    features = encoder.encode_each(images, arguments.size, "whole")
    if not hasattr(pca, "space_"):
        pca.fit(features)
    clusters = _clusters(arguments, features)
    found = parts_of(arguments, pca, features)
    painter = _Painter(arguments, encoder, pca, clusters)
    some = slice(None, None, -(-len(images) // PALETTE))
    palette = [painter.draw(image, part) for image, part in zip(images[some], features[some], strict=True)]
    write_basis(arguments, pca)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    seconds = pace if arguments.seconds is None else arguments.seconds
    with replacing(arguments.out) as aside:
        save_animation(painter.frames(_frames(arguments, failed)), aside, seconds, palette)
    write_legend(arguments, found, images)
    further: dict[str, object] = {"seconds": seconds} | ({"segments": painter.segments} if clusters else {})
    further |= {"sharp": arguments.sharp} if arguments.sharp else {}
    return summary_of(arguments, pca, painter.names, painter.shares, list(failed.values()), found, further)


class _Painter:
    """Draws frames, and keeps what the verb reports of them: names, fractions of foreground and of each segment."""

    def __init__(
        self, arguments: Namespace, encoder: ImageEncoder, pca: PatchPCA, clusters: PatchClusters | None
    ) -> None:
        self.size, self.encoder, self.pca, self.clusters = arguments.size, encoder, pca, clusters
        self.sharp: str | None = arguments.sharp
        self.names: list[str] = []
        self.shares: list[float] = []
        self.segments: list[list[float]] = []

    def frames(self, images: Iterator[Shown]) -> Iterator[Image.Image]:
        """The drawn frames, a few images in memory at a time."""
        while some := list(islice(images, AT_ONCE)):
            features = self.encoder.encode_each([shown.image for shown in some], self.size, "whole")
            for shown, part, front in zip(some, features, self.pca.foreground(features), strict=True):
                self.names.append(shown.name)
                self.shares.append(float(front.float().mean()))
                if self.clusters is not None:
                    self.segments.append(fraction_of_each(self.clusters.assign(part)[0], self.clusters.count))
                yield self.draw(shown.image, part)

    def draw(self, image: Image.Image, features: ImageFeatures) -> Image.Image:
        """The frame next to its patches, with what the colours mean below."""
        from dinoclip_viz.tasks.pca.colours import component_strips
        from dinoclip_viz.viz import (
            class_legend,
            class_palette,
            component_legend,
            enlarge,
            mask_overlay,
            pca_image,
            side_by_side,
            with_legend,
        )

        enlarged = enlarge(image, HEIGHT, smooth=True)
        if self.clusters is not None:
            palette = class_palette(self.clusters.count)
            labels = self.clusters.assign(features)[0]
            labels = sharp_labels(image, labels, self.sharp) if self.sharp else labels
            drawn = mask_overlay(enlarged, labels.numpy() + 1, palette, opacity=1)
        else:
            front = self.pca.foreground(features)[0] if self.pca.subject == "foreground" else None
            colours = self.pca.transform(features)[0]
            colours, front = sharp_colours(image, colours, front, self.sharp) if self.sharp else (colours, front)
            hidden = None if front is None else front.numpy()
            drawn = pca_image(colours.numpy(), enlarged.size, foreground=hidden)
        row = side_by_side([enlarged, drawn], gap=8, height=HEIGHT)
        if self.clusters is not None:
            words = [f"segment {index + 1}" for index in range(self.clusters.count)]
            return with_legend(row, class_legend(words, palette, width=max(row.width, 96)))
        texts = [f"component {index}" for index in (1, 2, 3)]
        strips = component_strips(self.pca.colours)
        return with_legend(row, component_legend(texts, strips, width=max(row.width, 96)))


def _frames(arguments: Namespace, failed: dict[str, Failure]) -> Iterator[Shown]:
    """The frames that were asked for, none longer than encoders take."""
    from dinoclip_viz.data.frames import MOST_FRAMES

    for shown in moving(
        arguments.images, arguments.every or 1, arguments.frames or MOST_FRAMES, failed, arguments.levels
    ):
        shown.image.thumbnail((LONGEST, LONGEST))
        yield shown


def _sample(arguments: Namespace, failed: dict[str, Failure]) -> tuple[list[Shown], float]:
    """Frames spread evenly over all of them, and how long a frame stays."""
    kept: list[Shown] = []
    step, times = 1, list[float]()
    for index, shown in enumerate(_frames(arguments, failed)):
        if shown.seconds is not None:
            times.append(shown.seconds)
        if index % step == 0:
            kept.append(shown)
        if len(kept) == 2 * SAMPLE:
            kept, step = kept[::2], 2 * step
    gaps = sorted(later - earlier for earlier, later in pairwise(times) if later > earlier)
    return kept, min(max(gaps[len(gaps) // 2], 0.02), 60.0) if gaps else SLOW


def _clusters(arguments: Namespace, features: list[ImageFeatures]) -> PatchClusters | None:
    """The segments' centres, where segments were asked for."""
    from dinoclip_viz.tasks.pca.segments import PatchClusters

    return PatchClusters(arguments.segments).fit(features) if arguments.segments else None
