"""Prototypes of concepts: vectors from a file, or of class names through a text encoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.locations import shown

SUFFIXES = (".npy", ".safetensors")
"""The extensions of files of prototypes."""


@dataclass(frozen=True)
class Prototypes:
    """One vector per concept.

    Attributes:
        vectors: (C, D), raw or unit.
        names: of the C concepts.
        space: of the vectors; "" if the file does not state it, so that the dimension alone can be checked.
    """

    vectors: NDArray[np.float32]
    names: tuple[str, ...]
    space: str = ""

    def check_space(self, space: str, dimension: int, name: str) -> None:
        """Check that the vectors can be compared with others.

        Args:
            space: of the others.
            dimension: of the others.
            name: of the others' store or encoder, for errors.

        Raises:
            SpaceError: another space.
            ValueError: another dimension.
        """
        from dinoclip_viz.encoders.errors import SpaceError

        if self.space and self.space != space:
            raise SpaceError(
                f"the prototypes are of {self.space!r}, the vectors of {name} of {space!r}; expected one space: "
                f"make the prototypes with {space}"
            )
        if self.vectors.shape[1] != dimension:
            raise ValueError(
                f"the prototypes have {self.vectors.shape[1]} dimensions, the vectors of {name} {dimension}; expected "
                f"prototypes of {space}"
            )


def read_prototypes(file: str | Path) -> Prototypes:
    """The prototypes in a file.

    Args:
        file: .npy with a (C, D) array; or .safetensors with one such tensor and, in its metadata, `space` and `names`
            (a JSON list).

    Raises:
        ValueError: the file cannot be read, or holds something else.
    """
    path = Path(file).expanduser()
    names: object = None
    space = ""
    try:
        if path.suffix.lower() == ".npy":
            vectors = np.load(path, allow_pickle=False)
        else:
            from safetensors import safe_open

            with safe_open(path, "np") as opened:
                keys = list(opened.keys())
                if len(keys) != 1:
                    raise ValueError(f"{len(keys)} tensors")
                vectors, metadata = opened.get_tensor(keys[0]), opened.metadata() or {}
            names, space = json.loads(metadata.get("names", "null")), metadata.get("space", "")
    except Exception as error:  # each format has its own errors
        reason = " ".join(str(error).split())[:160]
        raise ValueError(f"{shown(path)}: no prototypes ({reason}); expected one (C, D) array") from error
    if vectors.ndim != 2 or not vectors.size or vectors.dtype.kind != "f":
        raise ValueError(f"{shown(path)}: {vectors.dtype} of shape {vectors.shape}; expected a (C, D) array of floats")
    if names is None:
        names = [f"concept {number}" for number in range(len(vectors))]
    if not isinstance(names, list) or len(names) != len(vectors):
        raise ValueError(f"{shown(path)}: its names are no list of {len(vectors)}; expected one name per prototype")
    return Prototypes(vectors.astype(np.float32), tuple(map(str, names)), space)


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names of concepts, each once, in their order.

    Raises:
        ValueError: there is none.

    Examples:
        >>> check_names(["cat", " dog", "cat", ""])
        ('cat', 'dog')
    """
    found = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not found:
        raise ValueError("found no concepts; expected at least one class name")
    return found
