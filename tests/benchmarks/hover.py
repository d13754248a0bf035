"""Hovering in headless Chromium: `python tests/benchmarks/hover.py` prints frames per second and latencies as JSON.

The pointer is moved by Chromium's own input events, so each counted frame was requested by a move to another
patch, computed, and painted. The figures depend on the machine and on its load.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dinoclip_viz.viz.hover import HoverPayload, hover_code, hover_payload

CHROMIUM = "/usr/bin/chromium"
FLAGS = "no-sandbox disable-gpu disable-quic disable-background-networking disable-component-update disable-sync"
PAGE = """<!doctype html><meta charset="utf-8"><div id="place"></div>
<script type="application/json" id="payload">{payload}</script><script>{code}</script>"""
FIRST_PAINT = """async () => {
  const text = document.getElementById("payload").textContent;
  const begun = performance.now();
  window.handle = hover.mount(document.getElementById("place"), JSON.parse(text));
  const images = [...handle.host.shadowRoot.querySelectorAll("img")];
  const maps = new Promise((done) => handle.host.addEventListener("hover-frame", done, { once: true }));
  await Promise.all([maps, ...images.map((image) => image.decode())]);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  window.seen = [];
  handle.host.addEventListener("hover-frame", ({ detail }) => {
    if (detail.anew) seen.push([performance.now(), detail.milliseconds]);
  });
  return performance.now() - begun;
}"""


def made(side: int, dimension: int, count: int) -> HoverPayload:
    """Random features and random images."""
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (518, 518, 3), dtype=np.uint8) for _ in range(count)]
    return hover_payload(images, [generator.normal(size=(side, side, dimension)) for _ in range(count)])


def measured(payload: HoverPayload, seconds: float) -> dict[str, Any]:
    """One page, opened and hovered over for some seconds."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        path = Path(folder) / "page.html"
        path.write_text(PAGE.format(payload=payload.to_json().replace("<", "\\u003c"), code=hover_code()))
        page.goto(path.as_uri())
        first_paint = page.evaluate(FIRST_PAINT)
        boxes = [box.bounding_box() for box in page.locator(".box").all()]
        page.mouse.move(boxes[0]["x"] + 5, boxes[0]["y"] + 5)  # to warm up
        page.wait_for_timeout(500)
        page.evaluate("seen.length = 0")
        begun, moves = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:  # a zigzag over all images, every move to another patch
            box = boxes[moves // 300 % len(boxes)]
            across, down = (moves * 0.371) % 1, (moves * 0.0173) % 1
            page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
            moves += 1
        frames = np.array(page.evaluate("seen"))
        browser.close()
    gaps, compute = np.diff(frames[:, 0]), frames[:, 1]
    return {
        "frames_per_second": 1000 * len(gaps) / (frames[-1, 0] - frames[0, 0]),
        "frames_per_second_in_the_slowest_second": slowest(frames[:, 0]),
        "worst_gap_ms": float(gaps.max()),
        "moves_per_second": moves / seconds,
        "compute_median_ms": float(np.median(compute)),
        "compute_worst_ms": float(compute.max()),
        "first_paint_ms": first_paint,
    }


def slowest(times: np.ndarray) -> int:
    """Smallest number of frames in any second of the run."""
    starts = times[times <= times[-1] - 1000]
    return min(int(((times > start) & (times <= start + 1000)).sum()) for start in starts)


def main() -> None:
    """Measure, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=37, help="patches per side (%(default)s)")
    parser.add_argument("--dimension", type=int, default=384, help="(%(default)s)")
    parser.add_argument("--images", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of hovering (%(default)s)")
    given = parser.parse_args()
    payload = made(given.side, given.dimension, given.images)
    figures = {
        "grid": [given.side, given.side, given.dimension],
        "images": given.images,
        "bytes": {**payload.nbytes, "json": len(payload.to_json())},
        **measured(payload, given.seconds),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
