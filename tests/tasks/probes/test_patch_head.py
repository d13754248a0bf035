"""Linear heads on patches: against scikit-learn, against plain interpolation, in bounded memory, saved and loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.tasks.probes.depth import EIGEN_CROP, DepthErrors, aligned, patch_depths
from dinoclip_viz.tasks.probes.head_evaluation import depth_errors, encoded, segmentation_confusion
from dinoclip_viz.tasks.probes.head_files import SALIENT, VOC_21, heads_for, load_linear_head
from dinoclip_viz.tasks.probes.head_training import HeadRecipe
from dinoclip_viz.tasks.probes.patch_head import PatchHead
from dinoclip_viz.tasks.probes.patch_maps import label_map, mean_map
from dinoclip_viz.tasks.probes.patch_table import PatchTable

REFERENCE = Path(__file__).resolve().parents[4] / "shared" / "reference" / "dense_heads"
NAMES = ("ground", "ball", "sky")


def features(patches, pooled=None, boxes=None, size=None, space="made"):
    """Features of images of 4 pixels a patch, unless boxes and size are given."""
    count, rows, columns, width = patches.shape
    across, down = size or (4 * columns, 4 * rows)
    boxes = [[0.0, 0.0, across, down]] * count if boxes is None else boxes
    pooled = torch.zeros(count, width) if pooled is None else pooled
    mean = patches.mean((1, 2))
    return ImageFeatures(
        pooled, mean, patches, torch.tensor(boxes).float(), torch.tensor([[across, down]] * count), space
    )


@pytest.fixture(scope="module")
def labelled():
    """Patches that carry their class, with noise, and the class masks; images 0 to 11 to fit on, the rest to test."""
    chance = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (16, 5, 6), generator=chance)
    directions = torch.randn(3, 8, generator=chance)
    noise = torch.randn(16, 5, 6, 8, generator=chance)
    patches = 0.7 * directions[labels] + noise + torch.tensor([3.0, -50, 0, 0, 0, 0, 0, 0])
    masks = labels.repeat_interleave(4, 1).repeat_interleave(4, 2).numpy().astype(np.uint8)
    return patches, masks


def batches(labelled, rows, space="made"):
    patches, masks = labelled
    return [(features(patches[row : row + 1], space=space), [masks[row]]) for row in rows]


@pytest.fixture(scope="module")
def head(labelled):
    return PatchHead(names=NAMES).fit(batches(labelled, range(12)), "made-encoder", 24)


def test_a_head_reaches_the_optimum_that_scikit_learn_finds(labelled, head):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    patches, masks = labelled
    labels = masks[:, ::4, ::4].reshape(16, -1)
    scaler = StandardScaler().fit(patches[:12].reshape(-1, 8))
    scaled = [scaler.transform(patches[part].reshape(-1, 8)) for part in (slice(12), slice(12, 16))]
    solver = LogisticRegression(C=1e3, max_iter=1000).fit(scaled[0], labels[:12].ravel())
    known = torch.from_numpy(labels[:12].ravel()).long()
    best = F.nll_loss(torch.from_numpy(solver.predict_log_proba(scaled[0])), known)
    reached = F.cross_entropy(head.scores(features(patches[:12])).reshape(-1, 3), known)
    assert best < reached < 1.02 * best
    found = head.patch_values(features(patches[12:])).flatten().numpy()
    assert (found == solver.predict(scaled[1])).mean() > 0.96


def test_standardisation_is_folded_into_the_weights(labelled, head):
    patches = labelled[0]
    by_hand = patches[12:] @ head.weight_.T + head.bias_
    assert torch.equal(head.scores(features(patches[12:])), by_hand)
    assert torch.equal(head.patch_values(features(patches[12:])), by_hand.argmax(-1))


def test_predictions_are_interpolated_logits_and_a_confusion_table_counts_their_pixels(labelled, head):
    patches, masks = labelled
    maps = head.predict(features(patches[12:14]))
    logits = head.scores(features(patches[12:14])).permute(0, 3, 1, 2)
    expected = F.interpolate(logits, size=(20, 24), mode="bilinear", align_corners=False).argmax(1)
    assert torch.equal(torch.stack(maps), expected)
    table = segmentation_confusion(head, batches(labelled, [12, 13]))
    assert table.accuracy == pytest.approx((expected.numpy() == masks[12:14]).mean())
    assert table.names == NAMES


def test_a_box_puts_the_map_where_the_patches_were(head, labelled):
    patches = labelled[0][12:13]
    inside = features(patches, boxes=[[3.0, 2.0, 27.0, 22.0]], size=(32, 30))
    labels = head.predict(inside)[0]
    assert labels.shape == (30, 32)
    assert torch.equal(labels[2:22, 3:27], head.predict(features(patches))[0])
    assert (labels[:2] == -1).all() and (labels[:, 27:] == -1).all()


def test_a_fit_reads_the_labels_inside_the_box_alone(labelled):
    patches, masks = labelled
    padded = [np.pad(mask, ((2, 8), (3, 5)), constant_values=1) for mask in masks[:12]]
    boxes = [[3.0, 2.0, 27.0, 22.0]] * 12
    moved = PatchHead(names=NAMES).fit([(features(patches[:12], boxes=boxes, size=(32, 30)), padded)])
    plain = PatchHead(names=NAMES).fit([(features(patches[:12]), list(masks[:12]))])
    assert torch.allclose(moved.weight_, plain.weight_)


def test_maps_do_not_depend_on_how_many_rows_are_made_at_once(monkeypatch):
    from dinoclip_viz.tasks.probes import patch_maps

    scores = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    whole = (
        label_map(scores, (0, 0, 17, 31), (31, 17)),
        mean_map(scores, (0, 0, 17, 31), (31, 17), lambda s: s.mean(-1)),
    )
    monkeypatch.setattr(patch_maps, "_AT_ONCE", 100)
    assert torch.equal(label_map(scores, (0, 0, 17, 31), (31, 17)), whole[0])
    assert torch.allclose(mean_map(scores, (0, 0, 17, 31), (31, 17), lambda s: s.mean(-1)), whole[1], atol=1e-6)
    reference = F.interpolate(scores.mean(-1)[None, None], size=(31, 17), mode="bilinear")[0, 0]
    assert torch.allclose(whole[1], reference, atol=1e-5)


def test_unknown_pixels_teach_nothing_and_other_labels_are_refused(labelled, head):
    patches, masks = labelled
    half = [np.where(np.arange(24) < 12, mask, 255).astype(np.uint8) for mask in masks[:12]]
    known = PatchHead(names=NAMES).fit([(features(patches[:12]), half)])
    left = [(features(patches[:12, :, :3]), [mask[:, :12] for mask in masks[:12]])]
    assert torch.allclose(known.weight_, PatchHead(names=NAMES).fit(left).weight_, atol=1e-4)
    assert known.patches_ == 12 * 15
    for wrong, words in ((7, "the label 7; expected 0 to 2"), (255, "no labelled patches")):
        with pytest.raises(ValueError, match=words):
            PatchHead(names=NAMES).fit([(features(patches[:1]), [np.full((20, 24), wrong, np.uint8)])])


def test_patches_beyond_the_limit_go_to_a_file_and_give_the_same_head(labelled, head):
    spilled = PatchHead(names=NAMES, recipe=HeadRecipe(memory=1000)).fit(batches(labelled, range(12)))
    assert torch.equal(spilled.weight_, head.weight_) and torch.equal(spilled.bias_, head.bias_)


def test_a_table_holds_no_more_than_its_limit_in_memory():
    table, chance = PatchTable(limit=4000), np.random.default_rng(0)
    rows = [torch.from_numpy(chance.normal(5, 2, (50, 10)).astype(np.float32)) for _ in range(40)]
    for owner, part in enumerate(rows):
        table.add(part, torch.arange(50) + 50 * owner, owner)
        assert sum(held.nbytes for held in table._held) <= 4000
    mean, deviation = table.moments()
    everything = torch.cat(rows)
    assert torch.allclose(mean, everything.mean(0), atol=1e-5)
    assert torch.allclose(deviation, everything.std(0), atol=1e-5)
    for values, targets, owners in table.draws(64, 3, seed=0):
        assert torch.equal(values, everything[targets]) and torch.equal(owners, targets // 50)
    with pytest.raises(ValueError, match="not finite"):
        table.add(torch.full((1, 10), float("nan")), torch.zeros(1), 0)
    with pytest.raises(ValueError, match="patches of 3 values; expected 10"):
        table.add(torch.zeros(1, 3), torch.zeros(1), 0)


def test_the_pooled_vector_beside_each_patch_tells_what_patches_do_not():
    chance = torch.Generator().manual_seed(0)
    kinds = torch.arange(20) % 2
    pooled = torch.eye(2)[kinds] + 0.1 * torch.randn(20, 2, generator=chance)
    patches = torch.randn(20, 3, 3, 4, generator=chance)
    masks = [np.full((12, 12), int(kind), np.uint8) for kind in kinds]
    seen = features(patches, pooled)
    alone, with_pooled = (PatchHead(names=("a", "b"), cls=cls).fit([(seen, masks)]) for cls in (False, True))
    expected = kinds[:, None, None].expand(20, 3, 3)
    assert (with_pooled.patch_values(seen) == expected).float().mean() == 1
    assert (alone.patch_values(seen) == expected).float().mean() < 0.8
    assert with_pooled.weight_.shape == (2, 6)


@pytest.mark.parametrize(("bins", "spacing"), [(0, "uniform"), (32, "uniform"), (32, "log")])
def test_depth_is_read_off_patches_that_carry_it(bins, spacing):
    chance = torch.Generator().manual_seed(0)
    near, far = 1 + torch.rand(30, 1, 1, generator=chance), 6 + 3 * torch.rand(30, 1, 1, generator=chance)
    metres = (near + (far - near) * torch.linspace(0, 1, 4)[:, None]).expand(30, 4, 4)
    patches = torch.stack([metres, metres.log(), metres.square(), torch.ones_like(metres)], -1)
    patches = patches + 0.01 * torch.randn(patches.shape, generator=chance)
    depths = [one.repeat_interleave(4, 0).repeat_interleave(4, 1).numpy() for one in metres]
    depths[0][:2] = 0
    head = PatchHead(depth=(0.5, 10.0), bins=bins, spacing=spacing).fit([(features(patches), depths)])
    error = (head.patch_values(features(patches)) - metres).abs() / metres
    assert error.mean() < 0.08
    found = depth_errors(head, [(features(patches), depths)], DepthErrors(high=10)).figures()
    assert found["absrel"] < 0.2 and found["delta1"] > 0.7
    assert all(one.shape == (16, 16) and (one >= 0.5).all() for one in head.predict(features(patches)))


def test_the_depth_of_a_patch_is_the_mean_of_its_known_pixels():
    depth = np.array([[1.0, 3.0, 0.0, 4.0, 50.0], [2.0, 2.0, 0.0, 0.0, 50.0]], np.float32)
    assert patch_depths(depth, (1, 2), box=(0, 0, 4, 2)).tolist() == [[2.0, 4.0]]
    assert patch_depths(depth, (1, 1), box=(4, 0, 5, 2), high=10.0).tolist() == [[10.0]]
    assert patch_depths(np.zeros((2, 2)), (1, 1)).isnan().all()


def test_depth_errors_are_those_of_a_loop_and_leave_out_what_does_not_count():
    chance = np.random.default_rng(0)
    target = chance.uniform(0.5, 14, (3, 480, 640))
    target[chance.random(target.shape) < 0.3] = 0
    predicted = np.abs(target + chance.normal(0, 1, target.shape))
    errors, sums = DepthErrors(1e-3, 10, EIGEN_CROP), []
    for guess, known in zip(predicted, target, strict=True):
        errors.add(guess, known)
        pairs = [
            (min(max(a, 1e-3), 10), b)
            for a, b in zip(guess[45:471, 41:601].ravel().tolist(), known[45:471, 41:601].ravel().tolist(), strict=True)
            if 1e-3 < b <= 10
        ]
        a, b = (np.array(column) for column in zip(*pairs, strict=True))
        off = np.maximum(a / b, b / a) < 1.25
        sums.append((((a - b) ** 2).mean() ** 0.5, (abs(a - b) / b).mean(), abs(np.log10(a / b)).mean(), off.mean()))
    assert list(errors.figures().values()) == pytest.approx(np.mean(sums, axis=0).tolist())
    errors.add(np.ones((480, 640)), np.zeros((480, 640)))
    assert (errors.images, errors.skipped) == (3, 1)


def test_a_perfect_prediction_has_no_error_and_none_is_no_figure():
    target = np.array([[1.0, 5.0], [0.0, 40.0]])
    assert DepthErrors(high=39.9).add(target, target).figures() == {"rmse": 0, "absrel": 0, "log10": 0, "delta1": 1}
    with pytest.raises(ValueError, match="check unit and range"):
        DepthErrors(high=10).add(target * 0, target * 0).figures()
    with pytest.raises(ValueError, match="equal shapes"):
        DepthErrors().add(target, target[:1])
    with pytest.raises(ValueError, match="low below high"):
        DepthErrors(5, 5)


def test_maps_without_a_scale_are_aligned_by_least_squares_in_inverse_depth():
    target = np.random.default_rng(0).uniform(1, 9, (6, 7))
    metres = aligned(7 / target + 3, target, torch.ones(6, 7, dtype=torch.bool))
    np.testing.assert_allclose(metres.numpy(), target, rtol=1e-4)


def test_a_head_is_saved_as_one_small_file_with_what_it_is(tmp_path, labelled, head):
    head.figures = {"miou": 0.5}
    head.save(tmp_path / "head.safetensors")
    back = PatchHead.load(tmp_path / "head.safetensors", "made")
    for name in (
        "kind",
        "names",
        "depth",
        "cls",
        "space_",
        "encoder_",
        "size_",
        "images_",
        "patches_",
        "figures",
        "recipe",
    ):
        assert getattr(back, name) == getattr(head, name)
    seen = features(labelled[0][12:])
    assert (back.patch_values(seen) == head.patch_values(seen)).float().mean() > 0.99  # weights are kept as float16
    assert (tmp_path / "head.safetensors").stat().st_size < 2000


def test_a_head_of_another_space_is_refused_in_one_line(tmp_path, labelled, head):
    head.save(tmp_path / "head.safetensors")
    with pytest.raises(dv.EncoderError, match="for the patches of 'made'; expected 'other'") as told:
        PatchHead.load(tmp_path / "head.safetensors", "other")
    assert "\n" not in str(told.value)
    with pytest.raises(dv.SpaceError):
        head.predict(features(labelled[0][:1], space="other"))
    with pytest.raises(dv.SpaceError):
        PatchHead(names=NAMES).fit(batches(labelled, [0]) + batches(labelled, [1], space="other"))


def test_files_that_are_no_head_are_refused(tmp_path, head):
    good = tmp_path / "good.safetensors"
    head.save(good)
    about = json.loads(_metadata(good))
    broken = [
        {**about, "names": "cat"}, {**about, "names": ["a"]}, {**about, "depth": [1]}, {**about, "recipe": {"x": 1}},
        {**about, "bins": "many", "depth": [1, 2], "names": []}, {}, [], {**about, "names": ["a", "b"]},
        {**about, "palette": [[0, 0, 0]]},
    ]  # fmt: skip
    for number, wrong in enumerate(broken):
        file = tmp_path / f"{number}.safetensors"
        save_file({"weight": head.weight_, "bias": head.bias_}, file, {"patch_head": json.dumps(wrong)})
        with pytest.raises(dv.EncoderError, match=str(number)) as told:
            PatchHead.load(file)
        assert "\n" not in str(told.value)
    (tmp_path / "text.safetensors").write_text("hello")
    for name, words in (("text.safetensors", "cannot be read as a head"), ("none.safetensors", "found no file")):
        with pytest.raises(dv.EncoderError, match=words):
            PatchHead.load(tmp_path / name)


def _metadata(file):
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return opened.metadata()["patch_head"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "expected names"),
        ({"names": NAMES, "depth": (1, 2)}, "expected names"),
        ({"names": ("a", "a")}, "each once"),
        ({"depth": (2.0, 1.0)}, "the nearest first"),
        ({"depth": (1.0, 2.0), "bins": 1}, "bins=1"),
        ({"depth": (1.0, 2.0), "spacing": "even"}, "spacing='even'"),
    ],
)
def test_settings_that_make_no_head_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        PatchHead(**wrong)


def test_an_unfitted_head_says_what_to_call(tmp_path, labelled):
    for use in (lambda one: one.predict(features(labelled[0][:1])), lambda one: one.save(tmp_path / "x.safetensors")):
        with pytest.raises(ValueError, match="not fitted; call fit"):
            use(PatchHead(names=NAMES))


def test_images_of_any_shape_are_encoded_beside_their_truth():
    encoder = dv.load_encoder("playground-dino")
    scenes = dv.playground.draw(2000, 3, 96)
    images = [scene.image.resize(size) for scene, size in zip(scenes, [(96, 96), (120, 80), (64, 90)], strict=True)]
    targets = [np.zeros((one.height, one.width), np.uint8) for one in images]
    found = list(encoded(encoder, zip(images, targets, strict=True), 64, batch=2))
    assert [one.grid for one, _ in found] == [(8, 8), (5, 8), (8, 6)]
    assert [target[0].shape for _, target in found] == [(96, 96), (80, 120), (90, 64)]
    labels = PatchHead(names=("a", "b")).fit(found).predict(found[1][0])[0]
    assert labels.shape == (80, 120) and (labels == 0).all()


def test_the_packages_heads_fit_their_encoder_and_a_users_folder_adds_to_them(tmp_path, head, caplog):
    encoder = dv.load_encoder("playground-dino")
    own = heads_for(encoder.patch_space)
    assert {name: one.kind for name, one in own.items()} == {
        "playground-dino-classes": "segmentation",
        "playground-dino-depth": "depth",
        "playground-dino-parts": "segmentation",
    }
    head.save(tmp_path / "balls.safetensors")
    (tmp_path / "broken.safetensors").write_text("hello")
    assert list(heads_for("made", tmp_path)) == ["balls"]
    assert "broken.safetensors" in caplog.text
    assert heads_for(encoder.patch_space, tmp_path).keys() == own.keys()
    with pytest.raises(dv.EncoderError, match="found no folder"):
        heads_for("made", tmp_path / "none")


def test_linear_heads_of_others_are_loaded_as_weights_alone(tmp_path):
    layer = {"weight": torch.randn(21, 8, 1, 1), "bias": torch.randn(21)}
    torch.save({"epoch": 3, "model_state_dict": layer}, tmp_path / "voc.pth")
    head = load_linear_head(tmp_path / "voc.pth", "made")
    seen = features(torch.randn(2, 3, 3, 8))
    expected = F.conv2d(seen.patches.permute(0, 3, 1, 2), layer["weight"], layer["bias"]).permute(0, 2, 3, 1)
    assert torch.allclose(head.scores(seen), expected, atol=1e-5)
    assert head.names == VOC_21
    torch.save({"weight": torch.randn(5, 8)}, tmp_path / "five.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("hello")
    cases = {"five": "5 outputs", "other": "expected a linear layer", "text": "weights alone", "none": "found no file"}
    for name, words in cases.items():
        with pytest.raises(dv.EncoderError, match=words):
            load_linear_head(tmp_path / f"{name}.pth")


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="../shared/reference/dense_heads is not here")
def test_genuine_heads_say_how_wide_their_encoder_is_and_apply_to_one():
    wide = features(torch.randn(1, 4, 4, 384, generator=torch.Generator().manual_seed(0)), space="dinov2-small")
    for name, names in (("found_decoder_weights.pt", SALIENT), ("dinov2_small_voc21_linear.pth", VOC_21)):
        head = load_linear_head(REFERENCE / name)
        assert head.names == names and head.weight_.shape == (len(names), 384) and "384 values" in head.space_
        with pytest.raises(dv.SpaceError, match="384"):
            head.predict(wide)
        fitting = load_linear_head(REFERENCE / name, "dinov2-small")
        assert fitting.predict(wide)[0].shape == (16, 16)


def test_a_head_with_cls_refuses_a_projected_vector_in_its_place():
    from dataclasses import replace

    import dinoclip_viz as dv
    from dinoclip_viz import playground
    from dinoclip_viz.encoders.errors import SpaceError
    from dinoclip_viz.tasks.probes.head_files import heads_for

    encoder = dv.load_encoder("playground-dino")
    (head,) = (each for each in heads_for(encoder.patch_space).values() if each.cls)
    features = encoder.encode(playground.draw(1092, 1, 96)[0].image, fit="whole")
    head.predict(features)
    with pytest.raises(SpaceError):
        head.predict(replace(features, space="playground"))
