"""Training of CLIP-DINOiser's layers: the loss falls, a stopped run resumes, invalid input raises."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dinoclip_viz import playground
from dinoclip_viz.dense.background import found_background
from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.training.dinoiser import CHECKPOINT, HEAD, LEVELS, DinoiserRecipe, fit_dinoiser

TINY = DinoiserRecipe(
    size=96, batch=16, steps=60, rounds=3, rate=5e-4, background_rate=3e-3, channels=16, held=8, kept=48
)
"""Small, but with enough images and steps that the held-out loss falls whatever the number of threads and the seed."""


@pytest.fixture(scope="module")
def encoders():
    return load_encoder("playground-clip"), load_encoder("playground-dino")


@pytest.fixture(scope="module")
def loaders():
    images = [scene.image for scene in playground.draw(2000, 48, 96)]
    return [lambda image=image: image for image in images]


@pytest.fixture(scope="module")
def fitted(encoders, loaders, tmp_path_factory):
    """A whole run in a folder."""
    folder = tmp_path_factory.mktemp("run")
    head, history = fit_dinoiser(*encoders, loaders, TINY, folder)
    return folder, head, history


def test_the_loss_falls_and_the_best_round_is_kept(fitted, encoders):
    folder, head, history = fitted
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["held_loss"] < history[0]["held_loss"] - 0.1
    assert history[-1]["loss"] < history[0]["loss"]
    assert (head.space, head.width) == (encoders[0].patch_space, encoders[0].patch_dimension)
    assert head.least in LEVELS
    saved = type(head).load(folder / HEAD)
    assert all(torch.equal(value, saved.state_dict()[name]) for name, value in head.state_dict().items())


def test_the_held_loss_is_that_of_the_paper(fitted, encoders, loaders):
    """Both binary cross-entropies by loops on the held-out images, from the layers that are kept."""
    _, head, history = fitted
    clip, guide = encoders
    held = np.random.default_rng([0, 0]).permutation(48)[:8]
    images = [loaders[row]() for row in held]
    middle = clip.encode(images, 96, "whole", ["third-last"]).dense["third-last"]
    taught = guide.encode(images, 96, "whole", ["values"])
    assert middle.shape[1:3] == taught.grid  # or grids would have to be resized here too
    losses = []
    for index in range(8):
        own = head.correlation(middle[index : index + 1]).flatten(0, 2).double()
        values = taught.dense["values"][index].flatten(0, 1).double()
        values = values / values.norm(dim=1, keepdim=True)
        alike, correlation = values @ values.T > 0.2, 0.0
        for p in range(len(own)):
            chance = (own[p] @ own.T).clamp(0, 1)
            terms = torch.where(alike[p], chance.log(), (1 - chance).log())
            correlation -= terms.clamp(min=-100).mean().item() / len(own)  # -100 is binary_cross_entropy's floor
        objects = ~found_background(taught.patches[index : index + 1])[0].flatten()
        chance = head.objects(middle[index : index + 1]).double().flatten().sigmoid()
        background = -torch.where(objects, chance.log(), (1 - chance).log()).mean().item()
        losses.append(correlation + background)
    best = min(row["held_loss"] for row in history)
    assert best == pytest.approx(sum(losses) / 8, abs=2e-2)  # 1 - own is rounded in float32 where own is close to 1


class StopError(Exception):
    """Raised where the run is to end."""


def test_a_run_stopped_after_a_round_resumes_to_the_same_weights(fitted, encoders, loaders, tmp_path):
    def stop(record):
        raise StopError

    with pytest.raises(StopError):
        fit_dinoiser(*encoders, loaders, TINY, tmp_path, stop)
    assert (tmp_path / CHECKPOINT).is_file() and not (tmp_path / HEAD).exists()
    seen = []
    head, history = fit_dinoiser(*encoders, loaders, TINY, tmp_path, seen.append)
    _, whole, known = fitted
    assert [row["epoch"] for row in seen] == [2, 3]
    assert history == known
    assert all(torch.equal(value, head.state_dict()[name]) for name, value in whole.state_dict().items())


def test_a_finished_run_returns_at_once(fitted, encoders, loaders):
    folder, head, history = fitted
    again, same = fit_dinoiser(*encoders, loaders, TINY, folder)
    assert same == history
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in head.state_dict().items())


def test_another_run_in_the_same_folder_is_refused(fitted, encoders, loaders):
    folder, _, _ = fitted
    with pytest.raises(ValueError, match=r"holds a run with rate 0.0005, not 0.001; name another folder"):
        fit_dinoiser(*encoders, loaders, replace(TINY, rate=1e-3), folder)
    with pytest.raises(ValueError, match=r"holds a run with images 48, not 47"):
        fit_dinoiser(*encoders, loaders[:47], TINY, folder)


def test_what_cannot_be_trained_on_is_refused(encoders, loaders):
    clip, guide = encoders
    with pytest.raises(ValueError, match="found 8 images, of which 8 are held out"):
        fit_dinoiser(clip, guide, loaders[:8], TINY)
    with pytest.raises(ValueError, match="playground-dino is not a CLIP with readable blocks"):
        fit_dinoiser(guide, guide, loaders, TINY)
    with pytest.raises(ValueError, match="pixels"):
        fit_dinoiser(clip, load_encoder("pixels"), loaders, TINY)
    with pytest.raises(ValueError, match="size is 4 pixels, less than one patch"):
        fit_dinoiser(clip, guide, loaders, replace(TINY, size=4))


def test_images_of_any_kind_and_encoders_by_name_are_accepted(encoders, loaders, tmp_path):
    images = [load() for load in loaders[:6]]
    images[2].save(tmp_path / "2.png")
    kinds = [images[0], np.asarray(images[1]), tmp_path / "2.png", lambda: np.asarray(images[3]), *images[4:]]
    recipe = replace(TINY, batch=2, steps=2, rounds=1, held=2)
    _, history = fit_dinoiser("playground-clip", "playground-dino", kinds, recipe)
    assert history == fit_dinoiser(*encoders, images, recipe)[1]
    with pytest.raises(ValueError, match=r"expected a path, .*an array or a tensor"):
        fit_dinoiser(*encoders, [None] * 6, recipe)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"rate": -1.0}, {"rounds": 100}])
def test_a_recipe_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(TINY, **wrong)


def test_the_card_needs_the_run_s_records(fitted, tmp_path):
    from dinoclip_viz.training.card import save_dinoiser_card

    folder, _, history = fitted
    card = save_dinoiser_card(folder, "some images").read_text()
    assert "60 steps of 16 images of `some images` (48 images, 8 of them held out) at 96 px" in card
    assert f"{min(row['held_loss'] for row in history):.4f}" in card
    with pytest.raises(ValueError, match=r"holds no record of a training .*; expected run.json and history.json"):
        save_dinoiser_card(tmp_path, "some images")
