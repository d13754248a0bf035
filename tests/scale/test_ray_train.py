"""Training on Ray gives the weights of a run without it."""

import os
import signal
import subprocess
import threading
import time

import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.training import find_recipe

pytest.importorskip("ray")
pytestmark = [pytest.mark.scale, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    dv.embed("playground:2740:160", ["playground-dino", "playground-clip"], folder, texts="playground-clip")
    return folder / "playground-dino", folder / "playground-clip"


@pytest.fixture(scope="module", autouse=True)
def one_cluster():
    import ray

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
    torch.set_num_threads(threads)


RECIPE = find_recipe("best", epochs=3, batch=32, holdout=32, patch_epochs=0)


def weights(projector):
    return {name: value for name, value in projector.state_dict().items()}


def test_one_process_is_equal_and_two_are_close(stores, tmp_path):
    from dinoclip_viz.scale import fit_projector_on_ray

    alone, history = dv.fit_projector(*stores, recipe=RECIPE, folder=tmp_path / "alone", device="cpu", dtype="float32")
    for actors, tolerance in ((1, 0.0), (2, 2e-3)):
        found, records = fit_projector_on_ray(
            *stores, recipe=RECIPE, folder=tmp_path / f"ray{actors}", actors=actors, device="cpu", dtype="float32"
        )
        assert len(records) == len(history)
        for name, value in weights(alone).items():
            torch.testing.assert_close(weights(found)[name], value, atol=tolerance, rtol=0)


def test_a_killed_process_is_started_again_and_the_run_resumes(stores, tmp_path):
    from dinoclip_viz.scale import fit_projector_on_ray

    recipe = find_recipe(RECIPE, epochs=60)
    alone, _ = dv.fit_projector(*stores, recipe=recipe, folder=tmp_path / "alone", device="cpu", dtype="float32")
    killed = []

    def kill():
        while not (tmp_path / "ray" / "checkpoint.pt").exists():
            time.sleep(0.01)
        pids = subprocess.run(["pgrep", "-f", "ray::.*Train"], check=False, capture_output=True, text=True).stdout
        killed.extend(int(pid) for pid in pids.split()[-1:])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    found, _ = fit_projector_on_ray(
        *stores, recipe=recipe, folder=tmp_path / "ray", actors=1, device="cpu", dtype="float32"
    )
    thread.join()
    assert killed
    for name, value in weights(alone).items():
        torch.testing.assert_close(weights(found)[name], value, atol=0, rtol=0)


def test_an_error_is_one_line(stores, tmp_path):
    from dinoclip_viz.scale import ScaleError, fit_projector_on_ray

    with pytest.raises(ScaleError, match=r"the training failed on Ray: .*nothing") as found:
        fit_projector_on_ray(stores[0], tmp_path / "nothing", recipe=RECIPE, folder=tmp_path / "out", actors=1)
    assert "\n" not in str(found.value)
