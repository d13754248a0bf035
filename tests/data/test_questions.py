"""Lists of questions: JSON lines of one form, others refused with their line."""

import pytest
from PIL import Image

from dinoclip_viz.data import SourceError
from dinoclip_viz.data.questions import read_questions


def test_questions_keep_their_order_and_find_their_images(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "1.jpg")
    file = tmp_path / "vqa.jsonl"
    file.write_text(
        '{"image": "1.jpg", "question": "what is this?", "answer": "a dog", "kind": "what"}\n\n'
        '{"image": "1.jpg", "question": "how many?", "answer": [2, "two"]}\n',
        encoding="utf-8",
    )
    one, other = read_questions(file)
    assert (one.question, one.answers, one.kind) == ("what is this?", ("a dog",), "what")
    assert (other.answers, other.kind) == (("2", "two"), "")
    assert one.sample.load().size == (8, 6) and one.sample.path.endswith("images/1.jpg")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: no `answer`"),
        ('{"image": "1.jpg", "answer": "a"}', "line 2: no `question`"),
        ('{"image": " ", "question": "a", "answer": "a"}', "line 2: no `image`"),
        ('{"image": "1.jpg", "question": "a", "answer": []}', "line 2: no `answer`"),
        ('{"image": "1.jpg", "question": "a", "answer": null}', "line 2: no `answer`"),
    ],
)
def test_other_lines_are_refused_with_their_number(tmp_path, line, words):
    file = tmp_path / "vqa.jsonl"
    file.write_text('{"image": "1.jpg", "question": "a", "answer": "b"}\n' + line)
    with pytest.raises(SourceError, match=words) as caught:
        read_questions(file)
    assert "\n" not in str(caught.value)


def test_empty_and_wrongly_encoded_lists_are_refused(tmp_path):
    file = tmp_path / "vqa.jsonl"
    file.write_text("\n\n")
    with pytest.raises(SourceError, match="no lines"):
        read_questions(file)
    file.write_bytes('{"image": "1.jpg", "question": "é", "answer": "b"}'.encode("latin-1"))
    with pytest.raises(SourceError, match="line 1: not UTF-8"):
        read_questions(file)
    assert read_questions(file, encoding="latin-1")[0].question == "é"
