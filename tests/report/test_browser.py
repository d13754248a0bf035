"""Reports in headless Chromium: nothing is asked for, nothing attacks, axe finds nothing serious, the map is usable."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.app.test_browser import CHROMIUM, FLAGS

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is absent")]
READABLE = 10
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, made):
    """Opens the report; what it asked for, its errors and its dialogs are collected, and checked to be none."""
    contexts, found = [], []

    def open_page(size="desktop", scheme="light", scripts=True):
        width, height = SIZES[size]
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: found.append(request.url))
        page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("dialog", lambda dialog: (found.append(dialog.message), dialog.dismiss()))
        page.goto(made.out.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [each for each in found if not each.startswith(("data:", made.out.as_uri()))] == []


def see_map(page):
    """Scroll to the interactive map and wait until it is drawn."""
    page.locator("#map-plot").scroll_into_view_if_needed()
    page.wait_for_selector("#map-plot [data-ready=true] .main-svg", timeout=30_000)


def until(page, condition, seconds=30):
    """Wait for a condition on the page, whose policy refuses `wait_for_function`."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not within {seconds} s: {condition}"
        page.wait_for_timeout(50)


def axe(page):
    """Rule and first element of each serious or critical finding, with all cards rendered."""
    import axe_playwright_python

    page.add_style_tag(content="* { content-visibility: visible !important }")
    page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    result = page.evaluate("axe.run()")
    assert result["passes"], "axe checked nothing"
    return [
        (each["id"], each["nodes"][0]["html"])
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("desktop", "dark"), ("phone", "light")])
def test_axe_finds_nothing_serious(opened, size, scheme):
    page = opened(size, scheme)
    see_map(page)
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_a_page_with_a_fault_is_found_by_axe(opened):
    page = opened()
    page.evaluate("document.querySelector('#images img').removeAttribute('alt')")
    assert [rule for rule, _ in axe(page)] == ["image-alt"]


def test_every_image_of_the_page_decodes(opened):
    page = opened()
    sizes = page.evaluate(
        "Promise.all([...document.images].map(i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])))"
    )
    assert len(sizes) > 4 * READABLE and all(width and height for width, height in sizes)


def test_the_filter_keeps_the_images_with_all_words_in_every_section(opened):
    page = opened()
    page.get_by_label("Filter images by name, caption or label").fill("ONERROR src")
    assert page.locator("#filter-count").inner_text() == "2 of 10 images"
    for section in ("images", "zero-shot", "pca", "heat", "neighbours"):
        assert page.locator(f"#{section} li[data-of]:not(.out)").count() == 2, section
    page.get_by_label("Filter images by name, caption or label").fill("")
    assert page.locator("li[data-of]:not(.out)").count() == 5 * READABLE


def test_the_map_shows_points_zooms_and_selects_by_keys_and_lasso(opened):
    page = opened()
    see_map(page)
    state = "document.getElementById('map-plot').handle.state()"
    assert page.evaluate(f"{state}.data.count") == READABLE
    stage = page.locator(".dvs-stage")
    stage.focus()
    before = page.evaluate(f"{state}.view")
    page.keyboard.press("+")
    until(page, f"{state}.view[0][0] > {before[0][0]}")
    page.keyboard.press("0")
    until(page, f"Math.abs({state}.view[0][0] - {before[0][0]}) < 1e-6")
    page.keyboard.press("s")
    until(page, f"{state}.selected?.length === {READABLE}")
    assert page.locator(".dvs-sheet img").count() == READABLE
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Lasso").click()
    box = stage.bounding_box()
    corners = ((0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02))
    for number, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
    until(page, f"{state}.selected?.length === {READABLE}")


def test_without_scripts_everything_but_the_interactive_map_is_shown(opened):
    page = opened(scripts=False)
    assert page.locator("#images li").count() == READABLE
    assert page.locator("#filter-form").is_hidden()
    assert page.get_by_text("The interactive map needs scripts").is_visible()


def test_a_print_is_light_has_no_controls_and_few_pages(opened):
    page = opened(scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for hidden in ("nav", "#filter-form", "#map-plot"):
        assert page.locator(hidden).is_hidden()
    pdf = page.pdf(format="A4")
    assert 3 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 14


def test_links_lead_to_the_image_and_are_reached_by_keys(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#images') !== null")
    page.keyboard.press("Enter")
    assert page.url.endswith("#pca-0")
