"""Selection of confident images against a plain loop."""

import pytest
import torch

from dinoclip_viz.adapt.nola.selection import images_per_class, select_confident


def plainly(probabilities, k):
    """{row: class} by sorting lists."""
    rows = [row.tolist() for row in probabilities]
    guesses = [sorted(range(len(row)), key=lambda number: -row[number])[:3] for row in rows]
    chosen = {}
    for guess in range(min(3, len(rows[0]))):
        for number in range(len(rows[0])):
            if guess and any(guesses[i][earlier] == number for i in range(len(rows)) for earlier in range(guess)):
                continue
            candidates = [i for i in range(len(rows)) if guesses[i][guess] == number]
            for i in sorted(candidates, key=lambda i: -rows[i][number])[:k]:
                chosen.setdefault(i, number)
    return chosen


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("count", "classes", "k"), [(60, 4, 5), (40, 12, 3), (30, 25, 16), (20, 2, 16)])
def test_the_selection_equals_a_plain_loop(seed, count, classes, k):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator) * 2
    logits[:, 0] -= 4  # a class that is nobody's first guess
    chosen = select_confident(logits.softmax(1), k)
    assert dict(zip(chosen.rows.tolist(), chosen.numbers.tolist(), strict=True)) == plainly(logits.softmax(1), k)


def test_k_is_a_fifth_of_the_images_of_a_balanced_class_and_at_least_16():
    assert [images_per_class(count, classes) for count, classes in ((2_000, 20), (100, 20), (1_000, 10))] == [
        20,
        16,
        20,
    ]
    assert images_per_class(1_000, 7, fraction=0.5, least=3) == 71


def test_an_empty_class_falls_back_to_second_and_then_third_guesses():
    three = torch.tensor([[0.70, 0.20, 0.06, 0.04], [0.60, 0.05, 0.25, 0.10], [0.55, 0.07, 0.30, 0.08]])
    chosen = select_confident(three.repeat(6, 1), k=6)
    by_class = {number: chosen.rows[chosen.numbers == number].tolist() for number in range(4)}
    assert by_class[0] == [0, 3, 6, 9, 12, 15]  # the most confident of the only predicted class
    assert by_class[1] == []  # its only second guesses are taken by class 0
    assert by_class[2] == [2, 5, 8, 11, 14, 17]
    assert by_class[3] == [1, 4, 7, 10, 13, 16]  # third guesses, where second ones are not


def test_permuting_the_images_permutes_the_selection():
    probabilities = (torch.randn(50, 6, generator=torch.Generator().manual_seed(1)) * 3).softmax(1)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(2))
    one, other = select_confident(probabilities, 4), select_confident(probabilities[order], 4)
    back = dict(zip(order[other.rows].tolist(), other.numbers.tolist(), strict=True))
    assert back == dict(zip(one.rows.tolist(), one.numbers.tolist(), strict=True))


@pytest.mark.parametrize(
    ("probabilities", "k", "message"),
    [
        (torch.full((20, 4), 0.25), 4, "no confident image: no probability exceeds 1/4"),
        (torch.ones(20, 1), 4, "found 1 class"),
        (torch.full((15, 2), 0.5), 4, "found 15 images; expected at least 16"),
        (torch.full((20, 2), float("nan")), 4, "image 0 are NaN"),
        (torch.eye(20), 0, "k is 0"),
        (torch.ones(20), 4, r"shape \(20,\); expected \(N, C\)"),
    ],
)
def test_bad_input_gets_one_line(probabilities, k, message):
    with pytest.raises(ValueError, match=message) as error:
        select_confident(probabilities, k)
    assert "\n" not in str(error.value)
