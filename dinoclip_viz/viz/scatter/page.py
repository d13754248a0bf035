"""The scatter plot as a part of a page, and as a page of its own that needs no server and no network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from numpy.typing import ArrayLike

from dinoclip_viz.viz.scatter.payload import scatter_payload

_FRAGMENT = """<div class="dvs-place"></div>
<script type="application/json">{payload}</script>
<script>
{code}
(() => {{
  const payload = document.currentScript.previousElementSibling;
  const place = payload.previousElementSibling;
  place.handle = scatter.mount(place, JSON.parse(payload.textContent));
}})();
</script>
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; padding: 12px; max-width: 1200px; background: Canvas; color: CanvasText; }}
h1 {{ font: 600 20px/1.3 system-ui, sans-serif; }}
.dvs-place {{ --dvs-height: min(70vh, 720px); }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{fragment}
</main>
</body>
</html>
"""


@cache
def library_code() -> str:
    """Plotly's script (MIT licence, named in its first lines), from the installed package."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@cache
def scatter_code() -> str:
    """The code as a classic script that defines the constant `scatter`; it needs `Plotly`.

    Examples:
        >>> "const scatter = " in scatter_code(), "https://" in scatter_code()
        (True, False)
    """
    return files("dinoclip_viz.viz.scatter").joinpath("scatter.js").read_text(encoding="utf-8")


@cache
def scatter_style() -> str:
    """The style; every class begins with "dvs"."""
    return files("dinoclip_viz.viz.scatter").joinpath("scatter.css").read_text(encoding="utf-8")


def scatter_fragment(
    points: ArrayLike,
    labels: Sequence[str | None] | None = None,
    values: ArrayLike | None = None,
    thumbnails: Sequence[bytes] | None = None,
    titles: Sequence[str] | None = None,
    title: str = "Embedding map",
    include_library: bool = True,
) -> str:
    """HTML of the plot for the body of another page: an element with its data, style and script.

    A policy of the page must allow inline scripts, inline styles, images from `data:`, and `'unsafe-eval'`, which
    Plotly's WebGL needs. The element's height is the CSS variable `--dvs-height`. The map is in the property `handle`
    of the element of the class `dvs-place`.

    Args:
        points, labels, values, thumbnails, titles, title: as in `scatter_payload`.
        include_library: whether Plotly's script is included (5 MB), once per page.

    Raises:
        ValueError: as in `scatter_payload`.
    """
    payload = scatter_payload(points, labels, values, thumbnails, titles, title).replace("<", "\\u003c")
    library = f"<script>{_inside(library_code())}</script>\n" if include_library else ""
    # in a block, so that a page may hold several
    code = f"window.scatter ??= (() => {{\n{scatter_code()}\nreturn scatter;\n}})();"
    return f"{library}<style>{scatter_style()}</style>\n" + _FRAGMENT.format(payload=payload, code=_inside(code))


def scatter_page(
    points: ArrayLike,
    labels: Sequence[str | None] | None = None,
    values: ArrayLike | None = None,
    thumbnails: Sequence[bytes] | None = None,
    titles: Sequence[str] | None = None,
    title: str = "Embedding map",
) -> str:
    """HTML of a page with the plot; saved as a file it opens in any browser with WebGL and fetches nothing.

    Args:
        points, labels, values, thumbnails, titles, title: as in `scatter_payload`.

    Raises:
        ValueError: as in `scatter_payload`.

    Examples:
        >>> page = scatter_page([[0, 0], [1, 2]], labels=["cat", "dog"], title="Two points")
        >>> "<h1>Two points</h1>" in page, "<script src" in page
        (True, False)
    """
    fragment = scatter_fragment(points, labels, values, thumbnails, titles, title)
    return _PAGE.format(title=html.escape(title), fragment=fragment)


def _inside(code: str) -> str:
    """A script that does not end the element that holds it."""
    return code.replace("</script", "<\\/script")
