"""The Affordances tab: a map per verb, nothing where nothing is above the threshold, and what it refuses."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.app.affordance import tab
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.encoders.layers import encode_layers


class Model:
    """Values of the left half: .9 for "hold", .2 for others; 0 elsewhere."""

    verbs = ("hold", "cut")

    def __init__(self):
        self.asked = []

    def predict(self, image, verbs):
        self.asked.append(list(verbs))
        maps = np.zeros((len(verbs), image.height, image.width), np.float32)
        for row, verb in zip(maps, verbs, strict=True):
            row[:, : image.width // 2] = 0.9 if verb == "hold" else 0.2
        return maps

    def encode(self, image):
        return encode_layers("playground-dino", image, 2)


@pytest.fixture
def model(monkeypatch):
    made = Model()
    monkeypatch.setattr(tab, "missing", lambda name: "")
    monkeypatch.setattr(tab, "affordance_model", lambda bench: made)
    return made


def test_each_verb_has_a_map_and_a_row(bench, model, drawn):
    figures, table, note, sheet = tab.answer(bench, drawn, ["hold", "cut"], "slice, hold")
    assert model.asked == [["hold", "cut", "slice"]] and note == ""
    assert [caption for _, caption in figures] == ["hold", "cut: nothing here", "slice: nothing here"]
    assert table.count("<tr>") == 4 and "<td>0.90</td><td>50.0%</td><td>yes</td>" in table
    assert table.count("nothing here") == 2 and "no, through its text" in table
    assert sheet["visible"] is False and sheet["value"] is None


def test_the_threshold_decides_what_is_there(bench, model, drawn):
    low, *_ = tab.answer(bench, drawn, ["cut"], threshold=0.1)
    high, *_ = tab.answer(bench, drawn, ["cut"], threshold=0.3)
    assert (low[0][1], high[0][1]) == ("cut", "cut: nothing here")
    coloured, grey = (np.asarray(shown[0][0].convert("RGB"))[:768].astype(int) for shown in (low, high))
    assert (grey.max(axis=2) - grey.min(axis=2) == 0).mean() > 0.95
    assert (coloured.max(axis=2) - coloured.min(axis=2) > 0).mean() > 0.5


def test_the_colours_are_those_of_the_values_on_a_fixed_scale(bench, model, tmp_path):
    path = tmp_path / "grey.png"
    Image.new("RGB", (64, 64), (128, 128, 128)).save(path)
    ((hold, _), (cut, _)), *_ = tab.answer(bench, str(path), ["hold", "cut"], threshold=0.1, opacity=1)
    assert hold.getpixel((100, 400)) != cut.getpixel((100, 400))  # .9 and .2 on one scale
    assert hold.getpixel((600, 400)) == cut.getpixel((600, 400))  # 0 in both


def test_the_layers_of_the_encoder_are_shown_on_demand(bench, model, drawn):
    *_, sheet = tab.answer(bench, drawn, ["hold"], layers=True)
    assert sheet["visible"] is True and sheet["value"].width >= 2 * 256


def test_verbs_are_escaped(bench, model, drawn):
    _, table, *_ = tab.answer(bench, drawn, [], "<b>cut</b>")
    assert "<b>" not in table and "&lt;b&gt;cut&lt;/b&gt;" in table


def test_photographs_have_the_notice(bench, model, photograph):
    assert tab.answer(bench, photograph, ["hold"])[2] == NOTICE


@pytest.mark.parametrize(
    ("verbs", "further", "line"),
    [
        ([], " ,\n", "found no verb"),
        (["hold"], ",".join(f"v{number}" for number in range(30)), "found 31 verbs"),
        ([], "x" * 101, "101 letters"),
    ],
)
def test_invalid_verbs_are_one_line(bench, model, drawn, verbs, further, line):
    with pytest.raises(ValueError, match=line) as caught:
        tab.answer(bench, drawn, verbs, further)
    assert "\n" not in str(caught.value) and model.asked == []


def test_without_weights_one_line_stands_in_for_the_maps(bench, drawn, monkeypatch):
    monkeypatch.setattr(tab, "missing", lambda name: f"{name} has no weights")
    monkeypatch.setattr(tab, "affordance_model", lambda bench: pytest.fail("loaded"))
    figures, table, note, sheet = tab.answer(bench, drawn, ["hold"])
    assert len(figures) == 1 and table == "" and note == "playground-affordance has no weights"
    assert sheet["visible"] is False


def test_a_model_that_was_just_fitted_is_shown(bench, drawn, monkeypatch):
    """The real class, through the tab."""
    from dinoclip_viz import playground
    from dinoclip_viz.affordance.example import AffordanceExample
    from dinoclip_viz.affordance.fitting import fit_affordance

    scene = next(one for one in playground.draw(1000, 40, 96, objects=1) if one.objects[0]["name"] == "knife")
    masks = {verb: scene.affordances[list(playground.ACTIONS).index(verb)].astype(bool) for verb in ("hold", "cut")}
    fitted = fit_affordance([AffordanceExample(scene.image, masks, "knife")], steps=1)
    monkeypatch.setattr(tab, "missing", lambda name: "")
    monkeypatch.setattr(tab, "affordance_model", lambda bench: fitted)
    figures, table, note, sheet = tab.answer(bench, drawn, ["hold", "cut"], "slice", layers=True)
    assert len(figures) == 3 and table.count("<td>yes</td>") == 2 and note == "" and sheet["value"].width > 500
