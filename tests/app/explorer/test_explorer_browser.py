"""The tab in headless Chromium: a lasso on the map shows the images that it holds, hovering shows one."""

import csv
import os
from pathlib import Path
from urllib.parse import urlparse

import pytest

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "no-sandbox use-angle=swiftshader enable-unsafe-swiftshader disable-quic disable-background-networking "
    "disable-component-update disable-sync"
)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is absent")]


@pytest.fixture
def window(address):
    from playwright.sync_api import sync_playwright

    hosts, errors = set(), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.on("request", lambda request: hosts.add(urlparse(request.url).hostname))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#zero-shot-result img", timeout=60_000)
        tab = page.get_by_role("tab", name="Explore")
        if not tab.count():
            page.locator(".overflow-menu > button").first.click()
            tab = page.locator(".overflow-dropdown button", has_text="Explore")
        tab.first.click()
        page.locator("#explore-result .dvs[data-ready]").wait_for(timeout=120_000)
        yield page
        browser.close()
    assert hosts - {None, ""} <= {"127.0.0.1", "localhost"}
    assert errors == []


def shot(page, tmp_path, name):
    page.screenshot(path=Path(os.environ.get("APP_SHOTS", tmp_path)) / f"explore-{name}.png", full_page=True)


def test_a_lasso_shows_the_images_and_a_csv_and_hovering_shows_one(window, tmp_path):
    shot(window, tmp_path, "map")
    box = window.locator("#explore-result .dvs-stage").bounding_box()
    window.get_by_role("button", name="Lasso").click()
    x, y, width, height = box["x"], box["y"], box["width"], box["height"]
    places = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.22)]
    window.mouse.move(x + places[0][0] * width, y + places[0][1] * height)
    window.mouse.down()
    for across, down in places[1:]:
        window.mouse.move(x + across * width, y + down * height, steps=8)
    window.mouse.up()
    window.locator("#explore-selection", has_text="images selected").wait_for(timeout=30_000)
    window.locator("#explore-selected img").first.wait_for(timeout=30_000)
    said = window.locator("#explore-selection").text_content()
    count = int(said.split(" of ")[0].strip().replace(",", ""))
    assert window.locator("#explore-result .dvs-status").text_content() == f"{count} of 200 points selected"
    with window.expect_download() as download:
        window.locator("#explore-csv").click()
    with open(download.value.path(), newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == count
    window.get_by_role("button", name="Move").click()
    window.evaluate("document.querySelector('#explore-result .dvs-stage').focus()")
    window.keyboard.press("n")
    window.locator("#explore-result .dvs-card img").wait_for(timeout=30_000)
    shot(window, tmp_path, "selected")


def test_similarity_recolours_the_map_and_duplicates_and_outliers_are_listed(window, tmp_path):
    window.get_by_label("Similarity to a text").check()
    window.locator("#explore-result .dvs-strip").wait_for(timeout=60_000)
    assert "cosine similarity" in window.locator("#explore-result .dvs-legend").text_content()
    window.get_by_role("button", name="Find", exact=True).click()
    window.locator("#explore-found", has_text="near duplicates").wait_for(timeout=60_000)
    window.locator("#explore-outliers img").first.wait_for(timeout=30_000)
    shot(window, tmp_path, "found")
