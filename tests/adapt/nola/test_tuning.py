"""Step 3 against a plain training loop; resumption; the choice of the epoch."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz import load_encoder
from dinoclip_viz.adapt.nola import NolaSettings, tuning
from dinoclip_viz.adapt.nola.classifier import WEIGHT
from dinoclip_viz.adapt.nola.prompted import PromptedTower, tuned_encoder
from dinoclip_viz.adapt.nola.tuning import PREDICTIONS, Task, Tuner, epoch_tensors
from dinoclip_viz.adapt.nola.views import strong_views

SETTINGS = NolaSettings(prompts=3, epochs=4, batch=7, average=0.9)
NAMES = ("cat", "dog", "bird")


@pytest.fixture(params=["clip", "openclip"])
def task(request, tiny_folder, draw_images):
    base = load_encoder(tiny_folder(request.param), device="cpu", dtype="float32")
    generator = torch.Generator().manual_seed(0)
    texts = F.normalize(torch.randn(3, base.dimension, generator=generator), dim=1)
    images = draw_images(*[(40 + row, 50) for row in range(18)])
    targets = torch.randint(0, 3, (18,), generator=generator)
    neighbours = torch.randint(0, 18, (18, 5), generator=generator)
    return Task(base, images, texts, NAMES, targets, neighbours, SETTINGS)


def ignore(_, __):
    pass


def same(one, other):
    """Whether prompts, norms and classifier are equal; files of an epoch hold predictions as well."""
    one, other = ({name: values for name, values in each.items() if name != PREDICTIONS} for each in (one, other))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_epoch_equals_a_plain_loop(task, monkeypatch):
    """Gradients of parts of a batch add up to that of the batch; biases do not decay; the average follows."""
    monkeypatch.setattr(tuning, "_PASS", 3)
    task = replace(task, settings=replace(SETTINGS, epochs=1, decay=0.3))
    tuner = Tuner(task)
    tower, weight = PromptedTower(task.base, 3), torch.nn.Parameter(task.texts.clone())
    named = {**dict(tower.named_parameters()), "weight": weight}
    groups = [{"params": [one], "weight_decay": 0.0 if name.endswith("bias") else 0.3} for name, one in named.items()]
    optimiser = torch.optim.AdamW(groups, lr=4e-3)
    average = weight.detach().clone()
    order = torch.randperm(18, generator=torch.Generator().manual_seed(1))
    for step, rows in enumerate((order[:7], order[7:14], order[14:]), 1):
        views = strong_views(task.images, rows.tolist(), task.base.size, seed=0, epoch=1)
        pixels = task.base.preprocessing.normalised(views)
        logits = tower(pixels, (4, 4)).pooled @ weight.T
        goal = torch.full((len(rows), 3), 0.1 / 3)
        goal[torch.arange(len(rows)), task.targets[rows]] += 0.9
        loss = -(goal * logits.log_softmax(1)).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        keep = min(0.9, (1 + step) / (10 + step))
        average = keep * average + (1 - keep) * weight.detach()
    tensors, chosen = tuner.run(ignore)
    torch.testing.assert_close(tuner.weight, weight, rtol=0, atol=2e-5)
    torch.testing.assert_close(tensors[WEIGHT], average, rtol=0, atol=2e-5)
    assert chosen.epoch == 1 and chosen.loss > 0
    expected = tuned_encoder(task.base, tensors).encode(task.images).pooled @ tensors[WEIGHT].T
    kept = (expected.argmax(1) == task.targets).float().mean().item()
    assert chosen.kept == pytest.approx(kept)


def test_a_resumed_run_gives_the_same_weights_as_an_uninterrupted_one(task, tmp_path):
    whole, record = Tuner(replace(task, folder=tmp_path / "whole")).run(ignore)
    first = replace(task, folder=tmp_path / "parts")

    def interrupt(done, _):
        if done == 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tuner(first).run(interrupt)
    resumed = Tuner(first)
    assert resumed.epoch == 2 and len(resumed.history) == 2
    parts, again = resumed.run(ignore)
    assert same(parts, whole) and again == record
    assert [same(epoch_tensors(tmp_path / "parts", n), epoch_tensors(tmp_path / "whole", n)) for n in (1, 2, 3, 4)]
    assert same(epoch_tensors(tmp_path / "whole", record.epoch), whole)
    assert same(Tuner(first).run(ignore)[0], whole)  # a finished run is not trained again
    in_memory, _ = Tuner(task).run(ignore)
    assert same(in_memory, whole)


def test_a_run_may_be_resumed_for_more_epochs(task, tmp_path):
    short = replace(task, folder=tmp_path, settings=replace(SETTINGS, epochs=2))
    Tuner(short).run(ignore)
    longer, _ = Tuner(replace(short, settings=SETTINGS)).run(ignore)
    assert same(longer, Tuner(task).run(ignore)[0])


@pytest.mark.parametrize("change", ["settings", "classes", "texts", "targets", "images"])
def test_a_folder_of_another_run_is_refused_in_one_line(change, task, tmp_path):
    first = replace(task, folder=tmp_path, settings=replace(SETTINGS, epochs=1))
    Tuner(first).run(ignore)
    other = {
        "settings": replace(first, settings=replace(SETTINGS, epochs=1, rate=1e-3)),
        "classes": replace(first, class_names=("cat", "dog", "fish")),
        "texts": replace(first, texts=first.texts.flip(0)),
        "targets": replace(first, targets=(first.targets + 1) % 3),
        "images": replace(first, images=first.images[:17], targets=first.targets[:17]),
    }[change]
    with pytest.raises(ValueError, match="holds a run on other images, classes, texts or settings") as error:
        Tuner(other)
    assert "\n" not in str(error.value)


def test_a_damaged_checkpoint_is_refused_in_one_line(task, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a checkpoint of NoLA"):
        Tuner(replace(task, folder=tmp_path))


def test_the_returned_epoch_is_that_of_the_unlabelled_criterion(task, tmp_path, monkeypatch):
    predicted = iter([torch.arange(18) % 3, torch.arange(18) // 6, torch.arange(18) % 2, torch.zeros(18).long()])
    monkeypatch.setattr(tuning, "predict", lambda *_: next(predicted))
    neighbours = ((torch.arange(18) // 6) * 6)[:, None] + torch.arange(5)  # within blocks of six
    task = replace(task, targets=torch.arange(18) % 3, neighbours=neighbours, folder=tmp_path)
    tensors, record = Tuner(task).run(ignore)
    assert (record.epoch, record.agreement) == (2, 1.0)  # not the last, which agrees as well but has collapsed
    assert same(tensors, epoch_tensors(tmp_path, 2))
    assert epoch_tensors(tmp_path, 3)[PREDICTIONS].tolist() == [row % 2 for row in range(18)]
    assert json.loads((tmp_path / "history.json").read_text())["chosen"] == 2


def test_collapse_in_every_epoch_is_reported(task, monkeypatch, caplog):
    monkeypatch.setattr(tuning, "predict", lambda *_: torch.zeros(18).long())
    Tuner(replace(task, targets=torch.arange(18) % 3, settings=replace(SETTINGS, epochs=1))).run(ignore)
    assert "collapsed to few classes" in caplog.text


def test_no_prompts_tunes_norms_and_classifier_only(task, tmp_path):
    task = replace(task, settings=replace(SETTINGS, prompts=0, epochs=1), folder=tmp_path)
    tensors, _ = Tuner(task).run(ignore)
    start = PromptedTower(task.base, 0).tensors()
    assert tensors["prompts"].shape == (0, task.base.patch_dimension)
    assert all(not torch.equal(tensors[name], values) for name, values in start.items() if name != "prompts")
