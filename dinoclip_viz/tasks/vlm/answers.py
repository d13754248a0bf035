"""Exact match of answers with the expected ones, compared with the most frequent answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AnswerScore:
    """The accuracy of answers to questions of one kind.

    Attributes:
        questions: number of questions.
        accuracy: fraction of answers that match exactly, 0 to 1.
        frequent: the most frequent expected answer.
        frequent_accuracy: fraction of questions that it answers.
    """

    questions: int
    accuracy: float
    frequent: str
    frequent_accuracy: float

    @property
    def gain(self) -> float:
        """Accuracy minus that of the most frequent answer, -1 to 1."""
        return self.accuracy - self.frequent_accuracy


def plain(answer: str) -> str:
    """An answer in the form that is compared: lower case, single spaces, no full stop at its end.

    Examples:
        >>> plain(" Yes. "), plain("top  left")
        ('yes', 'top left')
    """
    return " ".join(answer.casefold().split()).rstrip(".").rstrip()


def score_answers(answers: Sequence[str], expected: Sequence[Sequence[str]]) -> AnswerScore:
    """Accuracy by exact match of plain forms, and that of always giving the most frequent answer.

    Args:
        answers: of a model.
        expected: for each question one or more right answers; the first one counts as the frequent one.

    Raises:
        ValueError: no questions, another number of answers, or a question without a right answer.

    Examples:
        >>> score = score_answers(["Red.", "two", "red"], [["red"], ["3", "three"], ["blue"]])
        >>> round(score.accuracy, 3), score.frequent, round(score.frequent_accuracy, 3)
        (0.333, 'red', 0.333)
    """
    if len(answers) != len(expected) or not answers:
        raise ValueError(f"{len(answers)} answers to {len(expected)} questions; expected one each, at least one")
    right = [[plain(one) for one in each] for each in expected]
    if not all(right):
        raise ValueError(f"question {right.index([]) + 1} has no right answer; expected one or more")
    frequent = Counter(each[0] for each in right).most_common(1)[0][0]
    hits = sum(plain(answer) in each for answer, each in zip(answers, right, strict=True))
    always = sum(frequent in each for each in right)
    return AnswerScore(len(answers), hits / len(answers), frequent, always / len(answers))


def score_answers_by_kind(
    kinds: Sequence[str], answers: Sequence[str], expected: Sequence[Sequence[str]]
) -> dict[str, AnswerScore]:
    """Kind of question -> the score of its answers, in the order of first appearance.

    Args:
        kinds: of each question.
        answers, expected: as in `score_answers`.

    Raises:
        ValueError: as in `score_answers`.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for number, kind in enumerate(kinds):
        rows[kind].append(number)
    if len(kinds) != len(answers) or len(kinds) != len(expected):
        raise ValueError(f"{len(kinds)} kinds, {len(answers)} answers, {len(expected)} questions; expected one each")
    return {
        kind: score_answers([answers[n] for n in numbers], [expected[n] for n in numbers])
        for kind, numbers in rows.items()
    }
