import json
import re

from dinoclip_viz.viz.scatter import library_code, scatter_code, scatter_fragment, scatter_page, scatter_style

POINTS = [[0.0, 0.0], [1.0, 2.0]]


def payload_in(text):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1])


def test_the_library_is_plotly_with_its_licence():
    assert "plotly.js v" in library_code()[:300] and "MIT" in library_code()[:300]
    assert "</script" not in scatter_code()


def test_a_page_holds_everything_and_may_ask_for_nothing():
    page = scatter_page(POINTS, labels=["cat", "dog"], title="Two <points> & more")
    assert "<title>Two &lt;points&gt; &amp; more</title>" in page
    assert "default-src 'none'" in page and "img-src data: blob:" in page
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page.replace(library_code(), "")) == []
    assert payload_in(page)["names"] == ["cat", "dog"]


def test_texts_cannot_leave_the_payload():
    bad = "</script><script>alert(1)</script>"
    page = scatter_page(POINTS, labels=[bad, "b"], titles=[bad, "<!--"], title=bad)
    assert payload_in(page)["titles"] == [bad, "<!--"]
    assert "<script>alert" not in page and "<!--" not in page.replace(library_code(), "")


def test_a_fragment_may_leave_the_library_to_the_page():
    with_library, without = (scatter_fragment(POINTS, include_library=flag) for flag in (True, False))
    assert len(with_library) - len(without) > 1_000_000
    assert "<html" not in without and payload_in(without)["count"] == 2


def test_every_class_of_the_style_is_marked():
    names = set(re.findall(r"\.([a-z][a-z-]*)", re.sub(r"/\*.*?\*/", "", scatter_style(), flags=re.DOTALL)))
    assert {name for name in names if not name.startswith("dvs")} == set()
