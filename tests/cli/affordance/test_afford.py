"""`dinoclip afford` and `dinoclip evaluate affordance`."""

import numpy as np
import pytest
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.affordance.metrics import Summary, score_map
from dinoclip_viz.data.affordances.drawn import DrawnAffordances


@pytest.fixture(scope="module")
def knife(tmp_path_factory):
    scene = DrawnAffordances().examples(40, ("knife",))[0]
    path = tmp_path_factory.mktemp("afford") / "knife.png"
    scene.image.save(path)
    return path


def test_afford_writes_the_figure_and_the_array_of_predict(dinoclip, knife, tmp_path):
    figure, array = tmp_path / "made" / "figure.png", tmp_path / "maps"
    found = dinoclip(
        "afford", knife, "--verb", "cut", "hold", "--verb", "slice", "--out", figure, "--array", array, "--json"
    ).json
    maps = np.load(array)
    assert maps.dtype == np.float32 and maps.shape == (3, 192, 192)
    assert np.array_equal(maps, dv.load_affordance().predict(str(knife), ["cut", "hold", "slice"]))
    assert [(row["verb"], row["trained"]) for row in found["verbs"]] == [
        ("cut", True), ("hold", True), ("slice", False),
    ]  # fmt: skip
    x, y = found["verbs"][0]["peak"]
    assert maps[0, y, x] == maps[0].max() == pytest.approx(found["verbs"][0]["highest"])
    assert Image.open(figure).width > 3 * 192


def test_bad_words_end_in_one_line(dinoclip, knife, tmp_path):
    out = tmp_path / "figure.png"
    dinoclip("afford", knife, "--verb", " ", "--out", out).refused("verb 1 of 1")
    dinoclip("afford", knife, "--verb", "cut", "--out", out, "--high", 2).refused("--high is 2")
    dinoclip("afford", knife, "--verb", "cut", "--out", out, "--model", tmp_path / "gone").refused("no folder")
    dinoclip("afford", tmp_path / "gone.png", "--verb", "cut", "--out", out).refused("gone.png")
    assert dinoclip("afford", knife, "--out", out).code == 2
    assert not out.exists()


def test_evaluate_scores_every_pair_of_a_scene_and_an_action(dinoclip):
    found = dinoclip(
        "evaluate", "affordance", "playground:1503:3:96", "--heatmaps", "none", "--per-verb", "--json"
    ).json
    rows = {(row["method"], row.get("verb")): row for row in found["results"]}
    model, scores = dv.load_affordance(), []
    for one in DrawnAffordances(1503, 3, 96).images():
        maps = model.predict(one.image, list(one.targets))
        pairs = zip(one.targets.items(), maps, strict=True)
        scores += [score_map(verb, values, target, True) for (verb, target), values in pairs]
    expected = Summary(scores)
    for name, value in expected.figures().items():
        assert rows["playground-affordance", None][name] == pytest.approx(value, rel=1e-6)
    for verb, figures in expected.by_verb().items():
        assert rows["playground-affordance", verb]["nss"] == pytest.approx(figures["nss"], rel=1e-6)
    assert rows["mask of the object", None]["maps"] == len(scores)
    assert found["sharp"] == "guided"


def test_evaluate_compares_heat_maps_and_prints_a_table(dinoclip):
    outcome = dinoclip("evaluate", "affordance", "playground:1503:2:96", "--limit", 1)
    assert outcome.code == 0
    for word in ("KLD", "AP %", "playground-affordance", "heat map of playground, maskclip", "mask of the object"):
        assert word in outcome.out


def test_options_that_do_not_fit_are_refused(dinoclip, tmp_path):
    dinoclip("evaluate", "affordance", "--draws", 2, "--model", "x").refused("--draws trains models")
    dinoclip("evaluate", "affordance", "--steps", 3).refused("--steps is for trainings; add --draws N")
    dinoclip("evaluate", "affordance", "voc:x").refused("expected playground")
    dinoclip("evaluate", "affordance", f"umd:{tmp_path}").refused("category_split.txt")


def test_draws_train_models_on_the_source_s_own_examples(dinoclip, monkeypatch):
    monkeypatch.setattr(
        DrawnAffordances, "examples", lambda self, draw=0, classes=None: self_examples(draw)
    )  # two classes in place of twenty
    found = dinoclip(
        "evaluate", "affordance", "playground:1503:1:96", "--draws", 2, "--steps", 2, "--heatmaps", "none", "--json"
    ).json
    rows = {row["method"]: row for row in found["results"]}
    assert rows["trained on one example per class"]["draws"] == 2
    assert rows["trained on one example per class"]["nss_sd"] >= 0
    assert "nss_sd" not in rows["mask of the object"]
    assert "nearest labelled patches" in rows


ALL = DrawnAffordances.examples


def self_examples(draw):
    from dinoclip_viz.playground import ACTIONS

    some = ALL(DrawnAffordances(), draw, ("knife", "bus"))
    for one in some:
        empty = np.zeros((one.image.height, one.image.width), np.float32)
        one.targets.update({verb: one.targets.get(verb, empty) for verb in ACTIONS})
    return some
