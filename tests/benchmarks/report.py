"""`report` of 100 photographs and scenes: `python -m tests.benchmarks.report [--rounds N] [--json FILE]`.

50 crops of scikit-image's photographs and 50 scenes at 256 px, six labels and three prompts, on the embedded models.
Reports and plain `embed` of the same images alternate in one process, after one round that is not counted; figures are
medians. Chromium then opens the file: load event, first paint, requests, and findings of axe by impact.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import axe_playwright_python
import numpy as np
from playwright.sync_api import Browser, sync_playwright

import dinoclip_viz as dv
from dinoclip_viz import playground
from dinoclip_viz.playground.photographs import PHOTOGRAPHS, open_photograph
from tests.app.test_browser import CHROMIUM, FLAGS

COUNT, SIDE, SEED, OPENS = 50, 256, 2400, 3
TEXTURES = ("brick.png", "grass.png", "gravel.png")
LABELS, PROMPTS = ("cat", "dog", "car", "tree", "boat", "bird"), ("a cat", "a person", "grass")
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
TIMES = """() => ({
    load: performance.timing.loadEventEnd - performance.timing.navigationStart,
    paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
})"""


def write_images(folder: Path) -> None:
    """50 crops of photographs as JPEG and 50 scenes as PNG, each scene with its caption."""
    chance = np.random.default_rng(0)
    names = [name for name in PHOTOGRAPHS if name not in TEXTURES]
    for number in range(COUNT):
        name = names[number % len(names)]
        photograph = open_photograph(name)
        height = int(min(photograph.size) * chance.uniform(0.4, 0.95))
        width = min(int(height * chance.uniform(0.8, 1.3)), photograph.width)
        left, top = (int(chance.uniform(0, room)) for room in (photograph.width - width, photograph.height - height))
        crop = photograph.crop((left, top, left + width, top + height))
        crop.save(folder / f"{Path(name).stem}-{number:02d}.jpg", quality=90)
    for number, scene in enumerate(playground.draw(SEED, COUNT, SIDE)):
        scene.image.save(folder / f"scene-{number:02d}.png")
        (folder / f"scene-{number:02d}.txt").write_text(scene.captions[0], encoding="utf-8")


def making(folder: Path, out: Path, store: Path, rounds: int) -> dict[str, float]:
    """Size of the report, and the throughput of reports and of `embed` in alternating runs."""
    model = dv.load_model("playground")
    seconds: dict[str, list[float]] = {"report": [], "embed": []}
    for number in range(rounds + 1):
        begun = time.perf_counter()
        made = dv.report(folder, out, model, LABELS, PROMPTS)
        middle = time.perf_counter()
        dv.embed(str(folder), model.images, store)
        ended = time.perf_counter()
        shutil.rmtree(store)
        if number:
            seconds["report"].append(middle - begun)
            seconds["embed"].append(ended - middle)
    report, embed = (median(seconds[name]) for name in ("report", "embed"))
    return {
        "images": made.images,
        "megabytes": round(made.bytes / 1e6, 2),
        "report_seconds": round(report, 2),
        "embed_seconds": round(embed, 2),
        "report_images_per_second": round(made.images / report, 1),
        "embed_images_per_second": round(made.images / embed, 1),
        "times_embed": round(report / embed, 1),
    }


def opening(browser: Browser, out: Path) -> dict[str, Any]:
    """Times in milliseconds, requests beyond the file itself, errors, and findings of axe."""
    times, asked, errors = [], [], []
    for _ in range(OPENS):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(out.as_uri())
        times.append(page.evaluate(TIMES))
        page.locator("#map-plot").scroll_into_view_if_needed()
        begun = time.perf_counter()
        page.wait_for_selector("#map-plot [data-ready=true] .main-svg", timeout=60_000)
        times[-1]["map"] = 1000 * (time.perf_counter() - begun)
        if len(times) < OPENS:
            page.close()
    page.add_style_tag(content="* { content-visibility: visible !important }")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    violations = page.evaluate("axe.run()")["violations"]
    page.close()
    return {
        **{f"{name}_ms": round(median(each[name] for each in times)) for name in ("load", "paint", "map")},
        "requests": sum(not url.startswith("data:") and url != out.as_uri() for url in asked),
        "errors": len(errors),
        "axe": dict(Counter(each["impact"] for each in violations)),
        "axe_rules": sorted(each["id"] for each in violations),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder, out = Path(scratch) / "images", Path(scratch) / "report.html"
        folder.mkdir()
        write_images(folder)
        found: dict[str, Any] = making(folder, out, Path(scratch) / "store", given.rounds)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        found |= opening(browser, out)
        browser.close()
    for name, value in found.items():
        print(f"{name}: {value}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
