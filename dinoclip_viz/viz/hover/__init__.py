"""The similarity of every patch to the patch under the pointer, in a notebook, an app or a plain page.

The similarities are computed in the browser, by the one `hover.js`, from features that are sent once.
"""

from dinoclip_viz.viz.hover.page import hover_code, hover_module, hover_page
from dinoclip_viz.viz.hover.payload import MOST_IMAGES, HoverPayload, hover_payload, quantise
from dinoclip_viz.viz.hover.widget import HoverWidget, check_anywidget, hover_widget

__all__ = [
    "MOST_IMAGES",
    "HoverPayload",
    "HoverWidget",
    "check_anywidget",
    "hover_code",
    "hover_module",
    "hover_page",
    "hover_payload",
    "hover_widget",
    "quantise",
]
