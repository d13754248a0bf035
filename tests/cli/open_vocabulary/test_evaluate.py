"""`dinoclip evaluate segmentation` by words: every method in one table, benchmarks' own files, and what is refused."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.dense.dinoiser import DinoiserHead
from dinoclip_viz.tasks.open_vocabulary.accuracy import WordsTask, measure_words
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary

REFERENCE = Path(__file__).resolve().parents[4] / "shared" / "reference" / "coco_permissive"
_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent.parent.parent / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)

DATA, KNOWN = "playground:1501:2:64", "playground:1500:2:64"
SMALL = ("evaluate", "segmentation", "--dataset", "playground", "--data", DATA, "--known", KNOWN)
CLIP = ("--model", "playground-clip")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny.tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def voc(tmp_path):
    """Pascal VOC's layout: two images to choose on, one to measure on, a cat (8) left and nothing right."""
    root = tmp_path / "VOC2012"
    for place in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / place).mkdir(parents=True)
    for split, keys in (("train", ("a", "b")), ("val", ("c",))):
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(keys))
        for image, key in zip(tiny.images(*[(48, 32)] * len(keys), seed=len(keys)), keys, strict=True):
            image.save(root / "JPEGImages" / f"{key}.jpg")
            mask = np.zeros((32, 48), np.uint8)
            mask[:, :24], mask[:, 24] = 8, 255
            Image.fromarray(mask).save(root / "SegmentationClass" / f"{key}.png")
    return tmp_path


def test_all_methods_of_the_model_stand_in_one_table_with_the_figures_of_the_task(dinoclip, tmp_path):
    file = tmp_path / "tables" / "confusion.csv"
    done = dinoclip(*SMALL, *CLIP, "--method", "all", "--per-class", "--confusion", file, "--json")
    assert done.code == 0
    rows, model = done.json["results"], dv.load_model("playground-clip")
    assert [row["method"] for row in rows] == list(model.methods)
    scenes = [[(s.image, s.mask) for s in dv.playground.draw(seed, 2, 64)] for seed in (1501, 1500)]
    found = measure_words(model, WordsTask(Vocabulary.of(dv.playground.CLASSES)), scenes[0], scenes[1], ["naclip"])
    row, one = next(row for row in rows if row["method"] == "naclip"), found["naclip"]
    assert (row["miou"], row["accuracy"]) == pytest.approx((one.objects.miou, one.objects.accuracy))
    assert row["class_accuracy"] == pytest.approx(one.objects.class_accuracy)
    assert (row["miou_with_background"], row["threshold"]) == pytest.approx((one.whole.miou, one.threshold))
    assert row["per_class"] == pytest.approx(one.whole.per_class())
    assert (row["dataset"], row["data"], row["known"], row["images"]) == ("playground", DATA, KNOWN, 2)
    assert row["published"] is None and 0 < row["chance_miou"] < 0.05 and row["templates"] == "none"
    with file.open(newline="") as opened:
        lines = list(csv.reader(opened))
    assert lines[0] == ["method", "truth", "background", *dv.playground.CLASSES]
    table = [[int(cell) for cell in line[2:]] for line in lines if line[0] == "naclip"]
    assert table == one.whole.table[:, :-1].tolist() and len(lines) == 1 + 21 * len(rows)


def test_the_table_for_people_has_a_line_a_method_and_one_for_chance(dinoclip):
    done = dinoclip(*SMALL, *CLIP, "--method", "maskclip", "--method", "sclip", "--limit", 1, "--per-class")
    lines = done.out.splitlines()
    assert done.code == 0 and "20 class names as typed" in lines[0] and "1 images of playground:1501:2:64" in lines[0]
    assert [line.split()[0] for line in lines[1:5]] == ["method", "maskclip", "sclip", "chance"]
    assert "best of a hundred on playground:1500:2:64" in lines[5] and "published" not in done.out
    assert any(line.split()[:4] == ["IoU,", "%", "maskclip", "sclip"] for line in lines)


def test_vocs_own_files_are_measured_beside_what_was_published(dinoclip, voc, clip):
    words = ("evaluate", "segmentation", "--model", clip, "--data", voc, "--method", "maskclip", "--size", 48)
    done = dinoclip(*words, "--dataset", "voc20", "--templates", "own", "--json")
    row = done.json["results"][0]
    assert done.code == 0 and row["miou_with_background"] is None and row["threshold"] is None
    assert (row["classes"], row["images"], row["published"], row["published_as"]) == (20, 1, 0.618, "MaskCLIP")
    assert row["templates"] == "own" and done.json["published"]["Trident"] == 0.887
    whole = dinoclip(*words, "--dataset", "voc21")
    assert whole.code == 0
    assert "in CLIP's 80 templates" in whole.out and "pixels assigned to: sky, wall, tree" in whole.out
    assert "best of a hundred on" in whole.out and "(train)" in whole.out and "CLIP-DINOiser 62.1" in whole.out
    (voc / "VOC2012" / "ImageSets" / "Segmentation" / "train.txt").unlink()
    dinoclip(*words, "--dataset", "voc21").refused("no split train", "name --known SOURCE, or --known none")
    without = dinoclip(*words, "--dataset", "voc21", "--known", "none", "--templates", "none", "--json").json["results"]
    assert without[0]["threshold"] is None and without[0]["miou_with_background"] is not None


def test_layers_of_a_file_serve_their_method_and_the_published_rule(dinoclip, tmp_path):
    head = DinoiserHead(dv.load_model("playground-clip").clip.patch_dimension, 8)
    torch.nn.init.constant_(head.bkg_decoder.bias, 100.0)  # an object everywhere
    head.save(tmp_path / "head.safetensors")
    words = (*SMALL, *CLIP, "--dinoiser", tmp_path / "head.safetensors", "--background-rule", "--method", "dinoiser")
    row = dinoclip(*words, "--json").json["results"][0]
    alone = dinoclip(*words[:-3], "--method", "dinoiser", "--json").json["results"][0]
    rule = row.pop("miou_with_background_rule")
    assert row == alone and 0 < rule < row["miou_with_background"]
    assert "by CLIP-DINOiser's rule" in dinoclip(*words).out


def test_linear_goes_on_as_before_beside_and_without_its_name(dinoclip):
    words = ("--train", "playground:1502:3:32", "--data", "playground:1503:2:32", "--size", 32, "--encoder", "pixels")
    named = dinoclip("evaluate", "segmentation", "--method", "linear", *words, "--json").json["results"]
    assert named == dinoclip("evaluate", "segmentation", *words, "--json").json["results"]
    assert named[0]["method"] == "linear" and named[0]["truth"] == "class"


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="../shared/reference/coco_permissive is not here")
def test_photographs_go_through_the_whole_measure_and_a_random_clip_is_said_to_be_near_chance(dinoclip, clip):
    words = ("evaluate", "segmentation", "--model", clip, "--dataset", "folder", "--data", REFERENCE, "--size", 64)
    done = dinoclip(*words, "--method", "maskclip", "--json")
    assert done.code == 0
    row = done.json["results"][0]
    assert row["images"] == 27 and row["miou_with_background"] is None
    assert 0 <= row["miou"] < 0.03 and 0 < row["chance_miou"] < 0.02
    assert "near chance" in dinoclip(*words, "--method", "sclip", "--limit", 2).out


def test_a_folder_with_a_background_takes_its_threshold_from_another(dinoclip, clip, tmp_path):
    for name in ("here", "there"):
        for place in ("images", "masks"):
            (tmp_path / name / place).mkdir(parents=True)
        (tmp_path / name / "classes.txt").write_text("background\ncat\ndog\n")
        tiny.images((48, 32))[0].save(tmp_path / name / "images" / "one.png")
        Image.fromarray(np.repeat([[0, 1, 2]], 32, 0).repeat(16, 1).astype(np.uint8)).save(
            tmp_path / name / "masks" / "one.png"
        )
    words = ("evaluate", "segmentation", "--model", clip, "--dataset", "folder", "--data", tmp_path / "here")
    words = (*words, "--method", "maskclip", "--size", 48)
    bare = dinoclip(*words)
    assert bare.code == 0 and "no threshold was chosen" in bare.out
    row = dinoclip(*words, "--known", tmp_path / "there", "--json").json["results"][0]
    assert row["classes"] == 2 and row["threshold"] is not None and row["miou_with_background"] > 0
    dinoclip(*words, "--known", tmp_path / "here").refused("share images")
    (tmp_path / "there" / "classes.txt").write_text("background\ncat\nbus\n")
    dinoclip(*words, "--known", tmp_path / "there").refused("have different classes")
    (tmp_path / "here" / "masks" / "one.png").write_text("broken")
    broken = dinoclip(*words)
    assert (broken.code, broken.out) == (2, "")
    assert "not a PNG; expected the ground truth" in broken.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "magic"), "invalid choice: 'magic' (choose from linear, all, projector"),
        (("--method", "linear", "--method", "sclip"), "--method linear is fitted and stands alone"),
        (("--method", "sclip", "--encoder", "pixels"), "--encoder goes with --method linear"),
        (("--method", "all", "--train", DATA), "--train goes with --method linear"),
        (("--dataset", "playground", "--truth", "class"), "--truth goes with --method linear"),
        (("--method", "linear", "--dataset", "voc20"), "--dataset goes with heat-map methods"),
        (("--model", "playground"), "--model goes with heat-map methods"),
        (("--background-rule",), "--background-rule goes with heat-map methods"),
        (("--dataset", "voc22"), "invalid choice"),
        (("--dataset", "voc20"), "--data is missing; expected the folder of voc20, with JPEGImages"),
        (("--dataset", "folder"), "--data is missing"),
        (("--dataset", "cityscapes", "--data", "./nowhere"), "no such folder; expected cityscapes: leftImg8bit"),
        (("--dataset", "playground", "--data", DATA, "--known", DATA), "share images"),
        (("--dataset", "playground", "--data", DATA, "--known", "playground:1501:9:96"), "share images"),
        (("--dataset", "playground", "--data", DATA, "--split", "val"), "has no splits"),
        (("--method", "projector", *CLIP, "--data", DATA), "does not serve the heat-map method 'projector'"),
        (("--method", "sclip", "--background-rule", "--data", DATA, "--dinoiser", "./no.pt"), "there is no file no.pt"),
        (("--method", "sclip", "--model", "./nowhere", "--data", DATA), "there is no folder ./nowhere"),
    ],
)
def test_bad_usage_is_told_in_one_line(dinoclip, words, told):
    dinoclip("evaluate", "segmentation", *words).refused(told)


def test_what_has_no_background_takes_nothing_to_tell_it_by(dinoclip, voc):
    words = ("evaluate", "segmentation", "--dataset", "voc20", "--data", voc)
    dinoclip(*words, "--known", voc).refused("voc20 counts no background, which --known is for")
    dinoclip(*words, "--background-rule").refused("voc20 counts no background, so --background-rule")
