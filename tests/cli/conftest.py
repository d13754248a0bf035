"""`dinoclip` called in this process, and playground scenes to call it on."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dinoclip_viz.cli import main

DEVICE_LINE = re.compile(r"^dinoclip: .+ on .*\b(?:float32|bfloat16|float16)\n", re.MULTILINE)
"""The lines on device and dtype of a model."""


@dataclass
class Outcome:
    """What a call left: exit code, both streams, and the lines on devices, which `err` does not repeat."""

    code: int
    out: str
    err: str
    devices: list[str]

    @property
    def json(self) -> dict:
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        value = json.loads(lines[0])
        assert isinstance(value, dict)
        return value

    def refused(self, *words: str) -> None:
        """Exit code 2, nothing on standard output, and one line on standard error that has these words."""
        assert self.code == 2
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        for word in words:
            assert word in lines[0]


Dinoclip = Callable[..., Outcome]


@pytest.fixture
def dinoclip(capsys: pytest.CaptureFixture[str]) -> Dinoclip:
    def call(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(code, out, DEVICE_LINE.sub("", err), [line.rstrip() for line in DEVICE_LINE.findall(err)])

    return call


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    assert main(["playground", "draw", "--count", "4", "--objects", "1", "--seed", "2000", "--out", str(folder)]) == 0
    return sorted((folder / "images").iterdir())
