"""Wheel and sdist: equal bytes from two folders, the package with all its data, and nothing of tests."""

import base64
import csv
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import dinoclip_viz

ROOT = Path(__file__).resolve().parents[2]
NAME = f"dinoclip_viz-{dinoclip_viz.__version__}"
WHEEL, SDIST = f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"
SOURCES = ("dinoclip_viz", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", ".gitignore")
LARGEST = {WHEEL: 40e6, SDIST: 40e6}
"""Limit in bytes; PyPI accepts 100 MB."""


def copy_sources(folder, mode):
    """The sources with other times and permissions than in the repository."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyi"))
        else:
            shutil.copy(ROOT / name, folder / name)
    for path in folder.rglob("*"):
        if path.is_file():
            os.chmod(path, mode)
            os.utime(path, (1e9 + mode, 1e9 + mode))


def build(source, target, zone):
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1764000000", "TZ": zone, "PYTHONHASHSEED": str(len(zone))}
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target)]
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two folders of distributions, of sources at two places with other times and permissions."""
    targets = []
    for place, mode, zone in (("here", 0o644, "UTC"), ("elsewhere/deeper", 0o600, "Asia/Tokyo")):
        source = tmp_path_factory.mktemp("sources") / place
        source.mkdir(parents=True)
        copy_sources(source, mode)
        targets.append(tmp_path_factory.mktemp("dist"))
        build(source, targets[-1], zone)
    return targets


@pytest.mark.parametrize("name", [WHEEL, SDIST])
def test_two_builds_give_equal_bytes(built, name):
    one, other = (hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in built)
    assert one == other
    assert sorted(path.name for path in built[0].iterdir() if path.suffix in (".whl", ".gz")) == sorted([WHEEL, SDIST])
    assert (built[0] / name).stat().st_size < LARGEST[name]


def test_the_sdist_builds_the_same_wheel(built, tmp_path):
    with tarfile.open(built[0] / SDIST) as archive:
        archive.extractall(tmp_path, filter="data")
    build(tmp_path / NAME, tmp_path, "UTC")
    assert (tmp_path / WHEEL).read_bytes() == (built[0] / WHEEL).read_bytes()


def package_files():
    """Files of the package in the repository, as a distribution should hold them."""
    ignored = {".pyc", ".pyo", ".pyd", ".pyi"}
    paths = [path for path in (ROOT / "dinoclip_viz").rglob("*") if path.is_file() and path.suffix not in ignored]
    return {path.relative_to(ROOT).as_posix() for path in paths}


def test_the_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[0] / WHEEL) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        record = list(csv.reader(archive.read(f"{NAME}.dist-info/RECORD").decode().splitlines()))
        for name, digest, _ in record:
            if digest:
                found = base64.urlsafe_b64encode(hashlib.sha256(archive.read(name)).digest()).rstrip(b"=").decode()
                assert digest == f"sha256={found}"
        entry_points = archive.read(f"{NAME}.dist-info/entry_points.txt").decode()
        modes = {info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    assert names == package_files()
    assert "dinoclip = dinoclip_viz.cli:main" in entry_points
    assert modes <= {0o644, 0o664}
    suffixes = {Path(name).suffix for name in names} | {Path(name).name for name in names}
    assert {".safetensors", ".json", ".js", ".css", "py.typed"} <= suffixes
    models = {Path(name).parts[3] for name in names if name.startswith("dinoclip_viz/playground/models/")}
    assert {path.name for path in (ROOT / "dinoclip_viz/playground/models").iterdir()} == models


def test_the_sdist_holds_the_package_its_texts_and_no_tests(built):
    with tarfile.open(built[0] / SDIST) as archive:
        names = {member.name.removeprefix(f"{NAME}/") for member in archive.getmembers() if member.isfile()}
        owners = {(member.uid, member.gid, member.uname, member.gname) for member in archive.getmembers()}
    texts = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", ".gitignore", "PKG-INFO"}
    assert names == package_files() | texts
    assert owners == {(0, 0, "", "")}
    wrong = ("tests", "notebooks", "docs", ".ci", ".github", "apps")
    assert [name for name in names if name.split("/")[0] in wrong] == []


def test_twine_accepts_both(built):
    command = [sys.executable, "-m", "twine", "check", "--strict", *(str(built[0] / name) for name in (WHEEL, SDIST))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_the_metadata_name_version_licence_and_versions_of_python(built):
    with zipfile.ZipFile(built[0] / WHEEL) as archive:
        found = Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())
    assert found["Name"] == "dinoclip-viz"
    assert found["Version"] == dinoclip_viz.__version__
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Requires-Python"] == ">=3.11"
    assert found.get_payload().startswith("# dinoclip_viz")
    unbounded = [each for each in found.get_all("Requires-Dist") if ">=" not in each]
    assert unbounded == []  # else the lowest versions are those of years ago
