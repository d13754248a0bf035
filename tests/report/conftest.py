"""A hostile folder, and a report on it."""

import pytest

from tests.report.hostile import LABELS, PROMPTS, write_hostile


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    return write_hostile(tmp_path_factory.mktemp("hostile") / "my <i>images")


@pytest.fixture(scope="session")
def made(hostile, tmp_path_factory):
    """The result of a report with every section."""
    from dinoclip_viz.report.making import report

    out = tmp_path_factory.mktemp("reports") / "new" / "report.html"
    pairs = [("1.png", "2.png"), ("3.png", "cut.png")]
    return report(hostile, out, labels=LABELS, prompts=PROMPTS, pairs=pairs, title="<s>T</s>")


@pytest.fixture(scope="session")
def markup(made):
    return made.out.read_text(encoding="utf-8")
