"""Truth about every pixel: the drawn world, VOC's, ADE20k's and NYU's own files, and folders of masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.data import SourceError
from dinoclip_viz.data.labels.ade20k import ADE20K_NAMES
from dinoclip_viz.data.labels.label_files import UNKNOWN, read_depth, read_labels
from dinoclip_viz.data.labels.masks import MaskFolderSource, read_class_names
from dinoclip_viz.data.labels.sources import TruthSource, open_truths, pairs
from dinoclip_viz.data.labels.voc import VOC_NAMES, voc_palette
from dinoclip_viz.images import ImageError
from dinoclip_viz.playground import CLASSES, PARTS, draw

REFERENCE = Path(__file__).resolve().parents[4] / "shared" / "reference" / "coco_permissive"


def save(path, values, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette([value for colour in palette for value in colour] + [0] * (768 - 3 * len(palette)))
    image.save(path)
    return path


def mask(*numbers, dtype=np.uint8):
    """A 6 x 8 mask, a column of pixels a number, the last one to the end."""
    values = np.full((6, 8), numbers[-1], dtype)
    for column, number in enumerate(numbers):
        values[:, column] = number
    return values


@pytest.fixture
def voc(tmp_path, image):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    lists = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033"]}
    for split, keys in lists.items():
        file = root / "ImageSets" / "Segmentation" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{key}\n" for key in keys))
        for key in keys:
            image(root / "JPEGImages" / f"{key}.jpg")
            save(root / "SegmentationClass" / f"{key}.png", mask(0, 255, 1, 20), voc_palette())
    return root


@pytest.fixture
def ade(tmp_path, image):
    root = tmp_path / "ADEChallengeData2016"
    for part, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        image(root / "images" / part / f"{name}.jpg")
        save(root / "annotations" / part / f"{name}.png", mask(0, 1, 150))
    return root


@pytest.fixture
def nyu(tmp_path, image):
    for number in (45, 46):
        image(tmp_path / "nyu" / "bathroom" / f"rgb_{number:05d}.jpg")
        save(tmp_path / "nyu" / "bathroom" / f"sync_depth_{number:05d}.png", mask(0, 1500, 9999, dtype=np.uint16))
    (tmp_path / "nyu_train.txt").write_text("/bathroom/rgb_00045.jpg /bathroom/sync_depth_00045.png 518.8579\n")
    (tmp_path / "nyu_test.txt").write_text(
        "bathroom/rgb_00046.jpg bathroom/sync_depth_00046.png 518.8579\nbathroom/rgb_00047.jpg None 518.8579\n"
    )
    return tmp_path


def test_the_playground_knows_all_truth_by_key(check_source):
    source = open_truths("playground:2000:3:64:2")
    assert isinstance(source, TruthSource)
    samples = check_source(source)
    for sample, scene in zip(samples, draw(2000, 3, 64, 2), strict=True):
        for kind, expected in (("class", scene.mask), ("parts", scene.parts), ("depth", scene.depth)):
            assert np.array_equal(source.truth(sample.key, kind), expected)
    assert source.names("class") == ("background", *CLASSES)
    assert source.names("parts") == ("background", *PARTS)
    assert source.names("depth") == ()
    assert source.depth_range == (1.0, pytest.approx(39.999))
    for key in ("2000-000003", "2001-000000", "cat"):
        with pytest.raises(SourceError, match="no scene"):
            source.truth(key, "class")


@pytest.mark.parametrize("above", [0, 1, 2])
def test_voc_reads_palette_indices_and_its_own_lists(voc, check_source, above):
    place = [voc, voc.parent, voc.parent.parent][above]
    source = open_truths(place, training=True)
    assert [sample.key for sample in check_source(source)] == ["2007_000032", "2007_000039"]
    assert [sample.key for sample in open_truths(place).samples()] == ["2007_000033"]
    labels = source.truth("2007_000032", "class")
    assert labels.dtype == np.uint8 and labels[0].tolist() == [0, UNKNOWN, 1, 20, 20, 20, 20, 20]
    assert source.names("class")[20] == "tvmonitor" and len(source.names("class")) == len(VOC_NAMES) == 21


def test_vocs_palette_is_its_own():
    assert voc_palette()[15] == [192, 128, 128] and voc_palette()[20] == [0, 64, 128]


def test_ade20k_numbers_from_one_and_leaves_zero_unknown(ade, check_source):
    source = open_truths(ade)
    assert [sample.key for sample in check_source(source)] == ["ADE_val_00000001"]
    assert open_truths(ade, training=True).split == "training"
    assert source.truth("ADE_val_00000001", "class")[0, :3].tolist() == [UNKNOWN, 0, 149]
    assert len(set(ADE20K_NAMES)) == 150 and source.names("class")[149] == "flag"
    images = ade / "images" / "validation"
    (images / "ADE_val_00000001.jpg").rename(images / "ADE_val_00000001.png")
    (images / "._ADE_val_00000001.jpg").write_bytes(b"hidden")
    (sample,) = source.samples()
    assert sample.key == "ADE_val_00000001" and sample.load().size == (8, 6)


def test_nyu_reads_millimetres_of_the_list_it_is_asked_for(nyu, check_source):
    source = open_truths(nyu)
    assert [sample.key for sample in check_source(source)] == ["bathroom/rgb_00046.jpg"]
    depth = source.truth("bathroom/rgb_00046.jpg", "depth")
    assert depth.dtype == np.float32 and depth[0, :3].tolist() == pytest.approx([0.0, 1.5, 9.999])
    assert source.depth_range == (0.001, 10.0)
    assert [sample.key for sample in open_truths(nyu, training=True).samples()] == ["bathroom/rgb_00045.jpg"]
    assert open_truths(nyu / "nyu_train.txt").count == 1


def test_nyu_lists_with_backslashes_are_read(nyu):
    (nyu / "nyu_train.txt").write_text("\\bathroom\\rgb_00045.jpg \\bathroom\\sync_depth_00045.png 518.8579\n")
    source = open_truths(nyu / "nyu_train.txt")
    (sample,) = source.samples()
    assert sample.load().size == (8, 6)
    assert source.truth(sample.key, "depth")[0, 1] == pytest.approx(1.5)


def test_a_drawn_folder_gives_the_truth_that_was_drawn(tmp_path, check_source):
    from dinoclip_viz.cli import main

    assert main(["playground", "draw", "--seed", "2000", "--count", "2", "--size", "48", "--out", str(tmp_path)]) == 0
    source, drawn = open_truths(tmp_path), open_truths("playground:2000:2:48")
    assert [sample.key for sample in check_source(source)] == ["000000", "000001"]
    assert source.kinds == drawn.kinds
    for kind in source.kinds:
        assert source.names(kind) == drawn.names(kind)
        np.testing.assert_allclose(source.truth("000001", kind), drawn.truth("2000-000001", kind), atol=6e-4)
    counted = [(known.truth(key, "depth") <= known.depth_range[1]).mean() for known, key in
               ((source, "000001"), (drawn, "2000-000001"))]  # fmt: skip
    assert counted[0] == counted[1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "unlabeled\ncat\n\ndog\n"),
        ("classes.json", '["unlabeled", "cat", "dog"]'),
        ("mask_classes.json", '{"classes": {"0": "unlabeled", "1": "cat", "2": "dog"}}'),
        (
            "mask_classes.yaml",
            "# ids\ntrain:\n  1: no\nclasses:\n  0: unlabeled\n  1: 'cat' # a cat\n  2: dog\nmore:\n  3: no\n",
        ),
    ],
)
def test_classes_are_named_by_json_text_or_simple_yaml(tmp_path, image, name, content):
    image(tmp_path / "images" / "one.jpg")
    image(tmp_path / "images" / "without.jpg")
    save(tmp_path / "masks" / "one.png", mask(0, 1, 2, 255))
    (tmp_path / name).write_text(content)
    source = open_truths(tmp_path)
    assert source.names("class") == ("cat", "dog")
    assert source.truth("one", "class")[0, :4].tolist() == [UNKNOWN, 0, 1, UNKNOWN]
    assert [sample.key for sample in source.samples()] == ["one"]


def test_numbers_with_gaps_become_labels_in_a_row(tmp_path, image):
    image(tmp_path / "images" / "one.jpg")
    save(tmp_path / "masks" / "one.png", mask(7, 90))
    (tmp_path / "classes.json").write_text(json.dumps({"7": "cat", "90": "dog"}))
    assert open_truths(tmp_path).truth("one", "class")[0, :2].tolist() == [0, 1]


def test_what_cannot_be_used_is_told_sample_by_sample(tmp_path, image):
    for stem in ("big", "broken", "colours", "fine", "number"):
        image(tmp_path / "images" / f"{stem}.jpg")
        save(tmp_path / "masks" / f"{stem}.png", mask(0, 1))
    save(tmp_path / "masks" / "big.png", np.zeros((3, 3), np.uint8))
    save(tmp_path / "masks" / "colours.png", np.zeros((6, 8, 3), np.uint8))
    save(tmp_path / "masks" / "number.png", mask(9))
    (tmp_path / "masks" / "broken.png").write_bytes((tmp_path / "masks" / "fine.png").read_bytes()[:-25])
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    told = {sample.key: found for sample, found in pairs(open_truths(tmp_path), "class")}
    assert not isinstance(told["fine"], str)
    for key, words in (
        ("big", "8 x 6 pixels, but its ground truth has 3 x 3"),
        ("broken", "cannot be read"),
        ("colours", "in colours"),
        ("number", "holds the number 9, which is no class"),
    ):
        assert words in told[key] and "\n" not in told[key]


def test_depth_must_have_sixteen_bits_and_masks_must_be_there(tmp_path):
    with pytest.raises(ImageError, match="expected a depth map of 16 bits"):
        read_depth(save(tmp_path / "depth.png", mask(1)))
    with pytest.raises(ImageError, match="no such file"):
        read_labels(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ImageError, match="not a PNG"):
        read_labels(tmp_path / "text.png")


def test_names_that_stand_for_no_truth_are_refused_in_one_line(tmp_path, voc, ade, image):
    empty, bare = tmp_path / "empty", tmp_path / "bare"
    (empty / "images").mkdir(parents=True)
    image(bare / "images" / "one.jpg")
    (bare / "masks").mkdir()
    (tmp_path / "list.txt").write_text("hello\n")
    refused = [
        (tmp_path / "nowhere", None, "no such file or folder"),
        (empty, None, "no ground truth was found"),
        (bare, None, "no image in images/ has ground truth"),
        (tmp_path / "list.txt", None, "not a list of NYU Depth"),
        (voc, "../val", "no split ../val; its splits: train, val"),
        (ade, "test", "no split test; its splits: training, validation"),
        ("playground:2000:3", "val", "has no splits"),
        ("playground:cat", None, "expected playground"),
    ]
    for name, split, words in refused:
        with pytest.raises(SourceError, match=words.replace("(", r"\(")) as told:
            open_truths(name, split)
        assert "\n" not in str(told.value)
    with pytest.raises(SourceError, match="no ground truth of kind 'depth'; this source has class"):
        list(pairs(open_truths(voc), "depth"))
    save(bare / "masks" / "one.png", mask(0))
    with pytest.raises(SourceError, match="no class names of"):
        open_truths(bare).names("class")


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="../shared/reference/coco_permissive is not here")
def test_cocos_photographs_have_their_panoptic_classes():
    source = MaskFolderSource(REFERENCE)
    listed = read_class_names(REFERENCE / "mask_classes.yaml")
    assert source.count == 27 and "unlabeled" in listed.values()
    assert source.names("class") == tuple(listed[number] for number in sorted(listed) if number)
    found = list(pairs(source, "class", limit=8))
    assert all(not isinstance(one, str) for _, one in found)
    raw = read_labels(REFERENCE / "masks" / "000000000872.png")
    labels = source.truth("000000000872", "class")
    assert {source.names("class")[label] for label in np.unique(labels) if label != UNKNOWN} == {
        listed[number] for number in np.unique(raw).tolist() if number
    }
    assert np.array_equal(labels == UNKNOWN, raw == 0)
