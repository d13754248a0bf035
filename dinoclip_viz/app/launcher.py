"""The scripts in apps/: parse the arguments, open the page at a tab."""

from __future__ import annotations

import argparse

from dinoclip_viz.app.api.tools import check_installed
from dinoclip_viz.app.page import TabName, build_demo
from dinoclip_viz.app.serve import launch
from dinoclip_viz.encoders.devices import AUTO, DEVICES, DTYPES, chosen_device

PUBLIC_HELP = "serve strangers: load only the embedded models, the given ones and those of --allow, and show no folders"
ALLOW_HELP = "with --public: also load this model or guide; repeatable"
MCP_HELP = "also serve the API's endpoints as tools of an MCP server, for assistants (needs the extra mcp)"
HOST_HELP = "address to serve on (127.0.0.1, this machine alone; with --public 0.0.0.0, every address)"


def open_at(tab: TabName, description: str | None) -> None:
    """Serve the app, opened at a tab, until it is stopped.

    Args:
        tab: as in `build_demo`.
        description: the first line of --help.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default="playground", help="catalogue name, hub id or local folder (%(default)s)")
    parser.add_argument("--guide", help="DINO encoder that guides it")
    parser.add_argument("--gallery", metavar="STORE", help="feature store to search")
    parser.add_argument("--heads", metavar="FOLDER", help="folder of further trained heads")
    parser.add_argument("--host", help=HOST_HELP)
    parser.add_argument("--port", type=int, help="port (default: the first free one)")
    parser.add_argument("--public", action="store_true", help=PUBLIC_HELP)
    parser.add_argument("--allow", metavar="NAME", action="append", default=[], help=ALLOW_HELP)
    parser.add_argument("--mcp", action="store_true", help=MCP_HELP)
    parser.add_argument("--device", default=AUTO, help=f"{DEVICES} (%(default)s)")
    parser.add_argument("--dtype", default=AUTO, choices=(AUTO, *DTYPES), help="type to compute in (%(default)s)")
    given = parser.parse_args()
    try:
        chosen_device(given.device)
        if given.mcp:
            check_installed()
    except ValueError as error:
        parser.error(str(error))
    demo = build_demo(
        given.model,
        given.guide,
        tab,
        given.gallery,
        given.heads,
        public=given.public,
        allow=given.allow,
        device=given.device,
        dtype=given.dtype,
    )
    launch(demo, given.host or ("0.0.0.0" if given.public else "127.0.0.1"), given.port, mcp=given.mcp)
