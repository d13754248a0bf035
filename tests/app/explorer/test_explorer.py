import base64
import csv
import json
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.explorer import findings, selection, tab
from dinoclip_viz.app.explorer.atlas import Atlas, captions
from dinoclip_viz.app.retrieval import gallery
from dinoclip_viz.app.workbench import Workbench, key_of
from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.pipeline import embed
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.embedding_map import cluster_rows, outliers, project

COUNT = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store over files in a folder per label; one file is there twice, one is gone."""
    root = tmp_path_factory.mktemp("explorer")
    for number, sample in enumerate(PlaygroundSource(2100, COUNT, objects=1).samples()):
        place = root / "files" / ("even" if number % 2 == 0 else "odd")
        place.mkdir(parents=True, exist_ok=True)
        sample.load().save(place / f"{number:02d}.png")
    (root / "files" / "odd" / "99.png").write_bytes((root / "files" / "even" / "04.png").read_bytes())
    embed(root / "files", "playground-dino", root / "store")
    (root / "files" / "even" / "02.png").unlink()
    return root


@pytest.fixture(scope="module")
def atlas(bench, folder):
    return Atlas(bench, gallery.Gallery(folder / "store", bench.model(bench.first_key)))


@pytest.fixture(scope="module")
def store(folder):
    return FeatureStore.open(folder / "store")


def drawn(bench, atlas, **given):
    """The map that a page would show, and the summary."""
    path, summary = tab.answer(bench, atlas, bench.first_key, **given)
    found = json.loads(Path(path).read_text())
    assert Path(path).parent == bench.files.folder
    return found["store"], found["map"], summary


def numbers(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def masked(rows, count):
    bits = np.zeros(count, np.uint8)
    bits[rows] = 1
    return base64.b64encode(np.packbits(bits, bitorder="little").tobytes()).decode()


# The map


def test_a_map_has_the_positions_of_the_projection(bench, atlas, store):
    _, shown, summary = drawn(bench, atlas, colour=tab.CLUSTER, count=3, method="pca")
    points = numbers(shown["points"], "<f4").reshape(-1, 2)
    np.testing.assert_array_equal(points, project(store.pooled, "pca"))
    expected = [f"cluster {number + 1:02d}" for number in cluster_rows(store.pooled, 3)]
    assert [shown["names"][group] for group in numbers(shown["groups"], "<u2")] == expected
    assert summary == f"PCA of {len(store)} images." and shown["labelName"] == "cluster"


def test_labels_colour_the_map_and_without_any_clusters_do(bench, atlas, store, monkeypatch):
    names = ["even" if row % 2 else "odd" for row in range(len(store))]
    monkeypatch.setattr(tab, "labels_of", lambda _: names)
    _, shown, _ = drawn(bench, atlas, colour=tab.LABEL)
    assert [shown["names"][group] for group in numbers(shown["groups"], "<u2")] == names
    monkeypatch.setattr(tab, "labels_of", lambda _: [None] * len(store))
    _, shown, summary = drawn(bench, atlas, colour=tab.LABEL, count=2)
    assert shown["names"] == ["cluster 01", "cluster 02"] and "No image has a label" in summary


def test_similarity_to_a_text_colours_the_map_with_the_cosines_of_the_search(bench, atlas, store):
    _, shown, summary = drawn(bench, atlas, colour=tab.SIMILARITY, text="a red car")
    model = bench.model(bench.first_key)
    from dinoclip_viz.tasks.retrieval import search

    scores, rows = search.search_texts(store, "a red car", model, len(store))
    values = numbers(shown["values"], "<f4")
    np.testing.assert_allclose(values[rows[0].numpy()], scores[0].numpy(), atol=1e-6)
    assert "“a red car”" in summary and shown["groups"] is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"colour": tab.SIMILARITY, "text": "  "}, "the text is empty"),
        ({"colour": "size"}, "found colour by 'size'; expected one of Label, Cluster, Similarity to a text"),
        ({"method": "tsne"}, "found method 'tsne'"),
    ],
)
def test_wrong_input_is_told_in_one_line(bench, atlas, given, words):
    with pytest.raises(gr.Error, match=words) as caught:
        one_line_errors(tab.answer)(bench, atlas, bench.first_key, **given)
    assert "\n" not in caught.value.message


def test_a_model_of_another_space_draws_the_map_but_has_no_similarity(bench, atlas):
    key = key_of("playground-clip", "")
    assert tab.answer(bench, atlas, key, tab.CLUSTER)[0]
    with pytest.raises(gr.Error, match="cannot search this gallery"):
        one_line_errors(tab.answer)(bench, atlas, key, tab.SIMILARITY, "a cat")


# Points and selections


def test_a_point_shows_its_image_and_its_caption(bench, atlas, store):
    token = atlas.token(store)
    card = atlas.card({"store": token, "row": 3})
    assert card["src"].startswith("data:image/jpeg;base64,") and card["title"] == captions(store, [3])[0] != ""
    assert (card["store"], card["row"]) == (token, 3)
    assert atlas.card({"store": token, "row": 3}) is card


@pytest.mark.parametrize("asked", [None, [], "x", {}, {"store": "none", "row": 0}, {"store": None, "row": 0}])
def test_a_point_of_an_unknown_map_is_told(atlas, asked):
    with pytest.raises(ValueError, match="the map is no longer known; draw it again"):
        atlas.card(asked)


@pytest.mark.parametrize("row", [-1, COUNT + 1, 10**9, "0", 1.5, None, [1]])
def test_a_row_outside_the_store_is_told(atlas, store, row):
    with pytest.raises(ValueError, match="expected 0 to 30"):
        atlas.card({"store": atlas.token(store), "row": row})


def test_a_selection_becomes_images_and_a_csv_file(bench, atlas, store):
    token, rows = atlas.token(store), [0, 3, 7, COUNT]
    images, summary, button = selection.chosen(bench, atlas, {"store": token, "mask": masked(rows, len(store))})
    assert [title for _, title in images] == captions(store, rows)
    assert f"4 of {len(store)} images selected" in summary and button["visible"]
    with open(button["value"], newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [int(line["row"]) for line in written] == rows
    assert [line["key"] for line in written] == [store.metadata["key"][row].as_py() for row in rows]
    assert all(Path(line["image_path"]).is_absolute() for line in written)


def test_a_public_page_writes_no_folders(folder, store):
    public = Workbench("playground", allow=[])
    atlas = Atlas(public, gallery.Gallery(folder / "store", public.model(public.first_key)))
    path = selection.saved(public, store, [0, 1])
    assert str(folder) not in Path(path).read_text()
    value = tab.answer(public, atlas, public.first_key)
    assert str(folder) not in Path(value[0]).read_text() + value[1]


def test_many_selected_images_are_shown_in_even_steps(bench, atlas, store, monkeypatch):
    monkeypatch.setattr(selection, "MOST", 4)
    rows = list(range(10))
    images, summary, _ = selection.chosen(bench, atlas, {"store": atlas.token(store), "mask": masked(rows, len(store))})
    assert [title for _, title in images] == captions(store, [0, 3, 6, 9]) and "4 of them" in summary


def test_no_selection_empties_the_sheet(bench, atlas, store):
    images, summary, button = selection.chosen(bench, atlas, {"store": atlas.token(store), "mask": ""})
    assert images == [] and "Lasso" in summary and not button["visible"]


@pytest.mark.parametrize("mask", [None, 5, "?", "AA==", "A" * 4000, "é"])
def test_a_selection_of_another_map_is_told(bench, atlas, store, mask):
    with pytest.raises(ValueError, match="does not belong to this map"):
        selection.chosen(bench, atlas, {"store": atlas.token(store), "mask": mask})


@pytest.mark.parametrize("given", [None, [], {"store": "none", "mask": ""}, {"mask": ""}])
def test_a_selection_on_an_unknown_map_is_told(bench, atlas, given):
    with pytest.raises(ValueError, match="the map is no longer known; draw it again"):
        selection.chosen(bench, atlas, given)


def test_a_lost_file_is_a_grey_tile(bench, atlas, store):
    row = [Path(str(path)).name for path in store.metadata["image_path"].to_pylist()].index("02.png")
    ((image, _),) = selection.sheet(store, [row], ["lost"])
    assert image.getpixel((3, 3)) == (200, 200, 200)


# Near duplicates and outliers


def test_the_copied_file_is_a_near_duplicate_and_outliers_are_ranked(bench, atlas, store):
    doubles, isolated, summary = findings.found(bench, atlas, bench.first_key, above=0.9999, k=5)
    names = [Path(str(path)).name for path in store.metadata["image_path"].to_pylist()]
    rows = [names.index("04.png"), names.index("99.png")]
    titles = [title for _, title in doubles]
    assert [title.partition(" · ")[2] for title in titles] == captions(store, rows)
    assert (
        titles[0].startswith("1: first") and titles[1].startswith("1: 1.000") and "1 near duplicates** in 1" in summary
    )
    expected = outliers(store.pooled, 5)[: findings.MOST_OUTLIERS]
    wanted = [f"{one.distance:.3f} · {captions(store, [one.row])[0]}" for one in expected]
    assert [title for _, title in isolated] == wanted


def test_more_images_than_can_be_compared_are_told(bench, atlas, monkeypatch):
    monkeypatch.setattr(findings, "MOST_IMAGES", 10)
    with pytest.raises(ValueError, match="found 31 images; expected 2 to 10, as all pairs are compared: use"):
        findings.found(bench, atlas, bench.first_key)


def test_a_group_larger_than_the_sheet_is_cut(bench, folder, store, monkeypatch):
    monkeypatch.setattr(findings, "MOST_DUPLICATES", 5)
    tiles, count, groups = findings._duplicates(store, -1.0)
    assert len(tiles) == 5 and count == COUNT and groups == 1
