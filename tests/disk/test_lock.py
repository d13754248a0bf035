"""A folder has one writer at a time; that of a dead process is taken over."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from dinoclip_viz.disk import LOCK, Holder, holder_of, lock, locked

HOLD = """
import sys, time
from pathlib import Path
from dinoclip_viz.disk import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holding(tmp_path):
    """Another process that holds a folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process, tmp_path / "s"
        process.kill()


def mine() -> Holder:
    return Holder(os.getpid(), lock.platform.node(), lock._machine(), time.time(), lock._started(os.getpid()))


def left(folder, holder, age=0.0):
    """A lock file as a holder of that kind would have left it."""
    folder.mkdir()
    (folder / LOCK).write_text(json.dumps(asdict(holder)))
    os.utime(folder / LOCK, (time.time() - age, time.time() - age))


def taken(folder) -> bool:
    try:
        with locked(folder):
            return True
    except ValueError:
        return False


def test_the_lock_names_its_holder_and_goes_with_it(tmp_path):
    with locked(tmp_path / "a" / "b"):
        assert holder_of(tmp_path / "a" / "b").process == os.getpid()
        assert not taken(tmp_path / "a" / "b")
        assert taken(tmp_path / "a")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert holder_of(tmp_path / "a" / "b") is None


def test_a_second_process_is_told_who_holds_the_folder_and_since_when(holding):
    process, folder = holding
    since = time.strftime("%Y-%m-%d %H:", time.localtime())
    with (
        pytest.raises(
            ValueError, match=rf"written by process {process.pid} on \S+ since {since}.*; expected one writer"
        ),
        locked(folder),
    ):
        pass
    process.stdin.close()
    process.wait(10)
    assert taken(folder)


def test_the_lock_of_a_killed_process_is_taken_over_at_once(holding):
    process, folder = holding
    os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.2)  # dead, and nobody has waited for it yet
    assert (folder / LOCK).is_file()
    assert taken(folder)
    assert list(folder.iterdir()) == []


def test_a_later_process_of_the_same_number_does_not_count_as_the_holder(tmp_path):
    left(tmp_path / "s", replace(mine(), started="1"))
    assert taken(tmp_path / "s")
    left(tmp_path / "t", mine())
    assert not taken(tmp_path / "t")


@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"machine": "another container"}])
def test_a_holder_on_another_machine_lives_while_it_gives_signs(tmp_path, other):
    left(tmp_path / "s", replace(mine(), process=999_999_999, **other), age=10)
    assert not taken(tmp_path / "s")
    os.utime(tmp_path / "s" / LOCK, (time.time() - 200, time.time() - 200))
    assert taken(tmp_path / "s")


def test_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_BEAT", 0.01)
    with locked(tmp_path):
        os.utime(tmp_path / LOCK, (0, 0))
        end = time.monotonic() + 5
        while (tmp_path / LOCK).stat().st_mtime < 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert time.time() - (tmp_path / LOCK).stat().st_mtime < 60


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"process": 1}'])
def test_an_invalid_lock_is_replaced(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    assert taken(tmp_path)


@pytest.mark.parametrize("again", range(5))
def test_of_many_that_find_a_stale_lock_one_at_a_time_holds_the_folder(tmp_path, again):
    left(tmp_path / "s", replace(mine(), started="1"))
    inside, most, held = 0, 0, 0
    start, guard = threading.Barrier(8), threading.Lock()

    def run():
        nonlocal inside, most, held
        start.wait()
        try:
            with locked(tmp_path / "s"):
                with guard:
                    inside, held = inside + 1, held + 1
                    most = max(most, inside)
                time.sleep(0.2)
                with guard:
                    inside -= 1
        except ValueError:
            pass

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert held >= 1
    assert list((tmp_path / "s").iterdir()) == []


def test_a_disk_without_links_is_locked_as_well(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(lock.os, "link", no_links)
    with locked(tmp_path):
        assert holder_of(tmp_path).process == os.getpid()
        assert not taken(tmp_path)
    assert list(tmp_path.iterdir()) == []
