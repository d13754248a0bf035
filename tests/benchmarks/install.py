"""The README's two ways to the demo, typed in an empty home directory: seconds until the app answers.

    python tests/benchmarks/install.py [--only uv|venv]

A copy of the committed tree, an empty home, and of the environment only PATH and the variables of package indexes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "uv": "uv run dinoclip demo --port {port}",
    "venv": "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/dinoclip demo --port {port}",
}
LONGEST = 1200.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/", timeout=2) as page:
            return page.status == 200 and b"gradio" in page.read().lower()
    except OSError:
        return False


def seconds_until_it_answers(command: str) -> float:
    """Runs one command in a copy of the tree until the app answers, then stops it."""
    with tempfile.TemporaryDirectory() as folder:
        tree, home = Path(folder) / "tree", Path(folder) / "home"
        home.mkdir()
        tree.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x"], cwd=tree, input=archive, check=True)
        found = [shutil.which(tool) for tool in ("uv", "python3")]
        tools = os.pathsep.join(dict.fromkeys(str(Path(each).parent) for each in found if each))
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
        port = free_port()
        begun = time.monotonic()
        with (Path(folder) / "log").open("w+") as log:
            running = subprocess.Popen(
                command.format(port=port), shell=True, cwd=tree, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(home), "UV_PYTHON_DOWNLOADS": "never", **kept},
            )  # fmt: skip
            try:
                while time.monotonic() - begun < LONGEST:
                    if answers(port):
                        return time.monotonic() - begun
                    if running.poll() is not None:
                        log.seek(0)
                        raise SystemExit(f"{command}: ended with {running.returncode}\n{log.read()[-2000:]}")
                    time.sleep(0.5)
                raise SystemExit(f"{command}: no answer within {LONGEST:g} s")
            finally:
                with contextlib.suppress(ProcessLookupError):  # it ended by itself
                    os.killpg(running.pid, signal.SIGTERM)
                running.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=tuple(COMMANDS))
    only = parser.parse_args().only
    for name, command in COMMANDS.items():
        if only in (None, name):
            print(json.dumps({"command": command, "seconds": round(seconds_until_it_answers(command), 1)}), flush=True)


if __name__ == "__main__":
    main()
