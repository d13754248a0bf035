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
            *("search_text", "search_image"),
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


def test_a_broken_file_is_told_in_one_line(client, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(Exception, match=r"broken\.png"):
        client.predict(handle_file(str(broken)), "cat, dog", api_name="/classify")


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
