"""`dinoclip evaluate segmentation` and `depth`: by hand on playgrounds, on files, on a whole model, and refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.data.labels.sources import open_truths
from dinoclip_viz.tasks.probes.confusion import Confusion
from dinoclip_viz.tasks.probes.depth import DepthErrors

TRAIN, DATA = "playground:2003:10:64", "playground:3004:5:64"
SMALL = ("--train", TRAIN, "--data", DATA, "--size", 64)
DINO = ("--encoder", "playground-dino")


def features_and_truths(source, kind):
    """All images of a source at once, encoded whole, and their ground truth."""
    source, encoder = open_truths(source), dv.load_encoder("playground-dino")
    samples = list(source.samples())
    features = encoder.encode([sample.load() for sample in samples], size=64, fit="whole")
    return features, [source.truth(sample.key, kind) for sample in samples]


def test_segmentation_gives_a_row_an_encoder_as_by_hand(dinoclip, tmp_path):
    file = tmp_path / "heads" / "parts.safetensors"
    done = dinoclip(
        "evaluate", "segmentation", *SMALL, *DINO, "--truth", "parts", "--save", file, "--per-class", "--json"
    )
    assert done.code == 0
    row = done.json["results"][0]
    names = ["background", *dv.playground.PARTS]
    head = dv.PatchHead(names=names).fit([features_and_truths(TRAIN, "parts")])
    features, truths = features_and_truths(DATA, "parts")
    table = Confusion(names)
    for labels, truth in zip(head.predict(features), truths, strict=True):
        table.add(labels, truth)
    for name, value in table.figures().items():
        assert row[name] == pytest.approx(value, abs=5e-3)
    assert set(row["per_class"]) == set(table.per_class())
    assert (row["encoder"], row["data"], row["train_images"], row["pixels"]) == (
        "playground-dino",
        DATA,
        10,
        5 * 64**2,
    )
    saved = dv.PatchHead.load(file, "playground-dino")
    assert saved.names == tuple(names) and saved.size_ == 64 and saved.figures["miou"] == row["miou"]


def test_depth_gives_a_row_an_encoder_as_by_hand(dinoclip):
    done = dinoclip("evaluate", "depth", *SMALL, *DINO, "--bins", 16, "--json")
    assert done.code == 0
    row = done.json["results"][0]
    head = dv.PatchHead(depth=(1.0, 39.999), bins=16, spacing="log", cls=True)
    head.fit([features_and_truths(TRAIN, "depth")])
    features, truths = features_and_truths(DATA, "depth")
    errors = DepthErrors(1.0, 39.999)
    for metres, truth in zip(head.predict(features), truths, strict=True):
        errors.add(metres, truth)
    for name, value in errors.figures().items():
        assert row[name] == pytest.approx(value, rel=0.03)
    assert row["images"] == 5 and row["high"] < 40


def test_tables_put_the_encoders_beside_each_other(dinoclip):
    words = ("--train", "playground:2003:3:32", "--data", "playground:3004:2:32", "--size", 32)
    encoders = (*DINO, "--encoder", "pixels")
    done = dinoclip("evaluate", "segmentation", *words, *encoders, "--per-class")
    lines = done.out.splitlines()
    assert done.code == 0 and "playground:3004:2:32" in lines[0]
    assert lines[1].split()[:2] == ["encoder", "mIoU"]
    assert [line.split()[0] for line in lines[2:4]] == ["playground-dino", "pixels"]
    assert "background" in done.out
    depth = dinoclip("evaluate", "depth", *words, *encoders, "--bins", 0)
    assert depth.code == 0 and "RMSE, m" in depth.out and depth.out.count("linear on") == 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, masks and depth as a user may have them; of the last image the mask is broken."""
    root, chance = tmp_path_factory.mktemp("folder"), np.random.default_rng(0)
    for place in ("images", "masks", "depth"):
        (root / place).mkdir()
    for number in range(4):
        light = chance.random((32, 40)) < 0.5
        light = np.kron(light[:4, :5], np.ones((8, 8))).astype(bool)
        Image.fromarray(np.where(light[..., None], 220, 30).astype(np.uint8).repeat(3, 2)).save(
            root / f"images/{number}.png"
        )
        Image.fromarray(light.astype(np.uint8)).save(root / f"masks/{number}.png")
        Image.fromarray(np.where(light, 2000, 8000).astype(np.uint16)).save(root / f"depth/{number}.png")
    (root / "masks" / "3.png").write_text("broken")
    (root / "classes.txt").write_text("dark\nlight\n")
    return root


def test_images_that_cannot_be_used_are_listed_and_the_rest_is_measured(dinoclip, folder):
    words = ("--train", folder, "--data", folder, "--size", 40, "--encoder", "pixels")
    done = dinoclip("evaluate", "segmentation", *words, "--json")
    assert done.code == 1
    assert done.json["results"][0]["miou"] > 0.9
    assert [failure["image"].rsplit("/", 1)[-1] for failure in done.json["failed"]] == ["3.png"]
    assert dinoclip("evaluate", "depth", *words, "--json").code == 0


def test_a_whole_depth_model_is_measured_beside_or_alone(dinoclip, folder, tmp_path):
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, patch_size=14, image_size=56,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
    )  # fmt: skip
    neck = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 16, "reassemble_hidden_size": 16}
    torch.manual_seed(0)
    DepthAnythingForDepthEstimation(
        DepthAnythingConfig(backbone_config=backbone, patch_size=14, head_hidden_size=8, **neck)
    ).save_pretrained(tmp_path)
    DPTImageProcessor(size={"height": 56, "width": 56}, ensure_multiple_of=14).save_pretrained(tmp_path)
    alone = dinoclip("evaluate", "depth", "--model", tmp_path, "--data", folder, "--json")
    assert alone.code == 0
    row = alone.json["results"][0]
    assert row["model"] == str(tmp_path) and row["aligned"] is True and row["images"] == 4
    assert row["rmse"] > 0
    words = ("--train", folder, "--encoder", "pixels", "--size", 40)
    both = dinoclip("evaluate", "depth", "--model", tmp_path, "--data", folder, *words)
    assert both.code == 0 and "scale and shift from the" in both.out and "linear on pixels" in both.out


@pytest.mark.parametrize(
    ("verb", "words", "told"),
    [
        ("segmentation", ("--data", "./nowhere"), "no such file or folder"),
        ("segmentation", ("--save", "x.safetensors"), "--save writes one head, but 3 encoders"),
        ("segmentation", ("--method", "magic"), "invalid choice"),
        ("segmentation", (*DINO, "--split", "val"), "has no splits"),
        ("segmentation", (*DINO, "--truth", "depth"), "invalid choice"),
        ("segmentation", ("--encoder", "dinov2-smal", *SMALL), "dinov2-small"),
        ("depth", (*SMALL, *DINO, "--bins", "1"), "bins=1"),
        ("depth", ("--model", "./nowhere", *SMALL), "there is no folder ./nowhere"),
        ("depth", ("--model", "./nowhere", "--save", "x"), "name an --encoder"),
    ],
)
def test_bad_usage_is_told_in_one_line(dinoclip, verb, words, told):
    dinoclip("evaluate", verb, *words).refused(told)


def test_sources_of_other_classes_or_without_the_truth_are_refused(dinoclip, folder, tmp_path):
    dinoclip("evaluate", "segmentation", "--train", TRAIN, "--data", folder, *DINO).refused("have different classes")
    dinoclip("evaluate", "segmentation", "--train", folder, "--data", folder, "--truth", "parts", *DINO).refused(
        "no ground truth of kind 'parts'"
    )
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    Image.new("L", (9, 9)).save(tmp_path / "masks" / "a.png")
    (tmp_path / "classes.json").write_text(json.dumps(["a", "b"]))
    none = dinoclip("evaluate", "segmentation", "--train", tmp_path, "--data", tmp_path, *DINO)
    assert (none.code, none.out) == (2, "")
    assert none.err.splitlines()[-1].endswith("8 x 8 pixels, but its ground truth has 9 x 9")


@pytest.mark.parametrize(("verb", "measure"), [("segmentation", "miou"), ("depth", "rmse")])
def test_sharp_maps_are_measured(dinoclip, verb, measure):
    plain = dinoclip("evaluate", verb, *SMALL, *DINO, "--json").json["results"][0]
    sharp = dinoclip("evaluate", verb, *SMALL, *DINO, "--sharp", "--json").json["results"][0]
    assert "sharp" not in plain and sharp["sharp"] == "guided"
    assert sharp[measure] != plain[measure]


def test_sharp_is_for_linear_heads(dinoclip):
    words = ("--method", "maskclip", "--data", DATA, "--sharp")
    dinoclip("evaluate", "segmentation", *words).refused("--sharp")
    dinoclip("evaluate", "depth", "--model", "nowhere/model", "--sharp").refused("--sharp is for the maps of heads")
