"""A map of 100,000 points in headless Chromium: `python tests/benchmarks/scatter.py` prints figures as JSON.

Chromium draws WebGL in software (SwiftShader), so a machine without a graphics card can run this. The pointer is moved
by Chromium's own input events; the intervals of requestAnimationFrame during a pan and a zoom, and the time from the
release of a lasso to the selection, are recorded in the page. The figures depend on the machine and on its load.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dinoclip_viz.viz.scatter import scatter_page

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "no-sandbox use-angle=swiftshader enable-unsafe-swiftshader disable-quic disable-background-networking "
    "disable-component-update disable-sync"
)
WATCH = """() => {
  const plot = document.querySelector(".dvs-plot");
  window.addEventListener("mouseup", (event) => { window.released = event.timeStamp; }, true);
  plot.on("plotly_selected", () => { window.selected = performance.now(); });
  window.record = () => {
    const frames = [];
    let going = true;
    const next = (time) => {
      frames.push(time);
      if (going) requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
    window.recorded = () => { going = false; return frames; };
  };
  const canvas = document.createElement("canvas").getContext("webgl");
  return canvas ? canvas.getParameter(canvas.getExtension("WEBGL_debug_renderer_info").UNMASKED_RENDERER_WEBGL) : null;
}"""
MIDDLE = (500, 400)


def made(count: int) -> str:
    """A page with points in ten groups."""
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 10, count)
    points = (generator.normal(size=(10, 2)) * 4)[groups] + generator.normal(size=(count, 2))
    return scatter_page(points, labels=[f"group {group}" for group in groups.tolist()])


def pan(page: Any) -> None:
    """Drag to and fro."""
    page.mouse.move(*MIDDLE)
    page.mouse.down()
    for step in range(120):
        page.mouse.move(MIDDLE[0] + 3 * (step if step < 60 else 120 - step), MIDDLE[1] + step % 30)
        page.wait_for_timeout(16)
    page.mouse.up()


def zoom(page: Any) -> None:
    """Turn the wheel in and out."""
    page.mouse.move(*MIDDLE)
    for step in range(80):
        page.mouse.wheel(0, -40 if step < 40 else 40)
        page.wait_for_timeout(25)


def frames(page: Any, act: Any) -> dict[str, float]:
    """Intervals between frames while something is done."""
    page.evaluate("record()")
    act(page)
    gaps = np.diff(page.evaluate("recorded()"))
    return {
        "frames_per_second": 1000 / float(gaps.mean()),
        "median_gap_ms": float(np.median(gaps)),
        "p95_gap_ms": float(np.percentile(gaps, 95)),
        "worst_gap_ms": float(gaps.max()),
    }


def lasso(page: Any) -> dict[str, float]:
    """Milliseconds from the release of a lasso round the middle to the selection, and how many points it has."""
    page.get_by_role("button", name="Lasso").click()
    page.evaluate("window.selected = 0")
    page.mouse.move(MIDDLE[0] - 220, MIDDLE[1])
    page.mouse.down()
    for angle in np.linspace(0, 2 * np.pi, 48):
        page.mouse.move(MIDDLE[0] - 220 * np.cos(angle), MIDDLE[1] - 180 * np.sin(angle))
    page.mouse.up()
    page.wait_for_function("window.selected > 0", timeout=60_000)
    count = "document.querySelector('.dvs-place').handle.state().selected.length"
    return {"lasso_ms": page.evaluate("selected - released"), "selected_points": page.evaluate(count)}


def measured(path: Path) -> dict[str, Any]:
    """One page, opened, moved, zoomed and selected on."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        begun = time.perf_counter()
        page.goto(path.as_uri(), wait_until="commit")
        page.locator(".dvs[data-ready]").wait_for(timeout=120_000)
        loaded = time.perf_counter() - begun
        renderer = page.evaluate(WATCH)
        page.wait_for_timeout(1_000)
        figures = {"renderer": renderer, "open_seconds": loaded, "pan": frames(page, pan), "zoom": frames(page, zoom)}
        page.wait_for_timeout(1_000)
        figures.update(lasso(page))
        browser.close()
    return figures


def main() -> None:
    """Measure, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000, help="(%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--out", type=Path, help="file for the figures, in addition to standard output")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(made(given.points), encoding="utf-8")
        runs = [measured(path) for _ in range(given.repeats)]
    median = {
        "pan_frames_per_second": float(np.median([run["pan"]["frames_per_second"] for run in runs])),
        "zoom_frames_per_second": float(np.median([run["zoom"]["frames_per_second"] for run in runs])),
        "lasso_ms": float(np.median([run["lasso_ms"] for run in runs])),
        "open_seconds": float(np.median([run["open_seconds"] for run in runs])),
    }
    text = json.dumps({"points": given.points, "median": median, "runs": runs}, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
