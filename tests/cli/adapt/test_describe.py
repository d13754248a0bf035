"""`dinoclip describe`."""

import json

from dinoclip_viz.adapt.descriptions import read_descriptions
from dinoclip_viz.adapt.requests import QUESTIONS


def test_requests_are_written_and_answers_become_descriptions(dinoclip, tmp_path):
    requests, answers, out = (tmp_path / name for name in ("requests.jsonl", "answers.jsonl", "descriptions.json"))
    done = dinoclip("describe", "--labels", "cat,owl", "--out", requests, "--per-question", 2, "--json")
    rows = [json.loads(line) for line in requests.read_text().splitlines()]
    assert done.json == {"out": str(requests), "classes": 2, "requests": len(rows)}
    assert len(rows) == 2 * 2 * len(QUESTIONS) and set(rows[0]) == {"custom_id", "prompt"}
    answers.write_text("\n".join(json.dumps({**row, "answer": row["prompt"].upper()}) for row in rows))
    done = dinoclip("describe", "--labels", "cat,owl", "--answers", answers, "--out", out, "--json")
    assert done.json["descriptions"] == 2 * len(QUESTIONS)  # repeated answers are one
    assert len(read_descriptions(out, ["cat", "owl"])["owl"]) == len(QUESTIONS)


def test_what_cannot_be_read_is_one_line(dinoclip, tmp_path):
    rest = ["--labels", "cat,owl", "--out", tmp_path / "out.json"]
    dinoclip("describe", *rest, "--answers", tmp_path / "none.jsonl").refused("none.jsonl")
    dinoclip("describe", *rest, "--answers", tmp_path / "none.jsonl", "--per-question", 3).refused("--per-question")
    dinoclip("describe", *rest, "--per-question", 0).refused("1 or more")
    (tmp_path / "half.jsonl").write_text('{"custom_id": "cat/1/1", "answer": "A cat."}')
    dinoclip("describe", *rest, "--answers", tmp_path / "half.jsonl").refused("no answers about owl")
