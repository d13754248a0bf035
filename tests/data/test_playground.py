"""The playground as a source draws what the playground draws, when it is asked to."""

import time

import numpy as np
import pytest

from dinoclip_viz.data import PlaygroundSource, SourceError, open_source
from dinoclip_viz.playground import stream


@pytest.mark.parametrize("objects", [None, 1, 3])
def test_samples_are_the_scenes_of_the_stream(check_source, objects):
    samples = check_source(PlaygroundSource(2100, 6, 48, objects))
    for number, (sample, scene) in enumerate(zip(samples, stream(2100, 6, 48, objects), strict=True)):
        assert sample.key == f"2100-{number:06d}" and sample.path == ""
        assert list(sample.captions) == scene.captions
        assert np.array_equal(sample.load(), scene.image)
        assert sample.label == (scene.objects[0]["name"] if len(scene.objects) == 1 else None)


def test_skipping_costs_nothing():
    begin = time.perf_counter()
    assert next(PlaygroundSource(2000, 10**12).samples(start=10**11)).key == "2000-100000000000"
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize(
    "name, source",
    [
        ("playground:2000:1000", PlaygroundSource()),
        ("playground:7:20", PlaygroundSource(7, 20)),
        ("playground:7:20:64", PlaygroundSource(7, 20, 64)),
        ("playground:7:20:96:2", PlaygroundSource(7, 20, 96, 2)),
    ],
)
def test_names_and_sources_belong_together(name, source):
    assert open_source(name) == source and source.name == name


def test_the_bare_name_is_the_usual_thousand():
    assert open_source("playground") == PlaygroundSource(2000, 1000)


@pytest.mark.parametrize(
    "name", ["playground:", "playground:1", "playground:a:b", "playground:1:2:3:4:5", "playground:-1:2"]
)
def test_other_forms_are_refused_with_the_right_one(name):
    with pytest.raises(SourceError, match="SEED:COUNT"):
        open_source(name)


@pytest.mark.parametrize("name", ["playground:1:2:8", "playground:1:2:96:9", "playground:1:2:96:0"])
def test_numbers_out_of_range_are_refused(name):
    with pytest.raises(SourceError, match="expected"):
        open_source(name)
