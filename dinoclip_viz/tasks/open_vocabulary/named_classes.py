"""Free prompts compared with ground truth of fixed classes: which prompts name a class, and the IoU of their masks."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary
from dinoclip_viz.tasks.probes.confusion import NOTHING, Confusion

NONE_OF_THESE = "none of these"

_ARTICLE = re.compile(r"^(a|an|the)\s+", re.IGNORECASE)


def classes_named(vocabulary: Vocabulary, classes: Sequence[str]) -> list[int | None]:
    """The class that each entry of a vocabulary names by any of its prompts, without articles; None for no class.

    Background words name no class.

    Args:
        vocabulary: the prompts.
        classes: names of the classes of the ground truth.

    Examples:
        >>> classes_named(Vocabulary.of(["a Cat", "puppy; the dog", "the sky"]), ["dog", "cat"])
        [1, 0, None]
    """
    known = {name.lower(): number for number, name in reversed(list(enumerate(classes)))}
    found: list[int | None] = []
    for name, prompts in zip(vocabulary.names, vocabulary.prompts, strict=True):
        asked = () if name in vocabulary.background else prompts
        words = [_ARTICLE.sub("", prompt.strip()).lower() for prompt in asked]
        found.append(next((known[word] for word in words if word in known), None))
    return found


def ground_truth_of_named(target: ArrayLike, named: Sequence[int | None]) -> NDArray[np.int64]:
    """(height, width) the ground truth in the vocabulary's numbers; -1 where no prompt names its class.

    Args:
        target: (height, width) number of the class of each pixel, negative for none.
        named: from `classes_named`; of several prompts for one class, the first counts.

    Examples:
        >>> ground_truth_of_named([[0, 1, -1]], [1, None]).tolist()
        [[-1, 0, -1]]
    """
    numbers = np.asarray(target).astype(np.int64)
    found = np.full_like(numbers, NOTHING)
    for entry in reversed(range(len(named))):
        if named[entry] is not None:
            found[numbers == named[entry]] = entry
    return found


def named_confusion(
    labels: ArrayLike, target: ArrayLike, named: Sequence[int | None], names: Sequence[str], none: bool
) -> Confusion | None:
    """The confusion table of the classes that prompts name; None if no class is named.

    Pixels of other classes count as a further class, "none of these", or not at all. A prompt that names no class
    counts as "none of these".

    Args:
        labels: (height, width) entry of the vocabulary at each pixel, negative for none.
        target: (height, width) number of the class, negative for none.
        named: from `classes_named`.
        names: of the vocabulary.
        none: whether "none of these" is a class, so that pixels of no named class count.
    """
    firsts = {number: entry for entry, number in reversed(list(enumerate(named))) if number is not None}
    if not firsts:
        return None
    kept = sorted(firsts.values())
    position = {number: kept.index(entry) for number, entry in firsts.items()}
    other = len(kept) if none else NOTHING
    table = np.array([other if number is None else position[number] for number in named] + [other], np.int64)
    found = table[np.where(np.asarray(labels) < 0, len(named), np.asarray(labels))]
    known = ground_truth_of_named(target, named)
    known = table[np.where(known < 0, len(named), known)]
    shown = [names[entry] for entry in kept]
    if none:
        shown.append(NONE_OF_THESE)
    return Confusion(shown).add(found, known, None if none else NOTHING)
