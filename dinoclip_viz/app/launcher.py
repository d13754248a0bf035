"""What the scripts in apps/ do: read a few words, open the page at a tab."""

from __future__ import annotations

import argparse

from dinoclip_viz.app.page import TabName, build_demo
from dinoclip_viz.app.serve import launch


def open_at(tab: TabName, description: str | None) -> None:
    """Serve the app, opened at a tab, until it is stopped.

    Args:
        tab: as in `build_demo`.
        description: what --help says first.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default="playground", help="catalogue name, hub id or local folder (%(default)s)")
    parser.add_argument("--guide", help="a DINO beside it")
    parser.add_argument("--gallery", metavar="STORE", help="store that the search tab searches")
    parser.add_argument("--heads", metavar="FOLDER", help="trained heads to offer beside the package's own")
    parser.add_argument("--host", default="127.0.0.1", help="(%(default)s)")
    parser.add_argument("--port", type=int, help="the first free one by default")
    words = parser.parse_args()
    demo = build_demo(words.model, words.guide, tab=tab, gallery=words.gallery, heads=words.heads)
    launch(demo, words.host, words.port)
