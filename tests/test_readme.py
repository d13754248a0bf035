"""README, docs and notebooks against the package: commands parse, links lead somewhere, the wheel holds its data.

tests/docs runs the blocks of the README and of docs/ (mark `docs`).
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dinoclip_viz.cli.parser import build_parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def cells(notebook: Path) -> Iterator[str]:
    yield from ("".join(cell["source"]) for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"])


def commands(text: str) -> Iterator[str]:
    """Every `dinoclip ...` command of a text, in a code block, in backticks or after a notebook's "!"."""
    text = text.replace("\\\n", " ")
    for line in re.findall(r"^!?(?:uv run |\.venv/bin/)?(dinoclip (?!\w+: )[^\n]*)", text, re.MULTILINE):
        yield re.sub(r"\s#.*", "", line)
    for span in re.findall(r"`(dinoclip [^`]*)`", text):
        yield from (part.strip() for part in span.split("&&"))


def arguments(command: str) -> list[str]:
    """The words of a command as a shell would pass them, with letters for placeholders that stand for numbers."""
    return shlex.split(command.split(" && ", maxsplit=1)[0])[1:]


SOURCES = (
    {"README.md": README}
    | {path.name: "\n".join(cells(path)) for path in NOTEBOOKS}
    | {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
)
COMMANDS = sorted({(name, command) for name, text in SOURCES.items() for command in commands(text)})


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[" ".join(pair)[:100] for pair in COMMANDS])
def test_every_printed_command_parses(name, command):
    words = arguments(command)
    if any(word.isupper() for word in words):  # a placeholder: the verb alone
        words = [*words[: 2 if words[0] in ("evaluate", "playground") else 1], "--help"]
        if words[0].isupper():
            words = ["--help"]
    if len(words) == 1:  # the verb is named alone
        words.append("--help")
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            build_parser().parse_args(words)
        except SystemExit as end:
            assert end.code == 0, f"{name}: {command}\n{errors.getvalue()}"


def test_every_link_of_the_readme_and_the_pages_exists():
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]
    missing = []
    for path in documents:
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"(?:\]\(|src=\")([^)\"\s]+)", text):
            drawn = target.startswith("../figures/")  # by docs/figures.py, when the site is built
            if not drawn and not target.startswith(("http", "#")) and not (path.parent / target.split("#")[0]).exists():
                missing.append(f"{path.name}: {target}")
    assert missing == []


def test_every_anchor_of_the_readme_is_a_heading():
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)", README, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_code_blocks_are_closed():
    assert all(text.count("\n```") % 2 == 0 for text in (README, *SOURCES.values()))


def test_every_folder_of_the_tree_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = text[text.index("\ndinoclip_viz/\n") :]
    names = re.findall(r"^    (\w+(?:/|\.py)) ", tree, re.MULTILINE)
    assert [name for name in names if not (ROOT / "dinoclip_viz" / name).exists()] == []
    rooms = {f"{path.name}/" for path in (ROOT / "dinoclip_viz").iterdir() if list(path.glob("[!_]*.py"))}
    assert rooms - set(names) == set()


def test_every_extra_of_the_readme_exists():
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert set(re.findall(r"--extra (\w+)|\.\[(\w+)\]", README)) <= {(n, "") for n in extras} | {
        ("", n) for n in extras
    }
    assert {"pillow-heif>=0.18"} == set(extras["heif"]) <= set(extras["test"])


def test_the_wheel_holds_the_data_of_the_package():
    assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["dinoclip_viz"]
    package = ROOT / "dinoclip_viz"
    needed = ["py.typed", "viz/hover/hover.js", "viz/hover/hover.css", "playground/models/playground-dino/config.json"]
    assert [name for name in needed if not (package / name).is_file()] == []
    ignored = (
        (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    )  # hatchling leaves ignored files out of the wheel
    suffixes = {path.suffix for path in package.rglob("*.*") if path.is_file()} - {".pyc", ".pyi"}
    assert suffixes & {pattern.removeprefix("*") for pattern in ignored if pattern.startswith("*.")} == set()
    assert "uv.lock" in ignored
    assert ".venv/" in ignored


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    assert not [cell for cell in found["cells"] if cell.get("outputs") or cell.get("execution_count")]


def test_the_table_of_speeds_is_that_of_the_figures():
    from tests.benchmarks.__main__ import BEGIN, END, FIGURES, table

    rows = json.loads(FIGURES.read_text(encoding="utf-8"))["rows"]
    page = (ROOT / "docs/speed.md").read_text(encoding="utf-8")
    assert table(rows) == page.partition(BEGIN)[2].partition(END)[0].strip()
