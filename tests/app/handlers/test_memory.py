"""The setting that keeps the server's memory flat, in a process of its own."""

import os
import subprocess
import sys

import pytest

CHURN = """
import sys
from dinoclip_viz.app.handlers.memory import keep_memory_flat
assert keep_memory_flat()
from pathlib import Path
def resident():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])
before = resident()
kept = []
for _ in range(200):
    large = [bytearray(2**20) for _ in range(3)]
    kept.append(bytes(1000))
    del large
    kept.append(bytearray(2**18))
    kept.pop()
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone")
def test_large_buffers_return_to_the_system():
    done = subprocess.run([sys.executable, "-c", CHURN], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4096  # kB


def test_one_thread_returns_unused_memory_however_many_pages_are_served():
    code = "import threading; from dinoclip_viz.app.handlers.memory import KEEPER, keep_memory_flat as go; go(); go();"
    code += "print(sum(thread.name == KEEPER for thread in threading.enumerate()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == sys.platform.startswith("linux")


def test_what_the_environment_sets_is_left():
    code = "from dinoclip_viz.app.handlers.memory import keep_memory_flat as go; print(go())"
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"
