"""Every command and code block of the README and of docs/ runs; those that cannot run here are listed with the reason.

A command with a published model runs with the embedded model of the same kind in its position, so that all of its
options are used. Each page runs in a folder of its own.
"""

import contextlib
import re
from pathlib import Path

import pytest
from blocks import BlockError, blocks, commands, run_command, run_page

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "contributing")

STAND_INS = {
    r"(?:openai/)?clip-vit-(?:base|large)-patch\d\d": "playground-clip",
    r"openai--clip-vit-base-patch16": "playground-clip",
    r"(?:facebook/)?dinov2-(?:small|base)(?!-)": "playground-dino",
    r"facebook--dinov2-base": "playground-dino",
    r"(?:google/)?paligemma2-3b-mix-448": "playground-paligemma",
}
"""Published model -> the embedded one of the same kind."""

NOT_RUN = {
    r"^(uv run |\.venv/bin/)?dinoclip demo": "serves the app until it is stopped; tests/app drives it",
    r"^(python3 -m venv|\.venv/bin/pip|pip|source) ": "changes the environment; .ci/run installs the package",
    r"^uv (run --extra test|sync)": "is the test run itself",
    r"s3://|/shared/": "needs object storage or a shared folder of several machines; tests/scale runs the engines",
    r"^python -m tests\.benchmarks": "a measurement; tests/benchmarks",
}
"""Pattern of a command -> why it is parsed only."""

SMALLER = {
    r"--recipe (best|reinforced|freeze-align)": " --epochs 1",
}
"""Pattern of a command that takes minutes -> options that make it short."""

PREPARED = {
    "reinforced.md": [
        "dinoclip reinforce playground:900:64 --teacher playground-clip --student playground-dino --out set "
        "--format datacompdr"
    ]
}
"""Page -> commands that it names in its text, whose files a later block reads."""

FEWER = {r"playground:900:(?:800|1000|1500|3000)": "playground:900:64", r"--(unigrams|bigrams) \d+": r"--\1 3"}


def not_run(text: str) -> bool:
    return any(re.search(pattern, text) for pattern in NOT_RUN)


def to_run(command: str) -> str | None:
    if not_run(command):
        return None
    for pattern, name in (STAND_INS | FEWER).items():
        command = re.sub(pattern, name, command)
    for pattern, options in SMALLER.items():
        if re.search(pattern, command):
            command += "".join(
                option for option in re.findall(r" --\w+ \w+", options) if option.split()[0] not in command.split()
            )
    return command


def all_commands() -> list[str]:
    return [
        command for page in (README, *PAGES) for b in blocks(page) if b.language == "sh" for _, command in commands(b)
    ]


def test_every_entry_of_the_lists_has_a_command():
    found = all_commands()
    for patterns in (NOT_RUN, SMALLER, STAND_INS):
        assert [pattern for pattern in patterns if not any(re.search(pattern, each) for each in found)] == []


def test_most_commands_are_run():
    found = all_commands()
    run = [command for command in found if to_run(command)]
    assert len(run) > 0.75 * len(found)


def test_every_fence_has_a_known_language():
    known = {"python", "py", "sh", "bash", "text", "console", "pycon", "", "js", "json", "diff", "toml", "html", "yaml"}
    wrong = [
        f"{page.name}:{block.line}: {block.language}"
        for page in (README, *PAGES)
        for block in blocks(page)
        if block.language not in known and not block.language.startswith("{")
    ]
    assert wrong == []


def test_a_block_that_fails_names_its_page_and_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n```python\nx = 1\nraise ValueError('no')\n```\n\n```sh\ndinoclip pca gone.png --out x.png\n```\n"
    )
    with pytest.raises(BlockError, match=r"page\.md:4: ValueError: no"):
        run_page(page, tmp_path)
    page.write_text(
        "# Page\n\n```sh\ndinoclip models \\\n    --json && dinoclip pca gone.png --out x.png  # comment\n```\n"
    )
    with pytest.raises(BlockError, match=r"page\.md:4: exit code 2 of 'dinoclip pca gone\.png .*no such file"):
        run_page(page, tmp_path)
    page.write_text("```sh\ncurl x\n```\n")
    with pytest.raises(BlockError, match="no dinoclip command"):
        run_page(page, tmp_path)


@pytest.mark.docs
@pytest.mark.parametrize(
    "path",
    [page for page in (README, *PAGES) if any(block.language in ("python", "sh") for block in blocks(page))],
    ids=lambda path: path.stem,
)
def test_a_page_runs(path, workshop):
    for command in PREPARED.get(path.name, []):
        with contextlib.chdir(workshop):
            run_command(command, "prepared")
    run_page(path, workshop, to_run, not_run)
