"""Descriptions of classes: files, vectors, requests to a language model and its answers."""

import json

import pytest
import torch
import torch.nn.functional as F

import dinoclip_viz as dv
from dinoclip_viz.adapt.descriptions import class_vectors, playground_descriptions, read_descriptions
from dinoclip_viz.adapt.requests import QUESTIONS, description_requests, read_answers
from dinoclip_viz.playground import CLASSES
from dinoclip_viz.tasks.zero_shot.classify import label_vectors


@pytest.fixture(scope="module")
def texts():
    return dv.load_model("playground-clip").texts


def test_class_vectors_are_the_normalised_mean_over_templates_and_descriptions(texts):
    described = {"cat": ["a cat with pointed ears"], "dog": ["a dog on grass", "a brown dog"]}
    found = class_vectors(texts, ["cat", "dog"], ["a {}", "the {}"], described)
    for name, row in zip(described, found, strict=True):
        prompts = [f"a {name}", f"the {name}", *described[name]]
        each = [F.normalize(texts.encode([prompt]).pooled[0], dim=0) for prompt in prompts]
        assert torch.allclose(row, F.normalize(sum(each) / len(each), dim=0), atol=1e-5)


def test_without_descriptions_class_vectors_are_those_of_zero_shot_classification(texts):
    assert torch.allclose(class_vectors(texts, CLASSES), label_vectors(texts, CLASSES), atol=1e-5)
    alone = class_vectors(texts, ["cat", "dog"], (), {"cat": ["a cat"], "dog": ["a dog"]})
    assert torch.allclose(alone, label_vectors(texts, ["cat", "dog"], ["a {}"]), atol=1e-5)
    with pytest.raises(ValueError, match="no templates"):
        class_vectors(texts, ["cat", "dog"], ())
    with pytest.raises(ValueError, match="exactly one"):
        class_vectors(texts, ["cat", "dog"], ["a cat"])


def test_descriptions_are_read_in_the_order_of_the_names(tmp_path):
    file = tmp_path / "cupl.json"
    file.write_text(json.dumps({"dog": ["A dog  barks.", "It runs."], "cat": ["A cat."]}))
    found = read_descriptions(file, ["cat", "dog"])
    assert list(found.items()) == [("cat", ("A cat.",)), ("dog", ("A dog barks.", "It runs."))]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[1]", "found list"),
        ('{"cat": ["a"], "dog": ["b"], "owl": ["c"]}', "descriptions of owl; expected the 2 classes cat, dog"),
        ('{"cat": ["a"]}', "no descriptions of dog"),
        ('{"cat": [], "dog": ["b"]}', "of 'cat' is empty"),
        ('{"cat": "a cat", "dog": ["b"]}', "of 'cat' are str"),
        ('{"cat": ["a", " "], "dog": ["b"]}', "description 2 of 'cat'"),
        ('{"cat": [3], "dog": ["b"]}', "description 1 of 'cat' is 3"),
    ],
)
def test_invalid_descriptions_are_refused_in_one_line(tmp_path, content, reason):
    file = tmp_path / "cupl.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=reason) as error:
        read_descriptions(file, ["cat", "dog"])
    assert "\n" not in str(error.value) and "cupl.json" in str(error.value)
    with pytest.raises(ValueError, match="found no file"):
        read_descriptions(tmp_path / "none.json", ["cat", "dog"])


def test_the_playground_describes_each_class_by_its_own_words():
    found = playground_descriptions()
    assert tuple(found) == CLASSES
    for name, sentences in found.items():
        assert len(sentences) >= 8 and len(set(sentences)) == len(sentences)
        assert all(name in sentence for sentence in sentences)
    assert "a cup to hold by its handle" in found["cup"] and "a yellow bus" in found["bus"]


def test_requests_have_an_id_for_each_class_question_and_repetition():
    rows = description_requests(["cat", "traffic light/red", "owl"], per_question=3)
    assert len(rows) == 3 * 3 * len(QUESTIONS) == len({row["custom_id"] for row in rows})
    assert {row["custom_id"].rsplit("/", 2)[0] for row in rows} == {"cat", "traffic light/red", "owl"}
    assert "an owl" in rows[-1]["prompt"] and "a cat" in rows[0]["prompt"]
    with pytest.raises(ValueError, match="per_question"):
        description_requests(["cat"], 0)


def test_answers_are_read_in_every_documented_form(tmp_path):
    body = {"choices": [{"message": {"content": "A cat\nhas whiskers."}}]}
    rows = [
        {"custom_id": "a/b/1/1", "answer": "A b."},
        {"custom_id": "cat/1/1", "text": "A cat."},
        {"custom_id": "cat/1/2", "response": {"body": body}},
        {"custom_id": "cat/1/3", "response": {"body": {"choices": [{"text": "A cat."}]}}},
        {"custom_id": "cat/1/4", "answer": " "},
    ]
    file = tmp_path / "answers.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert read_answers(file, ["cat", "a/b"]) == {"cat": ["A cat.", "A cat has whiskers."], "a/b": ["A b."]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2: not JSON"),
        ("3", "line 2: found int"),
        ('{"custom_id": "owl/1/1", "answer": "x"}', "line 2.*'owl/1/1'"),
        ('{"answer": "x"}', "line 2.*None"),
        ('{"custom_id": "dog/1/1"}', "line 2: found no text"),
        ('{"custom_id": "dog/1/1", "answer": ""}', "no answers about dog"),
    ],
)
def test_invalid_answers_are_refused_with_their_line(tmp_path, line, reason):
    file = tmp_path / "answers.jsonl"
    file.write_text('{"custom_id": "cat/1/1", "answer": "A cat."}\n' + line)
    with pytest.raises(ValueError, match=reason) as error:
        read_answers(file, ["cat", "dog"])
    assert "\n" not in str(error.value)
