"""Which routes of the served app answer: an allow list in front of Gradio, with limits of what a request may bring."""

from __future__ import annotations

import re
import shutil
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

BODY = 32 * 2**20
"""Most bytes of a request's body: an image of 20 MB in base64, and its other values."""
UPLOAD = 256 * 2**20
"""Most bytes of an upload: twelve images of 20 MB."""
FREE = 2**30
"""Bytes that must stay free on the disk of uploads."""


@dataclass(frozen=True)
class Route:
    """Requests that are answered.

    Attributes:
        methods: HTTP methods, in upper case.
        path: regular expression of the whole path.
        reason: what needs the route.
        most: largest body in bytes.
        named: whether its group `name` must be an endpoint of the API.
    """

    methods: str
    path: str
    reason: str
    most: int = BODY
    named: bool = False


EVENT = r"[0-9a-zA-Z-]{1,64}"
ROUTES = (
    Route("GET HEAD", "/", "the page"),
    Route("GET", "/(assets|static)/.+", "scripts, fonts and images of the page, from Gradio's package"),
    Route("GET", "(/gradio_api)?/theme.css", "colours and fonts of the page"),
    Route("GET", "/favicon.ico", "asked for by browsers"),
    Route("GET", "/manifest.json", "linked by the page: its name and icon"),
    Route("GET", "/robots.txt", "asked for by search engines"),
    Route("GET", "/config/?", "components and events of the page, for API clients"),
    Route("GET", "/gradio_api/info/?", "names and types of the endpoints, for API clients"),
    Route("GET", "/gradio_api/openapi.json", "the same as an OpenAPI schema"),
    Route("GET", "/gradio_api/startup-events", "asked for by the page at its start; starts the queue"),
    Route("GET", f"/gradio_api/heartbeat/{EVENT}", "keeps a visitor's session while the page is open"),
    Route("POST", "/gradio_api/queue/join", "a request of the page or an API client"),
    Route("GET", "/gradio_api/queue/data", "its answer"),
    Route("POST", "/gradio_api/cancel", "ends a request that is no longer waited for"),
    Route("POST", "/gradio_api/reset/?", "posted with it by JavaScript clients; does nothing"),
    Route("GET", "/gradio_api/app_id/?", "asked for by the page when its connection was lost"),
    Route("POST", "/gradio_api/call/v2/(?P<name>[a-z_]{1,40})/?", "a request by plain HTTP", named=True),
    Route("GET", f"/gradio_api/call/(v2/)?(?P<name>[a-z_]{{1,40}})/{EVENT}", "its answer", named=True),
    Route("POST", "/gradio_api/upload", "images for a request", UPLOAD),
    Route("GET", "/gradio_api/upload_progress", "progress of an upload on the page"),
    Route("GET HEAD", "/gradio_api/file=(?!(?i:[a-z]{2,}:))/*.+", "uploads and results; Gradio refuses other files"),
)
"""The whole of what is answered. Everything else that Gradio serves is refused: among it the monitoring page, developer
routes, deep links, the proxy, functions of components, and direct calls that skip the queue."""
MCP_ROUTES = (
    Route("GET POST DELETE", "/gradio_api/mcp/?", "the MCP server"),
    Route("GET", "/gradio_api/mcp/schema", "its tools as JSON, for directories of MCP servers"),
)


class Gate:
    """ASGI middleware that answers the listed routes alone.

    Args:
        app: the app behind it.
        routes: requests that are answered.
    """

    def __init__(self, app: App, routes: tuple[Route, ...] = ROUTES) -> None:
        self.app, self.routes = app, routes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with one line of JSON."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            else:  # nothing here speaks WebSocket
                await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            route = self.route(scope)
            await self.app(scope, limited(scope, receive, route.most), sent)
        except HTTPException as refusal:
            if started:
                raise
            await JSONResponse({"detail": refusal.detail}, refusal.status_code)(scope, receive, send)
        except TypeError as error:
            if started or "/call/v2/" not in scope["path"]:
                raise
            await JSONResponse({"detail": _arguments(error)}, 400)(scope, receive, send)

    def route(self, scope: MutableMapping[str, Any]) -> Route:
        """The route of a request.

        Raises:
            HTTPException: there is none, its endpoint is not part of the API, or there is no disk space for its upload.
        """
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")).rstrip("/"))
        for route in self.routes:
            found = re.fullmatch(route.path, path)
            if found is None or scope["method"] not in route.methods.split():
                continue
            if route.named and found["name"] not in endpoint_names(scope["app"]):
                known = ", ".join(sorted(endpoint_names(scope["app"])))
                raise HTTPException(404, f"found endpoint {found['name']!r}; expected one of: {known}")
            if route.most == UPLOAD and free_bytes() < FREE + UPLOAD:
                raise HTTPException(
                    507, "the server's disk is nearly full; expected 1 GB of free space; try again later"
                )
            return route
        raise HTTPException(404, f"found {scope['method']} {path[:80]}; expected a route of the page or of its API")


def middleware(mcp: bool) -> list[Middleware]:
    """The gate as FastAPI takes it.

    Args:
        mcp: whether the MCP server is on.
    """
    return [Middleware(Gate, routes=(*ROUTES, *MCP_ROUTES) if mcp else ROUTES)]


def endpoint_names(app: Any) -> set[str]:
    """Names of the API's endpoints: those of public events."""
    return {str(event.api_name) for event in app.get_blocks().fns.values() if event.api_visibility == "public"}


def free_bytes() -> int:
    """Free bytes on the disk of uploads."""
    path = Path(get_upload_folder())
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.exists())).free


def limited(scope: MutableMapping[str, Any], receive: Receive, most: int) -> Receive:
    """`receive` up to a number of bytes.

    Args:
        scope: of the request, whose stated length is checked at once.
        receive: the messages of the request.
        most: largest number of bytes.

    Raises:
        HTTPException: the request has more; raised while it is received where it does not state its length.
    """
    line = f"found a request of more than {most // 2**20} MB; expected less"
    stated = dict(scope["headers"]).get(b"content-length", b"0")
    if not stated.isdigit() or int(stated) > most:
        raise HTTPException(413, line)
    received = 0

    async def checked() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(413, line)
        return message

    return checked


def _arguments(error: TypeError) -> str:
    """What is wrong with the arguments of a request by plain HTTP, without Gradio's advice."""
    return " ".join(str(error).split()).partition(" Please click")[0]
