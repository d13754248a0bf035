"""Faults of the disk: full, read-only, two writers, a reader beside a writer. Nothing is lost, and one line each."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch

from dinoclip_viz.cli import main
from dinoclip_viz.disk import locked
from dinoclip_viz.pipeline import embed
from dinoclip_viz.store import FeatureStore, StoreError
from dinoclip_viz.store.settings import sha256
from dinoclip_viz.training.loop import Loop
from dinoclip_viz.training.processes import Processes
from tests.made_stores import pair

MEGABYTE = 1 << 20
TIMES = ("log.jsonl",)


def mount(*words: object) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip() or 'mount failed'}")


@pytest.fixture
def disk(tmp_path):
    """A disk of 16 MB of its own."""
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only the superuser can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={16 * MEGABYTE}", "tmpfs", folder)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path, left: int) -> Path:
    """Fill the disk but for so many bytes; returns the file that does."""
    filler = folder / "filler"
    free = shutil.disk_usage(folder).free
    filler.write_bytes(bytes(max(free - left, 0)))
    return filler


def dinoclip(*words: object) -> tuple[int, list[str]]:
    """Exit code, and the error lines without progress and devices."""
    err = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(err):
        code = main([str(word) for word in words])
    lines = [line for line in err.getvalue().replace("\r", "\n").splitlines() if line.startswith("dinoclip: ")]
    return code, [line for line in lines if not line.endswith("on cpu, float32")]


def files(folder: Path) -> dict[str, str]:
    found = sorted(file for file in folder.rglob("*") if file.is_file() and file.name not in TIMES)
    return {str(file.relative_to(folder)): sha256(file) for file in found}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Twelve scenes with captions, and their stores."""
    folder = tmp_path_factory.mktemp("inputs")
    assert (
        dinoclip("playground", "draw", "--seed", 1011, "--count", 12, "--size", 96, "--out", folder / "scenes")[0] == 0
    )
    embed("playground:1011:40", ["playground-dino", "playground-clip"], folder / "stores", texts="playground-clip")
    pair(folder / "made", 200, patches=True)
    (folder / "entries.txt").write_text("cat\ndog\ntree\nhouse\n")
    return folder


PAIR = ("--encoder", "playground-dino", "--encoder", "playground-clip", "--texts", "playground-clip")
FOLDERS = {
    "embed": lambda at: ("embed", "playground:1011:12", *PAIR, "--shard-size", 4, "--workers", 0),
    "train": lambda at: (
        "train", "--images", at / "made", "--targets", at / "made", "--epochs", 3, "--batch", 64,
        "--set", "hidden=16", "--set", "patch_epochs=1",
    ),
    "adapt": lambda at: ("adapt", at / "stores" / "playground-clip", "--labels", "cat,dog,tree", "--method", "zlap"),
    "reinforce": lambda at: (
        "reinforce", "playground:1011:8", "--teacher", "playground-clip", "--views", 2, "--shard-size", 4,
    ),
}  # fmt: skip
"""Verbs that write a folder, without --out."""
SINGLE = {
    "pca.png": lambda at: ("pca", at / "scenes" / "images" / "000000.png", "--out"),
    "basis.safetensors": lambda at: (
        "pca", at / "scenes" / "images" / "000000.png", "--out", at / "figure.png", "--save-basis",
    ),
    "maps.npy": lambda at: (
        "heatmap", at / "scenes" / "images" / "000000.png", "--prompt", "cat", "--out", at / "figure.png", "--array",
    ),
    "match.png": lambda at: (
        "match", at / "scenes" / "images" / "000000.png", at / "scenes" / "images" / "000001.png", "--out",
    ),
    "kept.jsonl": lambda at: (
        "curate", "playground:1011:40", "--entries", at / "entries.txt", "--per-entry", 5, "--out",
    ),
}  # fmt: skip
"""File that a verb writes -> the verb, whose last option takes it."""


@pytest.mark.parametrize("left", [0, 40_000])
@pytest.mark.parametrize("verb", FOLDERS)
def test_on_a_full_disk_a_folder_is_resumed_once_there_is_space(verb, left, disk, inputs, tmp_path):
    words = FOLDERS[verb](inputs)
    assert dinoclip(*words, "--out", tmp_path / "whole") == (0, [])
    filler = fill_up(disk, left)
    code, lines = dinoclip(*words, "--out", disk / "out")
    assert (code, len(lines)) == (2, 1), lines
    assert "No space left on device; expected enough of it" in lines[0]
    assert str(disk) in lines[0]
    filler.unlink()
    assert dinoclip(*words, "--out", disk / "out") == (0, [])
    assert files(disk / "out").keys() == files(tmp_path / "whole").keys()
    if verb in ("embed", "reinforce"):
        assert files(disk / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("name", SINGLE)
def test_on_a_full_disk_the_former_file_stays(name, disk, inputs):
    words = (*SINGLE[name](inputs), disk / name)
    assert dinoclip(*words)[0] == 0
    former = files(disk)
    filler = fill_up(disk, 0)
    code, lines = dinoclip(*words)
    assert (code, len(lines)) == (2, 1), lines
    assert "No space left on device" in lines[0]
    filler.unlink()
    assert files(disk) == former
    assert dinoclip(*words)[0] == 0
    assert files(disk).keys() == former.keys()


@pytest.mark.parametrize("verb", [*FOLDERS, *SINGLE])
def test_on_a_read_only_disk_there_is_one_line(verb, disk, inputs):
    words = (*FOLDERS[verb](inputs), "--out") if verb in FOLDERS else SINGLE[verb](inputs)
    mount("-o", "remount,ro", disk)
    code, lines = dinoclip(*words, disk / "out" if verb in FOLDERS else disk / verb)
    assert (code, len(lines)) == (2, 1), lines
    assert "Read-only file system; expected a disk that can be written to" in lines[0]
    assert str(disk) in lines[0]


def test_a_finished_store_on_a_read_only_disk_is_read_and_left_alone(disk, inputs):
    words = (*FOLDERS["embed"](inputs), "--out", disk / "s")
    assert dinoclip(*words) == (0, [])
    mount("-o", "remount,ro", disk)
    assert dinoclip(*words) == (0, [])
    FeatureStore.open(disk / "s", "playground-clip").check()


def test_a_checkpoint_survives_a_full_disk(disk, inputs):
    words = FOLDERS["train"](inputs)
    assert dinoclip(*words, "--out", disk / "p") == (0, [])
    checkpoint = next(disk.rglob("checkpoint*.pt"))
    former = sha256(checkpoint)
    fill_up(disk, 0)
    loop = Loop(torch.nn.Linear(3, 3), 1, 1, 1e-3, 0.0, "none", 1, None, Processes())
    loop.checkpoint = checkpoint
    with pytest.raises(OSError, match="No space left"):
        loop.save()
    assert sha256(checkpoint) == former


def test_a_limit_on_the_size_of_files_is_told_as_such(tmp_path, inputs):
    code = (
        "import resource, signal, sys; from dinoclip_viz.cli import main; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); sys.exit(main(sys.argv[1:]))"
    )
    words = [*FOLDERS["embed"](inputs), "--out", tmp_path / "s"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "File too large; expected no limit on the size of files" in done.stderr
    assert "Traceback" not in done.stderr


# Two writers, and a reader beside a writer


def test_of_two_embeds_into_one_store_the_second_says_who_holds_it(tmp_path, inputs):
    words = [*FOLDERS["embed"](inputs), "--out", tmp_path / "s", "--json"]
    command = [sys.executable, "-m", "dinoclip_viz", *map(str, words)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=200) for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes
    for process, other, code, (_, err) in zip(both, both[::-1], codes, told, strict=True):
        if code:  # else the other one had finished before
            assert process.returncode == 2
            assert f"is being written by process {other.pid} on " in err
    for encoder in ("playground-dino", "playground-clip"):
        FeatureStore.open(tmp_path / "s", encoder).check()


@pytest.mark.parametrize("verb", FOLDERS)
def test_every_verb_that_writes_a_folder_is_told_of_another_writer(verb, tmp_path, inputs):
    words = FOLDERS[verb](inputs)
    held = tmp_path / "out" / "playground-dino" if verb == "embed" else tmp_path / "out"
    with locked(held):
        before = files(tmp_path)
        code, lines = dinoclip(*words, "--out", tmp_path / "out")
        assert (code, len(lines)) == (2, 1), lines
        assert f"is being written by process {os.getpid()} on " in lines[0]
        assert "wait until it ends, or choose another folder" in lines[0]
        assert files(tmp_path) == before
    assert dinoclip(*words, "--out", tmp_path / "out") == (0, [])


def test_a_reader_beside_a_writer_finds_a_finished_store_or_a_line(tmp_path):
    found: list[object] = []
    done = threading.Event()

    def read():
        while not done.is_set():
            try:
                store = FeatureStore.open(tmp_path / "s")
                store.check()
                found.append((len(store), np.asarray(store.pooled).shape[0], len(store.metadata)))
            except StoreError as error:
                found.append(str(error))
            time.sleep(0.002)

    reader = threading.Thread(target=read)
    reader.start()
    embed("playground:1011:24", "playground-dino", tmp_path / "s", shard_size=2)
    time.sleep(0.05)
    done.set()
    reader.join()
    stores = [one for one in found if isinstance(one, tuple)]
    assert set(stores) == {(24, 24, 24)}
    lines = {one for one in found if isinstance(one, str)}
    assert all("there is no folder" in one or "holds no store" in one or "is not finished" in one for one in lines)
    assert any(f"process {os.getpid()} on " in one for one in lines)


def test_what_a_killed_run_left_behind_is_cleared_away(tmp_path):
    embed("playground:1011:6", "playground-dino", tmp_path / "whole", shard_size=2)
    embed("playground:1011:6", "playground-dino", tmp_path / "s", shard_size=2)
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    (tmp_path / "s" / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    (tmp_path / "s" / "shards" / "shard_2.json").unlink()
    (tmp_path / "s" / "img_emb" / ".img_emb_2.part.npy").write_bytes(b"half")
    (tmp_path / "s" / "img_emb" / "img_emb_2.npy.tmp").write_bytes(b"half")
    embed("playground:1011:6", "playground-dino", tmp_path / "s", shard_size=2)
    assert files(tmp_path / "s") == files(tmp_path / "whole")
