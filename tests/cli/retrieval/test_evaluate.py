"""`dinoclip evaluate`: retrieval, zero-shot classification and alignment on small playgrounds."""

import subprocess
import sys

import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.cli.parser import EVALUATE_VERBS
from dinoclip_viz.data import open_source
from dinoclip_viz.pipeline import embed

DATA = "playground:3002:40"
WAYS = ("image_to_text", "text_to_image")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The playground's features of both encoders, with captions."""
    folder = tmp_path_factory.mktemp("evaluate") / "store"
    embed(DATA, ["playground-dino", "playground-clip"], folder, texts="playground-clip")
    return folder


def by_hand(name, count, captions=4):
    """`recall` of a model on the scenes of `DATA`."""
    model = dv.load_model(name)
    samples = list(open_source(DATA).samples())[:count]
    images = model.encode_images([sample.load() for sample in samples], methods=()).pooled
    said = [text for sample in samples for text in sample.captions[:captions]]
    owners = [row for row, sample in enumerate(samples) for _ in sample.captions[:captions]]
    return dv.recall(images, model.encode_texts(said).pooled, owners)


def test_help_of_every_measure_loads_no_library():
    code = f"""
import contextlib, io, sys
from dinoclip_viz.cli import main
for verb in {EVALUATE_VERBS!r}:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        assert main(["evaluate", verb, "--help"]) == 0
    assert "--json" in told.getvalue()
print([name for name in ("torch", "numpy", "tqdm", "open_clip") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_retrieval_gives_a_row_a_data_set_and_model(dinoclip):
    words = ["--model", "playground", "--model", "playground-clip", "--captions", "first", "--limit", "24"]
    done = dinoclip("evaluate", "retrieval", DATA, "playground:3003:20", *words, "--json")
    assert done.code == 0
    rows = done.json["results"]
    assert [(row["data"], row["model"], row["encoder"], row["images"], row["captions"]) for row in rows] == [
        (DATA, "playground", "playground-dino", 24, 24),
        (DATA, "playground-clip", "playground-clip", 24, 24),
        ("playground:3003:20", "playground", "playground-dino", 20, 20),
        ("playground:3003:20", "playground-clip", "playground-clip", 20, 20),
    ]
    for row, name in zip(rows[:2], ("playground", "playground-clip"), strict=True):
        found, teacher = by_hand(name, 24, captions=1), by_hand("playground-clip", 24, captions=1)
        for way in WAYS:
            assert (row[way], row[f"teacher_{way}"]) == (found[way], teacher[way])
            assert row["share"][way] == pytest.approx(found[way]["R@1"] / teacher[way]["R@1"])
    assert rows[1]["share"] == {"image_to_text": 1.0, "text_to_image": 1.0}


def test_retrieval_lists_what_failed_and_does_the_rest(dinoclip, tmp_path):
    scenes = dv.playground.draw(3002, 3, 96)
    lines = ["image,caption"]
    for number, scene in enumerate(scenes):
        scene.image.save(tmp_path / f"{number}.png")
        lines += [f'{number}.png,"{scene.captions[0]}"']
    (tmp_path / "broken.png").write_text("no image")
    scenes[0].image.save(tmp_path / "mute.png")
    (tmp_path / "captions.csv").write_text("\n".join([*lines, "broken.png,a cat", "mute.png,", ""]))
    done = dinoclip("evaluate", "retrieval", tmp_path / "captions.csv", tmp_path / "gone.csv", "--json")
    assert done.code == 1
    assert [row["images"] for row in done.json["results"]] == [3]
    failed = done.json["failed"]
    assert len(failed) == 3
    for row, told in zip(failed, ("gone.csv", "broken.png", "no caption"), strict=True):
        assert told in row["error"]


def test_retrieval_of_nothing_ends_with_2(dinoclip, tmp_path):
    (tmp_path / "a.png").write_text("no image")
    (tmp_path / "list.csv").write_text("image,caption\na.png,a cat\n")
    dinoclip("evaluate", "retrieval", tmp_path / "list.csv").refused("a.png")
    dinoclip("evaluate", "retrieval", tmp_path / "gone").refused("gone")
    dinoclip("evaluate", "retrieval", "--images", tmp_path).refused("--targets")
    dinoclip("evaluate", "retrieval", DATA, "--images", "a", "--targets", "b").refused("SOURCE")
    dinoclip("evaluate", "retrieval", DATA, "--model", "no-such-model").refused("no-such-model")


def test_retrieval_from_stores_equals_retrieval_from_images(dinoclip, stores):
    models = ["--model", "playground", "--model", "playground-clip"]
    stored = ["--images", stores / "playground-dino", "--targets", stores / "playground-clip"]
    ways = [
        dinoclip("evaluate", "retrieval", *given, *models, "--json").json["results"]
        for given in ([DATA], stored, [stores])
    ]
    assert ways[1] == ways[2]
    assert [row["captions"] for row in ways[0]] == [row["captions"] for row in ways[1]] == [160, 160]
    for direct, saved in zip(*ways[:2], strict=True):
        assert [direct[key] for key in ("data", "model", "encoder", "teacher")] == [
            saved[key] for key in ("data", "model", "encoder", "teacher")
        ]
        for way in WAYS:  # float16 may turn a close pair round
            assert direct[way] == pytest.approx(saved[way], abs=0.03)
            assert direct[f"teacher_{way}"] == pytest.approx(saved[f"teacher_{way}"], abs=0.03)
    first = dinoclip("evaluate", "retrieval", *stored, "--captions", "first", "--limit", "10", "--json").json["results"]
    assert (first[0]["images"], first[0]["captions"]) == (10, 10)


def test_stores_that_do_not_match_are_both_named(dinoclip, stores, tmp_path):
    embed("playground:3003:40", "playground-dino", tmp_path / "other")
    embed("playground:3002:30", "playground-dino", tmp_path / "fewer")
    dino, clip = stores / "playground-dino", stores / "playground-clip"
    for verb in ("retrieval", "alignment"):
        words = ("evaluate", verb, "--targets", clip, "--images")
        dinoclip(*words, tmp_path / "other").refused(str(tmp_path / "other"), str(clip), "40 of 40 keys differ")
        dinoclip(*words, tmp_path / "fewer").refused(str(tmp_path / "fewer"), str(clip), "30 and 40")
    dinoclip("evaluate", "retrieval", "--images", clip, "--targets", dino).refused("playground-dino")
    dinoclip("evaluate", "retrieval", "--images", dino, "--targets", tmp_path / "other").refused("playground-clip")


def test_the_worst_queries_are_drawn(dinoclip, stores, tmp_path):
    for number, given in enumerate([[DATA], ["--images", stores, "--targets", stores]]):
        file = tmp_path / "sheets" / f"{number}.png"
        done = dinoclip("evaluate", "retrieval", *given, "--worst", file)
        assert done.code == 0 and f"wrote {file}" in done.out
        assert Image.open(file).width > 240
    done = dinoclip("evaluate", "retrieval", "playground:3002:2", "--captions", "first", "--worst", tmp_path / "a.png")
    assert done.code == 0 and "no query failed" in done.out and not (tmp_path / "a.png").exists()


def test_tables_have_the_published_figures_of_data_sets_of_that_name_alone(dinoclip, tmp_path):
    scene = dv.playground.draw(3002, 1, 96)[0]
    for name in ("flickr8k", "plain"):
        folder = tmp_path / name
        folder.mkdir()
        scene.image.save(folder / "0.png")
        (folder / "list.csv").write_text(f'image,caption\n0.png,"{scene.captions[0]}"\n')
    words = ("evaluate", "retrieval", "--format", "markdown")
    known, plain = (dinoclip(*words, tmp_path / name / "list.csv").out for name in ("flickr8k", "plain"))
    assert "published (dinov2-clip, facebook/dinov2-base): Flickr8k: 89.27 %" in known
    assert "published (" not in plain and plain.startswith("| data set | encoder | teacher | R@1 image->text |")


def test_zero_shot_equals_classify(dinoclip):
    done = dinoclip("evaluate", "zero-shot", "playground:3000:40:96:1", "--template", "{}", "--json")
    scenes = dv.playground.draw(3000, 40, 96, objects=1)
    chances = dv.classify(dv.load_model(), [scene.image for scene in scenes], dv.playground.CLASSES, ["{}"])
    truth = torch.tensor([dv.playground.CLASSES.index(scene.objects[0]["name"]) for scene in scenes])
    result = done.json["results"][0]
    assert (done.code, result["images"], result["classes"], result["templates"]) == (0, 40, "playground", 1)
    assert result["top1"] == pytest.approx((chances.argmax(1) == truth).double().mean().item())
    assert result["top5"] == pytest.approx((chances.topk(5).indices == truth[:, None]).any(1).double().mean().item())
    assert [row["class"] for row in result["per_class"]] == list(dv.playground.CLASSES)
    assert sum(row["images"] for row in result["per_class"]) == 40


def test_zero_shot_takes_folders_as_labels_and_lists_what_has_none(dinoclip, tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\nhouse\n")
    rows = ["image,label"]
    for number, scene in enumerate(dv.playground.draw(3000, 60, 96, objects=1)):
        if scene.objects[0]["name"] in ("cat", "dog"):
            scene.image.save(tmp_path / f"{number}.png")
            rows.append(f"{number}.png,{scene.objects[0]['name']}")
    rows += [f"{number}.png,unicorn", f"{number + 1}.png,cat"]
    scene.image.save(tmp_path / f"{number}.png")
    (tmp_path / "list.csv").write_text("\n".join([*rows, ""]))
    words = ("evaluate", "zero-shot", tmp_path / "list.csv", "--classes", tmp_path / "classes.txt")
    done = dinoclip(*words, "--json")
    assert done.code == 1
    assert ["unicorn" in row["error"] for row in done.json["failed"]] == [True, False]
    result = done.json["results"][0]
    assert result["images"] == len(rows) - 3 and result["top5"] is None and result["per_class"][2]["top1"] is None
    assert "dog" in dinoclip(*words).out
    dinoclip("evaluate", "zero-shot", tmp_path / "list.csv").refused("--classes")
    dinoclip("evaluate", "zero-shot", "playground:3000:4:96:2").refused("label")
    dinoclip("evaluate", "zero-shot", "--classes", "imagenett").refused("imagenett", "imagenet, coco")


def test_zero_shot_speaks_imagenets_language(dinoclip, tmp_path):
    for code, scene in zip(("n02123045", "n04008634", "n04356056"), dv.playground.draw(3000, 3, 96), strict=True):
        (tmp_path / code).mkdir()
        scene.image.save(tmp_path / code / "0.png")
    done = dinoclip("evaluate", "zero-shot", tmp_path, "--classes", "imagenet", "--template", "{}", "--json")
    assert (done.code, done.json["results"][0]["images"]) == (0, 3)


def test_alignment_gives_all_three_figures(dinoclip, stores):
    words = ("evaluate", "alignment", "--images", stores / "playground-dino", "--targets", stores / "playground-clip")
    found = dinoclip(*words, "--json").json
    assert (found["images"], found["targets"], found["count"]) == ("playground-dino", "playground-clip", 40)
    for kind in ("pooled", "mean"):
        assert 0 < found[kind]["linear_cka"] < 1
        assert 10 / 39 < found[kind]["mutual_neighbours"] < 1
    assert 0 < found["modality_gap"]["distance"] < 2
    assert "mutual neighbours" in dinoclip(*words).out
    clip = stores / "playground-clip"
    same = dinoclip("evaluate", "alignment", "--images", clip, "--targets", clip, "--json").json["pooled"]
    assert same == {"linear_cka": pytest.approx(1), "mutual_neighbours": 1}
    dinoclip(*words, "-k", "40").refused("k is 40")
