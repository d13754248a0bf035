"""Lists of every layout in use become the same samples, and a bad row never loses the others."""

import json
import tracemalloc
from pathlib import Path

import pytest

from dinoclip_viz.data import ListSource, SourceError
from dinoclip_viz.images import ImageError


@pytest.fixture
def folder(tmp_path, image):
    image(tmp_path / "a.jpg")
    image(tmp_path / "sub" / "b.png")
    return tmp_path


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "name, text",
    [
        ("l.json", '[{"image": "a.jpg", "captions": ["one", "two"]}, {"image": "sub/b.png", "caption": "three"}]'),
        ("l.json", '{"a.jpg": ["one", "two"], "sub/b.png": "three"}'),
        ("l.jsonl", '{"file_name": "a.jpg", "text": "one"}\n{"file_name": "a.jpg", "text": "two"}\n\n'
         '{"path": "sub/b.png", "title": "three"}\n'),
        ("l.jsonl", '{"image": "a.jpg", "sentences": [{"raw": "one"}, {"raw": "two"}]}\n'
         '{"image": null, "file_path": "sub/b.png", "sentences": ["three"]}'),
        ("l.csv", "filepath\ttitle\na.jpg\tone\na.jpg\ttwo\nsub/b.png\tthree\n"),
        ("l.tsv", "image_path\tcaption_0\tcaption_1\na.jpg\tone\ttwo\nsub/b.png\tthree\t\n"),
        ("results.csv", "image_name| comment_number| comment\na.jpg| 0| one\na.jpg| 1   two\nsub/b.png| 0| three\n"),
        ("captions.txt", "image,caption\na.jpg,one\na.jpg,two\nsub/b.png,three\n"),
        ("captions.txt", "a.jpg one\na.jpg two\nsub/b.png three\n"),
        ("l.tsv", "one\ta.jpg\ntwo\ta.jpg\nthree\tsub/b.png\n"),
        ("l.tsv", "a.jpg\tone\na.jpg\ttwo\nsub/b.png\tthree\n"),
        ("l.csv", '\ufeffFileName,Caption\r\n"a.jpg","one"\r\na.jpg,two\r\nsub/b.png,three\r\n'),
        ("l.csv", 'filename,raw,split\na.jpg,"[""one"", ""two""]",train\nsub/b.png,"[""three""]",train\n'),
    ],
)  # fmt: skip
def test_every_layout_gives_the_same_samples(folder, check_source, name, text):
    samples = check_source(ListSource(write(folder / name, text)))
    assert [sample.captions for sample in samples] == [("one", "two"), ("three",)]
    assert [sample.key for sample in samples] == ["a", "sub/b"]
    assert [Path(sample.path) for sample in samples] == [folder / "a.jpg", folder / "sub" / "b.png"]


def test_keys_and_labels_come_from_their_columns(folder, check_source):
    source = ListSource(write(folder / "l.csv", "id,image,class\n7,a.jpg,cat\n8,sub/b.png,\n"))
    assert [(sample.key, sample.label, sample.captions) for sample in check_source(source)] == [
        ("7", "cat", ()),
        ("8", None, ()),
    ]


def test_commas_and_quotes_stay_in_a_caption(folder):
    quoted = ListSource(write(folder / "a.csv", 'image,caption\na.jpg,"a cat, ""Tom"", sits"\n'))
    bare = ListSource(write(folder / "b.csv", "image,caption\na.jpg,a cat, asleep\n"))
    headless = ListSource(write(folder / "c.csv", "a.jpg,a cat, asleep\n"))
    stray = ListSource(write(folder / "d.tsv", '"big" cat\ta.jpg\n"oh\ta.jpg\n'))
    assert [next(source.samples()).captions for source in (quoted, bare, headless, stray)] == [
        ('a cat, "Tom", sits',),
        ("a cat, asleep",),
        ("a cat, asleep",),
        ('"big" cat', '"oh'),
    ]


@pytest.mark.parametrize("line", ["a dog, running\thttps://a.org/1", "https://a.org/1\ta dog, running"])
def test_conceptual_captions_are_told_by_their_addresses(tmp_path, line):
    sample = next(ListSource(write(tmp_path / "cc.tsv", line + "\n")).samples())
    assert (sample.image, sample.path, sample.key) == ("https://a.org/1",) * 3
    assert sample.captions == ("a dog, running",)


def test_images_are_found_in_a_given_folder_and_in_the_usual_places(tmp_path, image, check_source):
    image(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "lists").mkdir()
    file = write(tmp_path / "lists" / "l.csv", "image,caption\nmissing.jpg,none\na.jpg,one\n")
    assert check_source(ListSource(file, images=tmp_path / "elsewhere"), loads=False)[1].load().size == (8, 6)
    image(tmp_path / "Images" / "a.jpg")
    missing, there = check_source(ListSource(file), loads=False)
    assert there.load().size == (8, 6)
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        missing.load()


def test_a_column_split_chooses_rows(folder, check_source):
    file = write(folder / "l.csv", "image,caption,split\na.jpg,one,train\nsub/b.png,two,test\na.jpg,three,val\n")
    assert [sample.captions for sample in check_source(ListSource(file, split="test"))] == [("two",)]
    assert [sample.captions for sample in check_source(ListSource(file, split="val+train"))] == [("one", "three")]
    with pytest.raises(SourceError, match=r"no split dev; its splits: test, train, val"):
        list(ListSource(file, split="dev").samples())
    with pytest.raises(SourceError, match="no column `split`"):
        list(ListSource(write(folder / "m.csv", "image\na.jpg\n"), split="dev").samples())


def test_bad_lines_are_unreadable_samples_that_name_file_and_line(folder, check_source):
    file = write(
        folder / "l.jsonl",
        b'{"image": "a.jpg", "caption": "one"}\n{"image": \n{"caption": "lonely"}\n[1]\n{"image": "caf\xe9.jpg"}\n'
        + b"[" * 100_000
        + b'\n{"image": "sub/b.png"}',
    )
    samples = check_source(ListSource(file), loads=False)
    assert len(samples) == 7 and samples[0].load() and samples[-1].load()
    for line, (sample, words) in enumerate(
        zip(samples[1:-1], ("not JSON", "no image", "a list", "not UTF-8", "not JSON"), strict=True), start=2
    ):
        with pytest.raises(ImageError, match=rf"l\.jsonl, line {line}: .*{words}"):
            sample.load()
    assert samples[2].captions == ("lonely",) and samples[2].key == "l.jsonl:3"


def test_bad_rows_of_tables_are_unreadable_samples(folder, check_source):
    file = write(
        folder / "l.csv", b'image,caption\n,lonely\na.jpg,caf\xe9\n"a\x00.jpg",x\nsub/b.png,"' + b"x" * 200_000
    )
    samples = check_source(ListSource(file), loads=False)
    for sample, words in zip(samples, ("line 2: no image", "line 3: not UTF-8", r"a.\.jpg", "line 5: "), strict=True):
        with pytest.raises(ImageError, match=words):
            sample.load()


def test_rows_of_json_that_are_no_objects_keep_their_place(folder, check_source):
    samples = check_source(ListSource(write(folder / "l.json", '["a.jpg", 3, null, {}]')), loads=False)
    assert samples[0].load() and len(samples) == 4
    with pytest.raises(ImageError, match=r"row 2: a int"):
        samples[1].load()


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("l.json", "[]", "no rows"),
        ("l.json", "{}", "expected a list of rows"),
        ("l.json", '{"epochs": 3}', "an object of 'epochs'; expected a list of rows"),
        ("l.json", "3", "3; expected a list of rows"),
        ("l.json", '{"a', "not JSON"),
        ("l.json", '{"image": "a.jpg"}\n{"image": "b.jpg"}', r"name it \.jsonl"),
        ("l.json", b'["\xff"]', "not (JSON|UTF-8 text)"),
        ("l.json", "[" * 100_000, "not JSON"),
        ("l.jsonl", "\n", "no rows"),
        ("l.csv", "", "no rows"),
        ("l.csv", "name,words\nx,y\n", "expected a header with a column of image"),
        ("l.csv", "image,caption\n", "no rows"),
        ("l.csv", b"\xff\xfei\0m\0", "UTF-16"),
        ("gone/l.csv", None, "cannot be read"),
        ("gone/l.json", None, "cannot be read"),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(tmp_path, name, text, message):
    file = tmp_path / name if text is None else write(tmp_path / name, text)
    with pytest.raises(SourceError, match=message) as caught:
        list(ListSource(file).samples())
    assert name.rpartition("/")[2] in str(caught.value) and "\n" not in str(caught.value)


def test_an_image_with_a_strange_name_is_found(tmp_path, image, check_source):
    name = "ünï {0} #1 [x].jpg"
    image(tmp_path / name)
    file = write(tmp_path / "l.jsonl", json.dumps({"image": name, "caption": "a\nb"}))
    assert check_source(ListSource(file))[0].captions == ("a\nb",)


@pytest.mark.parametrize("name, few, many", [("l.jsonl", 5_000, 50_000), ("l.csv", 1_000, 10_000)])
def test_memory_stays_flat_however_long_a_list_is(tmp_path, name, few, many):
    def peak(rows: int) -> int:
        with (tmp_path / name).open("w") as file:
            file.write("image,caption\n" if name == "l.csv" else "")
            for row in range(rows):
                values = {"image": f"{row // 2}.jpg", "caption": f"caption {row} " * 4}
                file.write((",".join(values.values()) if name == "l.csv" else json.dumps(values)) + "\n")
        tracemalloc.start()
        assert sum(1 for _ in ListSource(tmp_path / name).samples()) == rows // 2
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(100)
    # threads of other tests may allocate meanwhile, hence the least of several
    assert min(peak(many) for _ in range(3)) < peak(few) + 50_000
