"""`dinoclip demo` as a process of its own, of this working tree or of a commit, with its CPU time and memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(process: int) -> float:
    """User and system seconds of a process and of its children that ended."""
    parts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(int(part) for part in parts[11:15]) / TICKS


def megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def served(tree: Path, scratch: Path, options: list[str]) -> Iterator[tuple[int, str]]:
    """Process id and address of `dinoclip demo` of a working tree, ready; stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cache = tempfile.mkdtemp(dir=scratch)
    environment = {**os.environ, "PYTHONPATH": str(tree), "GRADIO_TEMP_DIR": cache, "TMPDIR": cache}
    command = [sys.executable, "-m", "dinoclip_viz", "demo", "--port", str(port), *options]
    with open(Path(cache) / "log.txt", "w+") as log:
        process = subprocess.Popen(command, cwd=tree, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(process, address, Path(log.name))
            yield process.pid, address
        finally:
            process.terminate()
            process.wait(30)


def wait_for(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"the demo ended with code {process.returncode}: {log.read_text()[-2000:]}")
        try:
            if httpx.get(address, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise SystemExit(f"the demo did not answer within {START_SECONDS} s: {log.read_text()[-2000:]}")


@contextmanager
def worktree(commit: str, scratch: Path) -> Iterator[Path]:
    """A working tree of a commit, removed at the end."""
    tree = scratch / "baseline"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--quiet", str(tree), commit], check=True)
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)
