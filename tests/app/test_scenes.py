"""The scenes that tabs open with show the embedded models as good as their cards state."""

import re

import pytest

from dinoclip_viz.app.probes import tab as probes
from dinoclip_viz.app.scenes import FIRST_SCENES, Scenes
from dinoclip_viz.app.zero_shot import tab as zero_shot
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground import CLASSES, draw

CHECKED = {1500, 1501, *range(2000, 3000)}


@pytest.fixture
def first(bench, tmp_path):
    """Writes the first scene of a tab to a file."""

    def write(tab):
        bench.scenes.draw(FIRST_SCENES[tab]).save(tmp_path / f"{tab}.png")
        return str(tmp_path / f"{tab}.png")

    return write


def test_first_scenes_were_neither_trained_nor_selected_on():
    assert all(seed >= 1000 and seed not in CHECKED for seed in FIRST_SCENES.values())


def test_the_first_scene_of_the_probes_is_at_most_a_third_worse_than_the_card(bench, first):
    card = (PLAYGROUND / "heads" / "README.md").read_text(encoding="utf-8")
    published = {
        (name, metric): float(value) for name, metric, value in re.findall(r"\| (\S+), (\w+) \| ([\d.]+)", card)
    }
    heads = list(probes.offered(bench, bench.first_key))
    summary = probes.answer(bench, bench.first_key, first("probes"), heads)[1]
    figures = dict(re.findall(r"\*\*(\S+)\*\*: (?:mIoU|RMSE) ([\d.]+)", summary))
    assert set(figures) == {name for name, _ in published}
    for name in ("playground-dino-classes", "playground-dino-parts"):
        assert float(figures[name]) / 100 >= published[name, "miou"] * 2 / 3
    assert float(figures["playground-dino-depth"]) <= published["playground-dino-depth", "rmse"] * 4 / 3


def test_the_first_scene_of_zero_shot_classification_is_classified_correctly(bench, first):
    scene = draw(FIRST_SCENES["zero-shot"], 1, 192)[0]
    table = zero_shot.answer(bench, bench.first_key, first("zero-shot"), ", ".join(CLASSES))[1]
    assert table[0][0] in {each["name"] for each in scene.objects}


def test_scenes_are_recognised_by_content():
    from dinoclip_viz.app.images import GivenImage, digest_of

    scenes = Scenes()
    image = scenes.draw(1001)
    given = GivenImage(image.copy(), digest_of(image))
    assert given in scenes and scenes.scene(given).captions == draw(1001, 1, 192)[0].captions
    other = GivenImage(image.rotate(90), digest_of(image.rotate(90)))
    assert other not in scenes and scenes.scene(other) is None
