"""Objects and colours that captions name, compared with those that are there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_IRREGULAR = {"man": "men", "woman": "women", "child": "children", "person": "people", "mouse": "mice"}

COCO_SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": ("man", "woman", "boy", "girl", "child", "kid", "guy", "lady", "player", "rider", "skier", "surfer"),
    "bicycle": ("bike",),
    "motorcycle": ("motorbike",),
    "airplane": ("plane", "jet", "aircraft"),
    "couch": ("sofa",),
    "tv": ("television",),
    "cell phone": ("cellphone", "phone"),
    "donut": ("doughnut",),
    "refrigerator": ("fridge",),
    "potted plant": ("plant",),
    "dining table": ("table",),
    "sports ball": ("ball",),
    "wine glass": ("glass of wine",),
    "teddy bear": ("stuffed bear",),
    "laptop": ("computer",),
    "sheep": ("lamb",),
    "cow": ("cattle", "bull"),
}
"""Class of COCO -> other words for it in captions."""


@dataclass(frozen=True)
class Named:
    """An object that a caption names.

    Attributes:
        name: of its class.
        colour: the colour word before it; "" without one.
    """

    name: str
    colour: str = ""


@dataclass(frozen=True)
class CaptionScore:
    """Objects that captions name, summed over images.

    Attributes:
        captions: number of captions.
        precision: fraction of the named classes that are there, 0 to 1.
        recall: fraction of the classes there that are named.
        colours_right: fraction of the named objects there of which the caption states a colour that is right; without
            a colour it counts as wrong. None where no colours are known.
        colours_stated: fraction of them of which it states a colour; None where no colours are known.
    """

    captions: int
    precision: float
    recall: float
    colours_right: float | None = None
    colours_stated: float | None = None

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


class ClassWords:
    """Finds classes, in singular or plural, and the colours before them in texts.

    Args:
        classes: names of one or more words.
        colours: words of colours.
        synonyms: class -> other words for it.

    Raises:
        ValueError: no classes.

    Examples:
        >>> words = ClassWords(["cat", "traffic light"], ["red", "gray"])
        >>> [(one.name, one.colour) for one in words.find("Two red cats left of a big traffic light")]
        [('cat', 'red'), ('traffic light', '')]
    """

    def __init__(
        self,
        classes: Iterable[str],
        colours: Iterable[str] = (),
        synonyms: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._known: dict[tuple[str, ...], str] = {}
        for name in classes:
            for text in (name, *(synonyms or {}).get(name, ())):
                for form in (text, plural(text)):
                    self._known.setdefault(tuple(_words(form)), name)
        if not self._known:
            raise ValueError("found no classes; expected the names to look for")
        self._longest = max(map(len, self._known))
        self._colours = {word: word for word in colours}
        if "gray" in self._colours:
            self._colours["grey"] = "gray"

    def find(self, text: str) -> list[Named]:
        """The named objects in the text's order; a longer name is preferred to one inside it."""
        words = _words(text)
        found: list[Named] = []
        at, colour = 0, ""
        while at < len(words):
            for length in range(min(self._longest, len(words) - at), 0, -1):
                name = self._known.get(tuple(words[at : at + length]))
                if name is not None:
                    found.append(Named(name, colour))
                    at, colour = at + length, ""
                    break
            else:
                colour = self._colours.get(words[at], "")
                at += 1
        return found

    def classes(self, text: str) -> set[str]:
        """The named classes."""
        return {one.name for one in self.find(text)}


def plural(name: str) -> str:
    """The plural of a class name, by the rules of English spelling.

    Examples:
        >>> [plural(name) for name in ("cat", "bus", "butterfly", "knife", "toy", "person")]
        ['cats', 'buses', 'butterflies', 'knives', 'toys', 'people']
    """
    first, _, last = name.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in tuple("aeiou"):
        last = last[:-1] + "ies"
    elif last.endswith("fe"):
        last = last[:-2] + "ves"
    else:
        last += "s"
    return f"{first} {last}".strip()


def score_captions(
    captions: Sequence[str], objects: Sequence[Sequence[tuple[str, str]]], words: ClassWords
) -> CaptionScore:
    """Named classes and colours against the objects of each image.

    Args:
        captions: one of each image.
        objects: (class, colour) of each object of each image.
        words: finds the classes and colours in captions.

    Raises:
        ValueError: no captions, or another number of images.

    Examples:
        >>> words = ClassWords(["cat", "dog", "car"], ["red", "blue"])
        >>> score = score_captions(["a red cat and a car"], [[("cat", "red"), ("dog", "blue")]], words)
        >>> score.precision, score.recall, score.f1, score.colours_right
        (0.5, 0.5, 0.5, 1.0)
    """
    _check(captions, objects)
    named = there = both = stated = right = objects_named = 0
    for caption, known in zip(captions, objects, strict=True):
        found, classes = words.find(caption), {name for name, _ in known}
        said = {one.name for one in found}
        named, there, both = named + len(said), there + len(classes), both + len(said & classes)
        for one in found:
            if one.name in classes:
                objects_named += 1
                stated += bool(one.colour)
                right += (one.name, one.colour) in known
    fractions = (right / objects_named, stated / objects_named) if objects_named else (0.0, 0.0)
    return CaptionScore(len(captions), _part(both, named), _part(both, there), *fractions)


def score_captions_by_references(
    captions: Sequence[str], references: Sequence[Sequence[str]], words: ClassWords
) -> CaptionScore:
    """Named classes against those that people's captions of the same images name.

    A class is right if any reference names it, and is to be named if at least half of the references do.

    Args:
        captions: one of each image.
        references: one or more captions of each image.
        words: finds the classes in captions.

    Raises:
        ValueError: no captions, another number of images, or an image without a reference.
    """
    _check(captions, references)
    named = right = there = recalled = 0
    for number, (caption, several) in enumerate(zip(captions, references, strict=True), start=1):
        if not several:
            raise ValueError(f"image {number} has no reference caption; expected one or more")
        said = words.classes(caption)
        each = [words.classes(one) for one in several]
        anyone = set().union(*each)
        expected = {name for name in anyone if 2 * sum(name in one for one in each) >= len(each)}
        named, right = named + len(said), right + len(said & anyone)
        there, recalled = there + len(expected), recalled + len(said & expected)
    return CaptionScore(len(captions), _part(right, named), _part(recalled, there))


def _check(captions: Sequence[str], others: Sequence[object]) -> None:
    if len(captions) != len(others) or not captions:
        raise ValueError(f"{len(captions)} captions of {len(others)} images; expected one each, at least one")


def _part(some: int, of: int) -> float:
    return some / of if of else 0.0


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]
