"""The README's figures of the app: `python -m tests.benchmarks.screenshots docs/images`.

Starts the demo on the embedded models and photographs one answer per tab in Chromium. Nothing is measured.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.app.test_browser import CHROMIUM, FLAGS, TABS, open_tab, visit
from tests.benchmarks.app_server import ROOT, served

NAMES = {
    "Zero-shot": "zero-shot",
    "Heat maps": "heat-maps",
    "PCA": "pca",
    "Similarity": "similarity",
    "Correspondences": "correspondences",
    "Probes": "probes",
    "Neighbours": "neighbours",
}
"""Tab -> name of its figure."""
WIDTH, HIGHEST, COLOURS = 1200, 1560, 256


def shots(window: Page, folder: Path) -> None:
    """One figure per tab, of at most `HIGHEST` pixels."""
    for tab, result in TABS:
        if tab not in NAMES:
            continue
        open_tab(window, tab)
        window.wait_for_selector(result, timeout=120_000)
        window.wait_for_timeout(5_000)
        raw = window.screenshot(full_page=True)
        image = Image.open(io.BytesIO(raw)).convert("RGB")
        image = image.crop((0, 0, image.width, min(image.height, HIGHEST)))
        image.quantize(COLOURS).save(folder / f"app-{NAMES[tab]}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the figures")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(ROOT, Path(scratch), []) as (_, address),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        window = browser.new_page(viewport={"width": WIDTH, "height": 900})
        visit(window, address)
        shots(window, folder)
        browser.close()


if __name__ == "__main__":
    main()
