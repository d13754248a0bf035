"""The handlers of the correspondences tab."""

import pytest

from dinoclip_viz.app.correspondence import match
from dinoclip_viz.app.encoders import CLIP, DINO
from dinoclip_viz.app.images import read
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.playground.world import sample

SEEDS = (1098, 1112)


@pytest.fixture
def two(bench, tmp_path):
    paths = [tmp_path / f"{seed}.png" for seed in SEEDS]
    for seed, path in zip(SEEDS, paths, strict=True):
        bench.scenes.draw(seed).save(path)
    return [str(path) for path in paths]


def click(bench, two, showing, side, place):
    return match.clicked(bench, bench.first_key, *two, DINO, 0, False, 0, showing, side, place)


def test_both_images_come_with_their_points_and_the_lines(bench, two):
    first, second, joined, said, showing, note = match.answer(bench, bench.first_key, *two)
    assert first.size == second.size == (768, 768)
    assert joined.width > 1000 and note == ""
    assert said.startswith("30 matches") and "Click" in said
    assert showing == match.digests_of([read(path) for path in two])
    assert first.tobytes() != match.shown(read(two[0]).image).tobytes()


def test_few_matches_say_why(bench, two):
    said = match.answer(bench, bench.first_key, *two, count=100)[3]
    assert "of the 100 requested matches" in said


def test_options_change_the_answer(bench, two):
    plain = match.answer(bench, bench.first_key, *two)[2].tobytes()
    for options in ({"foreground": False}, {"source": CLIP}, {"patches": 12}, {"debias": 5}, {"count": 5}):
        assert match.answer(bench, bench.first_key, *two, **options)[2].tobytes() != plain, options


def test_a_click_finds_its_position_in_the_other_image_either_way(bench, two):
    showing = match.answer(bench, bench.first_key, *two)[4]
    marked, warm, said = click(bench, two, showing, match.FIRST, [383, 383])
    assert said.startswith("(96, 96) px in the first image corresponds to (") and "in the second" in said
    assert marked.size == (768, 768) and warm.height > 768  # the colours' scale below
    assert marked.getpixel((384, 384)) == match.CLICKED
    warm, marked, said = click(bench, two, showing, match.SECOND, (383, 383))
    assert "in the second image corresponds to" in said and marked.getpixel((384, 384)) == match.CLICKED
    assert warm.height > 768


def test_an_image_against_itself_finds_the_same_place(bench, two):
    same = [two[0], two[0]]
    showing = match.answer(bench, bench.first_key, *same)[4]
    said = click(bench, same, showing, match.FIRST, [200, 500])[2]
    here, there = (part.split(")")[0].split(", ") for part in said.split("(")[1:3])
    assert all(abs(float(a) - float(b)) < 12 for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize("place", [[768, 20], [20, 900], [-2, 4], None, "x", [1], ["a", "b"], [float("nan"), 1]])
def test_a_click_outside_is_told_in_one_line(bench, two, place):
    showing = match.digests_of([read(path) for path in two])
    with pytest.raises(ValueError, match="click inside one of the two images") as caught:
        click(bench, two, showing, match.FIRST, place)
    assert "\n" not in str(caught.value)


def test_a_click_before_there_is_an_image_is_told(bench, two):
    with pytest.raises(ValueError, match="no image yet"):
        click(bench, [None, two[1]], "", match.FIRST, [1, 1])
    with pytest.raises(ValueError, match="no image yet"):
        match.answer(bench, bench.first_key, two[0], None)


def test_a_click_on_images_that_were_changed_meanwhile_gets_no_answer(bench, two, photograph):
    showing = match.answer(bench, bench.first_key, *two)[4]
    for now in ([two[0], photograph], [two[1], two[0]]):
        with pytest.raises(ValueError, match="not the images that were matched"):
            click(bench, now, showing, match.FIRST, [10, 10])


def test_features_are_computed_once_for_all_clicks(bench, two):
    showing = match.answer(bench, bench.first_key, *two)[4]
    misses = bench.features_kept.misses
    for column in range(0, 700, 100):
        click(bench, two, showing, match.FIRST, [column, 300])
    assert bench.features_kept.misses == misses


def test_a_photograph_of_another_size_brings_a_notice(bench, two, photograph):
    outcome = match.answer(bench, bench.first_key, two[0], photograph)
    assert outcome[5] == NOTICE
    assert outcome[1].width == 1024  # 512 px, enlarged by a whole factor
    said = click(bench, [two[0], photograph], outcome[4], match.SECOND, [1023, 1023])[2]
    assert said.startswith("(512, 512) px in the second image")


def test_others_are_drawn_two_of_a_class(bench):
    last, first, second = match.draw_two(bench.scenes, match.FIRST_SEED - 1)
    assert last == 1099 and first.size == second.size == (192, 192)
    assert {sample(seed, 0)[0].things[0].name for seed in (1086, 1099)} == {"butterfly"}


def test_the_similarity_map_follows_edges_unless_patches_are_asked_for(bench, two):
    showing = match.digests_of([read(path) for path in two])
    words = (bench, bench.first_key, *two, DINO, 0, False, 0, showing, match.FIRST, [100, 100])
    sharp, patches = match.clicked(*words), match.clicked(*words, True)
    assert sharp[1].size == patches[1].size and sharp[1].tobytes() != patches[1].tobytes()
    assert sharp[0].tobytes() == patches[0].tobytes() and sharp[2] == patches[2]
