"""The map in headless Chromium: hover, pan, zoom, lasso, legend and keys, with WebGL and without."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.viz.scatter import scatter_fragment, scatter_page

CHROMIUM = "/usr/bin/chromium"
FLAGS = "no-sandbox disable-quic disable-background-networking disable-component-update disable-sync"
WEBGL = "use-angle=swiftshader enable-unsafe-swiftshader"
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is absent")]
SIDE = 6


def grid_page(**given):
    """Points on a grid of 6 x 6, whose label is the half that they are in, with thumbnails."""
    points = np.array([[column, row] for row in range(SIDE) for column in range(SIDE)], float)
    labels = ["left" if column < SIDE / 2 else "right" for column, _ in points]
    titles = [f'point {int(x)},{int(y)} "quoted"' for x, y in points]
    thumbnails = [square((40 * int(x), 40 * int(y), 90)) for x, y in points]
    return scatter_page(points, labels=labels, titles=titles, thumbnails=thumbnails, title="A grid", **given)


def square(colour):
    file = io.BytesIO()
    Image.new("RGB", (24, 24), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module", params=["webgl", "svg"])
def chromium(request):
    from playwright.sync_api import sync_playwright

    flags = f"{FLAGS} {WEBGL if request.param == 'webgl' else 'disable-gpu disable-3d-apis'}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in flags.split()])
        browser.kind = request.param
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens HTML as a file; requests other than for it, and errors, are collected and must be none."""
    requests, errors, contexts = [], [], []

    def open_page(html):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        contexts.append(chromium.new_context(viewport={"width": 1000, "height": 900}, accept_downloads=True))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.locator(".dvs[data-ready]").first.wait_for(timeout=180_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []


def state(page):
    return page.evaluate(
        """() => { const { selected, view, current } = document.querySelector(".dvs-place").handle.state();
        return { selected: selected && [...selected], view, current } }"""
    )


def at(page, x, y):
    """Position in the window of a point of the data."""
    box = page.locator(".dvs-stage").bounding_box()
    (left, right), (bottom, top) = state(page)["view"]
    return box["x"] + (x - left) / (right - left) * box["width"], box["y"] + (top - y) / (top - bottom) * box["height"]


def drag(page, *places):
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def lasso_left(page):
    """Draw round the three columns on the left, without the upper two rows."""
    page.get_by_role("button", name="Lasso").click()
    corners = [(-0.4, -0.2), (2.5, -0.2), (2.5, 3.5), (-0.4, 3.5), (-0.4, -0.1)]
    drag(page, *(at(page, *corner) for corner in corners))
    page.locator(".dvs-status", has_text="selected").wait_for(timeout=10_000)


def test_hovering_shows_the_image_and_the_caption(opened):
    page = opened(grid_page())
    page.mouse.move(*at(page, 4, 2))
    card = page.locator(".dvs-card")
    card.wait_for(timeout=10_000)
    assert card.text_content() == 'point 4,2 "quoted" · right'
    colour = page.evaluate(
        """async () => { const image = document.querySelector(".dvs-card img"); await image.decode();
        const context = new OffscreenCanvas(1, 1).getContext("2d"); context.drawImage(image, 0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data] }"""
    )
    assert colour[:3] == [160, 80, 90]
    ring = page.locator(".dvs-ring").bounding_box()
    x, y = at(page, 4, 2)
    assert abs(ring["x"] + ring["width"] / 2 - x) < 2 and abs(ring["y"] + ring["height"] / 2 - y) < 2


def test_a_lasso_selects_the_points_inside_and_their_images_and_csv_appear(opened, chromium, tmp_path):
    page = opened(grid_page())
    lasso_left(page)
    expected = [row * SIDE + column for row in range(4) for column in range(3)]
    assert state(page)["selected"] == expected
    assert page.locator(".dvs-sheet figure img").count() == 12
    assert page.locator(".dvs-status").text_content() == "12 of 36 points selected"
    shots = Path(os.environ.get("APP_SHOTS", tmp_path))
    page.screenshot(path=shots / f"scatter-{chromium.kind}.png", full_page=True)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [int(row["row"]) for row in rows] == expected
    assert rows[4]["title"] == 'point 1,1 "quoted"' and rows[4]["label"] == "left"
    assert (float(rows[4]["x"]), float(rows[4]["y"])) == (1, 1)


def test_dragging_moves_the_map_and_the_wheel_and_buttons_zoom(opened):
    page = opened(grid_page())
    before = np.array(state(page)["view"])
    drag(page, at(page, 2.5, 2.5), at(page, 3.5, 2.5))
    left = "document.querySelector('.dvs-place').handle.state().view[0][0]"
    page.wait_for_function(f"{left} < {before[0, 0] - 0.5}")
    moved = np.array(state(page)["view"])
    np.testing.assert_allclose(moved - before, [[-1, -1], [0, 0]], atol=0.15)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(800)
    near = np.array(state(page)["view"])
    assert np.ptp(near, axis=1)[0] < np.ptp(moved, axis=1)[0] * 0.95
    page.get_by_role("button", name="Show all").click()
    page.wait_for_timeout(300)
    np.testing.assert_allclose(state(page)["view"], before, atol=0.01)
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_timeout(300)
    np.testing.assert_allclose(np.ptp(state(page)["view"], axis=1), np.ptp(before, axis=1) * 0.7, rtol=0.01)


def test_a_picture_moves_with_the_pointer_and_the_map_is_drawn_when_it_pauses(opened):
    page = opened(grid_page())
    before = np.array(state(page)["view"])
    picture = "document.querySelector('.dvs-plot').style.transform"
    x, y = at(page, 2.5, 2.5)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 20)
    assert page.evaluate(picture) == "translate(30px, 20px) scale(1)"
    page.mouse.move(x + 40, y + 20)
    page.wait_for_function(f"{picture} === ''")
    box = page.locator(".dvs-plot").bounding_box()
    shift = [-40 / box["width"] * np.ptp(before[0]), 20 / box["height"] * np.ptp(before[1])]
    np.testing.assert_allclose(np.array(state(page)["view"]) - before, np.repeat(shift, 2).reshape(2, 2), atol=1e-3)
    page.mouse.up()
    page.keyboard.press("Escape")
    page.mouse.wheel(0, -100)
    inside = state(page)["view"]  # asking for the view draws what is still moving
    assert page.evaluate(picture) == ""
    assert np.ptp(inside[0]) == pytest.approx(np.ptp(before[0]) * np.exp(-0.2), rel=1e-3)


def test_everything_works_by_keys_alone(opened):
    page = opened(grid_page())
    stage = page.locator(".dvs-stage")
    page.evaluate("document.querySelector('.dvs-stage').focus()")
    assert stage.get_attribute("aria-label") == "A grid: map of 36 points"
    before = np.array(state(page)["view"])
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    moved = np.array(state(page)["view"]) - before
    assert moved[0, 0] == pytest.approx(0.15 * np.ptp(before[0]), rel=0.01) and abs(moved[1]).max() < 1e-6
    page.keyboard.press("0")
    page.keyboard.press("n")
    page.keyboard.press("n")
    assert state(page)["current"] == 1 and "point 1,0" in page.locator(".dvs-card").text_content()
    assert "point 1,0" in page.locator(".dvs-hidden").text_content()
    for _ in range(3):
        page.keyboard.press("+")
    page.wait_for_timeout(300)
    (left, right), (bottom, top) = state(page)["view"]
    page.keyboard.press("s")
    inside = [row * SIDE + column for row in range(SIDE) for column in range(SIDE)
              if left <= column <= right and bottom <= row <= top]  # fmt: skip
    assert state(page)["selected"] == inside and 0 < len(inside) < 36
    page.keyboard.press("Escape")
    assert state(page)["selected"] is None
    assert page.locator(".dvs-sheet figure").count() == 0


def test_the_legend_hides_a_group_from_the_selection_in_view(opened):
    page = opened(grid_page())
    entry = page.get_by_role("button", name="left (18)")
    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="Select in view").click()
    assert state(page)["selected"] == [row * SIDE + column for row in range(SIDE) for column in range(3, SIDE)]


def test_labels_and_values_are_a_choice_and_the_selection_stays(opened):
    values = np.linspace(0, 1, 36)
    values[7] = np.nan
    page = opened(grid_page(values=values))
    lasso_left(page)
    page.get_by_label("Colour by").select_option("value")
    page.locator(".dvs-strip").wait_for(timeout=10_000)
    assert "no value (1)" in page.locator(".dvs-legend").text_content()
    selected = state(page)["selected"]
    assert len(selected) == 12
    shown = page.evaluate("[...document.querySelector('.dvs-plot').data].map((trace) => trace.selectedpoints.length)")
    assert shown == [11, 1]  # row 7 has no value


def test_two_maps_in_one_page_are_independent(opened):
    one, other = (scatter_fragment([[0, 0], [1, 1]], title=title, include_library=flag)
                  for title, flag in (("First", True), ("Second", False)))  # fmt: skip
    page = opened(f"<!doctype html><body>{one}{other}</body>")
    page.locator(".dvs[data-ready]").nth(1).wait_for(timeout=30_000)
    page.get_by_role("button", name="Select in view").first.click()
    texts = page.locator(".dvs-status").all_text_contents()
    assert texts == ["2 of 2 points selected", "2 points"]


def test_a_large_map_needs_webgl_and_says_so(opened, chromium):
    page = opened(scatter_page(np.random.default_rng(0).normal(size=(6_000, 2))))
    line = page.locator(".dvs > p").first
    assert line.is_visible() == (chromium.kind == "svg") != page.locator(".dvs-stage").is_visible()
    if chromium.kind == "svg":
        assert line.text_content().startswith("This browser has no WebGL, which a map of 6000 points needs")
