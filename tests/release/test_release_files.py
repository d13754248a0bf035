"""Files around a release agree with the package: versions, citation, workflows, forms and hooks."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import dinoclip_viz
from dinoclip_viz.cli import main

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(path):
    return read(path)["jobs"]


def steps(path):
    return [step for job in jobs(path).values() for step in job["steps"]]


# Version and citation


def test_the_version_has_one_home(capsys):
    assert re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", dinoclip_viz.__version__)
    assert "version" not in PROJECT and PROJECT["dynamic"] == ["version"]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"dinoclip {dinoclip_viz.__version__}\n"
    holders = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "dinoclip_viz").rglob("*.py")
        if re.search(rf"['\"]{re.escape(dinoclip_viz.__version__)}['\"]", path.read_text(encoding="utf-8"))
    ]
    assert holders == ["dinoclip_viz/__init__.py"]


def test_the_citation_names_this_version_its_licence_and_its_authors():
    found = read(ROOT / "CITATION.cff")
    assert found["cff-version"] == "1.2.0" and found["message"] and found["title"] and found["type"] == "software"
    assert str(found["version"]) == dinoclip_viz.__version__
    assert found["license"] == PROJECT["license"] == "Apache-2.0"
    assert [author["name"] for author in found["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_the_space_installs_this_version():
    lines = (ROOT / "apps" / "space" / "requirements.txt").read_text(encoding="utf-8").split()
    assert [line for line in lines if line.startswith("dinoclip-viz")] == [
        f"dinoclip-viz[space]=={dinoclip_viz.__version__}"
    ]


def test_every_requirement_has_a_lower_bound():
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(each for extra in extras.values() for each in extra)]
    assert [each for each in wanted if ">=" not in each] == []
    bounds = {}
    for each in wanted:
        bounds.setdefault(re.split(r"[\[>]", each)[0], set()).add(re.search(r">=([\d.]+)", each)[1])
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


# Workflows


def test_tests_run_on_every_version_of_python_that_is_named():
    named = {each.rsplit(" ", 1)[1] for each in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", each)}
    matrix = jobs(GITHUB / "workflows" / "tests.yml")["tests"]["strategy"]["matrix"]
    assert set(matrix["python"]) == named
    assert matrix["include"] == [{"python": min(named), "versions": "lowest-direct"}]
    assert PROJECT["requires-python"] == f">={min(named)}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_rights_are_few(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used and [each for each in used if not re.search(r"@(v\d+|release/v\d+|[0-9a-f]{40})$", each)] == []
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    events = "\n".join(step.get("run", "") for step in steps(path))
    assert "${{ github.event" not in events and "github.head_ref" not in events  # text of strangers in a shell


def test_pypi_trusts_the_workflow_and_no_token_is_stored():
    path = GITHUB / "workflows" / "release.yml"
    publish = jobs(path)["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"]["name"] == "pypi" and publish["needs"] == "build"
    assert publish["steps"][-1] == {"uses": "pypa/gh-action-pypi-publish@release/v1"}
    assert [name for name, job in jobs(path).items() if "id-token" in job.get("permissions", {})] == ["publish"]
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_the_pages_of_ci_name_extras_that_exist():
    extras = PROJECT["optional-dependencies"]
    texts = [path.read_text(encoding="utf-8") for path in (*WORKFLOWS, ROOT / "CONTRIBUTING.md")]
    named = {name for text in texts for found in re.findall(r"\.\[([\w,]+)\]", text) for name in found.split(",")}
    named |= {name for text in texts for name in re.findall(r"--extra (\w+)", text)}
    assert {"test", "hooks"} <= named <= set(extras)


# Forms and hooks


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_github_requires(path):
    form = read(path)
    assert form["name"] and form["description"]
    kinds = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert {field["type"] for field in form["body"]} <= kinds
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 2
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_there_is_a_form_for_each_kind_of_issue():
    assert {path.stem for path in FORMS} == {"bug", "model", "question"}
    assert read(GITHUB / "ISSUE_TEMPLATE" / "config.yml")["blank_issues_enabled"] is False


def test_hooks_need_no_other_repository():
    (local,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    hooks = {hook["id"]: hook for hook in local["hooks"]}
    assert {"ruff", "ruff-format", "mypy", "end-of-file-fixer", "check-added-large-files"} <= hooks.keys()
    assert all(hook["language"] == "system" and "additional_dependencies" not in hook for hook in hooks.values())


def test_no_tracked_kind_of_file_is_larger_than_the_hook_allows():
    (local,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    (hook,) = (each for each in local["hooks"] if each["id"] == "check-added-large-files")
    limit = int(re.search(r"--maxkb=(\d+)", hook["entry"])[1]) * 1024
    for folder in ("dinoclip_viz", "docs", "notebooks", "tests", "apps"):
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and "__pycache__" not in name and not re.search(hook["exclude"], name):
                assert path.stat().st_size <= limit, name
