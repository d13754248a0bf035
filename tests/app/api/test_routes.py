"""Every route of the served app, asked by a stranger: those of a list with reasons answer, all others are refused."""

import json
import re
import shutil
from collections import namedtuple
from pathlib import Path

import anyio
import httpx
import pytest
from gradio_client import Client, handle_file
from starlette.exceptions import HTTPException

from dinoclip_viz.app import build_demo, launch
from dinoclip_viz.app.api import downloads, gate

ANSWERED = {
    ("GET", "/"): "the page",
    ("HEAD", "/"): "the page",
    ("GET", "/static/{path:path}"): "files of Gradio's package",
    ("GET", "/assets/{path:path}"): "files of Gradio's package",
    ("GET", "/theme.css"): "style of the page",
    ("GET", "/gradio_api/theme.css"): "style of the page",
    ("GET", "/favicon.ico"): "icon of the page",
    ("GET", "/manifest.json"): "name and icon of the page, linked by it",
    ("GET", "/robots.txt"): "for search engines",
    ("GET", "/config"): "components and events of the page, for API clients",
    ("GET", "/config/"): "the same",
    ("GET", "/gradio_api/info"): "the endpoints, for API clients",
    ("GET", "/gradio_api/info/"): "the same",
    ("GET", "/gradio_api/openapi.json"): "the endpoints as OpenAPI",
    ("GET", "/gradio_api/startup-events"): "asked for by the page; starts the queue",
    ("GET", "/gradio_api/heartbeat/{session_hash}"): "keeps a visitor's session",
    ("POST", "/gradio_api/queue/join"): "a request of the page or a client",
    ("GET", "/gradio_api/queue/data"): "its answer",
    ("POST", "/gradio_api/cancel"): "ends a request",
    ("POST", "/gradio_api/reset"): "the same for JavaScript clients; does nothing",
    ("POST", "/gradio_api/reset/"): "the same",
    ("GET", "/gradio_api/app_id"): "whether the page still fits the server, after a lost connection",
    ("GET", "/gradio_api/app_id/"): "the same",
    ("POST", "/gradio_api/call/v2/{api_name}"): "a request by plain HTTP",
    ("POST", "/gradio_api/call/v2/{api_name}/"): "the same",
    ("GET", "/gradio_api/call/{api_name}/{event_id}"): "its answer",
    ("GET", "/gradio_api/call/v2/{api_name}/{event_id}"): "the same",
    ("POST", "/gradio_api/upload"): "images for a request",
    ("GET", "/gradio_api/upload_progress"): "progress of an upload",
    ("GET", "/gradio_api/file={path_or_url:path}"): "uploads and results",
    ("HEAD", "/gradio_api/file={path_or_url:path}"): "the same",
}
"""Method and path of each route of Gradio that answers a stranger -> its reason."""
REFUSED = "expected a route of the page or of its API"
VALUES = {"api_name": "classify", "event_id": "abc", "session_hash": "abc", "size": "192", "path": "img/x.svg"}


def routes(app, prefix=""):
    """Method and path of every route, those of routers that are included or mounted, too."""
    for route in app.routes:
        path = prefix + (getattr(route, "path", None) or "")
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        if getattr(route, "methods", None):
            yield from ((method, path) for method in sorted(route.methods))
        elif inner is not None:
            yield from routes(inner, path)
        elif getattr(route, "routes", None):
            yield from routes(route, path)


def filled(path):
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: VALUES.get(found[1], "some"), path)


@pytest.fixture(scope="module")
def public(bench):
    """A page for strangers."""
    demo = build_demo(bench.model(bench.first_key), public=True)
    launch(demo, wait=False, quiet=True)
    yield demo
    demo.close()


@pytest.fixture(params=["local", "public"])
def app(request):
    """Address and FastAPI app of a local page with MCP server, and of a public one."""
    if request.param == "local":
        return request.getfixturevalue("served"), request.getfixturevalue("demo").app
    page = request.getfixturevalue("public")
    return page.local_url.rstrip("/"), page.app


def refused(response):
    """Whether the gate refused a request, rather than the route behind it."""
    return response.status_code == 404 and REFUSED in response.text


def test_every_route_that_answers_a_stranger_is_in_the_list(app):
    address, fastapi = app
    found = {pair for pair in routes(fastapi) if "/mcp" not in pair[1]}
    assert len(found) > 60, "the routes of Gradio are kept elsewhere now"
    assert set(ANSWERED) <= found
    answering = set()
    with httpx.Client(base_url=address, timeout=10) as stranger:
        for method, path in sorted(found):
            if "heartbeat" in path or path.endswith(("queue/data", "{event_id}")):  # streams that wait; listed above
                if (method, path) in ANSWERED and passes(fastapi, method, filled(path)):
                    answering.add((method, path))
                continue
            answer = stranger.request(method, filled(path))
            if not (answer.status_code == 404 if method == "HEAD" else refused(answer)):
                answering.add((method, path))
    missing = {("HEAD", "/gradio_api/file={path_or_url:path}")}  # no such file
    assert answering | missing == set(ANSWERED)


def passes(app, method, path):
    """Whether the gate lets a request through."""
    scope = {"type": "http", "method": method, "path": path, "app": app}
    try:
        gate.Gate(app).route(scope)
    except HTTPException:
        return False
    return True


@pytest.mark.parametrize(
    "path",
    [
        *("/monitoring", "/monitoring/summary", "/monitoring/key", "/gradio_api/dev/reload", "/gradio_api/vibe-code"),
        *("/gradio_api/deep_link?session_hash=a", "/gradio_api/proxy=https://example.com/", "/gradio_api/runs"),
        *("/gradio_api/run-history/records", "/gradio_api/file=https://example.com/a.png", "/docs", "/redoc"),
        *("/gradio_api/file=%68ttps://example.com/a.png", "/gradio_api/file//etc/passwd", "/openapi.json"),
        *("/gradio_api/user", "/gradio_api/token", "/login_check", "/logout", "/svelte/svelte.js", "/pwa_icon"),
        *("/gradio_api/custom_component/1/client/component/index.js", "/gradio_api/queue/status"),
        *("/gradio_api/mcp/sse", "/gradio_api/mcp/messages/", "/gradio_api/file=file:///etc/passwd"),
    ],
)
def test_what_the_page_does_not_need_is_refused(app, path):
    assert refused(httpx.get(f"{app[0]}{path}"))


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/gradio_api/component_server",
            "/gradio_api/process_recording",
            "/gradio_api/vibe-edit",
        ),
        *("/gradio_api/run/classify", "/gradio_api/api/classify", "/gradio_api/call/classify", "/login"),
        *("/gradio_api/stream/abc", "/gradio_api/run-history/connect", "/gradio_api/profiling/clear", "/"),
    ],
)
def test_posts_that_the_page_does_not_need_are_refused(app, path):
    assert refused(httpx.post(f"{app[0]}{path}", json={"data": []}))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "//etc/passwd", "../../etc/passwd", "%2Fetc%2Fpasswd", "pyproject.toml"]
)
def test_files_that_are_neither_uploads_nor_results_are_refused(app, path):
    assert httpx.get(f"{app[0]}/gradio_api/file={path}").status_code in (403, 404)


def test_events_of_the_page_are_not_called_by_name(app):
    for name in ("load", "run", "again", "heatmap_1"):
        answer = httpx.post(f"{app[0]}/gradio_api/call/v2/{name}", json={})
        assert answer.status_code == 404
        assert not answer.json()["detail"].startswith("found POST") or "_1" in name


def test_plain_http_answers_wrong_names_and_missing_arguments_in_one_line(app):
    address = f"{app[0]}/gradio_api/call/v2/classify"
    answer = httpx.post(address, json={"labels": ["a"]})
    assert (answer.status_code, answer.json()["detail"]) == (400, "No value provided for required argument: image")
    answer = httpx.post(address, json={"image": "x", "label": "a"})
    assert (answer.status_code, "`label`" in answer.json()["detail"]) == (400, True)
    answer = httpx.post(f"{app[0]}/gradio_api/call/v2/nonsense", json={})
    assert "found endpoint 'nonsense'; expected one of: afford, ask, classify" in answer.json()["detail"]


def test_a_path_of_the_server_is_no_upload(app):
    given = {"image": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "labels": ["cat", "car"]}
    event = httpx.post(f"{app[0]}/gradio_api/call/v2/classify", json=given).json()["event_id"]
    answer = httpx.get(f"{app[0]}/gradio_api/call/classify/{event}").text
    assert "event: error" in answer and "root" not in answer and "scores" not in answer


def test_large_requests_are_refused_with_and_without_a_stated_length(app):
    megabyte = b"x" * 2**20
    body = b"".join([megabyte] * 33)
    stated = httpx.post(f"{app[0]}/gradio_api/queue/join", content=body)
    assert (stated.status_code, stated.json()["detail"]) == (413, "found a request of more than 32 MB; expected less")
    unstated = httpx.post(f"{app[0]}/gradio_api/queue/join", content=iter([megabyte] * 33))
    assert unstated.status_code == 413
    image = httpx.post(f"{app[0]}/gradio_api/upload", files={"files": ("a.png", b"x" * 21_000_000)})
    assert image.status_code == 413


def test_uploads_beyond_the_limit_are_refused_before_they_are_read():
    scope = {"headers": [(b"content-length", str(gate.UPLOAD + 1).encode())]}
    with pytest.raises(HTTPException, match="256 MB"):
        gate.limited(scope, None, gate.UPLOAD)
    with pytest.raises(HTTPException):
        gate.limited({"headers": [(b"content-length", b"-1")]}, None, gate.UPLOAD)


def test_uploads_are_refused_while_the_disk_is_nearly_full(app, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**40, 2**29))
    answer = httpx.post(f"{app[0]}/gradio_api/upload", files={"files": b"image"})
    assert (answer.status_code, answer.json()["detail"]) == (
        507, "the server's disk is nearly full; expected 1 GB of free space; try again later"
    )  # fmt: skip


def test_web_sockets_are_closed():
    sent = []

    async def send(message):
        sent.append(message)

    async def unreachable(*given):
        raise AssertionError("passed on")

    anyio.run(gate.Gate(unreachable), {"type": "websocket", "path": "/", "headers": []}, None, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_files_named_by_an_address_are_fetched_within_the_limits_of_images(app, tmp_path, monkeypatch):
    visitor = Client(app[0], verbose=False)
    for address in ("https://10.0.0.1/a.png", "http://127.0.0.1:7860/gradio_api/info"):
        given = {"path": address, "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(Exception, match=r"not on the public internet|port 7860") as caught:
            visitor.predict(given, ["cat", "car"], api_name="/classify")
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(downloads, "download", lambda url: url.encode())
    path = anyio.run(downloads.fetched, "https://example.com/a%20b.png?x=1", str(tmp_path))
    assert Path(path).read_bytes() == b"https://example.com/a%20b.png?x=1" and path.startswith(str(tmp_path))


def test_a_public_page_lists_and_loads_allowed_models_alone(public, scenes):
    visitor = Client(public.local_url, verbose=False)
    assert visitor.predict(api_name="/models")["models"] == ["playground", "playground-clip"]
    image = handle_file(scenes[0])
    for name in ("clip-vit-base-patch16", "/etc", "timm:vit_small"):
        with pytest.raises(Exception, match="does not offer; choose playground, playground-clip") as caught:
            visitor.predict(image, ["cat", "car"], model=name, api_name="/classify")
        assert "\n" not in str(caught.value)
    with pytest.raises(Exception, match="as model; expected one of: playground-paligemma"):
        visitor.predict(image, model="paligemma2-3b-mix-224", api_name="/ask")


def test_results_of_a_public_page_name_no_folder(public, scenes):
    visitor = Client(public.local_url, verbose=False, download_files=False)
    found = visitor.predict(text="a car", count=1, api_name="/search")
    rest = re.sub(r'"(path|url)": "[^"]*"', "", json.dumps(found))
    assert "/" not in rest.replace("<", "").replace("_type", "")
