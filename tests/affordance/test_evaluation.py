"""Several predictors on the same images."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.affordance.evaluation import by_heatmaps, by_model, by_objects, measure
from dinoclip_viz.models import load_model


def image(top):
    part, whole = np.zeros((8, 8), np.float32), np.zeros((8, 8), bool)
    part[top : top + 2], whole[top : top + 4] = 1, True
    return SimpleNamespace(image=Image.new("RGB", (8, 8)), targets={"cut": part}, objects={"cut": whole})


def test_the_object_s_mask_scores_below_the_part_itself():
    images = [image(0), image(3)]
    found = measure({"part": lambda one, verbs: [one.targets[v] for v in verbs], "object": by_objects}, images, True)
    part, whole = (found[name].figures() for name in ("part", "object"))
    assert part["ap"] == pytest.approx(1) and whole["ap"] == pytest.approx(0.5)
    assert part["nss"] > whole["nss"] and part["kld"] == pytest.approx(0, abs=1e-6)
    assert whole["kld"] == pytest.approx(np.log(2), abs=1e-6) and whole["sim"] == pytest.approx(0.5)
    assert part["maps"] == 2


def test_another_word_is_asked_for_in_the_verb_s_place():
    asked = []

    class Model:
        def predict(self, image, verbs, sharp):
            asked.append((list(verbs), sharp))
            return np.random.default_rng(0).random((len(verbs), 8, 8))

    measure({"model": by_model(Model(), "guided", {"cut": "slice"})}, [image(0)], True)
    assert asked == [(["slice"], "guided")]


def test_heat_maps_have_the_verb_in_their_prompt():
    model = load_model("playground-clip")
    one = image(0)
    plain, other = (by_heatmaps(model, "maskclip", text)(one, ["cut"]) for text in ("{}", "a part to {} with"))
    assert plain.shape == (1, 8, 8) and not np.allclose(plain, other)
