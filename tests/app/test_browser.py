"""The page in headless Chromium: all tabs answer, nothing leaves the machine, a phone needs no sideways scrolling."""

import os
from pathlib import Path
from urllib.parse import urlparse

import pytest

CHROMIUM = "/usr/bin/chromium"
FLAGS = "no-sandbox disable-gpu disable-quic disable-background-networking disable-component-update disable-sync"
TABS = (
    ("Zero-shot", "#zero-shot-result img"),
    ("PCA patch maps", "#pca-result img"),
    ("Text heat maps", "#heatmap-result img"),
)
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
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_page, hosts, errors
    for context in contexts:
        context.close()


def open_tab(window, name):
    """Click a tab; on a narrow page the last ones wait in the menu beside the others."""
    tab = window.get_by_role("tab", name=name)
    if not tab.count():
        window.locator(".overflow-menu > button").first.click(timeout=5_000)
        tab = window.locator(".overflow-dropdown button", has_text=name)
    tab.first.click(timeout=5_000)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_a_photograph_is_answered_in_all_three_tabs(address, watched, photograph, tmp_path, width, height):
    open_page, hosts, errors = watched
    window = open_page(width, height)
    window.goto(address)
    window.wait_for_selector(TABS[0][1], timeout=60_000)
    window.locator(".picture-input:visible .icon-button-wrapper button").last.click(timeout=5_000)
    window.locator(".picture-input:visible input[type=file]").first.set_input_files(photograph)
    window.get_by_text("drawn world alone").first.wait_for(timeout=60_000)
    window.get_by_role("button", name="Use in every tab").locator("visible=true").click()
    for name, result in TABS:
        open_tab(window, name)
        window.wait_for_selector(result, timeout=60_000)
        window.locator(".notice:visible", has_text="drawn world alone").first.wait_for(timeout=60_000)
        wide = window.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide"
        shots = Path(os.environ.get("APP_SHOTS", tmp_path))
        window.screenshot(path=shots / f"photograph-{width}-{name.split()[0]}.png", full_page=True)
    assert hosts - {None, ""} <= {"127.0.0.1", "localhost"}
    assert errors == []
