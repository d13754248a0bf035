"""Settings of the documentation site: `sphinx-build -W --keep-going -b html docs build/docs`, with the extra `docs`.

Sphinx with MyST and furo, after a trial of it and of zensical 0.0.73 on seven pages of this folder and three docstrings
(November 2026). Both are maintained, read Markdown, and load no font or script from elsewhere. Of a missing page, a
missing image and a missing name, Sphinx reported all three (`-W --keep-going`); zensical (`--strict`) reported the
page, not the image, and ended with a traceback at the name. Sphinx also runs this file: the figures and the help of the
commands are made by the build itself.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import dinoclip_viz

sys.path.insert(0, str(Path(__file__).parent))

project = "dinoclip_viz"
author = "the dinoclip-viz maintainers"
project_copyright = f"2026, {author}. Apache-2.0"
version = release = dinoclip_viz.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_heading_anchors = 3

default_role = "code"  # docstrings write code between single backticks
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"ImageLike": "ImageLike", "ImagesLike": "ImagesLike"}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "dinoclip_viz"
html_copy_source = False
html_show_sphinx = False


def _mend(app: Sphinx, kind: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """No docstring of a built-in type for a constant; a file pattern such as *.png is no emphasis."""
    if kind == "data" and lines and "\n".join(lines).strip() == (inspect.getdoc(type(value)) or "").strip():
        lines.clear()
    lines[:] = [re.sub(r"\*(?=\.\w)", r"\\*", line) for line in lines]


def _draw(app: Sphinx) -> None:
    if app.config.draw_figures:
        from figures import draw_figures

        draw_figures()


def _without_links_outside(app: Sphinx, name: str, source: list[str]) -> None:
    """Links to files of the repository that are no part of the site become their text."""
    docs = Path(app.srcdir)
    folder = (docs / name).parent

    def kept(link: re.Match[str]) -> str:
        target = link[2].split("#")[0]
        outside = "://" not in target and not (folder / target).resolve().is_relative_to(docs)
        return link[1] if outside else link[0]

    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", kept, source[0])


def setup(app: Sphinx) -> None:
    """Draw the figures before the pages are read, and add the directive that shows the help of the commands."""
    from verbs import Verbs

    app.add_config_value("draw_figures", True, "env", bool)
    app.add_directive("verbs", Verbs)
    app.connect("builder-inited", _draw)
    app.connect("source-read", _without_links_outside)
    app.connect("autodoc-process-docstring", _mend)
