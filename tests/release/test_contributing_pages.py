"""The pages on adding a model, a method and a tab: each is followed to the letter in a copy of the repository."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("add_a_model", "add_a_method", "add_a_tab")
COPIED = ("dinoclip_viz", "tests", "apps", "docs", "notebooks", "pyproject.toml", "README.md", ".gitignore")
MOST_WORDS = 1500

_SPEC = importlib.util.spec_from_file_location("pages", Path(__file__).with_name("pages.py"))
pages = importlib.util.module_from_spec(_SPEC)
sys.modules["pages"] = pages
_SPEC.loader.exec_module(pages)


def text_of(name):
    return (ROOT / "docs" / "contributing" / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture
def copy(tmp_path):
    """A copy of the repository, without caches."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyi"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.docs
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_followed(name, copy):
    ran = pages.follow(text_of(name), copy)
    assert sum("pytest" in command for command in ran) >= 1
    assert sum("ruff" in command for command in ran) >= 1


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_short_and_its_paths_exist(name):
    text = text_of(name)
    assert len(re.sub(r"```.*?```", "", text, flags=re.DOTALL).split()) < MOST_WORDS
    new = {block.path for block in pages.blocks(text) if block.kind == "file"}
    named = set(re.findall(r"`((?:tests|docs|dinoclip_viz)/[\w./-]+)`", text)) - new
    assert [path for path in named if not (ROOT / path).exists()] == []
    named = set(re.findall(r"`((?:encoders|dense|models|adapt|training|tasks|viz|app|cli)/[\w./-]*)`", text))
    assert [path for path in named if not (ROOT / "dinoclip_viz" / path).exists()] == []


def test_contributing_leads_to_every_page():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = {path.stem for path in (ROOT / "docs" / "contributing").glob("*.md")}
    assert found == set(PAGES)
    assert [name for name in PAGES if f"](docs/contributing/{name}.md)" not in text] == []


def test_a_change_is_applied_once_and_only_where_it_fits():
    assert pages.changed("a\nb\nc\n", " b\n+x\n") == "a\nb\nx\nc\n"
    assert pages.changed("a\nb\n", "-a\n+x\n") == "x\nb\n"
    for source in ("a\n", "b\nb\n", "ab\n"):
        with pytest.raises(ValueError, match=r"expected once"):
            pages.changed(source, "-b\n+x\n")


def test_a_failing_command_ends_a_page_with_its_line(tmp_path):
    with pytest.raises(AssertionError, match=r"line 4:\nfalse"):
        pages.follow("# Title\n\n```sh\nfalse\n```\n", tmp_path)
