"""The site builds offline with warnings as errors, every page is reachable, and opened pages ask no other machine."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import dinoclip_viz

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md"))

pytestmark = [
    pytest.mark.docs,
    pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="needs the extra docs"),
]


class References(HTMLParser):
    """The addresses that a page links to, and those that it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])
        elif tag == "link" and given.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.loads.add(given["href"])
        elif given.get("src"):
            self.loads.add(given["src"])


def references(page: Path) -> References:
    found = References()
    found.feed(page.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, its figures drawn."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html", "docs", str(out)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def test_every_page_is_reachable_from_the_table_of_contents(site):
    reached, waiting = set(), [site / "index.html"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in references(page).links:
            path = unquote(urlsplit(link).path)
            if path.endswith(".html") and not urlsplit(link).netloc:
                waiting.append((page.parent / path).resolve())
    assert [str(page) for page in PAGES if (site / f"{page}.html") not in reached] == []
    assert [str(page) for page in reached if not page.is_file()] == []


def test_every_public_name_is_in_the_reference(site):
    text = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    anchors = set(re.findall(r'id="(dinoclip_viz[\w.]*)"', text))
    rooms = {name for name in dinoclip_viz.__all__ if f"dinoclip_viz.{name}" not in anchors}
    assert {
        name for name in rooms if not any(anchor.startswith(f"dinoclip_viz.{name}.") for anchor in anchors)
    } == set()


def test_every_command_is_in_the_reference(site):
    text = (site / "reference/command_line.html").read_text(encoding="utf-8")
    assert all(f"dinoclip {verb}" in text for verb in ("classify", "embed", "evaluate retrieval", "playground draw"))


def test_pages_load_files_of_the_site_alone(site):
    wrong = []
    for page in site.rglob("*.html"):
        for address in references(page).loads:
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            if parts.netloc or not (page.parent / unquote(parts.path)).exists():
                wrong.append(f"{page.relative_to(site)}: {address}")
    for style in site.rglob("*.css"):
        for address in re.findall(
            r"url\(\s*[\"']?([^)\"']+)|@import\s+[\"']([^\"']+)", style.read_text(encoding="utf-8")
        ):
            if re.match(r"(https?:)?//", "".join(address)):
                wrong.append(f"{style.relative_to(site)}: {address}")
    assert wrong == []


def test_the_figures_are_drawn_and_differ_from_blank(site):
    from figures import figures_of, pages_with_figures
    from PIL import Image

    names = [name for page in pages_with_figures() for name in figures_of(page)]
    assert len(names) >= 15 and len(set(names)) == len(names)
    for name in names:
        with Image.open(site / "_images" / name) as image:
            assert (
                max(image.size) >= 192
                and (image.convert("L").getextrema()[1] - image.convert("L").getextrema()[0]) > 60
            )
        assert (site / "_images" / name).stat().st_size < 2_000_000


@pytest.mark.browser
def test_opened_as_a_file_the_search_works_and_nothing_is_requested(site):
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    asked = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "how-to/colour_patches", "reference/tasks"):
            page.goto(f"file://{site}/{name}.html")
        page.goto(f"file://{site}/search.html?q=TransCLIP")
        page.wait_for_selector("#search-results li a", timeout=20_000)
        found = page.inner_text("#search-results")
        browser.close()
    assert "StatA, TransCLIP" in found
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []
