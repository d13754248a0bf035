"""SPair-71k's own files, made up small, and pairs of playground scenes."""

import json

import numpy as np
import pytest

from dinoclip_viz.data import SourceError
from dinoclip_viz.data.correspondence.pairs import DrawnPairs, open_pairs, part_points
from dinoclip_viz.data.correspondence.spair import SPairSource
from dinoclip_viz.images import ImageError
from dinoclip_viz.playground import CLASSES, PARTS

KEY = "000001-2008_002719-2008_004100:aeroplane"


def annotation(**changes):
    return {
        "pair_id": 1,
        "filename": KEY.partition("-")[2],
        "src_imname": "2008_002719.jpg",
        "trg_imname": "2008_004100.jpg",
        "src_imsize": [8, 6, 3],
        "trg_imsize": [8, 6, 3],
        "src_bndbox": [1, 1, 7, 5],
        "trg_bndbox": [0, 2, 8, 5],
        "category": "aeroplane",
        "src_kps": [[2, 2], [5, 4]],
        "trg_kps": [[1, 3], [6, 4]],
        "kps_ids": ["0", "9"],
        "mirror": 0,
        "viewpoint_variation": 1,
        **changes,
    }


@pytest.fixture
def folder(tmp_path, image):
    for name in ("2008_002719", "2008_004100"):
        image(tmp_path / "JPEGImages" / "aeroplane" / f"{name}.jpg")
    for place in ("Layout/large", "PairAnnotation/test"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "Layout" / "large" / "test.txt").write_text(f"{KEY}\n\n", encoding="utf-8")
    write(tmp_path, annotation())
    return tmp_path


def write(folder, value):
    text = value if isinstance(value, str) else json.dumps(value)
    (folder / "PairAnnotation" / "test" / f"{KEY}.json").write_text(text, encoding="utf-8")


def test_a_pair_comes_with_points_boxes_and_images(folder):
    source = open_pairs(str(folder))
    assert source == SPairSource(folder) and source.count == 1
    (pair,) = source.pairs()
    assert (pair.key, pair.category, pair.names) == (KEY, "aeroplane", ("0", "9"))
    assert pair.source.load().size == pair.target.load().size == (8, 6)
    assert pair.source_points.tolist() == [[2, 2], [5, 4]] and pair.target_points.tolist() == [[1, 3], [6, 4]]
    assert pair.source_box == (1, 1, 7, 5) and pair.side == 8
    assert pair.source_parts is None


def test_a_missing_image_is_an_error_of_its_own(folder):
    (folder / "JPEGImages" / "aeroplane" / "2008_004100.jpg").unlink()
    (pair,) = SPairSource(folder).pairs()
    with pytest.raises(ImageError, match="no such file"):
        pair.target.load()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{", "no JSON"),
        ([], "no object"),
        (annotation(category="../other"), "category is '../other'"),
        (annotation(src_imname=3), "src_imname is '3'"),
        (annotation(trg_kps=[[1, 2]]), "2 src_kps and 1 trg_kps"),
        (annotation(src_kps=[[1], [2, 3]]), "src_kps"),
        (annotation(src_kps=[["a", "b"], [1, 2]]), "src_kps"),
        (annotation(trg_kps=[[None, 1], [1, 2]]), "trg_kps"),
        (annotation(trg_bndbox=[4, 4, 4, 8]), "trg_bndbox"),
        (annotation(trg_bndbox=None), "trg_bndbox"),
    ],
)
def test_a_broken_annotation_is_named_in_one_line(folder, value, reason):
    write(folder, value)
    with pytest.raises(SourceError, match=reason) as caught:
        list(SPairSource(folder).pairs())
    assert f"{KEY}.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_of_another_kind_and_an_unknown_split_are_refused(folder, tmp_path_factory):
    with pytest.raises(SourceError, match="expected one of trn, val, test"):
        open_pairs(str(folder), "train")
    with pytest.raises(SourceError, match=r"no Layout/large/val\.txt"):
        open_pairs(str(folder), "val")
    with pytest.raises(SourceError, match="no JPEGImages, no PairAnnotation"):
        open_pairs(str(tmp_path_factory.mktemp("empty")))
    (folder / "PairAnnotation" / "test" / f"{KEY}.json").unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        list(SPairSource(folder).pairs())
    for text in ("", "../../etc:cat\n"):
        (folder / "Layout" / "large" / "test.txt").write_text(text)
        with pytest.raises(SourceError, match="one per line"):
            list(SPairSource(folder).pairs())


def test_drawn_pairs_are_of_one_class_and_their_points_lie_on_the_part():
    source = DrawnPairs(seed=1520, count=6, size=96)
    pairs = list(source.pairs())
    assert len(pairs) == source.count and [pair.key for pair in source.pairs()] == [pair.key for pair in pairs]
    used = [number for pair in pairs for number in pair.key.split("-")[1:]]
    assert len(set(used)) == 12  # no scene twice
    for pair in pairs:
        assert len(pair.names) == len(pair.source_points) == len(pair.target_points)
        for points, parts in ((pair.source_points, pair.source_parts), (pair.target_points, pair.target_parts)):
            for (x, y), name in zip(points, pair.names, strict=True):
                assert parts[int(y), int(x)] == PARTS.index(name) + 1
                assert (parts == PARTS.index(name) + 1).sum() >= 4  # (96 / 48)^2
        assert pair.category in CLASSES
        x0, y0, x1, y1 = pair.target_box
        assert (pair.target_parts[int(y0) : int(y1), int(x0) : int(x1)] > 0).sum() == (pair.target_parts > 0).sum()
    assert [pair.key for pair in DrawnPairs(1520, 3, 96).pairs()] == [pair.key for pair in pairs[:3]]


def test_a_point_is_the_pixel_of_the_part_nearest_to_its_middle():
    ring = np.array([[4, 4, 4], [4, 0, 4], [4, 4, 4]])
    (x, y) = part_points(ring)[4]
    assert ring[int(y), int(x)] == 4 and abs(x - 1.5) + abs(y - 1.5) == 1
    assert part_points(ring, least=9) == {}


@pytest.mark.parametrize(
    ("text", "split", "reason"),
    [
        ("playground:1", None, "expected playground:SEED:PAIRS"),
        ("playground:1:x", None, "expected playground:SEED:PAIRS"),
        ("playground:1:0", None, "0 pairs"),
        ("playground:1:5", "test", "has no splits"),
        ("", None, "no such folder"),
        ("no\nfolder", None, "no such folder"),
        ("nul\0", None, "no such folder"),
    ],
)
def test_names_that_cannot_be_opened_are_told(text, split, reason):
    with pytest.raises(SourceError, match=reason) as caught:
        open_pairs(text, split)
    assert "\n" not in str(caught.value)
    assert open_pairs("playground").count == 200


def test_a_size_out_of_range_is_refused():
    with pytest.raises(SourceError, match="4 pixels"):
        open_pairs("playground:1:5", size=4)
