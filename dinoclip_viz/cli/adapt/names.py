"""Class names of `--labels`: names with commas between them, a list's name, or a file."""

from __future__ import annotations

from pathlib import Path


def class_names_of(text: str) -> list[str]:
    """The class names that `--labels` gives.

    Args:
        text: names with commas between them; a text file with one class per line; or coco, cifar10, ... of
            `dinoclip evaluate zero-shot --classes`.

    Raises:
        ValueError: fewer than two names, an empty or a repeated one, or an unreadable file.

    Examples:
        >>> class_names_of("cat, dog")
        ['cat', 'dog']
    """
    from dinoclip_viz.tasks.zero_shot.class_lists import LISTS, class_list
    from dinoclip_viz.tasks.zero_shot.classify import check_labels

    if "," not in text and (text in LISTS or Path(text).expanduser().is_file()):
        names = list(class_list(text).names)
        return check_labels(list(dict.fromkeys(names)))  # ImageNet has two missiles
    names = check_labels(text.split(","))
    if len(names) < 2:
        raise ValueError(f"--labels has {names[0]!r} alone; expected two names or more, or a file with one per line")
    return names
