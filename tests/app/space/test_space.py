"""The Space's folder: versions agree with the package, photographs are credited, and it starts without a hub."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

import dinoclip_viz
from dinoclip_viz.app import build_demo
from dinoclip_viz.encoders.catalog import find

ROOT = Path(__file__).resolve().parents[3]
SPACE = ROOT / "apps/space"
PHOTOGRAPHS = sorted((SPACE / "photographs").glob("*.jpg"))


@pytest.fixture(scope="module")
def front():
    return yaml.safe_load((SPACE / "README.md").read_text().split("---")[1])


def test_the_front_matter_names_what_the_catalogue_has(front):
    weights = {str(find(name).weights) for name in ("clip-vit-base-patch16", "dinov2-small")}
    assert set(front["models"]) == weights
    preloaded = dict(line.split(" ", 1) if " " in line else (line, "") for line in front["preload_from_hub"])
    assert set(preloaded) == weights
    for repository, rest in preloaded.items():  # "repository file,file revision", once a revision has been read
        revision = find(repository).revision
        assert rest.split()[-1:] == ([revision] if revision else [])


def test_it_installs_the_package_of_this_version_and_nothing_else():
    assert (SPACE / "requirements.txt").read_text().split() == [f"dinoclip-viz[space]=={dinoclip_viz.__version__}"]


def test_gradio_is_one_that_the_package_allows(front):
    bounds = re.search(r'"gradio>=([\d.]+),<(\d+)"', (ROOT / "pyproject.toml").read_text())
    version = tuple(int(part) for part in front["sdk_version"].split("."))
    assert tuple(int(part) for part in bounds[1].split(".")) <= version < (int(bounds[2]),)


def test_photographs_are_small_and_credited():
    credits = (SPACE / "photographs/CREDITS.md").read_text()
    assert len(PHOTOGRAPHS) >= 4
    for path in PHOTOGRAPHS:
        row = next(line for line in credits.splitlines() if f"`{path.name}`" in line)
        assert "CC0" in row or "public domain" in row
        assert max(Image.open(path).size) <= 512 and path.stat().st_size < 100_000


def test_one_thin_function_borrows_the_accelerator():
    tree = ast.parse((SPACE / "app.py").read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert [len(node.body) for node in functions] == [2]  # its docstring and the call
    first = next(node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.Try))
    assert isinstance(first, ast.Try) and first.body[0].names[0].name == "spaces"  # before torch


def test_without_the_hub_the_page_starts_with_the_playground_and_says_why(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    demo = build_demo(
        "openai/clip-vit-base-patch16", "facebook/dinov2-small", public=True, fallback="playground",
        photographs=PHOTOGRAPHS, allow=["clip-vit-base-patch16", "dinov2-small"],
    )  # fmt: skip
    status = next(block for block in demo.blocks.values() if getattr(block, "elem_id", None) == "status")
    assert re.match(r"openai/clip-vit-base-patch16 cannot be loaded now: .*Loaded: \*\*playground\*\*", status.value)
    chooser = next(block for block in demo.blocks.values() if getattr(block, "label", None) == "Model")
    assert "clip-vit-base-patch16" in [value for _, value in chooser.choices]  # to try again later
    labels = next(b for b in demo.blocks.values() if (getattr(b, "label", None) or "").startswith("Labels, separated"))
    assert labels.value.startswith(dinoclip_viz.playground.CLASSES[0])  # synthetic scenes, not photographs


def test_photographs_take_the_place_of_scenes():
    demo = build_demo("playground-clip", photographs=PHOTOGRAPHS)
    labels = next(b for b in demo.blocks.values() if (getattr(b, "label", None) or "").startswith("Labels, separated"))
    assert labels.value == ", ".join(path.stem.replace("_", " ") for path in PHOTOGRAPHS)
    buttons = {block.value for block in demo.blocks.values() if type(block).__name__ == "Button"}
    assert {"New photograph", "New photographs"} <= buttons and "New scene" not in buttons
