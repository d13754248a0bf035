"""Questions about scenes with their answers, in PaliGemma's prompts: captions, answers, detection and segmentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dinoclip_viz.playground.captions import NUMBERS, article
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.vocabulary import BACKGROUNDS, CLASSES, COLOURS, plural
from dinoclip_viz.playground.world import Scene, SceneObject

LEAST_VISIBLE = 1 / 600
"""Fraction of an image's pixels from which an object counts as visible: 15 pixels of an image of 96 x 96."""

ROWS, COLUMNS = ("top", "", "bottom"), ("left", "", "right")
RELATIONS = ("left of", "right of", "above", "below")
ANSWER = "answer en "
MOST_NAMES = 3


@dataclass(frozen=True)
class Facts:
    """What is known of a scene, of its visible objects only.

    Attributes:
        size: side of the image in pixels.
        background: one of `BACKGROUNDS`, or "photograph".
        objects: the visible objects; numbers: their indices in the scene.
    """

    size: int
    background: str
    objects: tuple[SceneObject, ...]
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, scene: Scene) -> Facts:
        """The facts of a scene."""
        size = scene.image.width
        least = LEAST_VISIBLE * size * size
        numbers = tuple(n for n in range(len(scene.objects)) if (scene.instances == n + 1).sum() >= least)
        return cls(size, scene.background, tuple(scene.objects[n] for n in numbers), numbers)

    def counted(self) -> Counter[str]:
        """Class -> number of its visible objects."""
        return Counter(one["name"] for one in self.objects)

    def unique(self) -> list[SceneObject]:
        """The objects that are the only ones of their class."""
        count = self.counted()
        return [one for one in self.objects if count[one["name"]] == 1]


@dataclass(frozen=True)
class Asked:
    """One question about a scene.

    Attributes:
        kind: one of `KINDS`.
        prompt: as PaliGemma takes it, such as "answer en what color is the car?" or "detect car ; tree".
        answer: the expected text; for detection and segmentation "".
        found: for detection and segmentation, (label, index of the object in the scene) in the expected order.
    """

    kind: str
    prompt: str
    answer: str = ""
    found: tuple[tuple[str, int], ...] = ()


T = TypeVar("T")
Maker = Callable[[Facts, Chance], Asked | None]


def questions(facts: Facts, chance: Chance, often: dict[str, float] | None = None) -> list[Asked]:
    """Random questions about a scene: of each kind none, one or more.

    Args:
        facts: of the scene.
        chance: random numbers.
        often: kind -> mean number of questions of the kind; None asks one of every kind.
    """
    found: list[Asked] = []
    for kind, make in KINDS.items():
        mean = 1.0 if often is None else often.get(kind, 0.0)
        number = int(mean) + (chance() < mean - int(mean))
        asked = (make(facts, chance) for _ in range(number))
        found += [one for one in asked if one is not None and one not in found]
    return found


def relation(first: SceneObject, second: SceneObject) -> str:
    """Position of the centre of the first object relative to that of the second, one of `RELATIONS`.

    Examples:
        >>> relation({"name": "cat", "colour": "red", "box": [0, 0, 9, 9]},
        ...          {"name": "dog", "colour": "red", "box": [50, 5, 60, 15]})
        'left of'
    """
    across, down = (_centre(first)[axis] - _centre(second)[axis] for axis in (0, 1))
    if abs(across) > abs(down):
        return "left of" if across < 0 else "right of"
    return "above" if down < 0 else "below"


def _centre(one: SceneObject) -> tuple[float, float]:
    left, top, right, bottom = one["box"]
    return (left + right) / 2, (top + bottom) / 2


def _pick(chance: Chance, options: Sequence[T]) -> T:
    return options[chance.below(len(options))]


def _reading_order(facts: Facts, name: str) -> list[int]:
    """Positions in `facts.objects` of the objects of a class, from top to bottom, then left to right."""
    mine = [place for place, one in enumerate(facts.objects) if one["name"] == name]
    return sorted(mine, key=lambda place: (facts.objects[place]["box"][1], facts.objects[place]["box"][0]))


def description(facts: Facts) -> str:
    """A caption of the visible objects from left to right, with their colours and the background; "" without objects.

    It is decided by the scene alone, so that there is one right answer: objects of one class and colour are counted,
    and of two or more single ones the first is located next to the second.

    Examples:
        >>> cars = [{"name": "car", "colour": "red", "box": [at, 0, at + 9, 9]} for at in (50, 20)]
        >>> cat = {"name": "cat", "colour": "gray", "box": [0, 0, 9, 9]}
        >>> description(Facts(96, "grass", (*cars, cat), (0, 1, 2)))
        'a gray cat and two red cars on grass'
    """
    groups: dict[tuple[str, str], list[SceneObject]] = {}
    for one in sorted(facts.objects, key=_centre):
        groups.setdefault((one["name"], one["colour"]), []).append(one)
    phrases = [
        f"{NUMBERS[len(members)]} {colour} {plural(name)}" if len(members) > 1 else article(f"{colour} {name}")
        for (name, colour), members in groups.items()
    ]
    if len(phrases) > 1 and len(phrases) == len(facts.objects):
        first, second = (members[0] for members in list(groups.values())[:2])
        phrases[:2] = [f"{phrases[0]} {relation(first, second)} {phrases[1]}"]
    where = BACKGROUNDS.get(facts.background, "")
    return " ".join(filter(None, (" and ".join(phrases), where))) if phrases else ""


def _caption(facts: Facts, chance: Chance) -> Asked | None:
    text = description(facts)
    return Asked("caption", "caption en", text) if text else None


def _colour(facts: Facts, chance: Chance) -> Asked | None:
    if not (options := facts.unique()):
        return None
    one = _pick(chance, options)
    word = _pick(chance, ("color", "colour"))
    form = _pick(chance, ("what {} is the {}?", "what is the {} of the {}?"))
    return Asked("colour", ANSWER + form.format(word, one["name"]), one["colour"])


def _count(facts: Facts, chance: Chance) -> Asked | None:
    if chance() < 0.5:
        form = _pick(chance, ("how many objects are there?", "how many things are there?", "how many objects?"))
        return Asked("count", ANSWER + form, str(len(facts.objects)))
    count = facts.counted()
    several = [name for name, number in count.items() if number > 1]
    name = _pick(chance, several) if several and chance() < 0.6 else _pick(chance, _asked_class(facts, chance))
    form = _pick(chance, ("how many {} are there?", "how many {}?"))
    return Asked("count", ANSWER + form.format(plural(name)), str(count[name]))


def _asked_class(facts: Facts, chance: Chance) -> list[str]:
    """The classes that are there, or, in one case of three, those that are not."""
    seen = [one["name"] for one in facts.objects]
    return seen if seen and chance() < 0.67 else [name for name in CLASSES if name not in seen]


def _what(facts: Facts, chance: Chance) -> Asked | None:
    """The class of an object, asked for by its colour or by its position next to another."""
    options = []
    for one in facts.objects:
        if sum(other["colour"] == one["colour"] for other in facts.objects) == 1:
            options.append((f"what is the {one['colour']} object?", one["name"]))
        for other in facts.unique():
            where = relation(one, other)
            rest = [third for third in facts.objects if third is not other and relation(third, other) == where]
            if one is not other and len(rest) == 1:
                options.append((f"what is {where} the {other['name']}?", one["name"]))
    if len(facts.objects) == 1:
        options.append(("what is this?", facts.objects[0]["name"]))
    if not options:
        return None
    prompt, answer = _pick(chance, options)
    return Asked("what", ANSWER + prompt, answer)


def _where(facts: Facts, chance: Chance) -> Asked | None:
    """The third of the image in which the centre of an object is, such as "top left"."""
    if not (options := facts.unique()):
        return None
    one = _pick(chance, options)
    across, down = (min(2, int(3 * value / facts.size)) for value in _centre(one))
    words = " ".join(filter(None, (ROWS[down], COLUMNS[across]))) or "middle"
    return Asked("where", f"{ANSWER}where is the {one['name']}?", words)


def _background(facts: Facts, chance: Chance) -> Asked | None:
    if facts.background not in BACKGROUNDS:
        return None
    form = _pick(chance, ("what is the background?", "what is in the background?"))
    return Asked("background", ANSWER + form, facts.background)


def _yes_no(facts: Facts, chance: Chance) -> Asked | None:
    """A question to which yes and no are as frequent: is a class there, in a colour, or in a relation."""
    yes = chance() < 0.5
    forms = [_is_there, _is_colour, _is_related]
    prompt = _pick(chance, forms)(facts, chance, yes) or _is_there(facts, chance, yes)
    return Asked("yes-no", ANSWER + prompt, "yes" if yes else "no") if prompt else None


def _is_there(facts: Facts, chance: Chance, yes: bool) -> str:
    seen = [one["name"] for one in facts.objects]
    options = seen if yes else [name for name in CLASSES if name not in seen]
    return f"is there {article(_pick(chance, options))}?" if options else ""


def _is_colour(facts: Facts, chance: Chance, yes: bool) -> str:
    if not (options := facts.unique()):
        return ""
    one = _pick(chance, options)
    colour = one["colour"] if yes else _pick(chance, [name for name in COLOURS if name != one["colour"]])
    return f"is the {one['name']} {colour}?"


def _is_related(facts: Facts, chance: Chance, yes: bool) -> str:
    options = facts.unique()
    if len(options) < 2:
        return ""
    first = _pick(chance, options)
    second = _pick(chance, [one for one in options if one is not first])
    where = relation(first, second) if yes else relation(second, first)  # the opposite one
    return f"is the {first['name']} {where} the {second['name']}?"


def _detect(facts: Facts, chance: Chance) -> Asked | None:
    """Detection of one to three classes that are there; among several, one may not be."""
    names = list(facts.counted())
    if not names:
        return None
    order = sorted(names, key=lambda _: chance())[: 1 if chance() < 0.7 else MOST_NAMES]
    if len(order) > 1 and chance() < 0.4:
        order[-1] = _pick(chance, [name for name in CLASSES if name not in names])
    labels = {name: plural(name) if chance() < 0.15 else name for name in order}
    found = tuple((labels[name], facts.numbers[at]) for name in order for at in _reading_order(facts, name))
    return Asked("detect", "detect " + " ; ".join(labels.values()), "", found)


def _absent(facts: Facts, chance: Chance) -> Asked | None:
    """Detection or segmentation of a class, or of a colour of a class, that is not there."""
    verb = "detect" if chance() < 0.8 else "segment"
    seen = facts.counted()
    if seen and chance() < 0.25:
        name = _pick(chance, list(seen))
        here = {one["colour"] for one in facts.objects if one["name"] == name}
        return Asked("absent", f"{verb} {_pick(chance, [c for c in COLOURS if c not in here])} {name}")
    return Asked("absent", f"{verb} {_pick(chance, [name for name in CLASSES if name not in seen])}")


def _refer(facts: Facts, chance: Chance) -> Asked | None:
    """Detection or segmentation of one object by a referring expression."""
    options = referring(facts)
    if not options:
        return None
    twins = [one for one in options if facts.counted()[facts.objects[one[1]]["name"]] > 1]
    words, at = _pick(chance, twins if twins and chance() < 0.85 else options)
    verb, the = ("detect" if chance() < 0.75 else "segment"), ("the " if chance() < 0.5 else "")
    return Asked("refer", f"{verb} {the}{words}", "", ((words, facts.numbers[at]),))


def referring(facts: Facts) -> list[tuple[str, int]]:
    """(expression, position in `facts.objects`): a colour, a relation to another object, or both, each of one object.

    An expression is listed where it is true of one object only: "red car", "car left of the tree", "red car left of the
    tree", and "left car" of two cars.
    """
    found = []
    for at, one in enumerate(facts.objects):
        same = [other for other in facts.objects if other["name"] == one["name"]]
        if sum(other["colour"] == one["colour"] for other in same) == 1:
            found.append((f"{one['colour']} {one['name']}", at))
        for anchor in facts.unique():
            where = relation(one, anchor)
            if one is anchor:
                continue
            there = [other for other in same if relation(other, anchor) == where]
            if len(there) == 1:
                found.append((f"{one['name']} {where} the {anchor['name']}", at))
            if sum(other["colour"] == one["colour"] for other in there) == 1:
                found.append((f"{one['colour']} {one['name']} {where} the {anchor['name']}", at))
        if len(same) == 2:
            other = same[1] if same[0] is one else same[0]
            side = {"left of": "left", "right of": "right", "above": "top", "below": "bottom"}[relation(one, other)]
            found.append((f"{side} {one['name']}", at))
    return found


def _segment(facts: Facts, chance: Chance) -> Asked | None:
    """Segmentation of the objects of a class."""
    names = list(facts.counted())
    if not names:
        return None
    name = _pick(chance, names)
    found = tuple((name, facts.numbers[at]) for at in _reading_order(facts, name))
    return Asked("segment", f"segment {name}", "", found)


KINDS: dict[str, Maker] = {
    "caption": _caption, "colour": _colour, "count": _count, "what": _what, "where": _where,
    "background": _background, "yes-no": _yes_no, "detect": _detect, "absent": _absent, "refer": _refer,
    "segment": _segment,
}  # fmt: skip
"""Kind of a question -> the function that makes one; None where a scene has nothing to ask."""
