"""Class lists, templates, labels that map to them, and accuracies by class."""

import json
from pathlib import Path

import pytest
import torch

from dinoclip_viz.playground import CLASSES
from dinoclip_viz.tasks.zero_shot.accuracy import top_k_accuracy, top_k_accuracy_by_class
from dinoclip_viz.tasks.zero_shot.class_lists import LISTS, TEMPLATES, class_list, template_set

METADATA = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "metadata"


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_clean_names_and_finds_each_of_them(name):
    classes = class_list(name)
    assert all(one == " ".join(one.split()) and one for one in classes.names)
    assert [classes.names[classes.index(one)] for one in classes.names] == list(classes.names)
    if name != "imagenet":  # where two missiles and two sunglasses are in the published list
        assert [classes.index(one.replace(" ", "_").title()) for one in classes.names] == list(
            range(len(classes.names))
        )


def test_the_playgrounds_list_is_the_playgrounds():
    assert class_list("playground").names == CLASSES


@pytest.mark.skipif(not METADATA.is_dir(), reason="the reference data is not next to the project")
def test_imagenet_and_its_templates_are_as_published():
    published = json.loads((METADATA / "en_classnames.json").read_text())
    assert list(class_list("imagenet").names) == published["imagenet1k"]
    templates = json.loads((METADATA / "en_zeroshot_classification_templates.json").read_text())
    assert sorted(template_set("openai")) == sorted(text.replace("{c}", "{}") for text in templates["imagenet1k"])


def test_wnids_in_order_are_the_lists_order():
    classes = class_list("imagenet")
    wnids = [code for code in classes.codes if code[0] == "n" and code[1:].isdecimal()]
    assert wnids == sorted(wnids)
    assert len(wnids) == 1000
    known = {
        "n01440764": "tench",
        "n02123045": "tabby cat",
        "n02105855": "Shetland Sheepdog",
        "n15075141": "toilet paper",
    }
    assert {code: classes.names[classes.index(code)] for code in known} == known
    assert classes.index("999") == 999


def test_a_label_is_found_by_name_or_number_and_else_refused():
    voc = class_list("voc")
    assert voc.index("diningtable") == voc.index("dining table") == voc.index("10") == 10
    with pytest.raises(ValueError, match="'zebra' is not a class of voc"):
        voc.index("zebra")
    with pytest.raises(ValueError, match="'20' is not a class"):
        voc.index("20")


def test_a_file_is_a_list(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("ein Hund\n\n eine Katze \n")
    assert class_list(str(file)).names == ("ein Hund", "eine Katze")
    for content, message in (("one\n", "has 1 classes"), ("a\nb\na\n", "repeats the classes a")):
        file.write_text(content)
        with pytest.raises(ValueError, match=message):
            class_list(str(file))
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match="UTF-8"):
        class_list(str(file))
    with pytest.raises(ValueError, match=r"no class list 'imagenett'; expected imagenet"):
        class_list("imagenett")


def test_templates_have_one_place_each():
    assert {name: len(template_set(name)) for name in TEMPLATES} == {"openai": 80, "simple": 7}
    assert all(text.count("{}") == 1 for name in TEMPLATES for text in template_set(name))
    with pytest.raises(ValueError, match="openai or simple"):
        template_set("mine")


def test_accuracy_equals_topk_and_gives_ties_to_the_first():
    chance = torch.Generator().manual_seed(0)
    scores, target = torch.randn(200, 7, generator=chance), torch.randint(0, 6, (200,), generator=chance)
    for k in range(1, 8):
        hits = (scores.topk(k).indices == target[:, None]).any(1)
        assert top_k_accuracy(scores, target, k) == pytest.approx(hits.double().mean().item())
        each = top_k_accuracy_by_class(scores, target, k)
        for number in range(6):
            assert each[number].item() == pytest.approx(hits[target == number].double().mean().item())
        assert each[6].isnan()
    level = torch.zeros(4, 4)
    assert top_k_accuracy(level, torch.arange(4)) == 0.25
    assert top_k_accuracy(level, torch.arange(4), k=3) == 0.75


def test_accuracy_refuses_what_does_not_fit():
    for scores, target, k, message in (
        (torch.eye(3), torch.arange(2), 1, r"\(3, 3\) and \(2,\)"),
        (torch.empty(0, 3), torch.empty(0, dtype=torch.int64), 1, "B 1 or more"),
        (torch.eye(3), torch.tensor([0, 1, 3]), 1, "0 to 2"),
        (torch.eye(3), torch.arange(3), 4, "k is 4"),
    ):
        with pytest.raises(ValueError, match=message):
            top_k_accuracy(scores, target, k)


def test_imagenet_is_known_by_the_names_that_hub_data_sets_give_it():
    names = class_list("imagenet")
    assert names.names[names.index("tench, Tinca tinca")] == "tench"
    assert names.index("goldfish, Carassius auratus") == names.index("n01443537") == 1
