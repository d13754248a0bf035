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


LABELS = ["cat", "dog"]


def test_photographs_are_answered_with_a_notice(client, photograph):
    image = handle_file(photograph)
    found = client.predict(image, LABELS, api_name="/classify")
    assert len(found["scores"]) == 2 and "synthetic scenes" in found["notice"]
    assert len(client.predict([image], api_name="/pca")["images"]) == 1


def test_a_broken_file_is_told_in_one_line(client, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(Exception, match=r"broken\.png"):
        client.predict(handle_file(str(broken)), LABELS, api_name="/classify")


def test_visitors_who_ask_the_same_at_once_receive_complete_files(address, photograph):
    def ask(number):
        visitor = Client(address, verbose=False)
        maps = visitor.predict(handle_file(photograph), ["a boat", "a tree", "a bus"], api_name="/heatmap")
        colours = visitor.predict([handle_file(photograph)], api_name="/pca")
        images = [Image.open(one["figure"]) for one in (*maps["prompts"], *colours["images"])]
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
    assert settings["enable_monitoring"] is settings["run_history"] is settings["mcp_server"] is False


@pytest.mark.parametrize("kind", ["avif", "heic"])
def test_uploads_of_phones_are_answered_like_their_png(client, kind, photograph, tmp_path):
    if kind == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    upload, same = tmp_path / f"upload.{kind}", tmp_path / "same.png"
    Image.open(photograph).resize((256, 256)).save(upload)
    load_image(upload).save(same)
    Image.OPEN.pop("HEIF", None)  # the app needs no opener registered for all of Pillow
    found = [client.predict(handle_file(str(path)), LABELS, api_name="/classify") for path in (upload, same)]
    assert found[0] == found[1]
    assert len(client.predict([handle_file(str(upload))], api_name="/pca")["images"]) == 1


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO"])
def test_other_formats_are_refused_in_one_line(client, kind, tmp_path):
    path = tmp_path / "upload.png"
    Image.new("RGB", (64, 64)).save(path, kind)
    with pytest.raises(Exception, match=r"upload\.png: found .*; expected JPEG, PNG, WebP") as caught:
        client.predict(handle_file(str(path)), LABELS, api_name="/classify")
    assert "\n" not in str(caught.value)
