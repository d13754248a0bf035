"""`dinoclip adapt`, and what `classify` and `evaluate zero-shot` do with its folder."""

import json

import pytest
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.adapt.adapt import METHODS as KNOWN
from dinoclip_viz.cli.adapt.adapt import METHODS
from dinoclip_viz.cli.parser import build_parser
from dinoclip_viz.playground import CLASSES

LABELS = ",".join(CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("fog")
    for number, scene in enumerate(dv.playground.draw(3070, 24, 96, objects=1, domain="fog")):
        scene.image.save(place / f"{number:03d}.png")
    return place


@pytest.mark.parametrize("method", ["stata", "zlap"])
def test_adapt_writes_a_model_that_other_verbs_take(dinoclip, folder, scenes, tmp_path, method):
    out = tmp_path / "adapted"
    done = dinoclip("adapt", folder, "--labels", LABELS, "--method", method, "--out", out, "--json")
    assert done.code == 0
    assert (done.json["method"], done.json["images"], done.json["classes"]) == (method, 24, 20)
    written = {"README.md", "settings.json", "classifier.safetensors", "report.json", "confidence.webp"}
    changed = json.loads((out / "report.json").read_text())["changed"]
    assert len(changed) == done.json["changed"] == round(24 * (1 - done.json["agreement"]))
    assert {file.name for file in out.iterdir()} == written | ({"changed.webp"} if changed else set())
    Image.open(out / "confidence.webp").load()
    told = dinoclip("classify", *scenes, "--model", out, "--labels", LABELS, "--json")
    assert told.code == 0 and list(told.json["results"][0]["scores"]) == list(CLASSES)
    model = dv.load_model(str(out))
    first = dv.classify(model, str(scenes[0]), CLASSES)[0]
    assert told.json["results"][0]["label"] == CLASSES[int(first.argmax())]
    words = ["evaluate", "zero-shot", "playground:3000:40:96:1", "--model", out]
    found = dinoclip(*words, "--json").json["results"][0]
    drawn = dv.playground.draw(3000, 40, 96, objects=1)
    label = dv.classify(model, [scene.image for scene in drawn], CLASSES).argmax(1).tolist()
    right = sum(CLASSES[number] == scene.objects[0]["name"] for number, scene in zip(label, drawn, strict=True))
    assert found["top1"] == pytest.approx(right / 40) and found["method"] == method
    dinoclip(*words, "--template", "a {}").refused("1 templates", "expected none")
    dinoclip(*words, "--classes", "coco").refused("expected some of the 20 classes")
    dinoclip("classify", scenes[0], "--model", out, "--labels", "cat,owl").refused("owl", "20 classes")
    dinoclip("classify", scenes[0], "--model", out, "--labels", "cat", "--none").refused("none of these")


def test_a_store_is_adapted_to_and_its_changed_images_are_shown(dinoclip, folder, tmp_path):
    dv.embed(str(folder), "playground-clip", tmp_path / "store")
    done = dinoclip(
        "adapt", tmp_path / "store", "--labels", LABELS, "--method", "transclip", "--out", tmp_path / "out", "--json"
    )
    assert done.code == 0 and done.json["changed"] > 0
    sheet = Image.open(tmp_path / "out" / "changed.webp").convert("RGB")
    assert len(sheet.getcolors(1 << 20)) > 500  # images, not grey tiles


def test_class_names_come_from_a_file_and_descriptions_from_json(dinoclip, folder, tmp_path):
    names, texts = tmp_path / "names.txt", tmp_path / "cupl.json"
    names.write_text("cat\ndog\n")
    texts.write_text(json.dumps({"cat": ["a cat on grass"], "dog": ["a brown dog"]}))
    out = tmp_path / "out"
    done = dinoclip("adapt", folder, "--labels", names, "--descriptions", texts, "--out", out)
    assert done.code == 0 and "labels changed" in done.out
    settings = json.loads((out / "settings.json").read_text())
    assert settings["class_names"] == ["cat", "dog"] and settings["descriptions"] == 2


def test_failed_images_are_listed(dinoclip, folder, tmp_path):
    for file in list(folder.iterdir())[:3]:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "in" / "broken.png").write_text("no image")
    done = dinoclip("adapt", tmp_path / "in", "--labels", "cat,dog", "--out", tmp_path / "out", "--json")
    assert done.code == 1 and len(done.json["failures"]) == 1 and "broken.png" in done.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--labels", "cat"], "two names or more"),
        (["--labels", "cat,,dog"], "label 2"),
        (["--labels", "cat,dog", "--descriptions", "playground2.json"], "found no file"),
        (["--labels", "cat,owl", "--descriptions", "playground"], "owl"),
        (["--labels", "cat,dog", "--guide", "playground-dino"], "stata has no guide"),
        (["--labels", "cat,dog", "--method", "magic"], "magic"),
        (["--labels", "cat,dog", "--seed", "3"], "no random numbers"),
        (["--labels", "cat,dog", "--model", "playground-dino"], "playground-dino"),
        (["--labels", "cat,dog", "--method", "nola", "--model", "playground"], "projector"),
    ],
)
def test_bad_usage_is_one_line(dinoclip, folder, tmp_path, words, reason):
    dinoclip("adapt", folder, *words, "--out", tmp_path / "out").refused(reason)
    assert not (tmp_path / "out" / "settings.json").exists()


def test_missing_empty_and_foreign_sources_are_one_line(dinoclip, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    dv.embed(str(folder), "playground-dino", tmp_path / "dino")
    rest = ["--labels", "cat,dog", "--out", tmp_path / "out"]
    dinoclip("adapt", tmp_path / "nowhere", *rest).refused("nowhere")
    dinoclip("adapt", tmp_path / "empty", *rest).refused("empty")
    dinoclip("adapt", tmp_path / "dino", *rest).refused("playground-dino", "--encoder playground-clip")
    dv.embed(str(folder), "playground-clip", tmp_path / "clip")
    dinoclip("adapt", tmp_path / "clip", *rest, "--method", "nola").refused("features alone")
    dinoclip("adapt", tmp_path / "clip", *rest, "--levels", "0,100").refused("omit --levels")


def test_every_method_is_offered():
    assert set(METHODS) == set(KNOWN)
    assert build_parser().parse_args(["adapt", "x", "--labels", "a,b", "--out", "nowhere"]).method == "stata"
