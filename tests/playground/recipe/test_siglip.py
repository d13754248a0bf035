"""The recipe of playground-siglip: its parts against plain rewrites, and from scenes to a model that loads by name."""

import json
import math
from dataclasses import replace

import pytest
import torch

from dinoclip_viz import check_image_encoder, check_text_encoder, load_encoder, load_model
from dinoclip_viz.encoders import CATALOG, EncoderError, load_text_encoder
from dinoclip_viz.playground import draw
from dinoclip_viz.playground.recipe.images import draw_images
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.siglip import measure
from dinoclip_viz.playground.recipe.siglip.train import (
    CONTEXT,
    Batches,
    SiglipRecipe,
    Towers,
    new_model,
    sigmoid_loss,
    train_siglip,
)
from dinoclip_viz.playground.recipe.text.tokenizer import caption_ids, train_tokenizer

TINY = SiglipRecipe(steps=3, batch=4, phases=((0.0, 64, 0.5), (0.6, 96, 1.0)))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_images(tmp_path_factory.mktemp("images"), seed=990, count=12, workers=1)


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    return train_siglip(images, tmp_path_factory.mktemp("run"), TINY)


@pytest.fixture
def by_name(folder, monkeypatch):
    entry = replace(CATALOG[measure.NAME], weights=str(folder))
    monkeypatch.setitem(CATALOG, measure.NAME, entry)
    return entry


def test_the_sigmoid_loss_is_that_of_loops():
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)) * 4
    positive = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]]).bool()  # texts 0 and 2 are equal
    total = sum(
        math.log(1 + math.exp(-(1 if positive[i, j] else -1) * float(logits[i, j]))) for i in range(3) for j in range(3)
    )
    assert sigmoid_loss(logits, positive).item() == pytest.approx(total / 3, rel=1e-5)


def test_temperature_and_bias_begin_as_published():
    model = new_model(train_tokenizer(["a cat"], CONTEXT), 0)
    assert model.logit_scale.item() == pytest.approx(math.log(10)) and model.logit_bias.item() == -10
    assert "logit_bias" in dict(model.named_parameters())


def test_a_patchs_vector_is_the_pooling_of_that_patch_alone():
    model = new_model(train_tokenizer(["a cat"], CONTEXT), 0).eval()
    for parameter in model.parameters():  # biases begin at 0
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    hidden = torch.randn(2, 5, 128)
    expected = torch.stack([model.vision_model.head(hidden[:, i : i + 1]) for i in range(5)], dim=1)
    torch.testing.assert_close(Towers(model).patches(hidden), expected, rtol=1e-4, atol=1e-4)


def test_in_training_whole_images_have_the_vectors_of_the_model():
    model = new_model(train_tokenizer(["a cat"], CONTEXT), 0).eval()
    for side in (64, 96):
        pixels = torch.randn(2, 3, side, side)
        pooled, patches = Towers(model).images(pixels, 1.0, torch.Generator().manual_seed(0))
        expected = model.get_image_features(pixels, interpolate_pos_encoding=True).pooler_output
        torch.testing.assert_close(pooled, torch.nn.functional.normalize(expected, dim=1), rtol=0, atol=1e-5)
        assert patches.shape == (2, (side // 8) ** 2, 128)
        half = Towers(model).images(pixels, 0.5, torch.Generator().manual_seed(0))[1]
        assert half.shape[1] == (side // 8) ** 2 // 2


def test_a_batch_holds_captions_and_words_of_its_scenes(images, tmp_path):
    tokenizer = train_tokenizer((text for looks in images.captions for texts in looks for text in texts), CONTEXT)
    ids = caption_ids(tokenizer, images.captions, CONTEXT)
    number = torch.arange(12 * 2).view(12, 2, 1).expand(-1, -1, 39)  # in place of targets: layout and look
    recipe = replace(TINY, batch=40)
    model = torch.nn.Linear(1, 1)
    loop = Loop(tmp_path, {"model": model}, None, 3, 0)
    batch = Batches(images, ids, number, tokenizer, recipe).draw(loop)
    assert (batch.pixels.shape, batch.keep) == ((40, 3, 64, 64), 0.5)
    for row, (caption, look) in enumerate(zip(batch.captions, batch.wanted[:, 0].int().tolist(), strict=True)):
        assert any(torch.equal(caption, one.long()) for one in ids[look // 2, look % 2])
        equal = [torch.equal(caption, other) for other in batch.captions]
        assert batch.positive[row].tolist() == equal and equal[row]
    assert batch.positive.sum() > 40  # forty draws of twelve scenes
    assert -1 <= batch.pixels.min() < 0 < batch.pixels.max() <= 1
    loop.step = 2
    assert Batches(images, ids, number, tokenizer, recipe).draw(loop).pixels.shape[-1] == 96


def test_the_recipe_goes_from_scenes_to_a_folder_that_loads(folder):
    model = load_model(str(folder), device="cpu")
    check_image_encoder(model.images)
    check_text_encoder(model.texts)
    assert model.texts.templates == ("{}", "a {}", "a photo of a {}", "a drawing of a {}")
    assert (model.images.dimension, model.images.patch, model.images.size) == (128, 8, 96)
    assert json.loads((folder / "training.json").read_text())["steps"] == 3
    assert (folder / "model.safetensors").stat().st_size < 4_500_000  # float16


def test_the_vision_tower_loads_alone_with_the_same_features(folder):
    from transformers import SiglipVisionModel

    scene = draw(1500, 1, 96)[0].image
    encoder = load_encoder(str(folder), device="cpu")
    tower, report = SiglipVisionModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"]
    _, pixels = encoder.inputs(scene)
    with torch.no_grad():
        output = tower.eval()(pixels)
    features = encoder.encode(scene)
    torch.testing.assert_close(features.pooled, output.pooler_output, rtol=0, atol=1e-5)
    torch.testing.assert_close(features.patches.flatten(1, 2), output.last_hidden_state, rtol=0, atol=1e-5)


def test_an_interrupted_run_ends_with_the_weights_of_one_without_interruption(images, folder, tmp_path, monkeypatch):
    update = Loop.update

    def killed(self):
        if self.step == 2:
            self.save()
            raise KeyboardInterrupt
        update(self)

    monkeypatch.setattr(Loop, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        train_siglip(images, tmp_path, TINY)
    monkeypatch.setattr(Loop, "update", update)
    again = train_siglip(images, tmp_path, TINY)
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_the_catalogues_name_loads_all_parts_in_one_space(by_name):
    model, texts = load_model(measure.NAME, device="cpu"), load_text_encoder(measure.NAME, device="cpu")
    encoder = load_encoder(measure.NAME, device="cpu")
    assert {model.space, texts.space, encoder.space} == {measure.NAME}
    assert model.methods == () and by_name.kind == "image-text"
    assert (encoder.dimension, encoder.patch, encoder.size) == (by_name.dimension, by_name.patch, by_name.size)
    parameters = sum(one.numel() for one in encoder.blocks.model.parameters()) / 1e6
    assert parameters < by_name.parameters < parameters + 1


def test_absent_weights_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(CATALOG, measure.NAME, replace(CATALOG[measure.NAME], weights=str(tmp_path / "absent")))
    for load in (load_model, load_encoder, load_text_encoder):
        with pytest.raises(EncoderError, match=r"^playground-siglip: .* is missing; reinstall the package") as caught:
            load(measure.NAME, device="cpu")
        assert "\n" not in str(caught.value)


def test_figures_are_measured_on_held_out_seeds(by_name):
    found = measure.measure_siglip(seed=1500, count=50, device="cpu")
    assert found["zero_shot"].keys() == {"top1_bare_names", "top1_templates"}
    assert 0.8 < found["retrieval_ceiling"] <= 1
    assert 0 <= found["retrieval"]["image_to_text"]["R@1"] <= found["retrieval"]["image_to_text"]["R@10"] <= 1
    with pytest.raises(ValueError, match="trained on"):
        measure.measure_siglip(seed=5)
    with pytest.raises(ValueError, match="expected 50"):
        measure.measure_siglip(count=3)
