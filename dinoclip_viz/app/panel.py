"""What a tab hands to the page that ties the tabs together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Panel:
    """The parts of a tab that the page knows of.

    Attributes:
        run: the handler that fills the tab, as `told` wraps it.
        inputs: the components that it reads; outputs: those that it fills.
        image: the component that "Use in every tab" fills: a `gr.Image`, or a `gr.Gallery` for several; None if none.
        share: the button of that name, on tabs with one image.
        changed: components whose choices depend on the model; refresh: makes them anew from the workbench and its key.
    """

    run: Any
    inputs: list[Any]
    outputs: list[Any]
    image: Any = None
    share: Any = None
    changed: tuple[Any, ...] = ()
    refresh: Any = None
