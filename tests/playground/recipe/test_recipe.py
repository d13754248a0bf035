"""The recipe: its parts against plain rewrites, and an interrupted run resumes exactly."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dinoclip_viz import load_encoder
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground import draw
from dinoclip_viz.playground.recipe import cards, heads, measure
from dinoclip_viz.playground.recipe.clip.train import WORDS, ClipRecipe, train_clip, word_prompts, word_targets
from dinoclip_viz.playground.recipe.dino.crops import matched_positions, matched_tokens
from dinoclip_viz.playground.recipe.dino.edges import common_edges, off_edges
from dinoclip_viz.playground.recipe.dino.losses import position_variance, sinkhorn
from dinoclip_viz.playground.recipe.dino.settings import DinoRecipe
from dinoclip_viz.playground.recipe.dino.train import train_dino
from dinoclip_viz.playground.recipe.images import draw_images
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.optimiser import orthogonalise
from dinoclip_viz.playground.recipe.projectors import ProjectorRecipe, train_projector
from dinoclip_viz.playground.recipe.views import cell_centres, crop
from dinoclip_viz.projector import Projector
from dinoclip_viz.tasks.probes.head_files import HEADS, heads_for
from dinoclip_viz.tasks.probes.patch_head import PatchHead


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_images(tmp_path_factory.mktemp("images"), seed=990, count=40, workers=1)


def test_images_are_rendered_once_and_kept(images, tmp_path):
    first = draw_images(tmp_path, seed=990, count=3, workers=1)
    assert np.array_equal(first.pixels, images.pixels[:3]) and first.captions == images.captions[:3]
    with pytest.raises(ValueError, match="expected"):
        draw_images(tmp_path, seed=991, count=3, workers=1)


def test_word_targets_read_the_first_caption():
    targets = word_targets([[["two red cats on grass", "a dog"], ["a gray bus at night", "x"]]])
    named = [[WORDS[i] for i in row.nonzero()[:, 0].tolist()] for row in targets[0]]
    assert named == [["cat", "red", "grass"], ["bus", "gray", "night"]]
    assert len(word_prompts(torch.Generator().manual_seed(0))) == len(WORDS)


def test_muon_makes_updates_nearly_orthogonal():
    out = orthogonalise(torch.randn(2, 32, 64, generator=torch.Generator().manual_seed(0)))
    singular = torch.linalg.svdvals(out)
    assert singular.min() > 0.5 and singular.max() < 1.4


def test_sinkhorn_uses_every_prototype_equally():
    codes = sinkhorn(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) * 0.1, rounds=50)
    assert torch.allclose(codes.sum(1), torch.ones(64), atol=1e-4)
    assert torch.allclose(codes.sum(0), torch.full((8,), 8.0), atol=0.1)


def test_a_patch_is_found_at_the_same_position_of_the_other_crop():
    first, second = torch.tensor([[0.5, 0.5, 0.1, -0.2]]), torch.tensor([[-0.6, 0.7, 0.0, 0.1]])
    there, inside = matched_positions(first, second, 4)
    ramp = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 129), torch.linspace(-1, 1, 129), indexing="xy"))[None]
    shown = crop(ramp, second, 64)
    wanted = cell_centres(first, 4).flatten(1, 2)
    found = torch.nn.functional.grid_sample(shown, there[:, None], align_corners=False)[0, :, 0].T[None]
    assert inside.any() and (found - wanted)[inside].abs().max() < 0.02


def test_tokens_are_paired_with_those_of_the_same_place():
    """Tokens that are the image's coordinates at their patch are equal in both crops."""
    first, second = torch.tensor([[0.5, 0.5, 0.1, -0.2]]), torch.tensor([[-0.6, 0.7, 0.0, 0.1]])
    there, inside = matched_positions(first, second, 4)
    both = [torch.cat([torch.zeros(1, 1, 2), cell_centres(box, 4).flatten(1, 2)], dim=1) for box in (first, second)]
    points = torch.arange(16)[None]
    here, found = matched_tokens(*both, points, there, inside & (there.abs() < 0.7).all(-1))
    assert len(here) > 4
    assert (here - found).abs().max() < 1e-5


def test_what_both_looks_share_is_on_the_edges_and_the_rest_is_off_them():
    chance = torch.Generator().manual_seed(0)
    looks = torch.full((2, 3, 96, 96), 0.5)
    looks[0, :, :, :48] += 0.1 * torch.randn(3, 96, 48, generator=chance)  # a texture of one look
    looks[:, :, 40:72, 56:88] = torch.tensor([0.1, 0.9])[:, None, None, None]  # a square of both
    _, own, around = common_edges(looks[:1], looks[1:])
    own, around, off = (values.view(12, 12) for values in (own, around, off_edges(own)))
    assert off[:, :5].min() > 0.9 and off[7, 8:10].min() > 0.9  # the texture, and inside the square
    assert off[5, 8] < 0.01 and off[6, 10] < 0.01  # its border
    assert own[3, 8] < 0.05 * own[5, 8] < around[4, 8]  # only the smoothed energy is above zero next to it


def test_position_variance_is_one_for_positions_and_small_for_noise():
    centres = cell_centres(torch.tensor([[1.0, 1.0, 0.0, 0.0]]).expand(8, -1), 8).flatten(1, 2)
    chance = torch.Generator().manual_seed(0)
    assert position_variance(centres @ torch.randn(2, 16, generator=chance), centres) > 0.999
    assert position_variance(torch.randn(8, 64, 16, generator=chance), centres) < 0.05


@pytest.mark.parametrize("kind", ["clip", "dino"])
def test_an_interrupted_run_resumes_at_its_step(kind, images, tmp_path, monkeypatch):
    phases = ((0.0, 48, 0.5),)
    recipe = ClipRecipe(4, 4, phases=phases) if kind == "clip" else DinoRecipe(4, 4, phases=phases, cluster_from=0.5)
    train = train_clip if kind == "clip" else train_dino
    update, saved = Loop.update, tmp_path / "checkpoint.pt"

    def killed(self):
        if self.step == 2:
            raise KeyboardInterrupt
        update(self)
        self.step += 1
        self.save()
        self.step -= 1

    def resumed(self):
        if self.step == 2:
            before = torch.load(saved, weights_only=True)
            self.save()
            after = torch.load(saved, weights_only=True)
            before["modules"].get("heads", {}).pop("queue", None)  # it moves on before the update
            after["modules"].get("heads", {}).pop("queue", None)
            assert same(before, after)
        update(self)

    monkeypatch.setattr(Loop, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        train(images, tmp_path, recipe)
    monkeypatch.setattr(Loop, "update", resumed)
    folder = train(images, tmp_path, recipe)
    assert json.loads((folder / "training.json").read_text())["steps"] == 4
    assert load_encoder(str(folder)).encode([draw(1, 1, 96)[0].image]).patches.isfinite().all()


def same(left, right):
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left if key != "seconds")
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return left == right


def test_the_label_of_a_patch_is_its_majority():
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2] = [[1, 1], [1, 0]]
    mask[3, 3] = 2
    assert measure.label_grids([mask], (2, 2), 3).tolist() == [[[1, 0], [0, 0]]]


def test_segmentation_is_measured_over_patches():
    numbers = measure.segmentation(load_encoder("playground-dino"), draw(2000, 12, 96), draw(2001, 4, 96))
    assert set(numbers) == {"class_miou", "foreground_miou", "part_miou"}
    assert 0 < numbers["part_miou"] < numbers["foreground_miou"] < 1
    assert numbers["foreground_miou"] > 0.5


def test_measuring_on_training_seeds_is_refused():
    with pytest.raises(ValueError, match="trained on"):
        measure.measure_all(seed=5)


def test_the_projectors_recipe_goes_from_scenes_to_a_folder_that_loads(tmp_path):
    recipe = ProjectorRecipe(images=60, patch_images=20, patch_size=96)
    folder = train_projector(tmp_path, recipe)
    projector = Projector.find(folder)
    assert (projector.image_encoder, projector.text_encoder) == ("playground-dino", "playground-clip")
    assert projector.serves_patches
    assert sum(file.stat().st_size for file in folder.glob("*.safetensors")) < 4_000_000
    before = (folder / "model.safetensors").read_bytes()
    train_projector(tmp_path, recipe)
    assert (folder / "model.safetensors").read_bytes() == before


def test_the_heads_recipe_goes_from_scenes_to_files_that_fit_the_embedded_encoder(tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(heads, "COUNT", 4)
    monkeypatch.setattr(heads, "SIZE", 48)
    shutil.copytree(PLAYGROUND / "playground-dino", tmp_path / "model")
    files = heads.train_heads(tmp_path / "heads", tmp_path / "model")
    assert set(files) == set(heads.unfitted())
    for name, file in files.items():
        head = PatchHead.load(file, "playground-dino")
        assert (head.encoder_, head.images_, head.size_) == ("playground-dino", 4, 48)
        assert Path(file).stat().st_size < 100_000 and Path(file).stem == name
    figures = heads.measure_heads(tmp_path / "heads", seed=2001, count=2)
    assert set(figures) == set(files) and figures["playground-dino-depth"]["rmse"] > 0
    assert PatchHead.load(files["playground-dino-parts"]).figures == figures["playground-dino-parts"]
    card = (tmp_path / "heads" / "README.md").read_text()
    assert f"{figures['playground-dino-classes']['miou']:.4f}" in card and "{" not in card


def test_the_stored_cards_are_those_of_the_templates():
    figures = {name: heads_for("playground-dino")[name].figures for name in heads.unfitted()}
    assert (HEADS / "README.md").read_text() == heads.card(figures, 3004, 200)
    texts = {
        "playground-clip": (cards._CLIP, cards._CLIP_TRAINING),
        "playground-dino": (cards._DINO, cards._DINO_TRAINING),
        "playground-projector": (cards._PROJECTOR, cards._PROJECTOR_TRAINING),
        "playground-text-to-dino": (cards._MAP, cards._MAP_TRAINING),
    }
    fixed = [line for line in cards._HEAD.splitlines() if line and "{" not in line and line != "---"]
    for name, parts in texts.items():
        card = (PLAYGROUND / name / "README.md").read_text()
        assert all(part in card for part in [*parts, *fixed])


def test_the_embedded_heads_are_small_and_say_what_they_measured():
    for name, head in heads_for("playground-dino").items():
        assert (HEADS / f"{name}.safetensors").stat().st_size < 100_000
        assert head.size_ == heads.SIZE and head.images_ == heads.COUNT
        found = heads.measured(head, load_encoder("playground-dino"), heads.unfitted()[name][1], seed=2001, count=6)
        assert found.keys() == head.figures.keys()
        for measure_name, tolerance in (("miou", 0.15), ("accuracy", 0.08), ("delta1", 0.2)):
            assert abs(found.get(measure_name, 0) - head.figures.get(measure_name, 0)) < tolerance
