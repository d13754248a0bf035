"""Draws the figures of the site into docs/figures: each is the output of the commands that stand on its page.

`python docs/figures.py` draws all of them, `sphinx-build` calls `draw_figures` before it reads the pages.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from blocks import run_page

from dinoclip_viz.encoders.catalog import CATALOG

DOCS = Path(__file__).resolve().parent
FIGURES = DOCS / "figures"


def figures_of(page: Path) -> list[str]:
    """Names of the drawn figures that a page shows."""
    return re.findall(r"!\[[^\]]*\]\(\.\./figures/([\w.-]+)\)", page.read_text(encoding="utf-8"))


def pages_with_figures() -> list[Path]:
    """Pages that show figures of their own commands."""
    return [page for page in sorted(DOCS.rglob("*.md")) if figures_of(page)]


def without_hub(command: str) -> str | None:
    """A command as it is; None for one that needs a published model, opens the app, or is not ours."""
    published = {name for name, entry in CATALOG.items() if entry.folder is None}
    words = set(command.split())
    return None if words & published or "demo" in words or "dinoclip" not in words else command


def draw_figures(pages: Iterable[Path] | None = None) -> list[Path]:
    """Run the blocks of pages and copy the figures that they name; returns the copies.

    A page's figure `../figures/pca-faces.png` is the file `pca-faces.png` that its commands write.

    Raises:
        BlockError: a block of a page does not run.
        FileNotFoundError: a page shows a figure that its commands do not write.
    """
    FIGURES.mkdir(exist_ok=True)
    drawn = []
    for page in pages_with_figures() if pages is None else pages:
        with tempfile.TemporaryDirectory() as folder:
            run_page(page, Path(folder), without_hub)
            for name in figures_of(page):
                drawn.append(Path(shutil.copyfile(_written(page, Path(folder), name), FIGURES / name)))
    return drawn


def _written(page: Path, folder: Path, name: str) -> Path:
    for path in sorted(folder.rglob(name)):
        return path
    raise FileNotFoundError(f"{page.name} shows {name}, which none of its commands writes")


if __name__ == "__main__":
    draw_figures()
