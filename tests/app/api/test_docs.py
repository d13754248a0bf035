"""docs/api.md against a served app: its Python, JavaScript and curl run, and print what the page shows."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dinoclip_viz.playground import draw

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
ADDRESS = "http://127.0.0.1:7860"
PAIRS = re.findall(r"^```(py|js|bash)\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", PAGE.read_text("utf-8"), re.M | re.S)
"""(language, code, what it prints) of each block that runs."""
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
MARK = "-- next block --"


def blocks(language):
    found = [(code, printed) for each, code, printed in PAIRS if each == language]
    assert found
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the page's two scenes, as the working folder."""
    images = tmp_path / "scenes" / "images"
    images.mkdir(parents=True)
    for number, scene in enumerate(draw(1002, 2, 192)):
        scene.image.save(images / f"{number:06d}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_printed(found, shown):
    """What was printed is what the page shows: "..." stands for anything, numbers may differ a little."""
    wanted = [word for word in re.split(rf"({NUMBER}|\.\.\.)", " ".join(shown.split()))]
    pattern = "".join(
        ".*?" if word == "..." else f"({NUMBER})" if re.fullmatch(NUMBER, word) else re.escape(word) for word in wanted
    )
    text = " ".join(found.split())
    match = re.fullmatch(pattern, text)
    assert match, f"expected {shown}\nfound {text[:3000]}"
    numbers = [float(word) for word in wanted if re.fullmatch(NUMBER, word)]
    assert [float(each) for each in match.groups()] == pytest.approx(numbers, abs=0.03, rel=0.03)


def test_shown_output_is_compared_with_what_is_printed():
    assert_printed("cat 0.971 at /tmp/a", "cat 0.97 at ...")
    with pytest.raises(AssertionError):
        assert_printed("cat 0.87", "cat 0.97")
    with pytest.raises(AssertionError):
        assert_printed("dog 0.97", "cat 0.97")


def test_python_blocks_run_and_print_what_is_shown(served, folder):
    pytest.importorskip("mcp")
    names = {"__name__": "api"}
    for code, printed in blocks("py"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code.replace(ADDRESS, served), str(PAGE), "exec"), names)
        assert_printed(output.getvalue(), printed.replace(ADDRESS, served))


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="curl or bash is absent")
def test_curl_blocks_run_and_print_what_is_shown(served, folder):
    pairs = blocks("bash")
    script = f"\necho '{MARK}'\n".join(code for code, _ in pairs).replace(ADDRESS, served)
    done = subprocess.run(["bash", "-e", "-c", script], capture_output=True, text=True, timeout=200, check=True)
    printed = done.stdout.split(MARK)
    for found, (_, shown) in zip(printed, pairs, strict=True):
        assert_printed(found.replace(served, ADDRESS), shown)


def node_modules():
    """The folder of installed packages that holds @gradio/client; None where there is none."""
    found = [os.environ.get("NODE_MODULES", "")]
    if shutil.which("npm"):
        found.append(subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False).stdout.strip())
    return next((Path(each) for each in found if each and Path(each, "@gradio", "client").is_dir()), None)


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is absent")
def test_javascript_runs_and_prints_what_is_shown(served, folder):
    ((code, printed),) = blocks("js")
    Path("example.mjs").write_text(code.replace(ADDRESS, served), encoding="utf-8")
    subprocess.run(["node", "--check", "example.mjs"], check=True, timeout=60)
    modules = node_modules()
    if modules is None:
        pytest.skip("parsed alone: @gradio/client is absent; install it, or name its folder in NODE_MODULES")
    Path("node_modules").symlink_to(modules)
    done = subprocess.run(["node", "example.mjs"], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert_printed(done.stdout.replace(served, ADDRESS), printed)


def test_the_table_names_every_endpoint_and_argument(client):
    text = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", text, re.M))
    known = client.view_api(return_format="dict")["named_endpoints"]
    assert {f"/{name}" for name in rows} == set(known)
    for name, arguments in rows.items():
        listed = [each["parameter_name"] for each in known[f"/{name}"]["parameters"]]
        assert re.findall(r"`(\w+)`", arguments) == listed


def test_the_configuration_of_assistants_is_json_with_the_address_of_the_tools():
    from dinoclip_viz.app.api.tools import PATH

    (text,) = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert json.loads(text)["mcpServers"]["dinoclip"]["url"] == f"{ADDRESS}{PATH}"
