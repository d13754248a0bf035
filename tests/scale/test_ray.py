"""Stores made on Ray are those of a serial run, whatever ends meanwhile."""

import hashlib
import os
import signal
import subprocess

import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.data import Sample, Unreadable
from dinoclip_viz.data.playground import PlaygroundSource

pytest.importorskip("ray")
pytestmark = [pytest.mark.scale, pytest.mark.timeout(240)]

SETTINGS = {"texts": "playground-clip", "shard_size": 20, "patches": 4}
PAIR = ["playground-dino", "playground-clip"]


@pytest.fixture(scope="module", autouse=True)
def one_cluster():
    import ray

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
    torch.set_num_threads(threads)


class Broken:
    """Scenes of which every seventh cannot be read."""

    name, count = "broken", 70

    def samples(self, start=0):
        for number, sample in enumerate(PlaygroundSource(2720, 70).samples(start), start=start):
            yield Sample(sample.key, Unreadable("it is broken")) if number % 7 == 3 else sample


def rows(folder):
    files = [path for path in folder.rglob("*") if path.suffix in (".npy", ".parquet")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    dv.embed(Broken(), PAIR, folder, **SETTINGS)
    return folder


def engine(**how):
    from dinoclip_viz.scale import RayEngine

    return RayEngine(actors=2, **how)


def test_two_actors_write_the_same_rows(serial, tmp_path):
    seen = []
    report = dv.embed(Broken(), PAIR, tmp_path, engine=engine(), watch=lambda done, _: seen.append(done), **SETTINGS)
    assert rows(tmp_path) == rows(serial)
    assert (report.images, report.encoded, len(report.failed)) == (60, 60, 10)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 70)
    dv.FeatureStore.open(tmp_path, "playground-dino").check()


def test_every_encoder_keeps_its_dtype(tmp_path):
    pair = [dv.load_encoder("playground-dino", "cpu", "bfloat16"), dv.load_encoder("playground-clip", "cpu", "float32")]
    texts = dv.load_text_encoder("playground-clip", "cpu", "bfloat16")
    for name, how in (("serial", None), ("ray", engine())):
        dv.embed("playground:2721:30", pair, tmp_path / name, texts, shard_size=20, engine=how)
    assert rows(tmp_path / "ray") == rows(tmp_path / "serial")


@pytest.mark.parametrize("option", [{"compile": True}, {"workers": 2}])
def test_options_of_this_process_are_refused(tmp_path, option):
    with pytest.raises(ValueError, match="found an engine with compile or workers"):
        dv.embed("playground:2721:3", "playground-dino", tmp_path, engine=engine(), **option)


def test_a_killed_worker_loses_nothing(serial, tmp_path):
    killed = []

    def watch(done, _):
        if done and not killed:
            pids = subprocess.run(["pgrep", "-f", "ray::.*_Encode"], check=False, capture_output=True, text=True).stdout
            killed.extend(int(pid) for pid in pids.split()[:1])
            os.kill(killed[0], signal.SIGKILL)

    dv.embed(Broken(), PAIR, tmp_path, engine=engine(), watch=watch, **SETTINGS)
    assert killed
    assert rows(tmp_path) == rows(serial)


def test_a_store_with_holes_is_completed_by_either_engine(serial, tmp_path):
    for first, second in ((None, engine()), (engine(), None)):
        folder = tmp_path / ("ray" if first else "serial")
        dv.embed(Broken(), PAIR, folder, engine=first, **SETTINGS)
        for store in folder.iterdir():
            (store / "shards" / "shard_1.json").unlink()
            manifest = store / "manifest.json"
            manifest.write_text(manifest.read_text().replace('"complete": true', '"complete": false'))
        report = dv.embed(Broken(), PAIR, folder, engine=second, **SETTINGS)
        assert report.images == 60
        assert rows(folder) == rows(serial)


def test_an_error_of_a_shard_is_one_line(tmp_path):
    from dinoclip_viz.scale.cluster import ScaleError

    class Failing:
        name, count = "failing", 4

        def samples(self, start=0):
            raise ValueError("the source has gone")

    with pytest.raises(ScaleError, match=r"the shards could not be encoded on Ray: .*the source has gone") as found:
        dv.embed(Failing(), "playground-dino", tmp_path, engine=engine())
    assert "\n" not in str(found.value)
