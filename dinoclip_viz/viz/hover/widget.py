"""The explorer in a notebook: an anywidget with the same script, its features sent as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Protocol, cast

from numpy.typing import ArrayLike

from dinoclip_viz.viz.hover.page import hover_module
from dinoclip_viz.viz.hover.payload import hover_payload
from dinoclip_viz.viz.inputs import AnyImage

NEEDED = 'the hover widget needs anywidget: pip install "dinoclip-viz[notebooks]"'


class HoverWidget(Protocol):
    """A displayed widget.

    Attributes:
        pins: [image, row, column] of each pinned patch, from 0, in the order of pinning.
    """

    pins: list[list[int]]


def hover_widget(
    images: Sequence[AnyImage],
    patches: Sequence[ArrayLike],
    boxes: Sequence[Sequence[float] | None] | None = None,
    names: Sequence[str] | None = None,
    low: float = -0.2,
    high: float = 1.0,
) -> HoverWidget:
    """The explorer as a widget, displayed as the value of a notebook cell.

    Args:
        images, patches, boxes, names, low, high: as in `hover_payload`.

    Raises:
        ModuleNotFoundError: anywidget is not installed; the message names the extra.
        ValueError: as in `hover_payload`.
    """
    check_anywidget()  # before the work
    payload = hover_payload(images, patches, boxes, names, low, high)
    made = _widget_class()(meta=payload.meta, features=payload.features, scales=payload.scales)
    return cast("HoverWidget", made)


def check_anywidget() -> None:
    """Check that anywidget is installed.

    Raises:
        ModuleNotFoundError: anywidget is not installed; the message names the extra.
    """
    _widget_class()


@cache
def _widget_class() -> type:
    try:
        anywidget, traitlets = import_module("anywidget"), import_module("traitlets")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(NEEDED, name=error.name) from error
    traits = {
        "meta": traitlets.Dict().tag(sync=True),
        "features": traitlets.Bytes().tag(sync=True),
        "scales": traitlets.Bytes().tag(sync=True),
        "pins": traitlets.List().tag(sync=True),
    }
    return type("HoverWidget", (anywidget.AnyWidget,), {"_esm": hover_module(), "__module__": __name__, **traits})
