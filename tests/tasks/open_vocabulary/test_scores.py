"""From prompts to regions and their measure: against plain loops, and with prompts that people really type."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.dense.dinoiser import DinoiserHead
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.tasks.open_vocabulary.accuracy import (
    IGNORED,
    LEVELS,
    LevelTables,
    WordsTask,
    chance_miou,
    measure_words,
)
from dinoclip_viz.tasks.open_vocabulary.heatmap import heatmap
from dinoclip_viz.tasks.open_vocabulary.scores import (
    NONE,
    Vocabulary,
    VocabularyVectors,
    areas,
    class_scores,
    hard_labels,
    score_maps,
    vocabulary_vectors,
)
from dinoclip_viz.tasks.probes.confusion import Confusion


@pytest.fixture(scope="module")
def model():
    return dv.load_model("playground-clip")


@pytest.fixture(scope="module")
def scenes():
    return dv.playground.draw(7100, 4, 64)


def pairs(scenes):
    return [(scene.image, scene.mask) for scene in scenes]


# Vocabularies


def test_synonyms_lie_between_semicolons_and_what_repeats_counts_once():
    made = Vocabulary.of(["cat; kitty;cat", " dog ", "", "cat", ";;"], ["sky; cloud"])
    assert made.names == ("cat", "dog", "sky")
    assert made.prompts == (("cat", "kitty"), ("dog",), ("sky", "cloud"))
    assert made.background == {"sky"}


def test_a_word_that_is_a_class_and_background_is_a_class():
    made = Vocabulary.of(["sky", "cat"], ["sky"])
    assert made.names == ("sky", "cat") and not made.background


@pytest.mark.parametrize("lines", [[], [""], [" ; ", ";"]])
def test_no_prompt_is_one_line(lines):
    with pytest.raises(ValueError, match="found no prompts") as error:
        Vocabulary.of(lines, ["sky"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((), ()), "found no prompts"),
        ((("a",), ()), "1 classes and prompts of 0"),
        ((("a",), ((" ",),)), "the class 'a' has no prompt"),
        ((("a", "a"), (("x",), ("y",))), "is repeated"),
        ((("a",), (("x",),), frozenset({"b"})), "not a class"),
    ],
)
def test_vocabularies_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Vocabulary(*arguments)


def test_prompts_that_people_type_each_get_a_map(model, scenes):
    many = [f"thing number {number}" for number in range(200)]
    features = model.encode_images([scenes[0].image], fit="whole", methods=["maskclip"])
    for lines in (many, ["🐈", "dog"], ["a very long story of a cat, " * 360, "dog"], ["cat", "cat", "cat"]):
        vocabulary = Vocabulary.of(lines)
        maps = score_maps(model, features, vocabulary_vectors(model, vocabulary, "maskclip"), "maskclip")
        assert maps.shape == (len(dict.fromkeys(lines)), 64, 64)
        assert torch.isfinite(maps).all() and maps.abs().max() <= 1 + 1e-5
    assert len(Vocabulary.of(["a" * 10_000]).names[0]) == 10_000


def test_many_prompts_give_each_the_map_that_it_gets_alone(model, scenes):
    features = model.encode_images([scenes[0].image], fit="whole", methods=["maskclip"])
    vocabulary = Vocabulary.of([*(f"thing number {number}" for number in range(199)), "car;bus"])
    maps = score_maps(model, features, vocabulary_vectors(model, vocabulary, "maskclip"), "maskclip")
    alone = heatmap(model, features, ["thing number 42"], "maskclip")
    torch.testing.assert_close(maps[42], alone[0], rtol=0, atol=1e-5)


def test_a_class_of_its_own_templates_leaves_the_others_alone(model):
    vocabulary = Vocabulary.of(["cat", "dog"])
    plain = vocabulary_vectors(model, vocabulary, templates=["a {}"])
    mixed = vocabulary_vectors(model, vocabulary, templates=["a {}"], by_class={"dog": ["the {}", "one {}"]})
    torch.testing.assert_close(mixed.vectors[0], plain.vectors[0])
    assert not torch.allclose(mixed.vectors[1], plain.vectors[1], atol=1e-3)
    torch.testing.assert_close(mixed.vectors.norm(dim=1), torch.ones(2))


# Scores and labels


def test_class_scores_are_the_best_cosine_of_a_loop_over_patches_and_prompts():
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(3, 5, 7, generator=generator)
    vectors = torch.nn.functional.normalize(torch.randn(6, 7, generator=generator), dim=1)
    owners = [1, 0, 1, 2, 2, 2]
    found = class_scores(patches, VocabularyVectors(vectors, torch.tensor(owners), 3))
    assert found.shape == (3, 3, 5)
    for row in range(3):
        for column in range(5):
            patch = patches[row, column].double().tolist()
            length = math.sqrt(sum(value**2 for value in patch))
            best = [-2.0] * 3
            for vector, owner in zip(vectors.double().tolist(), owners, strict=True):
                cosine = sum(a * b for a, b in zip(patch, vector, strict=True)) / length
                best[owner] = max(best[owner], cosine)
            assert found[:, row, column].tolist() == pytest.approx(best, abs=1e-5)


def test_hard_labels_are_those_of_a_loop_over_pixels():
    maps = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(1))
    maps[:, 0, 0] = torch.nan
    found = hard_labels(maps, threshold=0.3, background=[2])
    for row in range(6):
        for column in range(5):
            values = maps[:, row, column].tolist()
            best = max(range(4), key=values.__getitem__)
            kept = not math.isnan(values[0]) and values[best] >= 0.3 and best != 2
            assert found[row, column] == (best if kept else NONE)
    assert (hard_labels(maps)[1:] >= 0).all()
    shares = areas(found, 4)
    assert shares[2] == 0 and shares == [pytest.approx(int((found == number).sum()) / 30) for number in range(4)]


def test_maps_of_features_that_do_not_fit_are_refused(model, scenes):
    words = vocabulary_vectors(model, Vocabulary.of(["cat"]), "maskclip")
    several = model.encode_images([scene.image for scene in scenes], fit="whole", methods=["maskclip"])
    with pytest.raises(ValueError, match="of 4 images"):
        score_maps(model, several, words, "maskclip")
    with pytest.raises(ValueError, match="have no 'sclip' patches"):
        score_maps(model, several[0], words, "sclip")


# The measure


def test_level_tables_are_those_of_a_loop_over_levels():
    chance = np.random.default_rng(0)
    target, label = (torch.from_numpy(chance.integers(0, 4, 300)) for _ in range(2))
    score = torch.from_numpy(chance.random(300)).float()
    score[:3] = torch.tensor([0.25, 0.5, 0.75])  # on a level is not below it
    levels = (-1.0, 0.25, 0.5, 0.75, 2.0)
    tables = LevelTables(["a", "b", "c"], levels)
    for part in (slice(100), slice(100, 300)):
        tables.add(target[part], label[part], score[part])
    mious = []
    for number, level in enumerate(levels):
        given = [int(one) if value >= level else 0 for one, value in zip(label, score.tolist(), strict=True)]
        expected = Confusion(["background", "a", "b", "c"]).add(np.array(given), target)
        assert torch.equal(tables.at(number).table, expected.table)
        mious.append(expected.miou)
    assert tables.best() == (int(np.argmax(mious)), pytest.approx(max(mious)))
    with pytest.raises(ValueError, match="rising order"):
        LevelTables(["a"], (0.5, 0.1))


def by_hand(model, method, scenes, thresholds=(None,), words=(), names=dv.playground.CLASSES):
    """The table over objects, and that with the background for each threshold, from maps at the images' size."""
    objects, wholes = Confusion(names), [Confusion(["background", *names]) for _ in thresholds]
    for scene in scenes:
        maps = heatmap(model, scene.image, [*names, *words], method)
        best, beyond = maps[: len(names)], maps[len(names) :]
        score, label = best.max(0)
        objects.add(label, np.where(scene.mask > 0, scene.mask.astype(int) - 1, 255))
        if len(beyond):
            label = torch.where(beyond.amax(0) > score, -1, label)
        for threshold, whole in zip(thresholds, wholes, strict=True):
            kept = score >= (-2 if threshold is None else threshold)
            whole.add(torch.where(kept, label + 1, 0), scene.mask)
    return objects, *wholes


def test_all_methods_are_measured_from_one_encoding_as_by_hand(model, scenes, monkeypatch):
    passes = []
    encode = ImageTextModel.encode_images
    monkeypatch.setattr(ImageTextModel, "encode_images", lambda *given: passes.append(given[4]) or encode(*given))
    task, methods = WordsTask(Vocabulary.of(dv.playground.CLASSES)), ["maskclip", "naclip"]
    found = measure_words(model, task, pairs(scenes[2:]), pairs(scenes[:2]), methods)
    assert passes == [methods] * 4
    monkeypatch.undo()
    assert list(found) == methods
    for method, one in found.items():
        known = [table.miou for table in by_hand(model, method, scenes[:2], LEVELS)[1:]]
        assert one.threshold == LEVELS[int(np.argmax(known))]
        objects, whole = by_hand(model, method, scenes[2:], [one.threshold])
        assert torch.equal(one.objects.table, objects.table) and one.objects.names == tuple(dv.playground.CLASSES)
        assert torch.equal(one.whole.table, whole.table) and one.images == 2 and one.by_rule is None


def test_words_of_the_background_take_places_from_the_classes_but_not_from_the_figure_over_objects(model, scenes):
    vocabulary = Vocabulary.of(dv.playground.CLASSES, ["sky", "grass"])
    found = measure_words(model, WordsTask(vocabulary), pairs(scenes), methods=["maskclip"])["maskclip"]
    objects, whole = by_hand(model, "maskclip", scenes, words=["sky", "grass"])
    assert found.threshold is None and torch.equal(found.objects.table, objects.table)
    assert torch.equal(found.whole.table, whole.table) and whole.table[:, 0].sum() > 0


def test_without_known_images_or_words_the_background_is_not_told(model, scenes):
    task = WordsTask(Vocabulary.of(dv.playground.CLASSES))
    assert measure_words(model, task, pairs(scenes[:1]), methods=["maskclip"])["maskclip"].whole is None


def test_labels_from_zero_have_no_background_and_unknown_pixels_do_not_count(model, scenes):
    masks = [np.where(scene.mask > 0, scene.mask.astype(int) - 1, IGNORED) for scene in scenes]
    given = [(scene.image, mask) for scene, mask in zip(scenes, masks, strict=True)]
    task = WordsTask(Vocabulary.of(dv.playground.CLASSES), first=0)
    found = measure_words(model, task, given, methods=["maskclip"])["maskclip"]
    assert torch.equal(found.objects.table, by_hand(model, "maskclip", scenes)[0].table)
    with pytest.raises(ValueError, match="no label is the background"):
        measure_words(model, task, given, given)


def test_the_published_rule_asks_the_softmax_and_the_trained_layer(model, scenes):
    torch.manual_seed(0)
    head = DinoiserHead(model.clip.patch_dimension, 8)
    served = ImageTextModel(**{**vars(model), "dinoiser": head})
    with torch.no_grad():
        head.bkg_decoder.weight.zero_()
    found = {}
    for logit in (-1.0, 1.0):
        head.bkg_decoder.bias.data.fill_(logit)
        task = WordsTask(Vocabulary.of(dv.playground.CLASSES))
        one = measure_words(served, task, pairs(scenes), methods=["maskclip"], by_rule=True)
        found[logit] = one["maskclip"].by_rule
    whole = by_hand(model, "maskclip", scenes)[1]
    assert torch.equal(found[1.0].table, whole.table)  # an object everywhere
    sure = Confusion(["background", *dv.playground.CLASSES])
    for scene in scenes:
        maps = heatmap(model, scene.image, dv.playground.CLASSES, "maskclip").double()
        probability, label = (100 * maps).softmax(0).max(0)
        sure.add(torch.where(probability >= 0.99, label + 1, 0), scene.mask)
    assert (found[-1.0].table - sure.table).abs().sum() <= 8  # a few pixels lie at the border
    assert (found[-1.0].table - whole.table).abs().sum() > 100
    with pytest.raises(ValueError, match="has no CLIP-DINOiser layers"):
        bare = ImageTextModel(**{**vars(model), "dinoiser": None})
        measure_words(bare, task, pairs(scenes), methods=["maskclip"], by_rule=True)


def test_chance_is_what_labels_drawn_evenly_get():
    chance = np.random.default_rng(0)
    target = chance.choice(4, 400_000, p=[0.6, 0.3, 0.1, 0.0])
    drawn = Confusion(4).add(chance.integers(0, 4, target.size), target)
    assert chance_miou(drawn) == pytest.approx(drawn.miou, abs=2e-3)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "found no images"),
        ([(Image.new("RGB", (32, 24)), np.zeros((32, 24), int))], "labels of 24 x 32 pixels for an image of 32 x 24"),
        ([(Image.new("RGB", (32, 24)), np.full((24, 32), 3))], "not a class; expected 0 to 2, or 255"),
    ],
)
def test_ground_truth_that_does_not_fit_is_one_line(model, images, words):
    with pytest.raises(ValueError, match=words) as error:
        measure_words(model, WordsTask(Vocabulary.of(["cat", "dog"])), images, methods=["maskclip"])
    assert "\n" not in str(error.value)


def test_tasks_and_methods_that_make_no_sense_are_refused(model, scenes):
    with pytest.raises(ValueError, match="first is 2"):
        WordsTask(Vocabulary.of(["cat"]), first=2)
    with pytest.raises(ValueError, match="after all classes"):
        WordsTask(Vocabulary(("sky", "cat"), (("sky",), ("cat",)), frozenset({"sky"})))
    with pytest.raises(ValueError, match="does not serve the heat-map method 'magic'"):
        measure_words(model, WordsTask(Vocabulary.of(["cat"])), pairs(scenes), methods=["magic"])
    with pytest.raises(ValueError, match="found no images to choose the threshold on"):
        measure_words(model, WordsTask(Vocabulary.of(dv.playground.CLASSES)), pairs(scenes), [], ["maskclip"])
