import re

import gradio as gr
import pytest

from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.images import read
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.open_vocabulary import tab as heatmap
from dinoclip_viz.app.page import build_demo, everywhere, load_chosen, when_open
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.pca import tab as pca
from dinoclip_viz.app.workbench import DOWNLOAD, Workbench, labelled
from dinoclip_viz.app.zero_shot import tab as zero_shot
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.images import ImageError
from dinoclip_viz.playground import CLASSES


def test_zero_shot_answers_with_bars_and_the_same_numbers_as_a_table(bench, drawn):
    bars, table, note = zero_shot.answer(bench, bench.first_key, drawn, ", ".join(CLASSES))
    assert bars.width >= 768
    assert len(table) == len(CLASSES)
    shares = [float(share.rstrip("%")) for _, share in table]
    assert shares == sorted(shares, reverse=True)
    assert abs(sum(shares) - 100) < 0.2
    assert note == ""


def test_one_label_needs_none_of_these(bench, drawn):
    with pytest.raises(ValueError, match="none of these"):
        zero_shot.answer(bench, bench.first_key, drawn, "cat")
    table = zero_shot.answer(bench, bench.first_key, drawn, "cat", none=True)[1]
    assert {name for name, _ in table} == {"cat", zero_shot.NONE}


def test_templates_change_the_answer_and_a_broken_one_is_named(bench, drawn):
    own, typed = (
        zero_shot.answer(bench, bench.first_key, drawn, "cat\ndog", way)[1] for way in (zero_shot.OWN, zero_shot.TYPED)
    )
    assert own != typed
    with pytest.raises(ValueError, match="a photo"):
        zero_shot.answer(bench, bench.first_key, drawn, "cat\ndog", zero_shot.CUSTOM, "a photo")


def test_a_photograph_brings_a_notice(bench, photograph):
    assert zero_shot.answer(bench, bench.first_key, photograph, "cat, dog")[2] == NOTICE


def test_an_image_is_encoded_once_a_method_whatever_the_prompts(bench, drawn):
    heatmap.answer(bench, bench.first_key, drawn, "a cat", ["projector"])
    pca.answer(bench, bench.first_key, [(drawn, None)], compare=False)
    misses = bench.features_kept.misses
    heatmap.answer(bench, bench.first_key, drawn, "a dog\nthe sky", "projector", background="grass")
    pca.answer(bench, bench.first_key, [(drawn, None)], compare=False)
    assert bench.features_kept.misses == misses


def test_heat_maps_come_one_a_prompt_with_captions(bench, drawn):
    maps, note, *_ = heatmap.answer(bench, bench.first_key, drawn, "a cat\n\nthe sky\na cat", cut=True, threshold=0.2)
    assert [caption for _, caption in maps] == ["a cat", "the sky"]
    assert all(image.width >= 768 and image.height > 768 for image, _ in maps)
    assert note == ""


def test_heat_maps_may_be_contrasted_and_fitted(bench, drawn):
    for scale in (heatmap.FIXED, heatmap.FITTED):
        maps = heatmap.answer(bench, bench.first_key, drawn, "a cat", scale=scale, against="the sky\na dog")[0]
        assert len(maps) == 1


def test_a_contrast_has_a_range_about_zero():
    assert heatmap.fixed_range(-0.1, 0.5, True) == (-0.5, 0.5)
    assert heatmap.fixed_range(-0.1, 0.5, False) == (-0.1, 0.5)
    with pytest.raises(ValueError, match="below"):
        heatmap.fixed_range(0.5, 0.5, False)


@pytest.mark.parametrize(("prompts", "words"), [("", "no prompt"), ("\n".join(map(str, range(200))), "200 prompts")])
def test_prompts_that_cannot_be_used_are_told(bench, drawn, prompts, words):
    with pytest.raises(ValueError, match=words):
        heatmap.answer(bench, bench.first_key, drawn, prompts)


def test_pca_shows_each_image_beside_both_encoders(bench, drawn, photograph):
    items = [(drawn, None), (photograph, None)]
    gallery, legend, histogram, slider, basis, note = pca.answer(bench, bench.first_key, items)
    assert len(gallery) == 6
    assert [caption for _, caption in gallery[:3]] == ["image 1", "playground-dino", "CLIP: playground-clip"]
    assert all(max(image.size) >= 768 for image, _ in gallery)
    assert legend.width >= 768 and histogram.width >= 768
    assert slider.minimum < slider.value < slider.maximum
    assert len(bench.bases.get(basis)) == 2
    assert note == NOTICE


def test_kept_colours_are_the_same_for_the_next_images(bench, drawn, photograph):
    both = pca.answer(bench, bench.first_key, [(drawn, None), (photograph, None)], compare=False)
    alone = pca.answer(bench, bench.first_key, [(drawn, None)], both[4], keep=True, compare=False)
    afresh = pca.answer(bench, bench.first_key, [(drawn, None)], both[4], keep=False, compare=False)
    assert alone[0][1][0].tobytes() == both[0][1][0].tobytes()
    assert afresh[0][1][0].tobytes() != both[0][1][0].tobytes()


def test_an_unknown_basis_is_fitted_afresh(bench, drawn):
    assert pca.answer(bench, bench.first_key, [(drawn, None)], "gone", keep=True, compare=False)[4] != "gone"


def test_too_many_images_are_refused(bench, drawn):
    with pytest.raises(ValueError, match="13 images"):
        pca.answer(bench, bench.first_key, [(drawn, None)] * 13)


def test_large_images_are_made_smaller(tmp_path):
    from PIL import Image

    Image.new("RGB", (3000, 30)).save(tmp_path / "wide.png")
    assert read(str(tmp_path / "wide.png")).image.size == (1536, 15)


def test_a_broken_image_and_none_are_told_in_one_line(bench, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(ImageError):
        read(str(broken))
    with pytest.raises(gr.Error) as caught:
        one_line_errors(zero_shot.answer)(bench, bench.first_key, str(broken), "cat, dog")
    assert "\n" not in caught.value.message
    with pytest.raises(ValueError, match="New scene"):
        read(None)


def test_models_are_loaded_by_key_and_described(bench):
    key, words = load_chosen(bench, "playground-clip", "")
    assert bench.model(key).name == "playground-clip"
    assert re.search(r"playground-clip.*on (cpu|cuda|mps).*float32", words)
    assert set(heatmap.methods_of(bench, key).value) <= set(bench.model(key).methods)


def test_a_model_that_the_page_does_not_offer_is_refused(bench):
    with pytest.raises(EncoderError, match="does not offer"):
        bench.model("/etc|")


def test_the_list_says_what_must_be_downloaded(bench):
    shown = dict((name, words) for words, name in labelled(bench.model_names()))
    assert shown["playground"] == "playground"
    missing = [DOWNLOAD in words for words in shown.values()]
    assert missing == sorted(missing)


def test_a_model_may_be_given_as_it_is(bench):
    again = Workbench(bench.model(bench.first_key))
    assert again.model(again.first_key) is bench.model(bench.first_key)


def test_an_image_goes_to_every_tab():
    assert everywhere("a.png", [False, True]) == ["a.png", ["a.png"]]
    assert everywhere(None, [False, True]) == [None, None]


def test_only_the_open_tab_is_made_anew_and_only_if_it_is_stale():
    panel = Panel(lambda path: (path, "note"), ["picture"], ["result", "note"])
    assert when_open(panel, "pca", "pca", True, "a.png") == (False, "a.png", "note")
    for opened, stale in (("heatmap", True), ("pca", False)):
        kept, *answers = when_open(panel, "pca", opened, stale, "a.png")
        assert kept is stale and all(answer == gr.skip() for answer in answers)


def test_an_unknown_tab_is_refused():
    with pytest.raises(ValueError, match="found tab 'nonsense'; expected one of zero-shot"):
        build_demo(tab="nonsense")
