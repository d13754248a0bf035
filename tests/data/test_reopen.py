import json

import pytest

from dinoclip_viz.data import open_source, reopen
from dinoclip_viz.images import ImageError


def test_rows_of_a_selection_of_scenes_are_drawn_again(tmp_path):
    chosen = tmp_path / "kept.jsonl"
    rows = [{"source": "playground:2000:5:32", "number": n, "key": f"2000-{n:06}", "captions": ["a"]} for n in (1, 4)]
    chosen.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = open_source(chosen)
    samples = list(source.samples())
    assert [reopen(source.name, sample.key) for sample in samples] == [sample.load() for sample in samples]
    with pytest.raises(ImageError, match="2000-000003: the image is not available"):
        reopen(source.name, "2000-000003")


@pytest.mark.parametrize("source", ["gone.jsonl", "hub:owner/photos"])
def test_a_source_without_paths_is_named(source):
    with pytest.raises(ImageError, match=f"{source} keeps no paths"):
        reopen(source, "7")
