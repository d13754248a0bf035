"""The code blocks of a Markdown page: read, and run in a folder as a reader would.

Shell blocks run their `dinoclip` lines in this process, so that a page costs no start of an interpreter per line;
Python blocks of a page share their names. Used by `figures.py`, which draws the site's figures, and by tests/docs.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dinoclip_viz.cli import main

PYTHON, SHELL = "python", "sh"
_PREFIXES = ("uv run ", ".venv/bin/", "!")

Replace = Callable[[str], str | None]
"""A command of a page -> the command to run in its position, None for none."""


class BlockError(RuntimeError):
    """A block of a page does not run; the message begins with the page and the line."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: file it stands in.
        language: what follows the fence, such as "python".
        text: its lines.
        line: number of its first line within the file.
    """

    page: Path
    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(r"^```([^\n`]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [Block(page, each[1], each[2], text[: each.start(2)].count("\n") + 1) for each in fences]


def commands(block: Block) -> Iterator[tuple[int, str]]:
    """Line and text of each command of a shell block, without comments, continued lines joined."""
    joined, first = "", block.line
    for number, line in enumerate(block.text.split("\n"), block.line):
        first = first if joined else number
        joined += line
        if line.endswith("\\"):
            joined = joined[:-1]
            continue
        for command in re.sub(r"(?:^|\s)#\s.*", "", joined).split(" && "):
            if command.strip():
                yield first, " ".join(command.split())
        joined = ""


def run_page(
    page: Path,
    folder: Path,
    replace: Replace = lambda command: command,
    parsed_only: Callable[[str], bool] = lambda text: False,
) -> int:
    """Run all Python and shell blocks of a page in a folder and return how many commands and blocks were run.

    Args:
        page: a Markdown file.
        folder: the working folder, where the files that the page names exist.
        replace: which command to run in place of each.
        parsed_only: whether a Python block is compiled without running it.

    Raises:
        BlockError: a block raises, or a command ends with another exit code than 0.
    """
    names: dict[str, object] = {"__name__": page.stem}
    count = 0
    with contextlib.chdir(folder):
        for block in blocks(page):
            if block.language == PYTHON:
                runs = not parsed_only(block.text)
                _run_python(block, names if runs else None)
                count += runs
            elif block.language == SHELL:
                for line, command in commands(block):
                    given = replace(command)
                    if given is not None:
                        run_command(given, f"{page.name}:{line}")
                        count += 1
    return count


def run_command(command: str, where: str, codes: tuple[int, ...] = (0,)) -> str:
    """Run one `dinoclip` command in the current folder and return what it prints, answer first, then the log.

    Raises:
        BlockError: it is no such command, or its exit code is not one of `codes`.
    """
    for prefix in _PREFIXES:
        command = command.removeprefix(prefix)
    words = shlex.split(command)
    if words[0] != "dinoclip":
        raise BlockError(f"{where}: {command!r} is no dinoclip command and has no entry among those that are not run")
    answer, log = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(answer), contextlib.redirect_stderr(log):
        code = main([part for word in words[1:] for part in _expanded(word)])
    if code not in codes:
        raise BlockError(f"{where}: exit code {code} of {command!r}: {log.getvalue()[-600:]}")
    return answer.getvalue() + log.getvalue()


def _expanded(word: str) -> list[str]:
    """The files that a pattern of the shell stands for; other words as they are."""
    return sorted(str(path) for path in Path().glob(word)) or [word] if "*" in word else [word]


def _run_python(block: Block, names: dict[str, object] | None) -> None:
    """Compile a block and, with names, run it."""
    try:
        code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
        if names is not None:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, names)
    except Exception as error:
        raise BlockError(f"{block.page.name}:{block.line}: {type(error).__name__}: {error}") from error
