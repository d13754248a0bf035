"""`dinoclip demo`, with the app's two functions replaced: the app has tests of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest


@pytest.fixture
def served(monkeypatch):
    calls = []
    app = SimpleNamespace(
        build_demo=lambda model, guide, gallery, heads, dinoiser, public, allow, device, dtype: (
            (model, guide, gallery, heads, dinoiser),
            (public, allow),
            (device, dtype),
        ),
        launch=lambda demo, host, port, mcp: calls.append((demo, host, port, mcp)),
    )
    monkeypatch.setitem(sys.modules, "dinoclip_viz.app", app)
    return calls


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_demo_builds_the_app_and_serves_it(dinoclip, served):
    port = free_port()
    words = ["--model", "playground-clip", "--guide", "playground-dino", "--gallery", "here", "--heads", "mine"]
    words += ["--dinoiser", "layers.safetensors", "--port", port, "--device", "cpu", "--dtype", "float32"]
    done = dinoclip("demo", *words, "--json")
    assert (done.code, done.json["address"]) == (0, f"http://127.0.0.1:{port}")
    given = ("playground-clip", "playground-dino", "here", "mine", "layers.safetensors")
    assert served == [((given, (False, []), ("cpu", "float32")), "127.0.0.1", port, False)]
    assert done.devices == ["dinoclip: playground-clip on cpu, float32"]


def test_a_public_demo_serves_every_address_and_the_allowed_models(dinoclip, served):
    port = free_port()
    done = dinoclip("demo", "--public", "--allow", "dinov2-small", "--allow", "mine", "--port", port, "--json")
    assert (done.code, done.json["address"]) == (0, f"http://0.0.0.0:{port}")
    assert [(demo[1], host) for demo, host, *_ in served] == [((True, ["dinov2-small", "mine"]), "0.0.0.0")]
    dinoclip("demo", "--allow", "dinov2-small", "--port", port).refused("--allow dinov2-small", "--public")


def test_demo_tells_of_a_taken_port_before_it_loads_a_model(dinoclip, served):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        dinoclip("demo", "--port", taken.getsockname()[1]).refused("cannot be served on", "--port")
    dinoclip("demo", "--port", 0).refused("1 to 65535")
    dinoclip("demo", "--host", "no.such.host.invalid", "--port", free_port()).refused("no.such.host.invalid")
    assert served == []


def test_a_demo_with_tools_names_the_address_of_its_mcp_server(dinoclip, served, monkeypatch):
    port = free_port()
    installed = SimpleNamespace(PATH="/gradio_api/mcp/", check_installed=lambda: None)
    monkeypatch.setitem(sys.modules, "dinoclip_viz.app.api.tools", installed)
    done = dinoclip("demo", "--mcp", "--port", port, "--json")
    assert done.json["mcp"] == f"http://127.0.0.1:{port}/gradio_api/mcp/"
    assert [mcp for *_, mcp in served] == [True]


def test_a_demo_with_tools_needs_the_package_before_it_loads_a_model(dinoclip, served, monkeypatch):
    def missing():
        raise ValueError("the package mcp is not installed; the MCP server needs the extra mcp")

    absent = SimpleNamespace(PATH="", check_installed=missing)
    monkeypatch.setitem(sys.modules, "dinoclip_viz.app.api.tools", absent)
    dinoclip("demo", "--mcp", "--port", free_port()).refused("extra mcp")
    assert served == []


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_a_demo_that_a_service_manager_stops_leaves_no_files(tmp_path):
    port = free_port()
    words = [sys.executable, "-m", "dinoclip_viz", "demo", "--port", str(port)]
    with subprocess.Popen(words, env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.DEVNULL) as demo:
        try:
            end = time.monotonic() + 100
            while not listens(port):
                assert demo.poll() is None and time.monotonic() < end
                time.sleep(0.2)
            assert list(tmp_path.glob("dinoclip-*"))
            time.sleep(1)
            demo.send_signal(signal.SIGTERM)
            assert demo.wait(30) == 0
        finally:
            demo.kill()
    assert list(tmp_path.glob("dinoclip-*")) == []


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
