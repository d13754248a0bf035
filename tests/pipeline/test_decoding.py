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
import os, sys, time
from dinoclip_viz.pipeline.decoding import prepared
from dinoclip_viz.data.playground import PlaygroundSource
if __name__ == "__main__":
    with prepared(PlaygroundSource(2100, 1000).samples(), [None], workers=1) as images:
        next(images)
        from multiprocessing import active_children
        print(active_children()[0].pid, flush=True)
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


def test_a_script_without_a_main_guard_is_told(tmp_path):
    script = tmp_path / "bare.py"
    script.write_text(
        f"import dinoclip_viz as dv\ndv.embed('playground:1:4', 'playground-dino', {str(tmp_path / 's')!r}, workers=1)"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "in a script, call embed under if __name__ == '__main__':" in done.stderr.splitlines()[-1]
