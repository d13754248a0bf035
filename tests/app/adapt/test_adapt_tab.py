"""The Adapt tab: what it answers, on which images, and what it refuses."""

import re
from types import SimpleNamespace

import pytest
import torch

from dinoclip_viz.app.adapt.tab import METHODS, _first_count, _relevant, answer
from dinoclip_viz.app.adapt.unlabelled import FOLDER, MOST, SCENES, UPLOADS, given_images
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.zero_shot.tab import LABELS


def asked(bench, kind=SCENES, domain="night", count=60, uploads=None, folder="", labels=LABELS, method="StatA"):
    silent = lambda done, desc="": None  # noqa: E731
    return answer(bench, bench.first_key, kind, domain, count, uploads, folder, labels, method, False, progress=silent)


@pytest.fixture
def files(tmp_path):
    images, paths = given_images(SCENES, "plain", 50, None, "").images, []
    for number, image in enumerate(images[:20]):
        image.save(tmp_path / f"{number}.png")
        paths.append(str(tmp_path / f"{number}.png"))
    return paths


@pytest.mark.parametrize("method", ["StatA", "TransCLIP", "ZLaP"])
def test_the_summary_counts_changed_labels_and_scores_them_by_the_ground_truth(bench, method):
    summary, chart, changed, note = asked(bench, method=method)
    found = int(re.match(r"\*\*(\d+) of 60 labels changed", summary)[1])
    assert len(changed) == min(found, 24) and chart.width > 300 and note == ""
    old, new = map(float, re.findall(r"\*\*([\d.]+)%\*\*", summary))
    assert 10 < old < 100 and 10 < new <= 100


def test_uploads_have_no_ground_truth_and_the_notice_of_photographs(bench, files):
    summary, _, _, note = asked(bench, UPLOADS, uploads=files, labels="cat, dog, car")
    assert "of 20 labels changed** by adapting playground-clip" in summary and "Accuracy" not in summary
    assert note == NOTICE


def test_a_folder_is_read_and_its_files_are_part_of_the_question(bench, files, tmp_path):
    summary, *_ = asked(bench, FOLDER, folder=str(tmp_path), labels="cat, dog")
    assert "of 20 labels changed" in summary
    values = ("key", FOLDER, "night", 50, None, str(tmp_path), "a, b", "StatA", False)
    before = _relevant(*values)
    (tmp_path / "0.png").unlink()
    assert _relevant(*values) != before


def test_choices_of_other_kinds_of_images_do_not_matter():
    one = _relevant("key", UPLOADS, "night", 50, ["a"], "x", "a, b", "StatA", False)
    assert one == _relevant("key", UPLOADS, "fog", 90, ["a"], "y", "a, b", "StatA", False)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"labels": "cat"}, "expected two or more class names"),
        ({"labels": ""}, "found no labels"),
        ({"kind": UPLOADS}, "found no uploads"),
        ({"kind": UPLOADS, "uploads": ["x.png"] * (MOST + 1)}, "expected at most"),
        ({"kind": FOLDER}, "expected the path of a folder"),
        ({"kind": FOLDER, "folder": "/nowhere/at/all"}, "found no folder /nowhere/at/all"),
    ],
)
def test_invalid_input_gets_one_line(bench, given, line):
    with pytest.raises(ValueError, match=line):
        asked(bench, **given)


def test_the_images_of_a_folder_are_counted_before_any_is_encoded(tmp_path, monkeypatch):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(b"no image, and not read")
    monkeypatch.setattr("dinoclip_viz.app.adapt.unlabelled.MOST", 3)
    with pytest.raises(ValueError, match="found 4 images; expected at most 3"):
        given_images(FOLDER, "plain", 0, None, str(tmp_path))


def test_a_public_page_reads_no_folder_of_the_server(bench, tmp_path):
    public = SimpleNamespace(offer=SimpleNamespace(public=True), model=bench.model, first_key=bench.first_key)
    with pytest.raises(ValueError, match="not offered on a public page"):
        asked(public, FOLDER, folder=str(tmp_path))
    with pytest.raises(ValueError, match="NoLA is not offered on a public page"):
        asked(public, method="NoLA")


def test_every_method_of_the_tab_is_one_of_adapt():
    from dinoclip_viz.adapt.adapt import METHODS as KNOWN

    assert set(METHODS.values()) == set(KNOWN)


@pytest.mark.parametrize(
    ("name", "device", "count"),
    [("playground-dino", "cpu", 400), ("openai/clip-vit-base-patch16", "cpu", 50), ("dinov2-small", "cuda", 400)],
)
def test_a_page_starts_with_few_scenes_where_an_image_takes_long(name, device, count):
    images = SimpleNamespace(name=name, device=torch.device(device))
    bench = SimpleNamespace(first_key="key", model={"key": SimpleNamespace(images=images)}.get)
    assert _first_count(bench) == count
