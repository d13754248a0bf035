"""Descriptions of classes, as large language models write them, and the vectors of classes that are described so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.encoders.base import TextEncoder
from dinoclip_viz.playground.actions import FORMS, afforded
from dinoclip_viz.playground.captions import article
from dinoclip_viz.playground.vocabulary import BACKGROUNDS, CLASSES, SYNONYMS, TYPICAL_COLOURS
from dinoclip_viz.tasks.zero_shot.classify import check_labels, check_templates

Descriptions: TypeAlias = Mapping[str, Sequence[str]]
"""Class name -> its descriptions, one sentence each."""

PLAYGROUND = "playground"
_EXAMPLE = '{"cat": ["A cat has pointed ears.", ...], ...}'
_SHOWN = 5  # names in a message


def read_descriptions(path: str | PathLike[str], class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Class name -> descriptions, in the order of the names, from a JSON file.

    The format is that of CuPL's published files (Pratt et al. 2023, https://arxiv.org/abs/2209.03320): an object whose
    keys are the class names and whose values are lists of sentences.

    Args:
        path: of the file.
        class_names: C names.

    Raises:
        ValueError: no such file, it is not JSON or of another form, or as in `check_descriptions`.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"found no file {file}; expected descriptions as JSON: {_EXAMPLE}")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # also of text that is not UTF-8
        raise ValueError(f"{file} is not JSON ({error}); expected {_EXAMPLE}") from error
    try:
        return check_descriptions(content, class_names)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def check_descriptions(descriptions: object, class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Class name -> descriptions without surrounding spaces, in the order of the names.

    Args:
        descriptions: class name -> sentences.
        class_names: C names.

    Raises:
        ValueError: another form, classes that are unknown or missing, or a class with no or an empty description.

    Examples:
        >>> check_descriptions({"dog": ["A dog barks. "], "cat": ["A cat."]}, ["cat", "dog"])
        {'cat': ('A cat.',), 'dog': ('A dog barks.',)}
    """
    if not isinstance(descriptions, Mapping):
        raise ValueError(f"found {type(descriptions).__name__}; expected lists of sentences by class name: {_EXAMPLE}")
    given = {str(name).strip(): sentences for name, sentences in descriptions.items()}
    unknown = [name for name in given if name not in class_names]
    if unknown:
        raise ValueError(
            f"found descriptions of {_listed(unknown)}; expected the {len(class_names)} classes {_listed(class_names)}"
        )
    missing = [name for name in class_names if name not in given]
    if missing:
        raise ValueError(f"found no descriptions of {_listed(missing)}; expected one or more for each class")
    return {name: _sentences(name, given[name]) for name in class_names}


def class_vectors(
    texts: TextEncoder,
    class_names: Sequence[str],
    templates: Sequence[str] | None = None,
    descriptions: Descriptions | None = None,
) -> Tensor:
    """(C, D) one unit vector per class: the mean of the unit vectors of its filled-in templates and its descriptions.

    Args:
        texts: the model's text encoder.
        class_names: C names.
        templates: prompts with one "{}" each; None uses the model's own.
        descriptions: of all classes, in one list with the templates; None for templates alone.

    Raises:
        ValueError: an invalid class name or template, or as in `check_descriptions`.
    """
    names = check_labels(class_names)
    chosen = check_templates(texts.templates if templates is None else templates)
    described = {} if descriptions is None else check_descriptions(descriptions, names)
    prompts = {
        name: [*(template.replace("{}", name) for template in chosen), *described.get(name, ())] for name in names
    }
    if not all(prompts.values()):
        raise ValueError('found no templates; expected at least one, such as "a photo of a {}."')
    every = [prompt for written in prompts.values() for prompt in written]
    vectors = F.normalize(texts.encode(every).pooled, dim=-1)
    parts = vectors.split([len(written) for written in prompts.values()])
    return F.normalize(torch.stack([part.mean(dim=0) for part in parts]), dim=-1)  # (C, D)


def descriptions_of(
    given: Descriptions | str | PathLike[str] | None, class_names: Sequence[str]
) -> dict[str, tuple[str, ...]] | None:
    """Checked descriptions of the classes; None for None.

    Args:
        given: class name -> sentences, a JSON file, "playground", or None.
        class_names: C names.

    Raises:
        ValueError: as in `read_descriptions`; for "playground", a class that it does not have.
    """
    if given is None:
        return None
    if given == PLAYGROUND:
        unknown = [name for name in class_names if name not in CLASSES]
        if unknown:
            raise ValueError(
                f"the playground describes its own classes, not {_listed(unknown)}; expected a JSON file: {_EXAMPLE}"
            )
        known = playground_descriptions()
        return {name: known[name] for name in class_names}
    if isinstance(given, (str, PathLike)):
        return read_descriptions(given, class_names)
    return check_descriptions(given, class_names)


def playground_descriptions() -> dict[str, tuple[str, ...]]:
    """Class of the playground -> descriptions from its vocabulary: colours, backgrounds, actions and parts.

    Examples:
        >>> playground_descriptions()["knife"][:2], playground_descriptions()["knife"][-1]
        (('a gray knife', 'a knife on grass'), 'a knife with a blade to slice with')
    """
    return {name: tuple(dict.fromkeys(_described(name))) for name in CLASSES}


def _described(name: str) -> list[str]:
    thing = article(name)
    sentences = [article(f"{colour} {name}") for colour in TYPICAL_COLOURS.get(name, ())]
    sentences += [f"{thing} {where}" for where in BACKGROUNDS.values()]
    for action, part in afforded(name):
        verbs = (action, *SYNONYMS[action]) if action != "contain" else SYNONYMS[action]
        sentences += [form.format(thing=thing, verb=verb, part=part) for form in FORMS[action] for verb in verbs]
    return sentences


def _sentences(name: str, given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ValueError(f"the descriptions of {name!r} are {type(given).__name__}; expected a list of sentences")
    if not given:
        raise ValueError(f"the list of descriptions of {name!r} is empty; expected one sentence or more")
    invalid = [number for number, text in enumerate(given, 1) if not isinstance(text, str) or not text.strip()]
    if invalid:
        raise ValueError(f"description {invalid[0]} of {name!r} is {given[invalid[0] - 1]!r}; expected a sentence")
    return tuple(" ".join(text.split()) for text in given)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
