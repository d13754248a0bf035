"""The page in headless Chromium: all tabs answer, nothing leaves the machine, a phone needs no sideways scrolling."""

import os
from pathlib import Path
from urllib.parse import urlparse

import pytest

CHROMIUM = "/usr/bin/chromium"
FLAGS = "no-sandbox disable-gpu disable-quic disable-background-networking disable-component-update disable-sync"
TABS = (
    ("Zero-shot", "#zero-shot-result img"),
    ("Heat maps", "#heatmap-result img"),
    ("PCA", "#pca-result img"),
    ("Similarity", "#hover-result canvas"),
    ("Correspondences", "#match-result img"),
    ("Tokens", "#tokens-result img"),
    ("Probes", "#probes-result img"),
    ("Neighbours", "#neighbours-result img"),
    ("Search", "#search-result img"),
    ("Explore", "#explore-result .dvs[data-ready]"),
    ("Adapt", "#adapt-result img"),
    ("Ask", "#ask-result img"),
    ("Affordances", "#affordances-result img"),
)
WITHOUT_IMAGE = ("Search", "Explore", "Adapt")
"""Tabs whose first answer is not on the image that they hold, if any."""
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is absent")]


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        yield browser
        browser.close()


@pytest.fixture
def watched(chromium):
    """Opens pages of a width; hosts asked and console errors are collected."""
    hosts, errors, contexts = set(), [], []

    def open_page(width, height):
        context = chromium.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: hosts.add(urlparse(request.url).hostname))
        page.on("console", lambda message: errors.append(said(message)) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_page, hosts, errors
    for context in contexts:
        context.close()


def said(message):
    """A line of the page's console, and what it is about."""
    return f"{message.text} ({message.location.get('url', '')})"


def visit(window, address):
    """Open the page and wait until its first tab has answered."""
    window.goto(address)
    window.wait_for_selector(TABS[0][1], timeout=60_000)


def open_tab(window, name):
    """Click a tab; on a narrow page the last ones wait in the menu beside the others."""
    tab = window.get_by_role("tab", name=name)
    if not tab.count():
        window.locator(".overflow-menu > button").first.click(timeout=5_000)
        tab = window.locator(".overflow-dropdown button", has_text=name)
    tab.first.click(timeout=5_000)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_a_photograph_is_answered_in_every_tab(address, watched, photograph, tmp_path, width, height):
    open_page, hosts, errors = watched
    window = open_page(width, height)
    visit(window, address)
    window.locator(".image-input:visible .icon-button-wrapper button").last.click(timeout=5_000)
    window.locator(".image-input:visible input[type=file]").first.set_input_files(photograph)
    window.get_by_text("synthetic scenes only").first.wait_for(timeout=60_000)
    window.get_by_role("button", name="Use in every tab").locator("visible=true").click()
    for name, result in TABS:
        open_tab(window, name)
        window.wait_for_selector(result, timeout=60_000)
        if name not in WITHOUT_IMAGE:
            window.locator(".notice:visible", has_text="synthetic scenes only").first.wait_for(timeout=60_000)
        wide = window.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide"
        shots = Path(os.environ.get("APP_SHOTS", tmp_path))
        window.screenshot(path=shots / f"photograph-{width}-{name.split()[0]}.png", full_page=True)
    assert hosts - {None, ""} <= {"127.0.0.1", "localhost"}
    assert errors == []


def upload(window, name, path):
    """Put an image in the place of the one that an input holds."""
    place = window.locator(f"#{name}")
    place.locator(".icon-button-wrapper button").last.click(timeout=10_000)
    place.locator("input[type=file]").first.set_input_files(path)


def mean_colour(window, selector):
    """Mean red, green and blue of an image in the page, 0 to 255."""
    return window.evaluate(
        """async (selector) => {
            const image = document.querySelector(selector);
            await image.decode();
            const canvas = document.createElement("canvas");
            canvas.width = canvas.height = 32;
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0, 32, 32);
            const values = context.getImageData(0, 0, 32, 32).data;
            return [0, 1, 2].map(c => values.filter((_, i) => i % 4 === c).reduce((a, b) => a + b) / 1024);
        }""",
        selector,
    )


@pytest.fixture
def coloured(tmp_path):
    """Two images of one colour each."""
    from PIL import Image

    paths = {}
    for name, colour in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
        paths[name] = str(tmp_path / f"{name}.png")
        Image.new("RGB", (192, 192), colour).save(paths[name])
    return paths


def test_an_image_that_changes_while_a_job_runs_is_the_one_that_is_shown(address, watched, coloured):
    open_page, _, errors = watched
    window = open_page(1280, 900)
    visit(window, address)
    open_tab(window, "Correspondences")
    window.wait_for_selector("#match-first img", timeout=60_000)
    for name in ("red", "blue", "red", "blue"):
        upload(window, "match-a", coloured[name])
        window.get_by_role("button", name="Match", exact=True).click()
    window.wait_for_function("document.querySelectorAll('.progress-text, .eta-bar').length === 0", timeout=60_000)
    window.wait_for_timeout(2_000)
    red, _, blue = mean_colour(window, "#match-first img")
    assert blue > 150 > red
    assert errors == []


def test_fifty_quick_clicks_and_clicks_beside_the_image_break_nothing(address, watched):
    open_page, _, errors = watched
    window = open_page(1280, 900)
    visit(window, address)
    open_tab(window, "Correspondences")
    image = window.locator("#match-first img")
    image.wait_for(timeout=60_000)
    box = image.bounding_box()
    for number in range(50):
        x, y = (number * 37 % 97) / 97, (number * 61 % 89) / 89
        window.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    window.locator("#match-summary", has_text="in the first image corresponds").wait_for(timeout=60_000)
    window.wait_for_timeout(3_000)
    window.mouse.click(box["x"] - 5, box["y"] + box["height"] / 2)
    window.get_by_role("button", name="Match", exact=True).click()
    window.locator("#match-summary", has_text="matches").wait_for(timeout=60_000)
    assert errors == []


def test_two_visitors_at_once_each_see_their_own_image(address, watched, coloured):
    open_page, _, errors = watched
    windows = {name: open_page(1280, 900) for name in coloured}
    for window in windows.values():
        visit(window, address)
        open_tab(window, "Correspondences")
        window.wait_for_selector("#match-first img", timeout=60_000)
    for name, window in windows.items():
        upload(window, "match-a", coloured[name])
    for name, window in windows.items():
        window.wait_for_timeout(4_000)
        window.wait_for_function("document.querySelectorAll('.progress-text, .eta-bar').length === 0", timeout=60_000)
        red, _, blue = mean_colour(window, "#match-first img")
        assert (red > 150 > blue) if name == "red" else (blue > 150 > red)
    assert errors == []


def test_a_heic_upload_is_answered_and_displayed_as_png(address, watched, tmp_path):
    heif = pytest.importorskip("pillow_heif")
    from PIL import Image

    path = tmp_path / "phone.heic"
    heif.from_pillow(Image.new("RGB", (192, 192), (220, 30, 30))).save(path)
    open_page, _, errors = watched
    window = open_page(1280, 900)
    visit(window, address)
    open_tab(window, "Correspondences")
    window.wait_for_selector("#match-first img", timeout=60_000)
    upload(window, "match-a", str(path))
    window.wait_for_function("(document.querySelector('#match-a img') || {}).naturalWidth === 192", timeout=60_000)
    window.wait_for_timeout(4_000)
    window.wait_for_function("document.querySelectorAll('.progress-text, .eta-bar').length === 0", timeout=60_000)
    red, _, blue = mean_colour(window, "#match-first img")
    assert red > 150 > blue
    assert errors == []
