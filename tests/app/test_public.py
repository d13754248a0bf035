"""Public servers: visitors load allowed models alone, by the page and by the API, and no answer names a folder."""

import shutil
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file

from dinoclip_viz.app import build_demo, launch, notice
from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.offer import EMBEDDED, Offer
from dinoclip_viz.app.page import load_chosen
from dinoclip_viz.app.tokens import tab as tokens
from dinoclip_viz.app.workbench import Workbench, key_of
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.catalog import CATALOG, PLAYGROUND
from dinoclip_viz.encoders.recommended import IMAGES, IMAGES_AND_TEXTS

NOT_ALLOWED = ("clip-vit-base-patch16", "openai/clip-vit-base-patch16", "/etc", "../..", "timm:vit_small", "nonsense")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A local copy of a model, in a folder whose name nobody may see."""
    path = tmp_path_factory.mktemp("secret-place") / "my-clip"
    shutil.copytree(PLAYGROUND / "playground-clip", path, ignore=shutil.ignore_patterns("dinoiser*"))
    return path


@pytest.fixture(scope="module")
def board(folder):
    return Workbench(str(folder), allow=["dinov2-small"])


@pytest.fixture(scope="module")
def public(folder):
    """Address of a public page."""
    demo = build_demo(str(folder), public=True, allow=["dinov2-small"])
    yield launch(demo, wait=False, quiet=True).rstrip("/")
    demo.close()


@pytest.fixture(scope="module")
def client(public):
    return Client(public, verbose=False)


def test_an_offer_holds_the_embedded_models_those_of_the_start_and_the_allowed_ones():
    assert Offer("playground", "", allow=[]).models() == ["playground", "playground-clip"]
    offer = Offer("openai/clip-vit-base-patch16", "dinov2-base", allow=["facebook/dinov2-small", "own/model"])
    assert set(offer.models()) == {
        *("openai/clip-vit-base-patch16", "playground", "playground-clip", "clip-vit-base-patch16", "own/model")
    }
    assert set(offer.guides()) == {"dinov2-base", "playground-dino", "dinov2-small", "own/model"}
    assert {*offer.models(), *offer.guides()} >= set(EMBEDDED)


def test_a_page_that_is_not_public_offers_the_catalogue():
    offer = Offer("playground", "")
    seeing = {name for name, entry in CATALOG.items() if entry.kind in ("image", "image-text")}
    assert {*offer.models(), *offer.guides()} == {*seeing, "playground"}


@pytest.mark.parametrize("name", ["nonsense", "/no/such/folder", "./none"])
def test_a_name_that_cannot_be_allowed_is_told_at_the_start(name):
    with pytest.raises(EncoderError, match=name):
        Offer("playground", "", allow=[name])


def test_models_are_allowed_on_public_pages_alone():
    with pytest.raises(ValueError, match="not public"):
        build_demo(allow=["dinov2-small"])


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_no_handler_loads_what_is_not_allowed(board, drawn, name, monkeypatch):
    monkeypatch.setattr("dinoclip_viz.app.workbench.load_model", lambda *given: pytest.fail(f"loaded {given}"))
    for given in ((name, ""), ("playground-clip", name)):
        with pytest.raises(gr.Error) as caught:
            one_line_errors(load_chosen)(board, *given)
        assert "does not offer" in caught.value.message and "\n" not in caught.value.message
        with pytest.raises(EncoderError, match="does not offer"):
            board.model(key_of(*given))
    with pytest.raises(EncoderError, match="does not offer"):
        tokens.answer(board, board.first_key, drawn, source=name)
    with pytest.raises(EncoderError, match="does not offer"):
        tokens.answer(board, board.first_key, drawn, compare=name)


def test_the_button_for_photographs_is_there_only_if_both_models_are_allowed(bench):
    def buttons(allow):
        demo = build_demo(bench.model(bench.first_key), public=True, allow=allow)
        return [block for block in demo.blocks.values() if getattr(block, "value", "") == notice.offer()]

    assert len(buttons([IMAGES, IMAGES_AND_TEXTS])) == 10
    assert buttons([IMAGES]) == buttons([]) == []


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_the_api_refuses_what_is_not_allowed_in_one_line(client, drawn, name):
    with pytest.raises(Exception, match="does not offer") as caught:
        client.predict(handle_file(drawn), ["cat", "dog"], model=name, api_name="/classify")
    assert "\n" not in str(caught.value)


def press(public, *values):
    """The answer to a visitor who presses "Load" with any values."""
    config = httpx.get(f"{public}/config").json()
    (load,) = [event["id"] for event in config["dependencies"] if event["api_name"] == "load"]
    body = {"data": values, "fn_index": load, "session_hash": "visitor"}
    assert httpx.post(f"{public}/gradio_api/queue/join", json=body).status_code == 200
    with httpx.stream("GET", f"{public}/gradio_api/queue/data", params={"session_hash": "visitor"}) as events:
        return next(line for line in events.iter_lines() if "process_completed" in line).replace('": ', '":')


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_private_events_refuse_too(public, name):
    """A client may send any value to any event of the page, whatever its lists show."""
    for given in ((name, ""), ("playground", name)):
        assert '"success":false' in press(public, *given)


def hidden(folder):
    """Texts that no visitor may see."""
    return [str(folder.parent), folder.parent.name, str(Path.home()), str(PLAYGROUND.parent.parent.parent)]


def test_no_page_answer_or_error_names_a_folder(public, client, folder, drawn, photograph, tmp_path):
    texts = [httpx.get(f"{public}{path}").text for path in ("/", "/config", "/gradio_api/info")]
    image = handle_file(photograph)
    texts.append(str(client.predict(image, ["cat", "dog"], api_name="/classify")))
    texts.append(str(client.predict([image], api_name="/pca")))
    texts.append(str(client.predict(api_name="/models")))
    texts.append(press(public, "my-clip", ""))
    assert "my-clip" in texts[-1] and "my-clip" in texts[-2] and "my-clip" in texts[1]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    for given in ((handle_file(str(broken)), ["cat", "dog"]), (image, ["cat"])):
        with pytest.raises(Exception) as caught:
            client.predict(*given, api_name="/classify")
        texts.append(str(caught.value))
    texts.append(httpx.get(f"{public}/gradio_api/file={folder}/config.json").text.replace(str(folder), ""))
    for text in texts:
        assert [word for word in hidden(folder) if word in text] == []


def test_files_outside_the_page_are_not_served(public, folder):
    for path in (folder / "config.json", Path("/etc/passwd"), folder):
        assert httpx.get(f"{public}/gradio_api/file={path}").status_code == 403
