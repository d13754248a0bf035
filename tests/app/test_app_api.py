import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from dinoclip_viz.app import launch_settings
from dinoclip_viz.images import load_image


@pytest.fixture(scope="module")
def client(address):
    return Client(address, verbose=False)


def test_the_public_names_are_these(client):
    names = set(client.view_api(return_format="dict")["named_endpoints"])
    assert names == {
        f"/{name}"
        for name in (
            *("load", "classify", "heatmap", "pca", "hover", "match", "tokens", "probe", "neighbours"),
            *("search_text", "search_image", "adapt", "caption", "ask", "detect", "segment", "afford"),
        )
    }


def test_each_tab_answers(client, photograph):
    image = handle_file(photograph)
    _, table, note = client.predict(image, "cat, dog", api_name="/classify")
    assert len(table["data"]) == 2
    assert "synthetic scenes" in note
    maps, *_ = client.predict(image, "a cat\na dog", api_name="/heatmap")
    assert [each["caption"] for each in maps] == ["a cat", "a dog"]
    gallery = client.predict([{"image": image, "caption": None}], api_name="/pca")[0]
    assert len(gallery) == 3
    summary, *_ = client.predict(labels="cat, dog", count=50, uploads=None, api_name="/adapt")
    assert "of 50 labels changed" in summary


def test_a_broken_file_is_told_in_one_line(client, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(Exception, match=r"broken\.png"):
        client.predict(handle_file(str(broken)), "cat, dog", api_name="/classify")


def test_visitors_who_ask_the_same_at_once_receive_complete_files(address, photograph):
    def ask(number):
        visitor = Client(address, verbose=False)
        maps, *_ = visitor.predict(handle_file(photograph), "a boat\na tree\na bus", api_name="/heatmap")
        bars, *_ = visitor.predict(handle_file(photograph), "boat, bus", api_name="/classify")
        images = [Image.open(path) for path in (*(one["image"] for one in maps), bars)]
        return [image.convert("RGB").tobytes() for image in images]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(16)))
    assert len(answers[0]) == 4 and all(answer == answers[0] for answer in answers)


def test_the_benchmark_under_load_calls_every_endpoint(client):
    path = Path(__file__).parents[1] / "benchmarks" / "app_load.py"
    spec = importlib.util.spec_from_file_location("app_load", path)
    load = importlib.util.module_from_spec(spec)
    sys.modules["app_load"] = load
    spec.loader.exec_module(load)
    api = client.view_api(return_format="dict")["named_endpoints"]
    assert set(load.INPUTS) == set(api)
    for name, ways in load.INPUTS.items():
        known = {parameter["parameter_name"] for parameter in api[name]["parameters"]}
        assert all(set(way("image", "a cat")) <= known for way in ways)


def test_nothing_but_the_page_is_served():
    settings = launch_settings()
    assert settings["allowed_paths"] == [] and settings["share"] is False


@pytest.mark.parametrize("kind", ["avif", "heic"])
def test_uploads_of_phones_are_answered_like_their_png(client, kind, photograph, tmp_path):
    if kind == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    upload, same = tmp_path / f"upload.{kind}", tmp_path / "same.png"
    Image.open(photograph).resize((256, 256)).save(upload)
    load_image(upload).save(same)
    Image.OPEN.pop("HEIF", None)  # the app needs no opener registered for all of Pillow
    tables = [client.predict(handle_file(str(path)), "cat, dog", api_name="/classify")[1] for path in (upload, same)]
    assert tables[0] == tables[1]
    maps = client.predict([{"image": handle_file(str(upload)), "caption": None}], api_name="/pca")[0]
    assert len(maps) == 3


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO"])
def test_other_formats_are_refused_in_one_line(client, kind, tmp_path):
    path = tmp_path / "upload.png"
    Image.new("RGB", (64, 64)).save(path, kind)
    with pytest.raises(Exception, match=r"upload\.png: found .*; expected JPEG, PNG, WebP") as caught:
        client.predict(handle_file(str(path)), "cat, dog", api_name="/classify")
    assert "\n" not in str(caught.value)
