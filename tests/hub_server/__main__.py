"""`python -m tests.hub_server --folder F --port P`: the test hub as a process; stop it with Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading
from argparse import ArgumentParser
from types import FrameType

from tests.hub_server.faults import KINDS
from tests.hub_server.real_shapes import real_shaped
from tests.hub_server.server import Hub


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.hub_server", description=__doc__)
    parser.add_argument("--folder", required=True, help="folder with OWNER/NAME/FILES; created if it is missing")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 (the default) for any free one")
    parser.add_argument(
        "--empty", action="store_true", help="serve the folder as it is, without adding DINOv2-small and CLIP ViT-B/16"
    )
    parser.add_argument("--fault", choices=KINDS, action="append", default=[], help="misbehave so from the start")
    arguments = parser.parse_args()
    if not arguments.empty:
        real_shaped(arguments.folder)
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with Hub(arguments.folder, arguments.port) as hub:
        for kind in arguments.fault:
            hub.misbehave(kind)
        sys.stdout.write(f"HF_ENDPOINT={hub.endpoint}\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
