"""The script as text, and a page of its own: a single file that needs no server and no network."""

from __future__ import annotations

import html
from functools import cache
from importlib.resources import files

from dinoclip_viz.viz.hover.payload import HoverPayload

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; padding: 12px; max-width: 1200px; background: Canvas; color: CanvasText; }}
h1 {{ font: 600 20px/1.3 system-ui, sans-serif; }}
</style>
</head>
<body>
<h1>{title}</h1>
<div id="hover"></div>
<script type="application/json" id="payload">{payload}</script>
<script>
{code}
const payload = JSON.parse(document.getElementById("payload").textContent);
const handle = hover.mount(document.getElementById("hover"), payload);
</script>
</body>
</html>
"""


@cache
def hover_module() -> str:
    """The text of `hover.js`, an ES module whose default export has `render` (for anywidget) and `mount`.

    Examples:
        >>> "import " in hover_module()
        False
    """
    return files("dinoclip_viz.viz.hover").joinpath("hover.js").read_text(encoding="utf-8")


@cache
def hover_code() -> str:
    """The code as a classic script: the exports of the module are in the constant `hover`.

    Examples:
        >>> hover_code().strip().splitlines()[-1]
        'const hover = { render, mount };'
    """
    return hover_module().replace("export default", "const hover =")


def hover_page(payload: HoverPayload, title: str = "Patch similarity") -> str:
    """HTML of a page that shows the payload; saved as a file it opens in any browser and fetches nothing.

    Args:
        payload: from `hover_payload`.
        title: of the page.

    Examples:
        >>> import numpy as np
        >>> from dinoclip_viz.viz.hover.payload import hover_payload
        >>> page = hover_page(hover_payload([np.zeros((8, 8))], [np.ones((2, 2, 3))]), title="One image")
        >>> "<h1>One image</h1>" in page, "https://" in page
        (True, False)
    """
    inside = payload.to_json().replace("<", "\\u003c")
    return _PAGE.format(title=html.escape(title), payload=inside, code=hover_code())
