"""The Space in an environment of its own, with real-shaped models from a test hub, in Chromium."""

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.app.test_browser import CHROMIUM, FLAGS, TABS
from tests.hub_server.real_shapes import real_shaped
from tests.hub_server.server import Hub

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[3]
NO_HEAD = "No head fits this model's patches"
"""Answer of the probes' tab: no head is published for patches of DINOv2-small in a format that can be read."""
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is absent")]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Python of a virtual environment into which the package's wheel alone was installed; libraries are shared."""
    folder = tmp_path_factory.mktemp("space-environment")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", str(ROOT), "--no-deps", "-w", str(folder)], check=True)
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv/bin/python"
    site = next((folder / "venv/lib").glob("python*/site-packages"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(next(folder.glob("*.whl")))], check=True)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "libraries.pth").write_text(f"{libraries}\n")  # not its .pth files: an editable install is not seen
    return python


@pytest.fixture(scope="module")
def space(environment, tmp_path_factory):
    """The running Space: its address, and the seconds that it took to answer."""
    folder = tmp_path_factory.mktemp("space")
    app = folder / "app"
    shutil.copytree(ROOT / "apps/space", app)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Hub(real_shaped(folder / "hub")) as hub, open(folder / "log.txt", "w") as log:
        names = ("PATH", "HOME", "LANG", "OMP_NUM_THREADS")
        variables = {name: os.environ[name] for name in names if name in os.environ}
        variables |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "home"), "GRADIO_SERVER_PORT": str(port)}
        begun = time.monotonic()
        process = subprocess.Popen([environment, "app.py"], cwd=app, env=variables, stdout=log, stderr=log)
        try:
            address, end = f"http://127.0.0.1:{port}", time.monotonic() + 180
            while not answers(address):
                assert process.poll() is None and time.monotonic() < end, (folder / "log.txt").read_text()[-2000:]
                time.sleep(0.5)
            yield SimpleNamespace(address=address, seconds=round(time.monotonic() - begun, 1))
        finally:
            process.terminate()
            process.wait(20)


def answers(address):
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        yield browser.new_page()
        browser.close()


def test_every_tab_answers_with_models_from_the_hub(space, page, tmp_path):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(space.address)
    expect(page.locator("#status")).to_contain_text("openai/clip-vit-base-patch16", timeout=60_000)
    expect(page.locator("#status")).to_contain_text("facebook/dinov2-small")
    labels = page.get_by_label("Labels, separated by commas or lines").first
    expect(labels).to_have_value("astronaut, cat, cup of coffee, man with a camera, rocket")
    seconds = {"page": space.seconds}
    for title, result in TABS:
        begun = time.monotonic()
        page.get_by_role("tab", name=title, exact=True).click()
        answer = page.get_by_text(NO_HEAD) if title == "Probes" else page.locator(result)
        expect(answer.first).to_be_visible(timeout=120_000)
        seconds[title] = round(time.monotonic() - begun, 1)
        page.wait_for_timeout(500)
        page.screenshot(path=Path(os.environ.get("APP_SHOTS", tmp_path)) / f"space-{title}.png", full_page=True)
    log.info("seconds until the page answers, and of the first answer of each tab: %s", seconds)
    assert not [url for url in asked if not url.startswith((space.address, "data:", "blob:"))]
