"""Sources of affordances, on made-up folders in the data sets' own layouts."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dinoclip_viz.data import SourceError
from dinoclip_viz.data.affordances.base import squeezed
from dinoclip_viz.data.affordances.drawn import EXAMPLE_LEAST, DrawnAffordances
from dinoclip_viz.data.affordances.opening import open_affordances
from dinoclip_viz.images import ImageError
from dinoclip_viz.playground import ACTIONS, CLASSES, draw


def write_image(path, size=(40, 30), colour=(200, 10, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def agd20k(tmp_path):
    test = tmp_path / "Seen" / "testset"
    for verb, thing in (("cut_with", "knife"), ("hold", "cup"), ("hold", "knife")):
        write_image(test / "egocentric" / verb / thing / f"{thing}_000001.jpg")
        mask = np.zeros((30, 40), np.uint8)
        mask[:15] = 255 if thing == "cup" else 51
        (test / "GT" / verb / thing).mkdir(parents=True)
        Image.fromarray(mask).save(test / "GT" / verb / thing / f"{thing}_000001.png")
    write_image(test / "egocentric" / "hold" / "cup" / "cup_000002.jpg")  # without a mask
    for thing in ("knife", "wine_glass"):
        write_image(tmp_path / "one-shot-seen" / f"{thing}_000120.jpg")
        np.save(tmp_path / "one-shot-seen" / f"{thing}_000120.npy", np.full((2, 30, 40), 127.5))
    return tmp_path


def test_agd20k_pairs_images_with_the_affordance_of_their_folder(agd20k):
    source = open_affordances(f"agd20k:{agd20k}")
    images = list(source.images())
    assert source.verbs == ("cut_with", "hold") and source.count == 3 and not source.hard
    assert [(one.name, *one.targets) for one in images] == [
        ("knife", "cut_with"), ("cup", "hold"), ("knife", "hold"),
    ]  # fmt: skip
    assert images[1].image.size == (224, 224)
    target = images[1].targets["hold"]
    assert target.shape == (224, 224) and target[0, 0] == 1 and target[-1, -1] == 0
    assert images[0].targets["cut_with"].max() == pytest.approx(0.2)


def test_the_one_shot_examples_are_ooal_s(agd20k):
    source = open_affordances(f"agd20k:{agd20k}")
    found = source.examples()
    assert [one.name for one in found] == ["knife", "wine_glass"]
    assert list(found[0].targets) == ["cut_with", "hold"]
    assert found[0].targets["hold"].shape == (30, 40) and found[0].targets["hold"].max() == pytest.approx(0.5)
    assert [one.name for one in source.examples(classes=["wine_glass"])] == ["wine_glass"]
    with pytest.raises(SourceError, match="found draw 1; expected draw 0"):
        source.examples(1)
    np.save(agd20k / "one-shot-seen" / "knife_000120.npy", np.zeros((3, 30, 40)))
    with pytest.raises(ImageError, match=r"shape \(3, 30, 40\); expected \(2, 30, 40\)"):
        source.examples()


def test_targets_are_squeezed_as_opencv_does():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    same = squeezed(np.arange(9, dtype=np.float32).reshape(3, 3), 3)
    assert np.array_equal(same, np.arange(9).reshape(3, 3))
    assert squeezed(values, 2)[0].tolist() == pytest.approx([1.5, 3.5])  # row .25, columns .5 and 2.5


@pytest.fixture
def umd(tmp_path):
    (tmp_path / "category_split.txt").write_text("1 knife_01\n1 knife_02\n2 knife_03\n1 mug_01\n")
    for tool in ("knife_01", "knife_02", "knife_03", "mug_01"):
        for frame in range(1, 8):
            stem = tmp_path / "tools" / tool / f"{tool}_{frame:08d}"
            write_image(stem.with_name(stem.name + "_rgb.jpg"))
            labels = np.zeros((30, 40), np.uint8)
            labels[5:10], labels[10:20] = 1, 2
            savemat(stem.with_name(stem.name + "_label.mat"), {"gt_label": labels})
    return tmp_path


def test_umd_has_masks_of_every_third_frame_of_the_test_tools(umd):
    source = open_affordances(f"umd:{umd}")
    images = list(source.images())
    assert [one.key for one in images] == [f"knife_03_0000000{frame}" for frame in (1, 4, 7)]
    assert source.hard and source.count == 3
    assert list(images[0].targets) == ["grasp", "cut"]
    assert images[0].targets["cut"].sum() == 400 and images[0].objects["grasp"].sum() == 600
    assert images[0].image.size == (40, 30)


def test_umd_draws_one_training_frame_per_class(umd):
    source = open_affordances(f"umd:{umd}")
    drawn = [source.examples(number) for number in range(8)]
    assert all([one.name for one in each] == ["knife", "mug"] for each in drawn)
    assert len({each[0].key for each in drawn}) > 3
    assert [one.key for one in source.examples(2)] == [one.key for one in drawn[2]]
    assert not any(one.key.startswith("knife_03") for each in drawn for one in each)
    assert len(drawn[0][0].targets) == 7
    with pytest.raises(SourceError, match="no class 'saw'; expected some of knife, mug"):
        source.examples(classes=["saw"])


def test_umd_names_the_broken_file(umd):
    source = open_affordances(f"umd:{umd}")
    label = umd / "tools" / "knife_03" / "knife_03_00000001_label.mat"
    for written, words in (({"other": np.zeros((3, 3))}, "gt_label"), ({"gt_label": np.full((30, 40), 9)}, "0 to 7")):
        savemat(label, written)
        with pytest.raises(ImageError, match=words):
            list(source.images())
    label.write_bytes(b"no matlab")
    with pytest.raises(ImageError, match=r"knife_03_00000001_label\.mat"):
        list(source.images())
    (umd / "category_split.txt").write_text("3 knife_01\n")
    with pytest.raises(SourceError, match="found the line '3 knife_01'; expected 1 or 2, and a tool"):
        open_affordances(f"umd:{umd}")


def test_the_playground_s_targets_are_those_of_its_scenes():
    source = open_affordances("playground:1502:6:64")
    scenes = {f"1502-{index:06d}": scene for index, scene in enumerate(draw(1502, 6, 64))}
    images = list(source.images())
    assert images and source.verbs == tuple(ACTIONS) and source.count == 6
    for one in images:
        scene = scenes[one.key]
        for verb, target in one.targets.items():
            assert np.array_equal(target, scene.affordances[list(ACTIONS).index(verb)])
            names = {CLASSES[number - 1] for number in np.unique(scene.mask[one.objects[verb]])}
            assert names <= {name for name, _ in ACTIONS[verb]}
            assert (one.objects[verb] >= target.astype(bool)).all()


def test_an_example_of_the_playground_shows_every_part_of_its_class_that_affords_an_action():
    source = DrawnAffordances()
    for draw_number in (0, 1):
        found = source.examples(draw_number, ("bicycle", "cat"))
        assert [one.name for one in found] == ["bicycle", "cat"]
        assert set(found[0].targets) == {"hold", "sit on", "ride"} and not found[1].targets
        assert all(target.mean() > EXAMPLE_LEAST for target in found[0].targets.values())
        assert int(found[0].key.split("-")[0]) < 1000
    with pytest.raises(SourceError, match="class 'dragon'"):
        source.examples(0, ("dragon",))
    with pytest.raises(SourceError, match="draw 100"):
        source.examples(100)


def test_other_names_are_refused_in_one_line(tmp_path):
    for name, words in (
        ("coco:x", "expected playground"), ("agd20k:", "expected playground"), ("umd:/no/such", "no such folder"),
        (f"agd20k:{tmp_path}", "no images with masks"), (f"umd:{tmp_path}", "category_split.txt"),
        ("playground:1", "playground:SEED:COUNT"),
    ):  # fmt: skip
        with pytest.raises(SourceError, match=words):
            open_affordances(name)
    with pytest.raises(SourceError, match="no split train; expected Seen or Unseen"):
        open_affordances(f"agd20k:{tmp_path}", "train")
    with pytest.raises(SourceError, match="has no splits"):
        open_affordances("playground", "train")
