"""Standard lists of classes and prompt templates, and the mapping of a data set's labels to classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LISTS = ("imagenet", "coco", "cifar10", "cifar100", "voc", "playground")
TEMPLATES = ("openai", "simple")


@dataclass(frozen=True)
class ClassList:
    """Classes in their standard order.

    Attributes:
        name: of the list: one of `LISTS`, or a file's path.
        names: as used in prompts; two classes may have the same name, as ImageNet's two missiles do.
        codes: further identifiers of a class, such as ImageNet's wnids -> its number.
    """

    name: str
    names: tuple[str, ...]
    codes: Mapping[str, int] = field(default_factory=dict, repr=False)

    def index(self, label: str) -> int:
        """Number of the class of a data set's label, which is a code, a name in any spelling, or a number.

        Raises:
            ValueError: the label matches no class.

        Examples:
            >>> coco = class_list("coco")
            >>> coco.index("traffic_light"), coco.index("Traffic Light"), coco.index("9")
            (9, 9, 9)
        """
        found = self.codes.get(label.strip(), self._spelt.get(_letters(label)))
        if found is None and label.strip().isdecimal() and int(label) < len(self.names):
            found = int(label)
        if found is None:
            raise ValueError(
                f"{label!r} is not a class of {self.name}; expected one of its {len(self.names)} names, such as "
                f"{self.names[0]}, or 0 to {len(self.names) - 1}"
            )
        return found

    @property
    def _spelt(self) -> Mapping[str, int]:
        return {_letters(name): number for number, name in reversed(list(enumerate(self.names)))}


def class_list(name: str) -> ClassList:
    """The class list of that name in `LISTS`, or of a text file with one class per line.

    ImageNet's names are open_clip's (those of OpenAI's CLIP); its codes are the wnids, n01440764 first.

    Raises:
        ValueError: no list or file of that name, or a file that is unreadable, has fewer than two classes or repeats
            one.

    Examples:
        >>> {name: len(class_list(name).names) for name in LISTS}
        {'imagenet': 1000, 'coco': 80, 'cifar10': 10, 'cifar100': 100, 'voc': 20, 'playground': 20}
        >>> class_list("imagenet").names[class_list("imagenet").index("n01443537")]
        'goldfish'
    """
    if name == "imagenet":
        from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
        from timm.data import ImageNetInfo

        known = ImageNetInfo()
        wnids = sorted(known.label_names())
        codes = {wnid: number for number, wnid in enumerate(wnids)}
        # names of data sets on the hub: "tench, Tinca tinca"
        synonyms = [known.label_name_to_description(wnid) for wnid in wnids]
        codes |= {words: number for number, words in enumerate(synonyms) if synonyms.count(words) == 1}
        return ClassList(name, tuple(IMAGENET_CLASSNAMES), codes)
    if name in _NAMES:
        return ClassList(name, tuple(part.strip() for part in _NAMES[name].replace("\n", " ").split(",")))
    return _from_file(name)


def template_set(name: str) -> tuple[str, ...]:
    """Prompt templates by name: "openai" are CLIP's 80 for ImageNet, "simple" the 7 best of them.

    Raises:
        ValueError: no set of that name.

    Examples:
        >>> len(template_set("openai")), template_set("simple")[0]
        (80, 'itap of a {}.')
    """
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

    sets = {"openai": OPENAI_IMAGENET_TEMPLATES, "simple": SIMPLE_IMAGENET_TEMPLATES}
    if name not in sets:
        raise ValueError(f"found {name!r}; expected the templates {' or '.join(sets)}")
    return tuple(str(template("{}")) for template in sets[name])


def _from_file(name: str) -> ClassList:
    file = Path(name).expanduser()
    if not file.is_file():
        known = ", ".join(LISTS)
        raise ValueError(f"found no class list {name!r}; expected {known}, or a text file with one class per line")
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text ({error.reason}); expected one class per line") from error
    names = [line for line in lines if line]
    if len(names) < 2:
        raise ValueError(f"{file} has {len(names)} classes; expected two or more, one per line")
    twice = sorted({other for other in names if names.count(other) > 1})
    if twice:
        raise ValueError(f"{file} repeats the classes {', '.join(twice[:5])}; expected each once")
    return ClassList(str(file), tuple(names))


def _letters(label: str) -> str:
    """The label in lower case without spaces and signs, as "Dining_Table" -> "diningtable"; signs alone are kept."""
    return "".join(letter for letter in label.casefold() if letter.isalnum()) or label.strip()


_NAMES = {
    "coco": """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli,
carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote,
keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush""",
    "cifar10": "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck",
    "cifar100": """apple, aquarium fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge, bus,
butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud, cockroach, couch, crab, crocodile,
cup, dinosaur, dolphin, elephant, flatfish, forest, fox, girl, hamster, house, kangaroo, keyboard, lamp, lawn mower,
leopard, lion, lizard, lobster, man, maple tree, motorcycle, mountain, mouse, mushroom, oak tree, orange, orchid, otter,
palm tree, pear, pickup truck, pine tree, plain, plate, poppy, porcupine, possum, rabbit, raccoon, ray, road, rocket,
rose, sea, seal, shark, shrew, skunk, skyscraper, snail, snake, spider, squirrel, streetcar, sunflower, sweet pepper,
table, tank, telephone, television, tiger, tractor, train, trout, tulip, turtle, wardrobe, whale, willow tree, wolf,
woman, worm""",
    "voc": """aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, dining table, dog, horse, motorbike,
person, potted plant, sheep, sofa, train, tv monitor""",
    "playground": """cat, dog, elephant, bird, fish, butterfly, car, bus, boat, plane, bicycle, tree, flower, mushroom,
house, cup, knife, hammer, umbrella, chair""",
}
