"""`dinoclip evaluate detection`, `captions` and `answers` on scenes, COCO's files and lists, with a scripted model."""

import json

import pytest
from PIL import Image

from dinoclip_viz import playground
from dinoclip_viz.playground.held_out import held_out
from dinoclip_viz.tasks.vlm import detection
from dinoclip_viz.tasks.vlm.scenes import annotated
from dinoclip_viz.vlm.locations import location_tokens
from tests.scripted_vlm import scripted_vlm

CODES = "".join(f"<seg{number:03d}>" for number in range(16))
SOURCE = "playground:3000:12"
SCENES = {one.scene.image.tobytes(): one for one in held_out(3000, 12)}


def script(image, prompt):
    """All about the scenes, by their pixels."""
    one = SCENES[image.tobytes()]
    if prompt.startswith("caption"):
        return one.scene.captions[0]
    if prompt.startswith("answer"):
        return next(asked.answer for asked in one.asked if asked.prompt == prompt)
    verb, _, name = prompt.partition(" ")
    targets = annotated(one).targets
    named = [targets[at] for text, at in one.expressions if text == name]
    codes = CODES if verb == "segment" else ""
    found = named or [target for target in targets if target.label == name]
    return " ; ".join(f"{location_tokens(target.box, image.size)}{codes} {name}" for target in found)


@pytest.fixture
def say(monkeypatch):
    """Sets the script of the model that `load_vlm` returns."""

    def chosen(text_of):
        monkeypatch.setattr("dinoclip_viz.vlm.loading.load_vlm", lambda *given: scripted_vlm(text_of))

    chosen(script)
    return chosen


def result(done):
    (one,) = done.json["results"]
    assert one["model"] == "playground-paligemma" and one["dtype"] == "float32"
    return one


def test_detection_on_scenes_measures_boxes_expressions_and_masks(dinoclip, say):
    pytest.importorskip("pycocotools")
    one = result(dinoclip("evaluate", "detection", SOURCE, "--masks", "--json"))
    assert (one["recall"], one["refused"]) == (1.0, 1.0) and one["AP50"] == pytest.approx(1) and one["images"] == 12
    assert one["referring"]["accuracy"] == 1.0 and one["referring"]["chance"] <= 0.5
    assert 0 < one["segmentation"]["mean_iou"] < 1  # of a random mask decoder
    text = dinoclip("evaluate", "detection", SOURCE).out
    assert "recall at IoU .5" in text and "mean IoU of masks" not in text


def test_captions_on_scenes_measure_objects_and_colours_and_say_that_it_is_not_cider(dinoclip, say):
    one = result(dinoclip("evaluate", "captions", SOURCE, "--json"))
    assert (one["f1"], one["colours_right"], one["captions"]) == (1.0, 1.0, 12) and "not CIDEr" in one["measure"]
    say(lambda image, prompt: "a red zebra")
    assert result(dinoclip("evaluate", "captions", SOURCE, "--json"))["f1"] == 0.0


def test_answers_on_scenes_are_compared_with_the_most_frequent_ones(dinoclip, say):
    kinds = result(dinoclip("evaluate", "answers", SOURCE, "--json"))["kinds"]
    assert {"colour", "count, one class", "yes-no"} <= set(kinds)
    assert all(one["accuracy"] == 1.0 for one in kinds.values())
    say(lambda image, prompt: "yes")
    kinds = result(dinoclip("evaluate", "answers", SOURCE, "--limit", "8", "--json"))["kinds"]
    assert kinds["colour"]["accuracy"] == 0.0 and kinds["yes-no"]["questions"] == 8
    assert "yes-no" in dinoclip("evaluate", "answers", SOURCE).out


@pytest.fixture
def coco(tmp_path):
    """COCO's files of three scenes, one of which has no image."""
    scenes = playground.draw(3000, 3, 96)
    (tmp_path / "val2017").mkdir()
    rows, boxes, captions = [], [], []
    for number, scene in enumerate(scenes):
        rows.append({"id": number, "file_name": f"{number}.png"})
        if number < 2:
            scene.image.save(tmp_path / "val2017" / f"{number}.png")
        captions += [{"image_id": number, "id": len(captions), "caption": "a cat on a couch"}]
        for one in scene.objects:
            x0, y0, x1, y1 = one["box"]
            category = playground.CLASSES.index(one["name"])
            boxes.append({"image_id": number, "category_id": category, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    categories = [{"id": number, "name": name} for number, name in enumerate(playground.CLASSES)]
    folder = tmp_path / "annotations"
    folder.mkdir()
    known = {"images": rows, "annotations": boxes, "categories": categories}
    (folder / "instances_val2017.json").write_text(json.dumps(known))
    (folder / "captions_val2017.json").write_text(json.dumps({"images": rows, "annotations": captions}))
    return folder


def test_cocos_boxes_are_measured_and_missing_images_are_listed(dinoclip, say, coco):
    pytest.importorskip("pycocotools")
    done = dinoclip("evaluate", "detection", coco / "instances_val2017.json", "--json")
    one = done.json["results"][0]
    assert done.code == 1 and "2.png" in done.json["failed"][0]["error"]
    assert (one["images"], one["recall"], one["refused"], one["classes"]) == (2, 1.0, 1.0, 20)
    assert one["AP50"] == pytest.approx(1)


def test_every_class_is_asked_for_if_that_is_wanted(dinoclip, say, coco):
    pytest.importorskip("pycocotools")
    asked = []
    say(lambda image, prompt: asked.append(prompt) or "<loc0000><loc0000><loc1023><loc1023> x")
    file = coco / "instances_val2017.json"
    few = dinoclip("evaluate", "detection", file, "--limit", "1", "--json").json["results"][0]
    count = len(asked)
    asked.clear()
    every = dinoclip("evaluate", "detection", file, "--limit", "1", "--all-classes", "--json").json["results"][0]
    assert set(asked) == {f"detect {name}" for name in playground.CLASSES} and count < 5
    assert few["refused"] == every["refused"] == 0.0


def test_cocos_captions_are_compared_with_their_references(dinoclip, say, coco):
    say(lambda image, prompt: "a cat and a car")
    done = dinoclip("evaluate", "captions", coco / "captions_val2017.json", "--json")
    one = done.json["results"][0]
    assert done.code == 1 and (one["captions"], one["precision"], one["recall"]) == (2, 0.5, 0.5)
    assert one["colours_right"] is None


def test_a_list_of_questions_is_measured_by_kind(dinoclip, say, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    rows = [("what?", "Red", "colour"), ("what now?", "red.", "colour"), ("how many?", ["2", "two"], "")]
    lines = [{"image": "1.png", "question": q, "answer": a, "kind": k} for q, a, k in rows]
    lines.append({"image": "gone.png", "question": "what?", "answer": "red"})
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    say(lambda image, prompt: "two" if "many" in prompt else "red")
    done = dinoclip("evaluate", "answers", file, "--json")
    kinds = done.json["results"][0]["kinds"]
    assert done.code == 1 and "gone.png" in done.json["failed"][0]["error"]
    assert (kinds["colour"]["accuracy"], kinds["colour"]["gain"], kinds["all"]["accuracy"]) == (1.0, 0.0, 1.0)


def test_pycocotools_is_named_before_the_model_is_loaded(dinoclip, monkeypatch):
    monkeypatch.setattr(detection, "find_spec", lambda name: None)
    monkeypatch.setattr("dinoclip_viz.vlm.loading.load_vlm", lambda *given: pytest.fail("loaded"))
    dinoclip("evaluate", "detection", SOURCE).refused("pycocotools", "dinoclip-viz[vlm]")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("detection", "gone.json"), "gone.json: no such file"),
        (("detection", "."), "a folder"),
        (("answers", "gone.jsonl"), "gone.jsonl: no such file"),
        (("captions", "gone.json"), "gone.json"),
        (("captions", "playground:x:y"), "playground:x:y"),
        (("detection", SOURCE, "--all-classes"), "--all-classes is for COCO"),
        (("captions", SOURCE, "--classes", "coco"), "--classes is for captions of photographs"),
        (("answers", SOURCE, "--levels", "0,10"), "omit --image-folder"),
    ],
)
def test_wrong_words_are_one_line(dinoclip, say, words, line):
    dinoclip("evaluate", *words).refused(line)


def test_masks_of_coco_are_refused(dinoclip, say, coco):
    dinoclip("evaluate", "detection", coco / "instances_val2017.json", "--masks").refused(
        "--masks is for the playground"
    )
