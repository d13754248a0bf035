"""The playground as a source: scenes are drawn when they are loaded, captions are known without drawing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.playground import stream
from dinoclip_viz.playground.render import render
from dinoclip_viz.playground.world import sample, words

_FORM = "playground, or playground:SEED:COUNT[:SIZE[:OBJECTS]] in whole numbers, as in playground:2000:1000:96"


@dataclass(frozen=True)
class DrawnImage:
    """The image of one scene, drawn when called; its pixels have 8 bits and need no levels.

    Attributes:
        seed: the playground's seed, 0 or more.
        index: the scene's index, 0 or more.
        size: side in pixels.
        objects: number of objects, 1 to 8; None for 1 to 4 at random.
    """

    seed: int
    index: int
    size: int = 96
    objects: int | None = None

    def __call__(self) -> Image.Image:
        """The RGB image, identical to that of `dinoclip_viz.playground.stream`."""
        layout, look = sample(self.seed, self.index, self.objects)
        return render(layout, look, self.size)[0]


@dataclass(frozen=True)
class PlaygroundSource:
    """Scenes of the playground with their captions; the label of a single-object scene is the class of its object.

    Attributes:
        seed: 0 or more; the embedded models were trained on seeds below 1000.
        count: number of scenes.
        size: side in pixels, 16 to 2048.
        objects: number of objects per scene, 1 to 8; None for 1 to 4 at random.

    Raises:
        SourceError: a value is out of its range.

    Examples:
        >>> first = next(PlaygroundSource(seed=2000, count=3, objects=1).samples())
        >>> first.key, len(first.captions), first.load().size
        ('2000-000000', 4, (96, 96))
    """

    seed: int = 2000
    count: int = 1000
    size: int = 96
    objects: int | None = None

    def __post_init__(self) -> None:
        """Checks the ranges; nothing is drawn."""
        try:
            stream(self.seed, self.count, self.size, self.objects)
        except ValueError as error:
            raise SourceError(f"{self.name}: {error}") from error

    @property
    def name(self) -> str:
        """The name for `open_source`."""
        size = f":{self.size}" if self.size != 96 or self.objects else ""
        return f"playground:{self.seed}:{self.count}{size}" + (f":{self.objects}" if self.objects else "")

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The scenes from number `start` on; those before are not generated."""
        if start < 0:
            raise ValueError(f"start is {start}; expected 0 or more")
        return (self._sample(index) for index in range(start, self.count))

    def _sample(self, index: int) -> Sample:
        layout, look = sample(self.seed, index, self.objects)
        image = DrawnImage(self.seed, index, self.size, self.objects)
        label = layout.things[0].name if len(layout.things) == 1 else None
        key = f"{self.seed}-{index:06d}"
        return Sample(key, image, tuple(words(self.seed, index, layout, look)), label=label)


def playground_of(text: str) -> PlaygroundSource:
    """The source of a name of the form playground:SEED:COUNT[:SIZE[:OBJECTS]].

    Raises:
        SourceError: the name has another form, or a number is out of its range.

    Examples:
        >>> playground_of("playground:7:20").count
        20
    """
    parts = text.split(":")[1:]
    if text == "playground":
        return PlaygroundSource()
    if not 2 <= len(parts) <= 4 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise SourceError(f"{text[:100]!r}; expected {_FORM}")
    return PlaygroundSource(*map(int, parts))
