"""A training that continues from earlier weights, and the stages of the whole recipe."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer, Dinov2Model

from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground.recipe import train
from dinoclip_viz.playground.recipe.clip.tokenizer import train_tokenizer
from dinoclip_viz.playground.recipe.clip.train import ClipRecipe, adopt, new_model, train_clip
from dinoclip_viz.playground.recipe.dino.settings import DinoRecipe
from dinoclip_viz.playground.recipe.dino.train import train_dino
from dinoclip_viz.playground.recipe.images import Images, draw_images

PHASES = ((0.0, 48, 0.5),)
CLIP, DINO = PLAYGROUND / "playground-clip", PLAYGROUND / "playground-dino"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_images(tmp_path_factory.mktemp("images"), seed=991, count=24, workers=1)


def test_a_vocabulary_with_new_words_keeps_the_embeddings_of_old_ones(images):
    tokenizer = train_tokenizer([text for looks in images.captions for texts in looks for text in texts])
    model = new_model(tokenizer, seed=0)
    adopt(model, tokenizer, CLIP)
    earlier, vocabulary = CLIPModel.from_pretrained(CLIP, dtype=torch.float32), CLIPTokenizer.from_pretrained(CLIP)
    old, new = (m.text_model.embeddings.token_embedding.weight for m in (earlier, model))
    for word in ("cat</w>", "red</w>", "<|endoftext|>"):
        row = new[tokenizer.get_vocab()[word]]
        assert torch.equal(row, old[vocabulary.get_vocab()[word]])
    pixels = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (m.eval().get_image_features(pixels).pooler_output for m in (earlier, model))
    assert torch.allclose(before, after, atol=1e-5)


def test_no_step_from_earlier_weights_gives_these_weights(images, tmp_path):
    """A step of rate 0 changes nothing but what the optimiser is told to change."""
    train_dino(images, tmp_path / "dino", DinoRecipe(1, 4, rate=0.0, phases=PHASES), start=DINO)
    earlier, later = (
        Dinov2Model.from_pretrained(folder, dtype=torch.float32) for folder in (DINO, tmp_path / "dino" / "model")
    )
    for name, weight in earlier.state_dict().items():
        assert torch.allclose(weight, later.state_dict()[name], atol=1e-4), name
    folder = train_clip(images, tmp_path / "clip", ClipRecipe(1, 4, rate=0.0, phases=PHASES), start=CLIP)
    assert json.loads((folder / "training.json").read_text())["steps"] == 1


def test_mixed_precision_trains_on_the_cpu_too(images, tmp_path, monkeypatch):
    """The GPU's run enters bfloat16; the losses stay float32 and finite."""
    from dinoclip_viz.playground.recipe.loop import Loop

    begin = Loop.__init__

    def mixed(self, *args, **options):
        begin(self, *args, **options)
        self.mixed = True

    monkeypatch.setattr(Loop, "__init__", mixed)
    for kind, recipe in ((train_dino, DinoRecipe(2, 4, phases=PHASES)), (train_clip, ClipRecipe(2, 4, phases=PHASES))):
        folder = kind(images, tmp_path / kind.__name__, recipe)
        assert (folder / "model.safetensors").is_file()
        saved = torch.load(folder.parent / "checkpoint.pt", weights_only=True)["average"]
        assert all(weight.isfinite().all() and weight.dtype == torch.float32 for weight in saved.values())


def test_images_on_a_device_are_those_on_disk(images):
    rows, looks = torch.tensor([3, 1]), torch.tensor([1, 0])
    copy = Images.__new__(Images)
    copy.pixels, copy.captions = images.pixels, images.captions
    copy._resident = torch.from_numpy(images.pixels.copy())
    assert torch.equal(copy.pick(rows), images.pick(rows))
    assert torch.equal(copy.pick(rows, looks), images.pick(rows, looks))


def test_a_training_continues_from_the_embedded_weights(tmp_path):
    assert train.Run(tmp_path).start("playground-dino") is None
    assert train.Run(tmp_path, again=True).start("playground-dino") == DINO


def test_one_command_runs_every_stage_with_tiny_settings(tmp_path, monkeypatch):
    begun = []

    def stage(name):
        def run(job):
            begun.append((name, job.device, job.steps(100)))
            return {name: str(job.folder / name)}

        return run

    monkeypatch.setattr(train, "ENCODERS", ())
    monkeypatch.setattr(train, "STAGES", {name: stage(name) for name in train.STAGES})
    job = train.Run(tmp_path, layouts=2, scale=0.1)
    assert set(train.train_all(job)) == set(train.STAGES)
    assert begun == [(name, "cpu", 10) for name in train.STAGES]
    begun.clear()
    assert set(train.train_all(replace(job, scale=1e-9), only=["heads"])) == {"heads"}
    assert begun == [("heads", "cpu", 1)]
    with pytest.raises(ValueError, match="expected some of clip, dino"):
        train.train_all(job, only=["dyno"])
