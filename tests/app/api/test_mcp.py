"""The MCP server, by the client of the MCP package: only endpoints are tools; results are JSON, figures are images."""

import asyncio
import base64
import io
import json
from pathlib import Path

import httpx
import pytest
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.app import build_demo, launch
from dinoclip_viz.app.api import tools

mcp = pytest.importorskip("mcp")


def with_session(served, work):
    """What a function of a session returns."""
    from mcp.client.streamable_http import streamablehttp_client

    async def run():
        streams = streamablehttp_client(f"{served}{tools.PATH}")
        async with streams as (read, write, _), mcp.ClientSession(read, write) as session:
            await session.initialize()
            return await work(session)

    return asyncio.run(run())


def call(served, name, **given):
    return with_session(served, lambda session: session.call_tool(name, given))


def result_of(answer):
    assert not answer.isError, answer.content
    return json.loads(answer.content[0].text)


@pytest.fixture(scope="module")
def uri(scenes):
    return f"data:image/png;base64,{base64.b64encode(Path(scenes[0]).read_bytes()).decode()}"


def test_the_endpoints_alone_are_tools_and_describe_every_argument(served):
    listed = with_session(served, lambda session: session.list_tools()).tools
    assert {each.name for each in listed} == {
        *("classify", "heatmap", "pca", "match", "search", "similarity", "ask", "afford", "models")
    }
    for each in listed:
        assert "Returns:" in each.description and "bench" not in str(each.inputSchema)
        for name, argument in each.inputSchema["properties"].items():
            assert argument["description"], f"{each.name}: {name}"
    (classify,) = [each for each in listed if each.name == "classify"]
    assert classify.inputSchema["required"] == ["image", "labels"]
    assert classify.inputSchema["properties"]["labels"]["items"] == {"type": "string"}


def test_results_are_json_with_the_values_of_the_library(served, model, scenes, uri):
    found = result_of(call(served, "classify", image=uri, labels=["cat", "car"]))
    expected = dv.classify(model, scenes[0], ["cat", "car"])[0].tolist()
    assert list(found["scores"].values()) == pytest.approx(expected, abs=1e-5)


def test_figures_are_images_and_files_are_addresses(served, uri):
    answer = call(served, "heatmap", image=uri, prompts=["a cat", "grass"])
    found = result_of(answer)
    kinds = [(each.type, getattr(each, "mimeType", None)) for each in answer.content[1:]]
    assert kinds == [("image", "image/png")] * 2
    for row, shown in zip(found["prompts"], answer.content[1:], strict=True):
        data = base64.b64decode(shown.data)
        assert httpx.get(row["figure"]).content == data
        assert min(Image.open(io.BytesIO(data)).size) >= 768


def test_every_tool_answers(served, uri):
    calls = {
        "classify": {"image": uri, "labels": ["cat", "car"]},
        "heatmap": {"image": uri, "prompts": ["a cat"], "format": "npy"},
        "pca": {"images": [uri]},
        "match": {"first": uri, "second": uri, "count": 3},
        "search": {"text": "a red car", "count": 6},
        "similarity": {"image": uri, "x": 96, "y": 96},
        "ask": {"image": uri, "task": "detect", "names": ["bus"]},
        "afford": {"image": uri, "verbs": ["hold"]},
        "models": {},
    }

    async def ask_all(session):
        return {name: await session.call_tool(name, given) for name, given in calls.items()}

    answers = with_session(served, ask_all)
    assert {name for name, answer in answers.items() if answer.isError} == set()
    images = {name: len(answer.content) - 1 for name, answer in answers.items()}
    assert images == {
        **{"classify": 0, "heatmap": 0, "pca": 1, "match": 1, "similarity": 1, "ask": 1, "afford": 1, "models": 0},
        "search": tools.MOST_IMAGES,
    }
    assert all(isinstance(result_of(answer), dict) for answer in answers.values())


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"image": "<html>", "labels": ["cat", "car"]}, "<html>"),
        ({"image": "/etc/passwd", "labels": ["cat", "car"]}, "expected an uploaded file"),
        ({"labels": ["cat", "car"]}, "'image' is a required property"),
        ({"image": "uri", "labels": []}, "found 0 labels"),
        ({"image": "uri", "labels": "cat"}, "is not of type 'array'"),
        ({"image": "uri", "labels": ["cat", "car"], "model": "nonsense"}, "does not offer"),
    ],
)
def test_wrong_arguments_are_errors_in_one_line(served, uri, given, part):
    answer = call(served, "classify", **{**given, **({"image": uri} if given.get("image") == "uri" else {})})
    (content,) = answer.content
    assert answer.isError and part in content.text and "\n" not in content.text


def test_an_event_of_the_page_is_no_tool(served):
    answer = with_session(served, lambda session: session.call_tool("load_chosen", {"name": "playground"}))
    assert answer.isError and "Unknown tool" in answer.content[0].text


def test_without_the_package_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'extra mcp: pip install "dinoclip-viz\[mcp\]"'):
        launch(None, mcp=True)


def test_without_the_option_there_is_no_mcp_server(bench, monkeypatch):
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")
    demo = build_demo(bench.model(bench.first_key))
    address = launch(demo, wait=False, quiet=True).rstrip("/")
    try:
        assert httpx.post(f"{address}{tools.PATH}", json={}).status_code == 404
        assert demo.mcp_server_obj is None
    finally:
        demo.close()
