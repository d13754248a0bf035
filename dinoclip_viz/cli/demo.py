"""`dinoclip demo`: the app in the browser."""

from __future__ import annotations

import socket
from argparse import ArgumentParser, Namespace

from dinoclip_viz.cli.answer import Answer
from dinoclip_viz.cli.loading import show_device
from dinoclip_viz.cli.parser import add_device

SUMMARY = "open the app in the browser"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--model", metavar="NAME", default="playground", help="image-text model (%(default)s)")
    parser.add_argument("--guide", metavar="NAME", help="a DINO whose patches pool CLIP's and draw PCA maps")
    parser.add_argument(
        "--gallery", metavar="STORE", help="feature store to search; default: some scenes of the playground"
    )
    parser.add_argument("--heads", metavar="FOLDER", help="trained heads to offer in addition to the package's own")
    parser.add_argument("--dinoiser", metavar="FILE", help="CLIP-DINOiser's trained layers for the model's CLIP")
    parser.add_argument(
        "--host", help="address to serve on (127.0.0.1, this machine alone; with --public 0.0.0.0, every address)"
    )
    parser.add_argument("--port", type=int, default=7860, help="port to serve on (%(default)s)")
    parser.add_argument(
        "--public",
        action="store_true",
        help="serve strangers: load only the embedded models, the given ones and those of --allow, and show no folders",
    )
    parser.add_argument(
        "--allow",
        metavar="NAME",
        action="append",
        default=[],
        help="with --public: also load this model or guide; repeatable",
    )
    parser.add_argument(
        "--mcp",
        action="store_true",
        help="also serve the API's endpoints as tools of an MCP server, for assistants (needs the extra mcp)",
    )
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """The app's address; it is served once that is printed."""
    host, port = arguments.host or ("0.0.0.0" if arguments.public else "127.0.0.1"), arguments.port
    if arguments.allow and not arguments.public:
        raise ValueError(f"found --allow {arguments.allow[0]} without --public; add --public, or drop it")
    _check_free(host, port)
    from dinoclip_viz.app import build_demo, launch
    from dinoclip_viz.models import as_model

    address = f"http://{host}:{port}"
    tools = _tools(address) if arguments.mcp else None
    demo = build_demo(
        arguments.model,
        arguments.guide,
        gallery=arguments.gallery,
        heads=arguments.heads,
        dinoiser=arguments.dinoiser,
        public=arguments.public,
        allow=arguments.allow,
        device=arguments.device,
        dtype=arguments.dtype,
    )
    show_device(arguments, arguments.model, as_model(arguments.model).encoders)  # the one that the app has just loaded

    def serve() -> None:
        launch(demo, host=host, port=port, mcp=arguments.mcp)

    named = {"model": arguments.model, "guide": arguments.guide, "gallery": arguments.gallery}
    return Answer(
        {"address": address, "mcp": tools, **named},
        f"the app is at {address}{f', its MCP server at {tools}' if tools else ''}; stop it with Ctrl+C",
        afterwards=serve,
    )


def _tools(address: str) -> str:
    """Address of the app's MCP server, whose package is installed."""
    from dinoclip_viz.app.api.tools import PATH, check_installed

    check_installed()
    return f"{address}{PATH}"


def _check_free(host: str, port: int) -> None:
    """Nothing, if the port can be served on: a port that is in use is reported before a model is loaded."""
    if not 1 <= port <= 65535:
        raise ValueError(f"--port is {port}; expected 1 to 65535, such as 7860")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{host} port {port} cannot be served on ({reason}); expected a free port of this machine: "
            f"try --port {port % 65535 + 1}"
        ) from error
