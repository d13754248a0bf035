"""What a projector maps, and the features of an image that it reads."""

from __future__ import annotations

from typing import Literal

Input = Literal["mean", "pooled", "pooled+mean", "pooled+patches"]
Side = Literal["image", "text", "both"]

INPUTS: dict[str, int] = {"mean": 1, "pooled": 1, "pooled+mean": 2, "pooled+patches": 1}
"""Input features of an image -> their width, in multiples of the encoder's."""

PATCHES = "pooled+patches"
"""Inputs that contain the patches themselves, not their mean."""


def check_sides(side: str, inputs: str, patch_head: bool, text_head: str) -> None:
    """Check that side, inputs and heads fit together.

    Raises:
        ValueError: they do not.
    """
    if inputs not in INPUTS:
        raise ValueError(f"inputs is {inputs!r}; expected one of {', '.join(INPUTS)}")
    if side not in ("image", "text", "both"):
        raise ValueError(f"side is {side!r}; expected image, text or both")
    if side == "text" and (inputs not in ("mean", "pooled") or patch_head):
        raise ValueError(
            f"a projector of the text side with inputs {inputs!r}"
            + (" and a patch head" if patch_head else "")
            + "; expected 'pooled' or 'mean' and no patch head"
        )
    if bool(text_head) != (side == "both"):
        raise ValueError(f"a projector of the side {side!r} with the text head {text_head!r}; both sides need one")
    if inputs == PATCHES and not (side == "both" and patch_head):
        raise ValueError("inputs 'pooled+patches' need both sides and a patch head; give side='both', patch_head=True")
