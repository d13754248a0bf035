"""World 2: the same layouts with natural textures, photographs behind them, and paraphrases."""

from dataclasses import replace

import numpy as np
import pytest

from dinoclip_viz.playground import BACKGROUNDS, COLOURS, draw
from dinoclip_viz.playground.captions import captions
from dinoclip_viz.playground.paraphrases import BACKGROUND_WORDS, CLASS_WORDS, COLOUR_WORDS, paraphrase
from dinoclip_viz.playground.photographs import PHOTOGRAPHS, brightness, photograph
from dinoclip_viz.playground.render import render
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.world import sample


def chance(seed):
    return Chance(np.random.default_rng(seed))


def test_world_2_has_the_layouts_of_world_1():
    plain, natural = draw(1510, 40, 48), draw(1510, 40, 48, world=2)
    for one, other in zip(plain, natural, strict=True):
        assert np.array_equal(one.mask, other.mask) and np.array_equal(one.parts, other.parts)
        assert one.objects == other.objects
        if other.background != "photograph":
            assert one.captions == other.captions[:4] and one.background == other.background
    shares = [scene.background == "photograph" for scene in natural]
    assert 0.1 < np.mean(shares) < 0.5
    unlike = [not np.array_equal(a.image, b.image) for a, b in zip(plain, natural, strict=True)]
    assert 0.5 < np.mean(unlike) < 1


def test_a_photograph_behind_is_not_called_a_background():
    for scene in draw(1520, 60, 16, world=2):
        if scene.background == "photograph":
            said = [*BACKGROUNDS.values(), *(word for words in BACKGROUND_WORDS.values() for word in words)]
            assert not any(caption.endswith(phrase) for caption in scene.captions for phrase in said)


def test_crops_of_photographs_are_square_and_of_every_file():
    crops = [photograph(chance(seed), 24) for seed in range(60)]
    assert all(crop.shape == (24, 24, 3) and crop.min() >= 0 and crop.max() <= 255 for crop in crops)
    assert all(abs(brightness(crop).mean()) < 0.1 for crop in crops)
    assert len(PHOTOGRAPHS) == 9


def test_a_missing_library_is_one_clear_line(monkeypatch):
    from dinoclip_viz.playground import photographs

    photographs.open_photograph.cache_clear()
    monkeypatch.setattr(photographs, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="scikit-image"):
        photograph(chance(0), 16)


def test_an_unknown_world_or_domain_is_refused():
    with pytest.raises(ValueError, match="expected 1 or 2"):
        draw(1000, 1, 32, world=3)
    with pytest.raises(ValueError, match="outline, silhouette"):
        draw(1000, 1, 32, domain="dusk")


def test_the_look_without_nature_is_that_of_world_1():
    layout, look = sample(1530, 0, world=2)
    _, first = sample(1530, 0)
    plain = render(layout, replace(look, nature=None, background=first.background), 32)[0]
    assert np.array_equal(plain, render(layout, first, 32)[0])


def test_a_paraphrase_tells_the_same_in_other_words():
    for index in range(200):
        layout, look = sample(1540, index)
        words = paraphrase(layout, look, chance(index))
        first = captions(layout, look, np.random.default_rng(index))[0]
        assert words != first and "  " not in words
        assert any(place in words for place in BACKGROUND_WORDS[look.background])
        for thing, colour in zip(layout.things, look.colours, strict=True):
            stems = [word[:4] for word in (thing.name, *CLASS_WORDS[thing.name])]
            assert any(stem in words for stem in stems), (thing.name, words)
            assert any(word in words for word in COLOUR_WORDS[colour]), (colour, words)
    assert set(COLOUR_WORDS) == set(COLOURS)


def test_a_paraphrase_keeps_who_is_left_of_whom():
    kept = 0
    for index in range(300):
        layout, look = sample(1550, index, objects=2)
        first, second = layout.things
        if first.name == second.name or abs(first.x - second.x) <= abs(first.y - second.y):
            continue
        words = paraphrase(layout, look, chance(index))
        stems = [min(words.find(w) for w in (t.name, *CLASS_WORDS[t.name]) if w in words) for t in (first, second)]
        said_left = "left" in words
        first_told = stems[0] < stems[1]
        assert (first.x < second.x) == (said_left == first_told), words
        kept += 1
    assert kept > 60
