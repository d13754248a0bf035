"""Linear probes against scikit-learn's own pipeline, their files, and low-shot curves against a plain rewrite."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import ImageFeatures, SpaceError
from dinoclip_viz.tasks.probes.knn import knn_accuracy
from dinoclip_viz.tasks.probes.linear import LinearProbe, _held_out
from dinoclip_viz.tasks.probes.low_shot import Shot, low_shot
from tests.made_stores import pair


def clouds(seed=0, known=400, asked=300, classes=6, width=16, noise=2.0):
    """Vectors round a centre a class, with features of very different scales and one that never changes."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (known + asked,), generator=chance)
    vectors = torch.randn(classes, width, generator=chance)[labels]
    vectors = (vectors + noise * torch.randn(vectors.shape, generator=chance)) * torch.logspace(-2, 2, width)
    vectors[:, 3] = 7.0
    return vectors[:known], labels[:known], vectors[known:], labels[known:]


def features(vectors, space="made", patch_space="made-patches"):
    """ImageFeatures with `pooled` in reverse order as `mean`."""
    count = len(vectors)
    nothing = torch.zeros(count, 1, 1, vectors.shape[1])
    return ImageFeatures(
        vectors, vectors.flip(1), nothing, torch.zeros(count, 4), torch.ones(count, 2), space, patch_space
    )


@pytest.fixture(scope="module")
def fitted():
    known, labels, _, _ = clouds()
    probe = LinearProbe().fit(features(known), [f"class {number}" for number in labels])
    probe.figures["test_accuracy"] = 0.5
    return probe


@pytest.mark.parametrize("c", [0.001, 0.1, 10.0])
@pytest.mark.parametrize("classes", [2, 6])
def test_one_c_is_scikit_learns_own_pipeline(c, classes):
    known, labels, asked, target = clouds(1, classes=classes)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000)).fit(known.numpy(), labels.numpy())
    mine = LinearProbe(grid=[c]).fit(known, labels)
    assert (mine.predict(asked) == theirs.predict(asked.numpy())).all()
    assert mine.score(asked, target) == theirs.score(asked.numpy(), target.numpy())
    expected = torch.from_numpy(theirs.predict_proba(asked.numpy())).float()
    torch.testing.assert_close(mine.predict_proba(asked), expected, atol=2e-3, rtol=0)
    assert mine.held_out_ == {} and mine.c_ == c


def test_c_is_chosen_on_held_out_training_images_and_all_are_fitted_then(fitted):
    known, labels, asked, target = clouds()
    assert len(fitted.held_out_) == 7
    best = max(fitted.held_out_.values())
    assert fitted.c_ == min(c for c, accuracy in fitted.held_out_.items() if accuracy == best)
    aside = _held_out(labels.numpy(), 0.2, 0)
    for c, accuracy in fitted.held_out_.items():
        again = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
        again.fit(known[~aside].numpy(), labels[~aside].numpy())
        assert accuracy == pytest.approx(again.score(known[aside].numpy(), labels[aside].numpy()), abs=0.02)
    alone = LinearProbe(grid=[fitted.c_]).fit(features(known), [f"class {number}" for number in labels])
    assert torch.equal(alone.weight_, fitted.weight_) and fitted.images_ == len(known)
    names = [f"class {number}" for number in target]
    assert 0.4 < fitted.score(features(asked), names) < 1


def test_the_held_out_part_is_a_share_of_each_class():
    numbers = np.repeat([0, 1, 2, 3], [50, 10, 2, 1])
    aside = _held_out(numbers, 0.2, 7)
    assert np.bincount(numbers[aside], minlength=4).tolist() == [10, 2, 1, 0]
    assert (aside == _held_out(numbers, 0.2, 7)).all() and (aside != _held_out(numbers, 0.2, 8)).any()


@pytest.mark.parametrize("inputs", ["pooled", "mean", "pooled+mean"])
def test_a_probe_reads_what_it_was_made_for(inputs):
    known, labels, asked, _ = clouds(2)
    columns = {"pooled": known, "mean": known.flip(1), "pooled+mean": torch.cat([known, known.flip(1)], 1)}
    probe = LinearProbe(inputs, grid=[0.1]).fit(features(known), labels)
    bare = LinearProbe(grid=[0.1]).fit(columns[inputs], labels)
    assert torch.equal(probe.weight_, bare.weight_)
    spaces = {"pooled": "made", "mean": "made-patches"}
    assert probe.spaces_ == {name: spaces[name] for name in inputs.split("+")} and bare.spaces_ == {}
    assert probe.fits(features(asked)) and not probe.fits(features(asked, "other", "other"))
    with pytest.raises(SpaceError, match="live in different spaces"):
        probe.predict(features(asked, "other", "other"))


def test_a_store_is_read_as_features_are(tmp_path):
    store, _ = pair(tmp_path, images=60, shard=25)
    labels = (np.asarray(store.mean)[:, 0] > 0).astype(int)
    probe = LinearProbe("mean", grid=[1.0]).fit(store, labels)
    assert torch.equal(probe.weight_, LinearProbe(grid=[1.0]).fit(np.asarray(store.mean), labels).weight_)
    assert probe.score(store, labels) > 0.9


def test_a_file_holds_all_of_a_probe_and_no_pickle(fitted, tmp_path):
    _, _, asked, target = clouds()
    fitted.save(tmp_path / "heads" / "probe.safetensors")
    again = dv.LinearProbe.load(tmp_path / "heads" / "probe.safetensors")
    assert torch.equal(again.predict_proba(features(asked)), fitted.predict_proba(features(asked)))
    assert (again.predict(features(asked)) == fitted.predict(features(asked))).all()
    for name in ("c_", "spaces_", "images_", "held_out_", "figures", "inputs", "grid", "seed"):
        assert getattr(again, name) == getattr(fitted, name)
    with safe_open(tmp_path / "heads" / "probe.safetensors", "pt") as opened:
        about = json.loads(opened.metadata()["linear_probe"])
    assert about["kind"] == "linear-class" and about["classes"][0] == "class 0"
    with pytest.raises(SpaceError):
        again.predict(features(asked, "another"))
    numbers = LinearProbe(grid=[1.0]).fit(asked, target)
    numbers.save(tmp_path / "numbers.safetensors")
    assert LinearProbe.load(tmp_path / "numbers.safetensors").predict(asked).dtype.kind == "i"


@pytest.mark.parametrize("spoil", ["missing", "other", "shapes", "text", "about"])
def test_a_file_that_is_no_probe_is_refused(spoil, fitted, tmp_path):
    file = tmp_path / "probe.safetensors"
    if spoil == "text":
        file.write_text("no tensors")
    elif spoil != "missing":
        fitted.save(file)
        with safe_open(file, "pt") as opened:
            about = opened.metadata()
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if spoil == "shapes":
            tensors["weight"] = tensors["weight"][:, 1:].contiguous()
        about = {"other": {"patch_pca": "{}"}, "about": {"linear_probe": '{"inputs": "pooled"}'}}.get(spoil, about)
        save_file(tensors, file, about)
    with pytest.raises(ValueError, match=r"found no file|expected a file of LinearProbe\.save") as caught:
        LinearProbe.load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"labels": ["a"] * 40}, "found one class, a; expected two classes or more"),
        ({"labels": ["a", "b"]}, "2 labels for 40 images; expected one each"),
        ({"labels": list(range(40))}, "found one image per class"),
        ({"seen": torch.full((40, 3), math.nan)}, "40 of 40 rows of vectors are NaN or infinite, row 0 first"),
        ({"seen": torch.ones(40)}, "vectors has shape (40,); expected (N, D)"),
        ({"inputs": "patches"}, "inputs is 'patches'; expected one of pooled, mean, pooled+mean"),
        ({"grid": []}, "grid is []; expected one or more values"),
        ({"grid": [-1.0]}, "expected one or more values above 0"),
        ({"held_out": 1.0}, "held_out is 1.0; expected a fraction above 0 and below 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change, complaint):
    given = {"seen": clouds()[0][:40], "labels": ["a", "b"] * 20, **change}
    settings = {name: value for name, value in given.items() if name not in ("seen", "labels")}
    with pytest.raises(ValueError) as caught:
        LinearProbe(**settings).fit(given["seen"], given["labels"])
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_a_probe_that_is_not_fitted_or_of_another_width_says_so(fitted, tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        LinearProbe().predict(torch.ones(1, 3))
    with pytest.raises(ValueError, match="not fitted"):
        LinearProbe().save(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="vectors of 3 values; expected 16"):
        fitted.predict(torch.ones(1, 3))
    assert fitted.score(clouds()[2][:2], ["class 9", "class 9"]) == 0


def plain_draws(known, labels, asked, target, count, seed):
    """Accuracies of all three classifiers on the drawn images, one query at a time."""
    chance = np.random.default_rng(seed)
    rows = np.concatenate([chance.permutation(np.flatnonzero(labels == c))[:count] for c in np.unique(labels)])
    some, own = known[rows], labels[rows]
    means = {c: F.normalize(some[torch.from_numpy(own == c)], dim=1).mean(0) for c in np.unique(own)}
    close = [max(means, key=lambda c: F.cosine_similarity(query, means[c], dim=0)) for query in asked]
    k = min(20, len(some))
    return {
        "class_mean": np.mean(np.array(close) == target),
        "knn": knn_accuracy(some, own, asked, target, [k])[k],
        "linear": LinearProbe(grid=[0.1]).fit(some, own).score(asked, target),
    }


def test_low_shot_curves_are_means_and_deviations_of_plain_draws():
    known, labels, asked, target = clouds(3, known=120, asked=60, noise=0.5)
    points = low_shot(known, labels, asked, target, shots=(1, 4), seeds=(0, 1, 5))
    assert [(point.method, point.shots, point.draws) for point in points] == [
        (method, shots, 3) for method in ("knn", "class_mean", "linear") for shots in (1, 4)
    ]
    for shots in (1, 4):
        draws = [plain_draws(known, labels.numpy(), asked, target.numpy(), shots, seed) for seed in (0, 1, 5)]
        for point in points:
            if point.shots == shots:
                values = [draw[point.method] for draw in draws]
                assert point.mean == pytest.approx(np.mean(values))
                assert point.deviation == pytest.approx(np.std(values, ddof=1))
    by_shots = {(point.method, point.shots): point.mean for point in points}
    assert all(by_shots[method, 4] > by_shots[method, 1] for method in ("class_mean", "linear"))


def test_all_images_drawn_leave_no_deviation():
    known, asked = torch.eye(3).repeat(2, 1), torch.eye(3)
    points = low_shot(known, ["a", "b", "c"] * 2, asked, ["a", "b", "z"], shots=[2], seeds=[3, 4])
    assert points == [Shot(method, 2, pytest.approx(2 / 3), 0.0, 2) for method in ("knn", "class_mean", "linear")]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"shots": [1, 3]}, "shots are [1, 3]; expected 1 to 2, the images of class b"),
        ({"shots": []}, "shots are []"),
        ({"seeds": [1, 1]}, "1 seeds; expected two or more"),
        ({"target": ["a"]}, "5 and 1 labels for 5 and 2 vectors"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused(change, complaint):
    given = {"shots": [1], "seeds": [0, 1], "target": ["a", "b"], **change}
    with pytest.raises(ValueError) as caught:
        low_shot(torch.eye(5), ["a", "b", "a", "b", "a"], torch.eye(5)[:2], **given)
    assert complaint in str(caught.value)
