"""The house rules as code: who may import whom, what importing loads, and what no file may hold."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dinoclip_viz
from dinoclip_viz.encoders.catalog import CATALOG

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dinoclip_viz"

FRONT_DOOR = "dinoclip_viz"  # __init__.py: the public names

_VISION = {"disk", "images", "dense", "encoders", "projector", "models"}
_STORED = {"data", "store", "pipeline", "training"}
_SYSTEMS = {"adapt", "curate", "reinforce", "vlm", "affordance"}

MAY_IMPORT: dict[str, set[str]] = {
    "disk": set(),
    "images": set(),
    "dense": {"disk", "images"},
    "viz": set(),
    "playground": set(),
    "store": {"disk"},
    "data": {"images", "playground"},
    "encoders": {"images", "dense"},
    "projector": {"encoders"},
    "models": {"disk", "images", "dense", "encoders", "projector"},
    "pipeline": {"images", "data", "store", "encoders"},
    "reinforce": {"disk", "images", "data", "store", "encoders", "pipeline", "playground"},
    "hovering": {"images", "encoders", "viz"},
    "tasks": {*_VISION, "store"},
    "training": {"disk", "images", "store", "encoders", "dense", "projector", "tasks", "reinforce"},
    "adapt": {*_VISION, *_STORED, "tasks", "playground"},
    "curate": {"disk", "images", "encoders", "data", "store", "pipeline"},
    "vlm": {"disk", "images", "encoders", "models", "tasks"},
    "affordance": {*_VISION, "tasks", "training"},
    "scale": {*_VISION, *_STORED, "tasks"},
    "report": {*_VISION, *_STORED, "tasks", "viz"},
    FRONT_DOOR: {*_VISION, *_STORED, *_SYSTEMS, "hovering", "tasks", "playground", "report"},
    "playground.recipe": {*_VISION, *_STORED, "tasks", "playground", "vlm", "affordance"},
    "app": {*_VISION, *_STORED, *_SYSTEMS, "tasks", "playground", "viz", FRONT_DOOR},
    "cli": {
        *_VISION,
        *_STORED,
        *_SYSTEMS,
        "scale",
        "report",
        "tasks",
        "playground",
        "playground.recipe",
        "viz",
        "app",
        FRONT_DOOR,
    },
    "__main__": {"cli"},
}
"""Room -> the other rooms that it may import from. A new room needs a row here, below those that it builds on."""

BY_NAME = {"models": {"adapt"}}
"""Room -> rooms of which it loads a module by its name, against the table: `load_model` reads folders of adapted
models, whose classifiers are built on models."""

ONLY_IN = {"matplotlib": {"viz"}, "gradio": {"app"}}
"""Library -> the rooms that may import it."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
MOST_LINES = 350
DATA_TABLES = {"dinoclip_viz/encoders/catalog.py"}
MOST_FILES = 14  # on one floor: Python files directly in a folder, its __init__ apart
LONGEST_TENTH = 28  # lines that nine functions in ten stay within


def files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


CODE = files(PACKAGE)
EVERYTHING = files(PACKAGE, ROOT / "apps", ROOT / "tests")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(module: str) -> str:
    """The room of a dotted name that begins with the package's.

    Examples:
        >>> [room_of(name) for name in ("dinoclip_viz", "dinoclip_viz.viz.maps", "dinoclip_viz.playground.recipe.clip")]
        ['dinoclip_viz', 'viz', 'playground.recipe']
    """
    parts = module.split(".")[1:]
    if not parts:
        return FRONT_DOOR
    return "playground.recipe" if parts[:2] == ["playground", "recipe"] else parts[0]


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return room_of(".".join(parts[:-1] if parts[-1] == "__init__" else parts))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports, wherever it stands in the file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = "." * node.level + (node.module or "")
            if home in ("dinoclip_viz", "dinoclip_viz.playground"):  # the name may itself be a room
                for alias in node.names:
                    inside = f"{home}.{alias.name}"
                    place = ROOT.joinpath(*inside.split("."))
                    is_module = place.is_dir() or place.with_suffix(".py").is_file()
                    yield node.lineno, inside if is_module else home
            else:
                yield node.lineno, home


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def exported(path: Path) -> dict[str, str]:
    """Name -> the module that a folder's __init__ has it from."""
    found = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: node.module for alias in node.names})
    return found


def imports_of_files(path: Path, modules: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and module, of this package, behind every imported name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                home = modules[node.module]
                behind = exported(home).get(alias.name) if home.name == "__init__.py" else None
                yield node.lineno, inside if inside in modules else behind if behind in modules else node.module


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def calls(paths: list[Path]) -> Iterator[tuple[Path, ast.Call]]:
    for path in paths:
        yield from ((path, node) for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def run(code: str) -> str:
    """What a fresh interpreter prints, on both streams."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    return (done.stdout + done.stderr).strip()


# Who may import whom


def test_every_room_has_a_row_in_the_table():
    assert {room(path) for path in CODE} - MAY_IMPORT.keys() == set()


def test_the_table_runs_one_way():
    list(TopologicalSorter(MAY_IMPORT).static_order())  # raises CycleError with the circle


def test_nothing_but_the_command_line_imports_the_app():
    assert {name for name, rooms in MAY_IMPORT.items() if "app" in rooms} == {"cli"}
    assert {name for name, rooms in MAY_IMPORT.items() if "cli" in rooms} == {"__main__"}


def test_images_and_the_playground_stand_alone_and_tasks_never_draw():
    assert MAY_IMPORT["viz"] == MAY_IMPORT["playground"] == set()
    assert not {"viz", "app", "cli"} & MAY_IMPORT["tasks"]


def test_imports_follow_the_table():
    wrong = []
    for path in CODE:
        here = room(path)
        for line, name in imports(path):
            if name.split(".")[0] != "dinoclip_viz":
                continue
            there = room_of(name)
            if there != here and there not in MAY_IMPORT.get(here, set()):
                wrong.append(f"{at(path, line)}: {here} imports {there}")
    assert wrong == []


def test_modules_that_are_named_in_texts_follow_the_table_or_are_listed():
    found: dict[str, set[str]] = {}
    modules = {module_of(path) for path in CODE} - {FRONT_DOOR}  # the package's name is also that of a library
    for path in CODE:
        here = room(path)
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and node.value in modules and room_of(node.value) != here:
                there = room_of(node.value)
                if there not in MAY_IMPORT[here]:
                    found.setdefault(here, set()).add(there)
    assert found == BY_NAME


def test_no_file_leads_back_to_itself():
    """Imports at the top of files run one way even inside a room; those inside functions count as well."""
    modules = {module_of(path): path for path in CODE}
    reached = {
        name: {each for _, each in imports_of_files(path, modules) if each != name} for name, path in modules.items()
    }
    # a folder's __init__ gathers what is below it: whoever imports from it depends on the file behind the name
    list(TopologicalSorter(reached).static_order())  # raises CycleError with the circle


def test_imports_are_absolute():
    assert [at(path, line) for path in CODE for line, name in imports(path) if name.startswith(".")] == []


def test_drawing_libraries_stay_in_their_rooms():
    wrong = [
        f"{at(path, line)}: {room(path)} imports {name}"
        for path in CODE
        for line, name in imports(path)
        if room(path) not in ONLY_IN.get(name.split(".")[0], {room(path)})
    ]
    assert wrong == []


# What importing loads


def test_importing_the_package_loads_no_heavy_library_and_prints_nothing():
    heavy = ["transformers", "open_clip", "gradio", "matplotlib", "sklearn", "ray", "torch"]
    assert run(f"import sys, dinoclip_viz; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_every_public_name_resolves():
    missing = [name for name in dinoclip_viz.__all__ if getattr(dinoclip_viz, name, None) is None]
    assert missing == []
    assert len(set(dinoclip_viz.__all__)) == len(dinoclip_viz.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dinoclip_viz.no_such_name


# What no file may hold


def test_no_file_or_folder_has_a_vague_name():
    wrong = [
        str(path.relative_to(ROOT))
        for path in EVERYTHING
        if VAGUE & {word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.split("_")}
    ]
    assert wrong == []


def test_no_file_is_too_long():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files(PACKAGE, ROOT / "apps")}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES and name not in DATA_TABLES} == {}


def test_no_floor_is_too_full():
    floors = Counter(path.parent.relative_to(ROOT) for path in CODE if path.name != "__init__.py")
    assert {str(floor): count for floor, count in floors.items() if count > MOST_FILES} == {}


def test_nine_functions_in_ten_are_short():
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    lines = sorted(n.end_lineno - n.lineno + 1 for path in CODE for n in ast.walk(tree(path)) if isinstance(n, kinds))
    assert lines[len(lines) * 9 // 10] <= LONGEST_TENTH


def test_every_folder_says_what_it_is_for():
    folders = {path.parent for path in CODE}
    missing = [str(each.relative_to(ROOT)) for each in folders if not ast.get_docstring(tree(each / "__init__.py"))]
    assert missing == []


def test_only_the_command_line_prints():
    wrong = [at(path, node.lineno) for path, node in calls(CODE) if called(node) == "print" and room(path) != "cli"]
    assert wrong == []


def test_no_assert_outside_tests():
    paths = files(PACKAGE, ROOT / "apps")
    wrong = [at(path, node.lineno) for path in paths for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)]
    assert wrong == []


def test_no_pickle_is_read_or_written():
    pickles = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve"}
    wrong = [at(path, line) for path in EVERYTHING for line, name in imports(path) if name.split(".")[0] in pickles]
    for path, node in calls(EVERYTHING):
        settings = {word.arg: ast.unparse(word.value) for word in node.keywords}
        unsafe_weights = called(node) == "torch.load" and settings.get("weights_only") != "True"
        if unsafe_weights or settings.get("allow_pickle", "False") != "False":
            wrong.append(at(path, node.lineno))
    assert wrong == []


def test_no_revision_is_pinned_before_it_was_read_on_the_hub():
    assert [entry.name for entry in CATALOG.values() if entry.revision is not None] == []


def test_the_python_blocks_of_the_readme_run(tmp_path, monkeypatch):
    readme = ROOT / "README.md"
    monkeypatch.chdir(tmp_path)
    text = readme.read_text(encoding="utf-8")
    known: dict[str, object] = {"__name__": "readme"}
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text[: block.start(1)].count("\n")
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile("\n" * line + block[1], str(readme), "exec"), known)


def test_public_names_stay_what_they_are_once_their_modules_are_imported():
    code = (
        "import dinoclip_viz as dv\n"
        "first = {name: getattr(dv, name) for name in dv.__all__}\n"
        "print([name for name in dv.__all__ if getattr(dv, name) is not first[name]])"
    )
    assert run(code) == "[]"
