"""The recipe of playground-affordance at tiny settings, and the embedded model."""

import json

import numpy as np
import pytest

import dinoclip_viz as dv
from dinoclip_viz.affordance.fitting import AffordanceRecipe
from dinoclip_viz.affordance.metrics import average_precision
from dinoclip_viz.affordance.views import ViewSettings
from dinoclip_viz.data.affordances.drawn import DrawnAffordances
from dinoclip_viz.playground import ACTIONS
from dinoclip_viz.playground.recipe import affordance
from dinoclip_viz.playground.recipe.affordance import DrawnAffordanceRecipe, figures_table, fit_drawn, train_affordance

TINY = DrawnAffordanceRecipe(fitting=AffordanceRecipe(steps=2, size=96, views=ViewSettings(size=96, count=1)))


def test_the_recipe_writes_a_model_of_all_actions_once(tmp_path, monkeypatch):
    folder = train_affordance(tmp_path, TINY)
    assert json.loads((folder / "training.json").read_text())["recipe"]["seed"] == 704
    model = dv.load_affordance(folder)
    assert set(model.verbs) == set(ACTIONS)
    assert (model.settings.encoder, model.settings.texts) == ("playground-dino", "playground-clip")
    monkeypatch.setattr(affordance, "fit_drawn", None)  # a finished one is not trained again
    assert train_affordance(tmp_path, TINY) == folder


def test_classes_and_verbs_can_be_left_without_an_example():
    model = fit_drawn(TINY, classes=("knife", "chair"), verbs=("cut", "sit on", "open"))
    assert model.verbs == ("cut", "sit on")


def test_the_embedded_model_finds_blades_and_handles_of_knives_without_an_example():
    model = dv.load_affordance()
    cosines, precision = [], []
    for draw in range(40, 48):
        knife = DrawnAffordances().examples(draw, ("knife",))[0]
        maps = model.predict(knife.image, ["cut", "hold"])
        cosines.append(float((maps[0] * maps[1]).sum() / np.linalg.norm(maps[0]) / np.linalg.norm(maps[1])))
        pairs = zip(maps, ("cut", "hold"), strict=True)
        precision += [average_precision(values, knife.targets[verb]) for values, verb in pairs]
    assert np.mean(precision) > 0.8
    assert np.mean(cosines) < 0.6


def test_a_table_has_a_deviation_where_there_are_draws():
    rows = {"mine": {"kld": 1.234, "nss": 2.0, "nss_sd": 0.25, "ap": 0.5}}
    table = figures_table({"Known": rows})
    assert "| mine | 1.23 |  | 2.00 +- 0.25 | 50.0 |  |" in table and "**Known**" in table


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "training.json", "README.md"])
def test_the_embedded_folder_is_complete(name):
    assert (affordance.PLAYGROUND / affordance.NAME / name).is_file()


def test_the_card_states_how_the_model_was_trained_and_measured():
    tables = {"Trained verbs": {"playground-affordance": {"kld": 1.0, "sim": 0.5, "nss": 3.0, "ap": 0.6, "miou": 0.4}}}
    figures = {"parameters": 500_000, "verbs": 12, "scenes": 300, "seed": 3000, "maps": 500, "tables": tables}
    text = affordance.card(figures, "one core")
    for words in ("500,000 parameters", "seed 704", "minutes on one core", "(seed 3000), 500 pairs", "| 60.0 | 40.0 |"):
        assert words in text
    assert "{" not in text
