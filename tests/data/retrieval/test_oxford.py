"""Revisited Oxford's files, written here in small, and playground scenes in several views."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.data import PlaygroundSource, SourceError
from dinoclip_viz.data.retrieval.instances import drawn_instances
from dinoclip_viz.data.retrieval.oxford import CroppedImage, is_oxford, open_oxford
from dinoclip_viz.images import ImageError


@pytest.fixture
def tree(tmp_path):
    """Four images of 8 x 6 pixels, left half dark and right half light, two of them queries."""
    pixels = np.full((6, 8, 3), 250, np.uint8)
    pixels[:, :4] = 10
    (tmp_path / "jpg").mkdir()
    for name in ("all_souls_000013", "bodleian_000001", "radcliffe_camera_000158", "q"):
        Image.fromarray(pixels).save(tmp_path / "jpg" / f"{name}.jpg", quality=100)
    truth = {
        "imlist": ["all_souls_000013", "bodleian_000001", "radcliffe_camera_000158"],
        "qimlist": ["all_souls_000013", "q"],
        "gnd": [
            {"bbx": [4.0, 0.0, 8.2, 6.0], "easy": [1], "hard": [2], "junk": [0]},
            {"bbx": [0, 1, 4, 5], "easy": [], "hard": [0, 1], "junk": []},
        ],
    }
    (tmp_path / "gnd_roxford5k.json").write_text(json.dumps(truth))
    return tmp_path


def test_queries_are_cropped_and_lists_are_kept(tree, check_source):
    for path in (tree, tree / "gnd_roxford5k.json"):
        found = open_oxford(path)
        assert [sample.key for sample in check_source(found.gallery)] == [
            "all_souls_000013", "bodleian_000001", "radcliffe_camera_000158"
        ]  # fmt: skip
        right, left = (sample.load() for sample in check_source(found.queries))
        assert right.size == (4, 6) and left.size == (4, 4)
        assert np.asarray(right).mean() > 200 and np.asarray(left).mean() < 50
        assert [dict(lists) for lists in found.truth] == [
            {"easy": (1,), "hard": (2,), "junk": (0,)},
            {"easy": (), "hard": (0, 1), "junk": ()},
        ]
    assert is_oxford(tree) and not is_oxford(tree / "jpg")


def test_names_may_have_folders_with_backslashes_and_other_extensions(tree):
    (tree / "jpg" / "paris").mkdir()
    Image.new("RGB", (8, 6)).save(tree / "jpg" / "paris" / "louvre_1.webp")
    Image.new("RGB", (8, 6)).save(tree / "jpg" / "paris" / "louvre_2.jpg")
    lists = {"bbx": [0, 0, 4, 4], "easy": [0], "hard": [], "junk": []}
    names = ["paris\\louvre_1.webp", "paris\\louvre_2"]
    (tree / "gnd_roxford5k.json").write_text(json.dumps({"imlist": names, "qimlist": names[:1], "gnd": [lists]}))
    found = open_oxford(tree)
    assert [sample.load().size for sample in found.gallery.samples()] == [(8, 6), (8, 6)]
    assert next(found.queries.samples()).load().size == (4, 4)


def test_a_pickle_is_not_opened_and_the_message_converts_it(tree):
    convert = (
        "import json, sys; pickle = __import__('pickle'); "
        "pickle.dump(json.load(open(sys.argv[1])), open(sys.argv[2], 'wb'))"
    )
    source, target = tree / "gnd_roxford5k.json", tree / "gnd_roxford5k.pkl"
    before = json.loads(source.read_text())
    subprocess.run([sys.executable, "-c", convert, source, target], check=True)
    source.unlink()
    for path in (tree, target):
        with pytest.raises(SourceError, match="a pickle, which can run code") as caught:
            open_oxford(path)
    message = str(caught.value)
    assert "\n" not in message
    command = message.split('python -c "')[1].removesuffix('"')
    subprocess.run([sys.executable, "-c", command], check=True)
    assert json.loads(source.read_text()) == before
    assert len(open_oxford(tree).truth) == 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"imlist": None}, "imlist is no list of names"),
        ({"qimlist": ["q"]}, "gnd does not have one entry for each of 1 queries"),
        ({"gnd": [{"bbx": [0, 0, 1]}] * 2}, "query 0 has no bbx of four numbers"),
        ({"gnd": [{"bbx": [0, 0, 1, 1], "hard": [3]}] * 2}, "query 0 has entries in hard that are no index below 3"),
        ({"gnd": [{"bbx": [0, 0, 1, 1], "junk": [True]}] * 2}, "query 0 has entries in junk"),
        ({"gnd": [7, 7]}, "query 0 has no bbx"),
    ],
)
def test_other_forms_are_told_in_one_line(tree, change, complaint):
    file = tree / "gnd_roxford5k.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(SourceError) as caught:
        open_oxford(file)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_missing_is_told(tree):
    with pytest.raises(SourceError, match="no such file"):
        open_oxford(tree / "gnd_rparis6k.json")
    with pytest.raises(SourceError, match=r"found none in this folder; expected one gnd_\*\.json"):
        open_oxford(tree / "jpg")
    (tree / "gnd_rparis6k.json").write_text("{}")
    with pytest.raises(
        SourceError, match=r"found gnd_roxford5k\.json, gnd_rparis6k\.json in this folder; expected one"
    ):
        open_oxford(tree)
    with pytest.raises(SourceError, match="imlist is no list"):
        open_oxford(tree / "gnd_rparis6k.json")
    with pytest.raises(ImageError, match="is outside its"):
        CroppedImage(tree / "jpg" / "q.jpg", (9, 0, 12, 4))()
    (tree / "jpg").rename(tree / "elsewhere")
    with pytest.raises(SourceError, match="no such folder; expected the data set's images there"):
        open_oxford(tree / "gnd_roxford5k.json")


def test_views_of_a_scene_share_its_object_and_differ(check_source):
    views = drawn_instances(PlaygroundSource(2000, 3, 48, 1))
    queries, gallery = check_source(views.queries), check_source(views.gallery)
    assert (len(queries), len(gallery), len(views.truth)) == (3, 6, 3)
    for number, (query, lists) in enumerate(zip(queries, views.truth, strict=True)):
        own = [gallery[lists[name][0]] for name in ("easy", "hard")]
        scene = query.key.removesuffix("-query")
        assert scene.endswith(str(number))
        assert [sample.key for sample in own] == [f"{scene}-easy", f"{scene}-hard"]
        images = [np.asarray(sample.load()).astype(int) for sample in (query, *own)]
        assert all(image.shape == (48, 48, 3) for image in images)
        apart = [np.abs(images[0] - other).mean() for other in images[1:]]
        assert apart[0] > 0 and apart[1] > 0
        assert (np.asarray(query.load()) == images[0]).all()
