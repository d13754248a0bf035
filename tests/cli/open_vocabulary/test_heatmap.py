"""`dinoclip heatmap`."""

import json

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz import heatmap, load_image, load_model
from dinoclip_viz.tasks.open_vocabulary.masks import decompress, mask_of


@pytest.fixture
def wide(scenes, tmp_path):
    path = tmp_path / "wide.png"
    Image.open(scenes[0]).resize((150, 96)).save(path)
    return path


def test_heatmap_writes_the_raw_cosines_at_the_images_size(dinoclip, wide, tmp_path):
    prompts, array = ["a cat", "grass"], tmp_path / "new" / "maps.npy"
    words = [word for prompt in prompts for word in ("--prompt", prompt)]
    done = dinoclip("heatmap", wide, *words, "--out", tmp_path / "new" / "map.png", "--array", array, "--json")
    assert done.code == 0 and done.err.count("\n") == done.err.count("for photographs:")
    maps = np.load(array)
    assert (maps.dtype, maps.shape) == (np.float32, (2, 96, 150))
    expected = heatmap(load_model("playground"), load_image(wide), prompts).numpy()
    assert np.allclose(maps, expected, atol=1e-5)
    assert [row["prompt"] for row in done.json["prompts"]] == prompts
    x, y = done.json["prompts"][0]["peak"]
    assert maps[0, y, x] == maps[0].max() == pytest.approx(done.json["prompts"][0]["highest"])
    assert (done.json["low"], done.json["high"]) == (pytest.approx(maps.min()), pytest.approx(maps.max()))
    assert Image.open(tmp_path / "new" / "map.png").format == "PNG"


def test_the_array_gets_exactly_the_name_asked_for(dinoclip, scenes, tmp_path):
    array = tmp_path / "maps.bin"
    words = ["--prompt", "a cat", "--out", tmp_path / "map.png", "--array", array]
    assert dinoclip("heatmap", scenes[0], *words).code == 0
    assert np.load(array).shape == (1, 96, 96)


@pytest.mark.parametrize("method", ["projector", "maskclip", "dinoiser-pooling"])
def test_the_playground_serves_every_method(dinoclip, scenes, tmp_path, method):
    words = ["--prompt", "a cat", "--method", method, "--out", tmp_path / "map.png", "--json"]
    done = dinoclip("heatmap", scenes[0], *words, "--low", -0.5, "--high", 0.5)
    assert (done.code, done.json["method"], done.json["low"], done.json["high"]) == (0, method, -0.5, 0.5)


def test_a_guide_may_stand_beside_the_model(dinoclip, scenes, tmp_path):
    words = ["--prompt", "a cat", "--out", tmp_path / "map.png", "--method", "dinoiser-pooling"]
    done = dinoclip("heatmap", scenes[0], *words, "--model", "playground-clip", "--guide", "playground-dino")
    assert done.code == 0


def test_heatmap_says_what_it_cannot_use(dinoclip, scenes, tmp_path):
    words = ["--out", tmp_path / "map.png", "--prompt"]
    dinoclip("heatmap", tmp_path / "none.png", *words, "a cat").refused("none.png", "no such file")
    dinoclip("heatmap", scenes[0], *words, " ").refused("prompt 1 of 1 is empty")
    dinoclip("heatmap", scenes[0], *words, "a cat", "--method", "nonsense").refused("nonsense", "projector")
    dinoclip("heatmap", scenes[0], *words, "a cat", "--low", 1, "--high", 0).refused("--low 1")
    assert not (tmp_path / "map.png").exists()


def test_hard_masks_are_written_as_run_lengths_and_as_labels(dinoclip, wide, tmp_path):
    prompts, masks, labels = (
        ["a cat", "grass", "a cat"],
        tmp_path / "new" / "masks.json",
        tmp_path / "new" / "labels.png",
    )
    words = [word for prompt in prompts for word in ("--prompt", prompt)]
    words += ["--out", tmp_path / "map.png", "--masks", masks, "--labels", labels, "--threshold", 0.1, "--json"]
    done = dinoclip("heatmap", wide, *words)
    assert done.code == 0
    maps = heatmap(load_model("playground"), load_image(wide), prompts).numpy()[:2]
    expected = np.where(maps.max(0) >= 0.1, maps.argmax(0), -1)
    written = Image.open(labels)
    assert written.mode == "P" and np.array_equal(np.asarray(written).astype(int) - 1, expected)
    record = json.loads(masks.read_text())
    assert (record["image"], record["prompts"]) == ({"width": 150, "height": 96}, ["a cat", "grass"])
    assert record["method"] == done.json["method"] and record["threshold"] == 0.1
    for one in record["annotations"]:
        found = mask_of(decompress(one["segmentation"]["counts"]), *one["segmentation"]["size"])
        assert np.array_equal(found, expected == record["prompts"].index(one["class"]))
    shares = {row["prompt"]: row["share"] for row in done.json["prompts"]}
    assert shares["grass"] == pytest.approx((expected == 1).mean())
    assert (done.json["masks"], done.json["labels"]) == (str(masks), str(labels))


def test_background_words_take_places_from_the_masks_and_have_no_map(dinoclip, scenes, tmp_path):
    shares, shapes = [], []
    for more in ([], ["--background", "grass", "--background", "the sea"]):
        words = ["--prompt", "a cat", "--out", tmp_path / "map.png", "--masks", tmp_path / "masks.json"]
        done = dinoclip("heatmap", scenes[0], *words, "--array", tmp_path / "maps.npy", *more, "--json")
        shares.append(done.json["prompts"][0]["share"])
        shapes.append(np.load(tmp_path / "maps.npy").shape)
    assert shares[0] == 1.0 > shares[1]
    assert shapes[0] == shapes[1]
    assert json.loads((tmp_path / "masks.json").read_text())["background"] == ["grass", "the sea"]


def test_options_of_masks_without_a_file_for_them_are_refused(dinoclip, scenes, tmp_path):
    words = ["--prompt", "a cat", "--out", tmp_path / "map.png"]
    dinoclip("heatmap", scenes[0], *words, "--threshold", 0.2).refused("--threshold", "--masks or --labels")
    dinoclip("heatmap", scenes[0], *words, "--background", "grass").refused("--background", "--masks or --labels")
    masks = ["--masks", tmp_path / "masks.json"]
    dinoclip("heatmap", scenes[0], *words, *masks, "--threshold", "nan").refused("--threshold is nan")
    assert not (tmp_path / "map.png").exists()


def test_heatmap_in_windows_and_drawn_to_the_edges(dinoclip, scenes, tmp_path):
    import numpy as np

    def maps(*words):
        done = dinoclip("heatmap", scenes[0], "--prompt", "a cat", "--prompt", "grass", *out, *words)
        assert done.code == 0
        return np.load(tmp_path / "map.npy")

    out = ("--out", tmp_path / "map.png", "--array", tmp_path / "map.npy")
    plain, windows, refined = maps(), maps("--window", 64), maps("--refine")
    assert plain.shape == windows.shape == refined.shape
    assert not np.allclose(plain, windows) and not np.allclose(plain, refined)
    assert np.corrcoef(plain.ravel(), windows.ravel())[0, 1] > 0.5
    assert np.allclose(maps("--window", 1024), plain, atol=1e-4)  # it fits into one


def test_sharp_maps_are_those_of_the_library(dinoclip, scenes, tmp_path):
    array, words = tmp_path / "maps.npy", ["--prompt", "a cat", "--out", tmp_path / "map.png"]
    done = dinoclip("heatmap", scenes[0], *words, "--array", array, "--sharp", "--json")
    assert done.code == 0 and done.json["sharp"] == "guided"
    maps, image, model = np.load(array), load_image(scenes[0]), load_model("playground")
    assert np.allclose(maps, heatmap(model, image, "a cat", sharp="guided").numpy(), atol=1e-5)
    assert not np.allclose(maps, heatmap(model, image, "a cat").numpy(), atol=1e-2)
    refused = dinoclip("heatmap", scenes[0], *words, "--sharp", "--window", 48)
    refused.refused("--sharp is for one pass")
