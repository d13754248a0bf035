"""The app, opened at zero-shot classification."""

import argparse

from dinoclip_viz.app import build_demo, launch

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="playground", help="catalogue name, hub id or local folder")
    parser.add_argument("--guide", help="a DINO beside it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    launch(build_demo(arguments.model, arguments.guide, tab="zero-shot"), arguments.host, arguments.port)
