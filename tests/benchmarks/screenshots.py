"""The README's animation of the app: `python -m tests.benchmarks.screenshots docs/images/app.webp`.

Starts the demo on the embedded models, opens one tab after the other in Chromium and shows the answer of each. Nothing
is measured.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.app.test_browser import CHROMIUM, FLAGS, TABS, open_tab, visit
from tests.benchmarks.app_server import ROOT, served

SHOWN = (
    "Zero-shot", "Heat maps", "PCA", "Similarity", "Correspondences", "Probes", "Neighbours", "Explore", "Ask",
    "Affordances",
)  # fmt: skip
WINDOW, SIZE = (1280, 1120), (960, 840)
SECONDS = 2.2


def frames(window: Page) -> Iterator[Image.Image]:
    """The answer of each tab."""
    for tab, result in TABS:
        if tab not in SHOWN:
            continue
        open_tab(window, tab)
        window.wait_for_selector(result, timeout=120_000)
        window.wait_for_timeout(5_000)
        shot = Image.open(io.BytesIO(window.screenshot())).convert("RGB")
        yield shot.resize(SIZE, Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="animated WebP to write")
    file = parser.parse_args().file
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(ROOT, Path(scratch), []) as (_, address),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        window = browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        visit(window, address)
        first, *others = frames(window)
        first.save(
            file, save_all=True, append_images=others, duration=round(SECONDS * 1000), loop=0, quality=72, method=6
        )
        browser.close()


if __name__ == "__main__":
    main()
