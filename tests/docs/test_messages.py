"""Every message that the documentation quotes is still produced: `console` and `pycon` blocks run and are compared."""

import re
import shlex
from pathlib import Path

import pytest
from blocks import blocks, run_command

ROOT = Path(__file__).resolve().parents[2]
QUOTED = [
    block
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if page.parent.name != "contributing"  # its pages have a test of their own
    for block in blocks(page)
    if block.language in ("console", "pycon")
]
PROGRESS = re.compile(r"^.*(?:images/s|it/s|s/images)\].*$\n?", re.MULTILINE)

pytestmark = pytest.mark.docs


def matches(expected: str, found: str) -> bool:
    """Whether a text is the expected one, in which "..." stands for anything.

    Examples:
        >>> matches("a ... d", "a b c d"), matches("a ... d", "a b c")
        (True, False)
    """
    parts = [re.escape(part) for part in expected.strip().split("...")]
    return re.fullmatch("(?s:.*?)".join(parts), found.strip()) is not None


def test_dots_stand_for_anything():
    assert matches("...\nb", "a\nb") and matches("a (...) b", "a (x y) b") and not matches("a", "a b")


@pytest.fixture(scope="module")
def folder(prepared, tmp_path_factory):
    import shutil

    work = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("messages") / "work"))
    for file in (work / "photos").iterdir():
        if file.stem not in "01":
            file.unlink()
    shutil.copytree(work / "broken", work, dirs_exist_ok=True)
    (work / "photos" / "c.png").write_text("no image")
    return work


@pytest.mark.parametrize("block", QUOTED, ids=lambda block: f"{block.page.stem}:{block.line}")
def test_a_quoted_message_is_produced(block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    if block.language == "console":
        first, _, expected = block.text.partition("\n")
        found = shown(first, monkeypatch)
    else:
        given = re.match(r">>> .*\n(?:\.\.\. .*\n)*", block.text)[0]
        expected, found = block.text.removeprefix(given), raised(re.sub(r"^(?:>>>|\.\.\.) ", "", given, flags=re.M))
    assert matches(expected, found), f"{block.page.name}:{block.line} expects\n{expected}\nfound\n{found}"


def shown(line: str, monkeypatch) -> str:
    words = line.removeprefix("$ ").split(" ")
    while "=" in words[0]:
        name, value = words.pop(0).split("=")
        assert (name, value) == ("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "nothing-here")
    assert shlex.split(" ".join(words))[0] == "dinoclip"
    return PROGRESS.sub("", run_command(" ".join(words), line, codes=(0, 1, 2)))


def raised(code: str) -> str:
    import numpy as np
    from PIL import Image

    import dinoclip_viz as dv

    known = {"dv": dv, "np": np, "Image": Image, "encoder": dv.load_encoder("playground-dino")}
    with pytest.raises(Exception) as caught:
        exec(code, known)
    return f"{type(caught.value).__name__}: {caught.value}"
