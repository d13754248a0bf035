"""The recipe of playground-text: its parts against plain rewrites, and from captions to a folder that loads."""

import json
import math

import pytest
import torch

from dinoclip_viz import check_text_encoder
from dinoclip_viz.encoders import load_text_encoder
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.text import measure
from dinoclip_viz.playground.recipe.text.tokenizer import caption_ids, token_ids, train_tokenizer
from dinoclip_viz.playground.recipe.text.train import (
    CONTEXT,
    TextRecipe,
    info_nce,
    masked_loss,
    mean_vectors,
    new_model,
    pairs,
    train_text,
    trimmed,
)
from dinoclip_viz.playground.world import sample, words

TINY = TextRecipe(steps=4, batch=8)


@pytest.fixture(scope="module")
def captions():
    drawn = []
    for index in range(60):
        layout = sample(990, index)[0]
        looks = [sample(990, index, look=number, world=2)[1] for number in range(2)]
        drawn.append([words(990, index, layout, look, world=2) for look in looks])
    return drawn


@pytest.fixture(scope="module")
def tokenizer(captions):
    return train_tokenizer((text for looks in captions for texts in looks for text in texts), CONTEXT)


def test_known_words_are_one_token_and_others_are_spelt(tokenizer):
    assert tokenizer.tokenize("A red cat, two BUTTERFLIES in the snow") == [
        "a", "red", "cat", ",", "two", "butterflies", "in", "the", "snow",
    ]  # fmt: skip
    assert tokenizer.tokenize("zxq 70") == ["z", "##x", "##q", "7", "##0"]
    assert tokenizer.tokenize("日") == ["[UNK]"]
    assert tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]) == [0, 1, 2, 3, 4]
    assert len(train_tokenizer(["one two two three three three"] * 2, 8, size=230)) <= 230


def test_token_ids_are_the_tokenizers(tokenizer, captions):
    ids = caption_ids(tokenizer, captions, 12)
    assert ids.shape == (60, 2, 7, 12)
    for text, row in ((captions[3][1][6], ids[3, 1, 6]), (captions[59][0][0], ids[59, 0, 0])):
        expected = tokenizer(text, padding="max_length", truncation=True, max_length=12).input_ids
        assert row.tolist() == expected
    assert token_ids(tokenizer, ["cat"], 5).tolist()[0][3:] == [0, 0]
    assert len(tokenizer("a cat").input_ids) == 4  # the tokenizer itself neither pads nor truncates afterwards


def test_captions_of_different_numbers_are_refused(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="expected one number of each"):
        caption_ids(tokenizer, [[["a"], ["b"]], [["a"]]], 8)
    with pytest.raises(ValueError, match="no layout"):
        caption_ids(tokenizer, [], 8)
    with pytest.raises(ValueError, match="found 1 caption per look"):
        train_text([[["a cat"], ["a dog"]]], tmp_path, TINY)


@pytest.mark.parametrize("exact", [0.0, 1.0])
def test_pairs_are_two_captions_of_one_look(exact):
    ids = torch.arange(5 * 2 * 4).view(5, 2, 4, 1)  # number = 8 layout + 4 look + caption
    left, right = pairs(ids, TextRecipe(batch=400, exact=exact), torch.Generator().manual_seed(0))
    assert torch.equal(left // 4, right // 4)
    chosen = {(a % 4, b % 4) for a, b in zip(left[:, 0].tolist(), right[:, 0].tolist(), strict=True)}
    different = {(a, b) for a in range(4) for b in range(4) if a != b}
    assert chosen == ({(0, 3), (3, 0)} if exact else different)
    assert set((left // 4)[:, 0].tolist()) == set(range(10))


def test_info_nce_is_that_of_loops_in_which_equal_texts_are_no_negatives():
    texts = [1, 2, 3, 4, 5, 2, 7, 1]  # pairs (1, 5), (2, 2), (3, 7), (4, 1)
    unit = torch.nn.functional.normalize(torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), dim=1)

    def direction(queries, candidates, of_query, of_candidate):
        losses = []
        for i in range(4):
            kept = [
                j for j in range(4) if j == i or not {of_query[i], of_candidate[i]} & {of_query[j], of_candidate[j]}
            ]
            exponents = {j: math.exp(float(queries[i] @ candidates[j]) / 0.1) for j in kept}
            losses.append(-math.log(exponents[i] / sum(exponents.values())))
        return sum(losses) / 4

    expected = direction(unit[:4], unit[4:], texts[:4], texts[4:]) + direction(unit[4:], unit[:4], texts[4:], texts[:4])
    found = info_nce(unit, torch.tensor(texts)[:, None], 0.1)
    assert found.item() == pytest.approx(expected / 2, rel=1e-4)


def test_mean_vectors_ignore_padding_and_masks_spare_special_tokens(tokenizer):
    model = new_model(tokenizer, 0).eval()
    ids = token_ids(tokenizer, ["a red cat", "a dog above a tree on sand"], 16).long()
    alone = mean_vectors(model, ids[:1, :5])
    torch.testing.assert_close(mean_vectors(model, ids)[:1], alone, rtol=0, atol=1e-5)
    logarithm = math.log(len(tokenizer))
    found = masked_loss(model, ids, 1.0, torch.Generator().manual_seed(0)).item()
    assert found == pytest.approx(logarithm, rel=0.15)  # of an untrained model, per word
    special = torch.tensor([[2, 3, 0, 0]])
    assert masked_loss(model, special, 1.0, torch.Generator().manual_seed(0)).item() == 0


def test_both_losses_are_learnt_on_one_batch(captions, tokenizer):
    ids = caption_ids(tokenizer, captions, 48)
    left, right = pairs(ids, TextRecipe(batch=8, exact=1.0), torch.Generator().manual_seed(0))
    both, model = trimmed(torch.cat([left, right])), new_model(tokenizer, 0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    history = []
    for _ in range(25):
        vectors = torch.nn.functional.normalize(mean_vectors(model, both), dim=1)
        losses = (
            info_nce(vectors, both, 0.05),
            masked_loss(model, both, 0.5, torch.Generator().manual_seed(1)),
        )
        history.append([loss.item() for loss in losses])
        sum(losses).backward()
        optimiser.step()
        optimiser.zero_grad()
    (contrast, words), (last_contrast, last_words) = history[0], history[-1]
    assert last_contrast < 0.3 * contrast and last_words < 0.8 * words


def test_the_recipe_goes_from_captions_to_a_folder_that_loads(captions, tmp_path):
    folder = train_text(captions, tmp_path, TINY)
    encoder = load_text_encoder(str(folder), device="cpu")
    check_text_encoder(encoder)
    assert encoder.dimension == 128 and encoder.templates[0] == "{}"
    assert json.loads((folder / "modules.json").read_text())[1]["path"] == "1_Pooling"
    assert json.loads((folder / "training.json").read_text())["steps"] == TINY.steps
    assert (folder / "model.safetensors").stat().st_size < 1_800_000  # float16
    found = measure.measure_text(encoder, seed=1500, count=60)
    assert 0 < found["R@1"] <= found["ceiling"] and 0 < found["bag_of_words_R@1"] <= found["ceiling"]
    before = (folder / "model.safetensors").read_bytes()
    train_text(captions, tmp_path, TINY)
    assert (folder / "model.safetensors").read_bytes() == before


def test_an_interrupted_run_ends_with_the_weights_of_one_without_interruption(captions, tmp_path, monkeypatch):
    whole = train_text(captions[:20], tmp_path / "whole", TINY)
    update = Loop.update

    def killed(self):
        if self.step == 2:
            self.save()
            raise KeyboardInterrupt
        update(self)

    monkeypatch.setattr(Loop, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        train_text(captions[:20], tmp_path / "parts", TINY)
    monkeypatch.setattr(Loop, "update", update)
    parts = train_text(captions[:20], tmp_path / "parts", TINY)
    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_equal_captions_bound_the_recall_and_ties_count_as_chance():
    captions = ["a cat", "a dog", "a cat", "a bus"]
    assert measure.ceiling(captions) == 0.75
    candidates = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert measure.first_hits(candidates, candidates, captions) == pytest.approx(0.75)
    wrong = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1]])
    assert measure.first_hits(wrong, candidates, captions) == pytest.approx(0.5 / 4)  # one tie of two


def test_the_bag_of_words_finds_captions_that_share_words():
    captions = ["a red cat on sand", "a blue dog at night", "two green buses"]
    others = ["green buses", "the dog is blue", "on sand, a cat"]
    queries, candidates = measure.bags_of_words(captions, others)
    assert (queries @ candidates.T).argmax(1).tolist() == [2, 1, 0]
    assert measure.first_hits(*measure.bags_of_words(captions, ["nothing", "known", "here"]), captions) == (
        pytest.approx(1 / 3)
    )


def test_measuring_is_on_held_out_seeds_and_enough_scenes():
    with pytest.raises(ValueError, match="trained on"):
        measure.measure_text(seed=5)
    with pytest.raises(ValueError, match="expected 50"):
        measure.measure_text(count=3)
    captions, paraphrases = measure.held_out(1500, 30)
    assert len(captions) == len(paraphrases) == 30 and not set(captions) & set(paraphrases)
