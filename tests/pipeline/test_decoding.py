"""Decoding ahead: in order, by threads or processes, and no worker outlives the one that it works for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from dinoclip_viz.data import Sample, Unreadable
from dinoclip_viz.data.playground import PlaygroundSource
from dinoclip_viz.images.crops import Crop
from dinoclip_viz.pipeline.decoding import prepared

ENDLESS = """
import os, subprocess, sys, time
from dinoclip_viz.pipeline.decoding import prepared
from dinoclip_viz.data.playground import PlaygroundSource
if __name__ == "__main__":
    with prepared(PlaygroundSource(2100, 1000).samples(), [None], workers=1) as images:
        next(images)
        print(subprocess.check_output(["pgrep", "-P", str(os.getpid()), "-f", "pipeline.workers"]).decode(), flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_images_come_in_order_and_broken_ones_as_their_reason(workers):
    samples = [*PlaygroundSource(2100, 20).samples(), Sample("x", Unreadable("it is broken"))]
    crop = Crop(8, 96, None, Image.Resampling.BICUBIC, 48, "crop")
    with prepared(iter(samples), [None, crop], workers, ahead=8) as images:
        found = list(images)
    assert [sample.key for sample, _ in found] == [sample.key for sample in samples]
    assert found[-1][1] == "it is broken"
    image = samples[3].load()
    assert found[3][1].arrays[0].tobytes() == image.tobytes()
    assert found[3][1].arrays[1].tobytes() == crop.pixels(image, crop.plan(image.size)).tobytes()


def test_workers_end_with_the_process_that_was_killed(tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    worker = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        state = Path(f"/proc/{worker}/stat")  # where nobody collects the dead, they stay as zombies
        if state.is_file() and state.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent by ten seconds")


SCRIPT = """
import sys
import dinoclip_viz as dv
from dinoclip_viz.data import Sample
from dinoclip_viz.data.playground import PlaygroundSource

class Mine:
    name, count = "mine", 3

    def samples(self, start=0):
        scenes = list(PlaygroundSource(2101, 3).samples())
        return iter([Sample(str(number), scenes[number].load) for number in range(start, 3)])

def drawn():
    return dv.playground.draw(5, 1)[0].image

class Hidden:
    name, count = "hidden", 2

    def samples(self, start=0):
        return iter([Sample(str(number), drawn) for number in range(start, 2)])

class Nameless(Hidden):
    name = "nameless"

    def samples(self, start=0):
        return iter([Sample(str(number), lambda: dv.playground.draw(5, 1)[0].image) for number in range(start, 2)])

for source in (Mine(), Hidden(), Nameless()):
    print(dv.embed(source, "playground-dino", sys.argv[1] + source.name, workers=2).images)
print("once")
"""


def test_scripts_need_no_guard_and_may_have_sources_of_their_own(tmp_path):
    script = tmp_path / "bare.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script, tmp_path / "s"], check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["3", "2", "2", "once"], done.stderr


def test_a_process_that_ends_is_replaced_and_nothing_is_lost(tmp_path):
    samples = [*PlaygroundSource(2100, 40).samples()]
    with prepared(iter(samples), [None], workers=2, ahead=8) as images:
        found = [next(images)]
        for child in subprocess.check_output(["pgrep", "-P", str(os.getpid()), "-f", "pipeline.workers"]).split():
            os.kill(int(child), signal.SIGKILL)
        found += list(images)
    assert [sample.key for sample, _ in found] == [sample.key for sample in samples]
    assert all(one.arrays[0].tobytes() == sample.load().tobytes() for sample, one in found)


class Deadly:
    key = "deadly"

    def load(self):
        os._exit(3)


def test_images_that_end_every_process_are_named_in_one_line():
    with (
        pytest.raises(RuntimeError, match=r"2 processes ended while they decoded deadly, \.\.\.; if memory ran out"),
        prepared(iter([Deadly()]), [None], workers=1) as images,
    ):
        next(images)


def test_processes_load_no_model_library():
    code = "import dinoclip_viz.pipeline.workers, dinoclip_viz.pipeline.decoding, sys; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
