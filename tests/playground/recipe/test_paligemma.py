"""Training of playground-paligemma and of playground-masks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground.questions import questions
from dinoclip_viz.playground.recipe.cards import facts
from dinoclip_viz.playground.recipe.paligemma import scenes as scenes_module
from dinoclip_viz.playground.recipe.paligemma.masks import MaskRecipe, new_codec, overlap, train_masks
from dinoclip_viz.playground.recipe.paligemma.packing import Tokens, pack
from dinoclip_viz.playground.recipe.paligemma.scenes import Drawn, draw_scenes, mask_rows
from dinoclip_viz.playground.recipe.paligemma.targets import Locations, Texts, mask_codes, snapped
from dinoclip_viz.playground.recipe.paligemma.train import (
    PATCHES,
    PaligemmaRecipe,
    logits_of,
    new_model,
    train_paligemma,
)
from dinoclip_viz.playground.recipe.paligemma.vocabulary import make_processor, words_of
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.vlm.locations import location_tokens
from dinoclip_viz.vlm.masks import load_mask_codec

SIGLIP = PLAYGROUND / "playground-siglip"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes_module, "CHUNK", 24)
        folder = tmp_path_factory.mktemp("scenes")
        first = draw_scenes(folder, 1, 1, seed=61)
        again = draw_scenes(folder, 1, 1, seed=61)  # from the chunk
    assert np.array_equal(first.pixels, again.pixels) and first.facts == again.facts
    return again


def test_scenes_are_those_of_the_world(drawn: Drawn) -> None:
    from dinoclip_viz.playground import draw

    scene = draw(61, 5, 96)[4]  # 61 is of world 1
    assert np.array_equal(np.asarray(scene.image), drawn.pixels[4])
    assert np.array_equal(scene.instances, drawn.instances[4])
    assert [one["box"] for one in drawn.facts[4].objects] == [one["box"] for one in scene.objects]


@pytest.mark.parametrize("several", [1, 3])
def test_packed_questions_have_the_logits_of_the_model_itself(drawn: Drawn, several: int) -> None:
    """With one block, the image's tokens do not depend on the prompt: packed logits equal the model's own forward."""
    processor = make_processor(words_of(drawn.facts, 0), 96, PATCHES)
    model = new_model(processor, SIGLIP, PaligemmaRecipe(layers=1, hidden=64, heads=2, inner=64)).eval()
    texts = Texts(processor, drawn, mask_codes(drawn, new_codec(0)))
    asked = questions(drawn.facts[0], Chance(np.random.default_rng(0)))[-several:]
    tokens = [one for one in (texts.of(0, each) for each in asked) if one]
    pixels = torch.from_numpy(drawn.pixels[:1]).permute(0, 3, 1, 2).float() / 127.5 - 1
    packed = pack([tokens], PATCHES)
    with torch.no_grad():
        mine = logits_of(model, pixels, packed).split([len(one.answer) for one in tokens])
        for one, question, logits in zip(tokens, asked, mine, strict=True):
            inputs = processor(
                images=[drawn.pixels[0]], text="<image>" + question.prompt, suffix=texts.answer(0, question) or None,
                return_tensors="pt",
            )  # fmt: skip
            ids = inputs["input_ids"]
            if not texts.answer(0, question):
                end = torch.tensor([[processor.tokenizer.eos_token_id]])
                ids = torch.cat([ids, end], dim=1)
                inputs["token_type_ids"] = torch.cat([inputs["token_type_ids"], torch.ones_like(end)], dim=1)
            assert ids[0, PATCHES:].tolist() == [*one.prompt, *one.answer]
            whole = model(
                input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), labels=ids.clone(),
                token_type_ids=inputs["token_type_ids"],
            ).logits[0, -len(one.answer) - 1 : -1]  # fmt: skip
            torch.testing.assert_close(logits, whole, atol=1e-4, rtol=1e-4)


def test_questions_behind_one_image_do_not_see_each_other() -> None:
    packed = pack([[Tokens((1, 2), (3, 4)), Tokens((5,), (6,))]], patches=2)
    expected = torch.tensor(
        [
            [1, 1, 0, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0, 0, 0],  # the prompt sees all of itself
            [1, 1, 1, 1, 0, 0, 0, 0],
            [1, 1, 1, 1, 1, 0, 0, 0],  # the answer what precedes it
            [1, 1, 1, 1, 1, 1, 0, 0],
            [1, 1, 0, 0, 0, 0, 1, 0],
            [1, 1, 0, 0, 0, 0, 1, 1],
        ]
    ).bool()
    assert torch.equal(packed.visible[0], expected)
    assert packed.positions[0].tolist() == [1, 2, 3, 4, 5, 6, 3, 4]
    padded = pack([[Tokens((1, 2), (3, 4)), Tokens((5,), (6,))]], patches=2, multiple=5)
    assert padded.ids.shape == (1, 10) and torch.equal(padded.visible[0, :8, :8], expected)
    assert torch.equal(padded.visible[0, 8:], torch.eye(10)[8:].bool())
    assert packed.wanted.tolist() == [3, 4, 6] and packed.columns.tolist() == [3, 4, 6]
    assert packed.weights.tolist() == pytest.approx([2**-0.5, 2**-0.5, 1.0])


def test_answers_hold_boxes_and_masks(drawn: Drawn) -> None:
    processor = make_processor(words_of(drawn.facts, 0), 96, PATCHES)
    texts = Texts(processor, drawn, mask_codes(drawn, new_codec(0)))
    facts = drawn.facts[0]
    (one,) = questions(facts, Chance(np.random.default_rng(1)), {"segment": 1.0})
    answer = texts.answer(0, one)
    first = facts.objects[facts.numbers.index(one.found[0][1])]
    assert answer is not None and answer.startswith(location_tokens(snapped(first["box"]), (96, 96)) + "<seg")
    assert answer.count("<seg") == 16 * len(one.found) and answer.count("<loc") == 4 * len(one.found)
    assert processor.tokenizer.unk_token_id not in texts.of(0, one).prompt


def test_neighbouring_locations_count_a_little() -> None:
    processor = make_processor(["a"], 96, PATCHES)
    locations = Locations(processor, torch.device("cpu"))
    tokens = processor.tokenizer.convert_tokens_to_ids(["<loc0512>", "<loc0533>", "<loc0021>", "a"])
    logits = torch.zeros(3, len(processor.tokenizer))
    logits[range(3), tokens[:3]] = 9.0
    right, near, far = locations.loss(logits, torch.tensor([tokens[0]] * 3)).tolist()
    assert right < near < far
    word = locations.loss(logits[:1], torch.tensor([tokens[3]]))
    torch.testing.assert_close(word, torch.nn.functional.cross_entropy(logits[:1], torch.tensor([tokens[3]]))[None])


def test_codec_learns_and_resumes(drawn: Drawn, tmp_path: Path) -> None:
    masks = mask_rows(drawn)
    train_masks(masks, tmp_path, MaskRecipe(steps=100, batch=8))
    folder = train_masks(masks, tmp_path, MaskRecipe(steps=200, batch=8))
    first, second = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert (first["step"], second["step"]) == (99, 199)
    assert second["loss"] < first["loss"] - 0.05 and second["iou"] > 0.3
    assert overlap(load_mask_codec(folder), masks.float() / 255).mean() > 0.3


def test_overlap_of_equal_masks_is_one() -> None:
    codec = new_codec(0)
    masks = (codec.decode(torch.randint(0, 128, (3, 16))) > 0).float()
    codes = codec.encode(masks)
    made = (codec.decode(codes) > 0).float()
    expected = (made * masks).sum((1, 2)) / torch.maximum(made, masks).sum((1, 2)).clamp_min(1)
    torch.testing.assert_close(overlap(codec, masks), expected)


def test_model_learns_resumes_and_loads(drawn: Drawn, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    small = {"batch": 4, "layers": 1, "hidden": 64, "heads": 2, "inner": 64}
    train_paligemma(drawn, new_codec(0), tmp_path, PaligemmaRecipe(steps=50, **small), SIGLIP)
    folder = train_paligemma(drawn, new_codec(0), tmp_path, PaligemmaRecipe(steps=100, **small), SIGLIP)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 2 and losses[1] < losses[0]
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    assert type(model).__name__ == "PaliGemmaForConditionalGeneration"
    one = PaligemmaRecipe(steps=1, frozen=0.0, **small)
    again = train_paligemma(drawn, new_codec(0), tmp_path / "again", one, SIGLIP, start=folder)
    third = train_paligemma(drawn, new_codec(0), tmp_path / "third", one, SIGLIP, start=again)
    record = json.loads((third / "training.json").read_text())
    assert [run["steps"] for run in record["before"]] == [100, 1] and "before" not in record["before"][1]
    told = facts(third / "training.json", "a machine")
    assert told.startswith("100 steps with seed 6, ") and told.count(", continued by 1 steps with seed 6, ") == 2
    assert told.endswith("on a machine; `--continue` is one run like the last.")
