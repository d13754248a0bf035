"""`dinoclip evaluate knn`, `linear` and `instances` on small playgrounds, stores and folders."""

import json

import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.data import open_source
from dinoclip_viz.data.retrieval.instances import drawn_instances
from dinoclip_viz.pipeline import embed
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.probes.knn import knn_accuracy
from dinoclip_viz.tasks.probes.linear import LinearProbe
from dinoclip_viz.tasks.retrieval.instances import instance_retrieval

GALLERY, QUERIES = "playground:2104:100:96:1", "playground:2105:30:96:1"
DATA = ["--gallery", GALLERY, "--queries", QUERIES]
DINO = ["--encoder", "playground-dino"]


@pytest.fixture(scope="module")
def pairs():
    """The images and labels of gallery and queries."""
    samples = [list(open_source(name).samples()) for name in (GALLERY, QUERIES)]
    return [([sample.load() for sample in some], [sample.label for sample in some]) for some in samples]


@pytest.fixture(scope="module")
def known(pairs):
    """Features of both by playground-dino."""
    encoder = dv.load_encoder("playground-dino")
    return [(encoder.encode(images), labels) for images, labels in pairs]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The gallery's features of two encoders."""
    folder = tmp_path_factory.mktemp("frozen") / "store"
    embed(GALLERY, ["playground-dino", "playground-clip"], folder)
    return folder


def test_knn_gives_a_row_an_encoder_and_a_column_a_k(dinoclip, known):
    done = dinoclip("evaluate", "knn", *DATA, *DINO, "--encoder", "pixels", "-k", 10, "-k", 1, "--json")
    assert done.code == 0
    rows = done.json["results"]
    assert [row["encoder"] for row in rows] == ["playground-dino", "pixels"]
    (gallery, labels), (queries, truth) = known
    expected = knn_accuracy(gallery.pooled, labels, queries.pooled, truth, (1, 10))
    assert (rows[0]["k1"], rows[0]["k10"]) == (expected[1], expected[10])
    assert rows[0]["k1"] > rows[1]["k1"]
    counts = ("gallery_images", "query_images", "classes")
    assert [rows[0][name] for name in counts] == [100, 30, len(set(labels))]
    assert rows[0]["temperature"] == 0.07 and rows[0]["features"] == "pooled"
    text = dinoclip("evaluate", "knn", *DATA, *DINO, "-k", 10, "--temperature", "inf", "--features", "mean").out
    equal = knn_accuracy(gallery.mean, labels, queries.mean, truth, (10,), float("inf"))
    assert text.splitlines()[1].split() == ["encoder", "k", "=", "10"]
    assert text.splitlines()[2].split() == ["playground-dino", f"{100 * equal[10]:.1f}"]


def test_a_store_stands_for_the_source_that_it_was_made_of(dinoclip, stores):
    drawn = dinoclip("evaluate", "knn", *DATA, *DINO, "--encoder", "playground-clip", "-k", 5, "--json").json["results"]
    stored = dinoclip("evaluate", "knn", "--gallery", stores, "--queries", QUERIES, "-k", 5, "--json").json["results"]
    assert sorted(row["encoder"] for row in stored) == ["playground-clip", "playground-dino"]
    by_name = {row["encoder"]: row["k5"] for row in stored}
    assert [by_name[row["encoder"]] for row in drawn] == pytest.approx([row["k5"] for row in drawn], abs=1 / 30 + 1e-6)
    words = ["--gallery", GALLERY, "--queries", stores, *DINO, "-k", 1, "--limit", 20, "--json"]
    backwards = dinoclip("evaluate", "knn", *words).json["results"][0]
    assert (backwards["k1"], backwards["query_images"]) == (1.0, 20)  # each finds itself


def test_linear_chooses_c_and_saves_the_probe(dinoclip, known, tmp_path):
    file = tmp_path / "probe.safetensors"
    words = ["--features", "pooled+mean", "--save", file, "--json"]
    row = dinoclip("evaluate", "linear", *DATA, *DINO, *words).json["results"][0]
    (gallery, labels), (queries, truth) = known
    mine = LinearProbe("pooled+mean").fit(gallery, labels)
    assert row["accuracy"] == mine.score(queries, truth) > 0.5
    assert row["c"] == mine.c_ and row["held_out"][f"{mine.c_:g}"] == max(mine.held_out_.values())
    saved = LinearProbe.load(file)
    assert torch.equal(saved.weight_, mine.weight_)
    assert saved.figures == {"accuracy": row["accuracy"], "queries": 30}
    told = dinoclip("evaluate", "linear", *DATA, *DINO).out
    assert "accuracy" in told.splitlines()[1] and "playground-dino" in told.splitlines()[2]


def test_low_shot_curves_are_printed_beside(dinoclip):
    words = ["--limit", 100, "--shots", 2, 1, "-k", 1]
    done = dinoclip("evaluate", "knn", *DATA, *DINO, *words, "--json").json["results"][0]
    points = [(point["method"], point["shots"], point["draws"]) for point in done["low_shot"]]
    assert points == [("knn", 1, 5), ("knn", 2, 5), ("class_mean", 1, 5), ("class_mean", 2, 5)]
    lines = dinoclip("evaluate", "linear", *DATA, *DINO, "--shots", 1).out.splitlines()
    assert lines[-2].split() == ["low-shot,", "%", "1", "a", "class"]
    assert lines[-1].split()[:3] == ["playground-dino", "linear", "probe"] and "±" in lines[-1]


def test_instances_are_views_of_drawn_scenes_among_others(dinoclip):
    source, others = "playground:2106:10:96:1", "playground:2107:15"
    done = dinoclip("evaluate", "instances", source, *DINO, "--distractors", others, "--json").json["results"][0]
    views, encoder = drawn_instances(open_source(source)), dv.load_encoder("playground-dino")
    vectors = [
        encoder.encode([sample.load() for sample in one.samples()]).pooled
        for one in (views.queries, views.gallery, open_source(others))
    ]
    expected = instance_retrieval(vectors[0], torch.cat(vectors[1:]), views.truth)
    assert {name: done[name] for name in ("easy", "medium", "hard")} == {
        name: pytest.approx(figures) for name, figures in expected.items()
    }
    assert (done["queries"], done["gallery"], done["distractors"]) == (10, 35, others)
    alone = dinoclip("evaluate", "instances", source, *DINO, "--distractors", "none").out
    assert "10 queries" in alone and "20 images" in alone and "mAP hard" in alone


def test_oxfords_files_are_measured_and_a_lost_image_is_listed(dinoclip, tmp_path):
    (tmp_path / "jpg").mkdir()
    scenes = dv.playground.draw(2108, 5, 96, objects=1)
    for number, scene in enumerate(scenes[:4]):
        scene.image.save(tmp_path / "jpg" / f"p{number}.jpg")
    truth = {
        "imlist": ["gone", "p0", "p1", "p2", "p3"],
        "qimlist": ["p0", "p1"],
        "gnd": [
            {"bbx": [0, 0, 90, 90], "easy": [1], "hard": [0], "junk": []},
            {"bbx": [5, 5, 96, 96], "easy": [2, 0], "hard": [], "junk": [1]},
        ],
    }
    (tmp_path / "gnd_roxford5k.json").write_text(json.dumps(truth))
    done = dinoclip("evaluate", "instances", tmp_path, *DINO, "--json")
    assert done.code == 1
    assert [failure["image"] for failure in done.json["failed"]] == [str(tmp_path / "jpg" / "gone.jpg")]
    row = done.json["results"][0]
    assert (row["queries"], row["gallery"], row["easy"]["queries"]) == (2, 4, 2)
    assert "hard" not in row  # its only answer is the lost one
    (tmp_path / "gnd_roxford5k.json").rename(tmp_path / "gnd_roxford5k.pkl")
    dinoclip("evaluate", "instances", tmp_path).refused("a pickle, which can run code", "python -c")


def test_folders_of_classes_are_measured_and_images_that_fail_are_listed(dinoclip, tmp_path):
    for split, seed, count in (("train", 2109, 60), ("val", 2110, 12)):
        for number, scene in enumerate(dv.playground.draw(seed, count, 96, objects=1)):
            folder = tmp_path / split / ("animal" if scene.objects[0]["name"] in ("cat", "dog", "horse") else "other")
            folder.mkdir(parents=True, exist_ok=True)
            scene.image.save(folder / f"{number}.JPEG", "JPEG")
    (tmp_path / "val" / "other" / "broken.JPEG").write_text("no image")
    words = ["--gallery", tmp_path, "--gallery-split", "train", "--queries", tmp_path, "--queries-split", "val"]
    done = dinoclip("evaluate", "knn", *words, *DINO, "-k", 3, "--json")
    assert done.code == 1
    assert [failure["image"].rsplit("/", 1)[1] for failure in done.json["failed"]] == ["broken.JPEG"]
    row = done.json["results"][0]
    assert (row["gallery_images"], row["query_images"], row["classes"]) == (60, 12, 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["knn", *DATA, "-k", 101], ["k is 101; expected 1 to 100"]),
        (["knn", *DATA, "--temperature", "0"], ["expected more than 0, or inf"]),
        (["knn", "--gallery", "playground:1:9:96:2"], ["none of the 9 images", "has a label", "one folder per class"]),
        (["knn", "--gallery", "playground:2104:3:96:1", "--queries", QUERIES], ["classes that", "has not"]),
        (["knn", "--gallery", QUERIES, "--queries", QUERIES], ["are the same images"]),
        (["linear", *DATA, "--save", "x.safetensors", "--encoder", "pixels"], ["--save writes one probe, but 2"]),
        (["linear", *DATA, "--shots", "1", "--features", "pooled+mean"], ["--shots compares vectors of one kind"]),
        (["linear", *DATA, "--shots", "99"], ["shots are [99]; expected 1 to"]),
        (["instances", "nowhere"], ["'nowhere': no such file"]),
        (["instances", "playground:2"], ["expected playground"]),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(dinoclip, words, told):
    dinoclip("evaluate", *words, *DINO).refused(*told)


def test_stores_of_other_encoders_or_without_labels_are_refused(dinoclip, stores, tmp_path):
    words = ["--gallery", stores, "--queries", QUERIES]
    dinoclip("evaluate", "knn", *words, "--encoder", "pixels").refused("holds features of", "expected pixels")
    dinoclip("evaluate", "knn", *words, "--gallery-split", "train").refused("is a store, which has no splits")
    (tmp_path / "bare").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "bare" / "a.png")
    embed(tmp_path / "bare", "playground-dino", tmp_path / "store")
    assert len(FeatureStore.open(tmp_path / "store")) == 1
    dinoclip("evaluate", "knn", "--gallery", tmp_path / "store", "--queries", QUERIES).refused("has a label")


def test_frozen_puts_every_task_into_one_table(dinoclip):
    from dinoclip_viz.cli.probes.frozen import TASKS

    tasks = ("--task", "segmentation", "--task", "depth", "--limit", 3)
    done = dinoclip("evaluate", "frozen", *DINO, *tasks)
    assert done.code == 0
    shown = [column.title for task in TASKS if task.name in ("segmentation", "depth") for column in task.columns]
    assert [line.split("  ")[0] for line in done.out.splitlines()[1:]] == shown
    results = dinoclip("evaluate", "frozen", *DINO, *tasks, "--json").json["results"]
    assert set(results) == {"segmentation", "depth"} and 0 <= results["segmentation"][0]["miou"] <= 1
