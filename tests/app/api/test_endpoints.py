"""Each endpoint of the API: its values are those of the Python library, and wrong arguments give one clear line."""

import base64
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio_client import handle_file
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.tasks.correspondence.transfer import point_similarity, transfer

NAMES = {"classify", "heatmap", "pca", "match", "search", "similarity", "ask", "afford", "models"}
FILE = {"_type": "gradio.FileData"}


def ask(client, name, **given):
    return client.predict(**given, api_name=f"/{name}")


def image_of(path):
    return Image.open(path).convert("RGB")


def data_uri(path):
    return f"data:image/png;base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def test_only_clean_endpoints_are_listed_each_with_one_named_result(client):
    api = client.view_api(return_format="dict")
    assert {name.removeprefix("/") for name in api["named_endpoints"]} == NAMES
    assert api["unnamed_endpoints"] == {}
    for endpoint in api["named_endpoints"].values():
        (result,) = endpoint["returns"]
        assert result["type"]["type"] == "object" and len(result["type"]["properties"]) >= 4
        assert all(each["type"] for each in endpoint["parameters"])
        assert len(endpoint["parameters"]) <= 7 and endpoint["description"]


def test_classify_gives_the_probabilities_of_the_library(client, model, scenes):
    found = ask(client, "classify", image=handle_file(scenes[0]), labels=["cat", "car", "bus"])
    expected = dv.classify(model, scenes[0], ["cat", "car", "bus"])[0].tolist()
    assert list(found["scores"].values()) == pytest.approx(expected, abs=1e-5)
    assert found["label"] == max(found["scores"], key=found["scores"].get)
    assert (found["model"], found["notice"]) == ("playground", "*The playground models were trained on synthetic "
                                                 "scenes only, so results on photographs are unreliable.*")  # fmt: skip
    typed = ask(client, "classify", image=handle_file(scenes[0]), labels=["cat", "car"], templates=["{}"])
    assert list(typed["scores"].values()) == pytest.approx(
        dv.classify(model, scenes[0], ["cat", "car"], templates=["{}"])[0].tolist(), abs=1e-5
    )
    alone = ask(client, "classify", image=handle_file(scenes[0]), labels=["cat"], none=True)
    expected = dv.classify_or_none(model, scenes[0], ["cat"])[0].tolist()
    assert alone["scores"] == pytest.approx(dict(zip(["cat", "none of these"], expected, strict=True)), abs=1e-5)


@pytest.mark.parametrize("form", [handle_file, data_uri])
def test_an_upload_and_a_data_uri_are_the_same_image(client, scenes, form):
    first = ask(client, "classify", image=form(scenes[0]), labels=["cat", "car"])
    assert first == ask(client, "classify", image=handle_file(scenes[0]), labels=["cat", "car"])


def test_heat_maps_are_the_raw_cosines_of_the_library(client, model, scenes):
    prompts = ["a cat", "grass"]
    found = ask(client, "heatmap", image=handle_file(scenes[0]), prompts=prompts, format="npy")
    maps = np.load(found["array"])
    expected = dv.heatmap(model, scenes[0], prompts)
    assert maps.dtype == np.float32 and maps.shape == (2, 192, 192) == (2, found["height"], found["width"])
    assert np.allclose(maps, expected, atol=1e-5)
    assert found["method"] == model.default_method
    for number, row in enumerate(found["prompts"]):
        x, y = row["peak"]
        assert row["highest"] == pytest.approx(maps[number].max()) == maps[number][int(y), int(x)]
        assert (row["prompt"], row["figure"]) == (prompts[number], None)
        assert row["lowest"] == pytest.approx(maps[number].min())


def test_heat_maps_of_another_method_and_model_are_theirs(client, scenes):
    asked = {"prompts": ["a cat"], "method": "maskclip", "model": "playground-clip", "format": "npy"}
    found = ask(client, "heatmap", image=handle_file(scenes[0]), **asked)
    expected = dv.heatmap("playground-clip", scenes[0], ["a cat"], method="maskclip")
    assert (found["model"], found["method"]) == ("playground-clip", "maskclip")
    assert np.allclose(np.load(found["array"]), expected, atol=1e-5)


def test_heat_maps_as_figures_are_one_per_prompt(client, scenes):
    found = ask(client, "heatmap", image=handle_file(scenes[0]), prompts=["a cat", "grass"])
    assert found["array"] is None
    figures = [image_of(row["figure"]) for row in found["prompts"]]
    assert all(min(figure.size) >= 768 for figure in figures)
    assert figures[0].tobytes() != figures[1].tobytes()


def test_pca_gives_colours_of_one_basis(client, model, scenes):
    images = [handle_file(path) for path in scenes]
    found = ask(client, "pca", images=images, format="npy")
    encoder = model.guide or model.images
    features = encoder.encode_each(scenes, fit="whole")
    basis = dv.PatchPCA(components=3).fit(features)
    assert found["explained_variance"] == pytest.approx(basis.explained_variance_.tolist(), abs=1e-5)
    for row, colours, front in zip(found["images"], basis.transform(features), basis.foreground(features), strict=True):
        assert np.allclose(np.load(row["array"]), colours[0], atol=1e-4)
        assert row["foreground"] == pytest.approx(front.float().mean().item())
    drawn = ask(client, "pca", images=images, hide=True)
    assert [min(image_of(row["figure"]).size) for row in drawn["images"]] == [768, 768]
    assert drawn["images"][0]["array"] is None


def test_match_gives_the_pairs_of_the_library_in_pixels_of_the_given_images(client, model, scenes, tmp_path):
    given = [handle_file(path) for path in scenes]
    found = ask(client, "match", first=given[0], second=given[1], count=5)
    expected = dv.match(model.guide or model.images, *scenes, count=5)
    for pair, a, b, similarity in zip(found["matches"], expected.a, expected.b, expected.similarity, strict=True):
        assert pair["first"] == pytest.approx(a.tolist(), abs=0.01)
        assert pair["second"] == pytest.approx(b.tolist(), abs=0.01)
        assert pair["similarity"] == pytest.approx(similarity.item(), abs=1e-5)
    assert image_of(found["figure"]).width > 768
    large = tmp_path / "large.png"  # beyond what the app computes with
    image_of(scenes[0]).resize((2304, 2304), Image.Resampling.NEAREST).save(large)
    wide = ask(client, "match", first=handle_file(str(large)), second=given[1], count=40, foreground=False)
    assert 1536 < max(max(pair["first"]) for pair in wide["matches"]) <= 2304


def test_similarity_gives_the_corresponding_position(client, model, scenes):
    given = [handle_file(path) for path in scenes]
    found = ask(client, "similarity", image=given[0], x=96.0, y=120.0, other=given[1], format="npy")
    encoder = model.guide or model.images
    a, b = encoder.encode_each(scenes, fit="whole")
    assert np.allclose(np.load(found["array"]), point_similarity(a, b, [[96.0, 120.0]])[0], atol=1e-5)
    assert found["position"] == pytest.approx(transfer(a, b, [[96.0, 120.0]])[0].tolist(), abs=0.01)
    alone = ask(client, "similarity", image=given[0], x=96.0, y=120.0)
    assert alone["position"] == pytest.approx(transfer(a, a, [[96.0, 120.0]])[0].tolist(), abs=0.01)
    assert alone["highest"] == pytest.approx(point_similarity(a, a, [[96.0, 120.0]])[0].max().item(), abs=1e-5)
    assert image_of(alone["figure"]).width == 768


def test_a_position_on_an_object_corresponds_to_itself_in_the_same_image(client, tmp_path):
    scene = dv.playground.draw(seed=1610, count=1, size=192, objects=1)[0]
    scene.image.save(tmp_path / "one.png")
    rows, columns = np.nonzero(scene.instances == 1)
    nearest = np.hypot(rows - rows.mean(), columns - columns.mean()).argmin()
    x, y = float(columns[nearest]) + 0.5, float(rows[nearest]) + 0.5
    found = ask(client, "similarity", image=handle_file(str(tmp_path / "one.png")), x=x, y=y)
    assert np.hypot(found["position"][0] - x, found["position"][1] - y) < 8
    assert found["highest"] > 0.95  # between patches


def test_search_finds_the_nearest_of_the_gallery(client, scenes):
    found = ask(client, "search", text="a red car", count=4)
    scores = [row["similarity"] for row in found["results"]]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    assert sum("car" in row["caption"] for row in found["results"]) >= 3
    assert "200 synthetic scenes" in found["gallery"]
    again = ask(client, "search", image=handle_file(found["results"][0]["image"]), count=3)
    assert again["results"][0]["key"] == found["results"][0]["key"]


def test_ask_captions_answers_detects_and_segments(client, scenes):
    vlm = dv.load_vlm("playground-paligemma")
    image = handle_file(scenes[1])
    assert ask(client, "ask", image=image)["text"] == vlm.caption(scenes[1])
    question = "what color is the bus?"
    assert ask(client, "ask", image=image, task="answer", question=question)["text"] == vlm.answer(scenes[1], question)
    names = ["bus", "bird", "cup"]
    expected = vlm.detect(scenes[1], names)
    boxes = ask(client, "ask", image=image, task="detect", names=names)
    assert [(one["label"], one["mask"]) for one in boxes["detections"]] == [(one.label, None) for one in expected]
    assert len(expected) > 0
    for one, other in zip(boxes["detections"], expected, strict=True):
        assert one["box"] == pytest.approx(list(other.box), abs=0.01) and one["score"] == pytest.approx(other.score)
    masks = ask(client, "ask", image=image, task="segment", names=names)
    coco = pytest.importorskip("pycocotools.mask")
    for one, other in zip(masks["detections"], vlm.segment(scenes[1], names), strict=True):
        assert np.array_equal(coco.decode(one["mask"]).astype(bool), other.mask)
    assert image_of(masks["figure"]).width >= 768


def test_afford_gives_the_maps_of_the_model(client, scenes):
    verbs = ["hold", "slice"]
    found = ask(client, "afford", image=handle_file(scenes[1]), verbs=verbs, format="npy")
    maps = np.load(found["array"])
    assert np.allclose(maps, dv.load_affordance("playground-affordance").predict(scenes[1], verbs), atol=1e-4)
    assert [row["trained"] for row in found["verbs"]] == [True, False]
    assert [row["area"] for row in found["verbs"]] == pytest.approx([float((each >= 0.5).mean()) for each in maps])
    drawn = ask(client, "afford", image=handle_file(scenes[1]), verbs=verbs)
    assert len({image_of(row["figure"]).tobytes() for row in drawn["verbs"]}) == 2


def test_models_lists_what_the_others_accept(client, model):
    found = ask(client, "models")
    assert found["model"] == "playground" and {"playground", "playground-clip"} <= set(found["models"])
    assert found["methods"] == list(model.methods) and found["answering"][0] == "playground-paligemma"


LABELS = {"labels": ["cat", "car"]}
WRONG_IMAGES = {
    "HTML": ("<html><body>no image</body></html>", "<html>"),
    "a path of the server": ("/etc/passwd", "/etc/passwd|passwd"),
    "nothing": (None, "found nothing"),
    "an empty text": ("", "''"),
    "a number": (3, "found 3"),
    "a list": ([], "a list"),
    "an object without a path": ({"image": 1}, "an object"),
    "an object without its mark": ({"path": "/etc/passwd"}, "a path that was not uploaded here"),
    "an object with a null character": ({"path": "/tmp/\0"}, "not uploaded"),
    "a file of another scheme": ("file:///etc/passwd", "passwd"),
    "a private address": ("http://127.0.0.1/a.png", "not on the public internet"),
    "an address of metadata": ("http://169.254.169.254/latest", "not on the public internet"),
    "text as data": ("data:text/plain;base64,aGVsbG8=", "found"),
    "damaged base64": ("data:image/png;base64,###", "damaged base64"),
    "a data URI without base64": ("data:image/svg+xml,<svg/>", "without base64"),
    "a path behind the served prefix": ("http://127.0.0.1/gradio_api/file=/etc/passwd", "not uploaded"),
}


def line_of(client, name, **given):
    with pytest.raises(Exception) as caught:
        ask(client, name, **given)
    line = str(caught.value)
    assert "\n" not in line and "show_error" not in line, line
    return line


@pytest.mark.parametrize("kind", WRONG_IMAGES)
def test_what_is_no_image_is_refused_in_one_line(client, kind):
    value, part = WRONG_IMAGES[kind]
    line = line_of(client, "classify", image=value, **LABELS)
    assert any(each in line for each in part.split("|")) and "expected" in line
    assert "/etc/" not in line.replace("file:///etc/passwd", "")


def test_a_text_file_is_refused_in_one_line(client, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("<html>not found</html>")
    assert "notes.png: found HTML text" in line_of(client, "classify", image=handle_file(str(path)), **LABELS)
    assert "images[1]" not in line_of(client, "pca", images=[handle_file(str(path))])


WRONG = {
    "an unknown model": ("classify", {**LABELS, "model": "nonsense"}, "found model 'nonsense'"),
    "a folder as model": ("classify", {**LABELS, "model": "/etc"}, "does not offer"),
    "a number as model": ("classify", {**LABELS, "model": 3}, "found 3 as model"),
    "no labels": ("classify", {"labels": []}, "found 0 labels; expected 2 to 64 texts"),
    "one label": ("classify", {"labels": ["cat"]}, "found 1 labels"),
    "labels in one text": ("classify", {"labels": "cat, dog"}, "'cat, dog' as labels; expected a list"),
    "an empty label": ("classify", {"labels": ["cat", " "]}, "labels[1]"),
    "a repeated label": ("classify", {"labels": ["cat", "cat"]}, "2 times"),
    "too many labels": ("classify", {"labels": [str(number) for number in range(65)]}, "found 65 labels"),
    "a long label": ("classify", {"labels": ["x" * 300, "y"]}, "300 characters"),
    "a template without a slot": ("classify", {**LABELS, "templates": ["a photo"]}, "a photo"),
    "a word as flag": ("classify", {**LABELS, "none": "yes"}, "'yes' as none; expected true or false"),
    "no prompts": ("heatmap", {"prompts": []}, "found 0 prompts"),
    "an unknown method": ("heatmap", {"prompts": ["a"], "method": "nonsense"}, "nonsense"),
    "another format": ("heatmap", {"prompts": ["a"], "format": "tiff"}, "'tiff' as format; expected one of: png, npy"),
    "a point to the right": ("similarity", {"x": 193, "y": 5}, "found x 193; expected 0 to 192"),
    "a point above": ("similarity", {"x": 5, "y": -1}, "found y -1; expected 0 to 192"),
    "a word as position": ("similarity", {"x": "left", "y": 1}, "'left' as x; expected a number"),
    "an unknown task": ("ask", {"task": "sing"}, "'sing' as task; expected one of: caption, answer, detect, segment"),
    "no question": ("ask", {"task": "answer"}, "'' as question; expected a text"),
    "no names": ("ask", {"task": "detect"}, "found nothing as names; expected a list of 1 to 8 texts"),
    "another answering model": ("ask", {"model": "playground"}, "'playground' as model"),
    "no verbs": ("afford", {"verbs": []}, "found 0 verbs"),
    "a threshold above 1": ("afford", {"verbs": ["hold"], "threshold": 2}, "found threshold 2; expected 0 to 1"),
    "a true threshold": ("afford", {"verbs": ["hold"], "threshold": True}, "found true as threshold"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arguments_give_one_clear_line(client, scenes, kind):
    name, given, part = WRONG[kind]
    line = line_of(client, name, image=handle_file(scenes[0]), **given)
    assert part in line, line


def test_wrong_arguments_without_an_image_give_one_clear_line(client, scenes):
    given = [handle_file(path) for path in scenes]
    assert "found neither text and image" in line_of(client, "search")
    assert "found both text and image" in line_of(client, "search", text="a", image=given[0])
    assert "found count 25; expected 1 to 24" in line_of(client, "search", text="a", count=25)
    assert "found count 2.5" in line_of(client, "search", text="a", count=2.5)
    assert "found count 0" in line_of(client, "match", first=given[0], second=given[1], count=0)
    assert "found 13 images; expected 1 to 12" in line_of(client, "pca", images=[given[0]] * 13)
    assert "found 0 images" in line_of(client, "pca", images=[])
    assert "images[1]" in line_of(client, "pca", images=[given[0], "<html>"])
    assert "second" in line_of(client, "match", first=given[0], second="<html>")


def test_a_stranger_calls_no_event_of_the_page_by_name(client):
    for name in ("load", "run", "ask_1", "again", "probe", "adapt", "heatmap_1"):
        with pytest.raises(ValueError, match="api_name"):
            client.predict(api_name=f"/{name}")


def test_files_of_results_are_complete_and_the_same_for_equal_requests(client, scenes):
    asked = {"image": handle_file(scenes[0]), "prompts": ["a dog"], "format": "npy"}
    first, second = (ask(client, "heatmap", **asked)["array"] for _ in range(2))
    assert Path(first).read_bytes() == Path(second).read_bytes()
    assert torch.from_numpy(np.load(first)).isfinite().all()


def test_addresses_of_one_request_share_their_time_and_are_fetched_before_the_lock(monkeypatch, bench, scenes):
    from dinoclip_viz.app.api import downloads, patches
    from dinoclip_viz.app.api.register import typed

    waits = []

    def download(address, seconds):
        waits.append(seconds)
        assert not bench.running._is_owned()
        return Path(scenes[0]).read_bytes()

    monkeypatch.setattr(downloads, "download", download)
    pca = typed(bench, patches.pca, {"bench": bench, "gallery": None})
    found = pca(["https://example.com/a.png", "https://example.com/b"])
    assert len(found["images"]) == 2 and found["images"][0]["figure"]["path"].endswith(".png")
    assert downloads.SECONDS >= waits[0] >= waits[1] > downloads.SECONDS - 5
    monkeypatch.setattr(downloads, "monotonic", lambda: float("inf"))
    pca(["https://example.com/a.png"])
    assert waits[-1] == downloads.LEAST
