import pytest
from gradio_client import Client, handle_file

from dinoclip_viz.app import launch_settings


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
    assert "drawn world" in note
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
