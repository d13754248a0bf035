"""The recipe of the open-vocabulary heads, end to end at a tiny size, and the files that it saves."""

from dinoclip_viz.dense.dinoiser import DinoiserHead
from dinoclip_viz.playground.recipe.words import WordsRecipe, train_words
from dinoclip_viz.projector import Projector
from dinoclip_viz.training.dinoiser import DinoiserRecipe
from dinoclip_viz.training.text_map import TextMapRecipe

TINY = WordsRecipe(
    size=96,
    dinoiser_scenes=12,
    dinoiser=DinoiserRecipe(size=96, batch=2, steps=2, rounds=1, held=4, kept=12),
    map_scenes=20,
    text_map=TextMapRecipe(epochs=1, batch=8, holdout=4),
)


def test_both_heads_are_made_once_and_named_after_the_embedded_models(tmp_path):
    made = train_words(tmp_path, TINY)
    head = DinoiserHead.load(f"{made['playground-clip']}/dinoiser.safetensors")
    assert head.space == "playground-clip/patches" and head.width == 128
    mapped = Projector.find(made["playground-text-to-dino"])
    assert (mapped.side, mapped.image_encoder, mapped.text_encoder) == ("text", "playground-dino", "playground-clip")
    before = (tmp_path / "text-to-dino" / "model.safetensors").stat().st_mtime_ns
    assert train_words(tmp_path, TINY) == made
    assert (tmp_path / "text-to-dino" / "model.safetensors").stat().st_mtime_ns == before
