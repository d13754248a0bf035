"""The scripts in apps/: parse the arguments, open the page at a tab."""

from __future__ import annotations

import argparse

from dinoclip_viz.app.page import TabName, build_demo
from dinoclip_viz.app.serve import launch


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
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (%(default)s)")
    parser.add_argument("--port", type=int, help="port (default: the first free one)")
    given = parser.parse_args()
    demo = build_demo(given.model, given.guide, tab=tab, gallery=given.gallery, heads=given.heads)
    launch(demo, given.host, given.port)
