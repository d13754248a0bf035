"""The blocks of a page that is followed to the letter: new files, changes to files, and commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:^(?P<verb>New file|In) `(?P<path>[^`\n]+)`:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One block: what to do with it, the file that it belongs to or "", its text and its line in the page."""

    kind: str
    path: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page in order; a kind is "file", "change", "sh", "python" or "console"."""
    for found in _BLOCK.finditer(page):
        verb, language = found["verb"], found["language"]
        kind = "file" if verb == "New file" else "change" if language == "diff" else language
        line = page.count("\n", 0, found.start("text")) + 1
        if (verb == "In") != (kind == "change"):
            raise ValueError(f"line {line}: a {language} block without the line before it that names its file")
        yield Block(kind, found["path"] or "", found["text"], line)


def changed(source: str, change: str) -> str:
    """A file after a change without line numbers: its lines " " and "-" are found once, and replaced by " " and "+"."""
    before = "".join(line[1:] for line in change.splitlines(keepends=True) if line[0] in " -")
    after = "".join(line[1:] for line in change.splitlines(keepends=True) if line[0] in " +")
    starts = [found.start() for found in re.finditer(rf"^(?={re.escape(before)})", source, re.MULTILINE)]
    if len(starts) != 1:
        raise ValueError(f"found {len(starts)} times, expected once:\n{before}")
    return source[: starts[0]] + after + source[starts[0] + len(before) :]


def follow(page: str, root: Path) -> list[str]:
    """Do what a page describes in a copy of the repository; returns the commands and scripts that ran.

    Raises:
        AssertionError: a block cannot be applied, or a command fails; the message has the line and its output.
    """
    ran = []
    for block in blocks(page):
        target = root / block.path
        if block.kind == "file":
            assert not target.exists(), f"line {block.line}: {block.path} exists"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.kind == "change":
            try:
                text = changed(target.read_text(encoding="utf-8"), block.text)
            except ValueError as error:
                raise AssertionError(f"line {block.line}, {block.path}: {error}") from error
            target.write_text(text, encoding="utf-8")
        elif block.kind in ("sh", "python"):
            script = ["bash", "-euo", "pipefail", "-c"] if block.kind == "sh" else [sys.executable, "-c"]
            done = subprocess.run(
                [*script, block.text],
                cwd=root,
                env=environment(root),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"line {block.line}:\n{block.text}\n{done.stdout[-4000:]}"
            ran.append(block.text)
    return ran


def environment(root: Path) -> dict[str, str]:
    """The environment of a command: this interpreter's scripts first, the copy's package before the installed one."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**kept, "PATH": path, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"}
