"""Flickr8k and Flickr30k as they were published."""

import pytest

from dinoclip_viz.data import FlickrSource, SourceError
from dinoclip_viz.images import ImageError

TOKENS = (
    "a.jpg#0\tone .\r\na.jpg#1\ttwo .\r\n2258277193_586949ec62.jpg.1#0\tsome people\r\n"
    "2258277193_586949ec62.jpg.1#1\tmore people\r\nb.jpg#0\tthree\r\n"
)


@pytest.mark.parametrize("place", ["Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images", "images", "text", "."])
@pytest.mark.parametrize("name", ["Flickr8k.token.txt", "Flickr8k.lemma.token.txt", "results_20130124.token"])
def test_captions_are_joined_and_images_found(tmp_path, image, check_source, place, name):
    image(tmp_path / place / "a.jpg"), image(tmp_path / place / "b.jpg")
    (tmp_path / "text").mkdir(exist_ok=True)
    (tmp_path / "text" / name).write_text(TOKENS)
    first, odd, last = check_source(FlickrSource(tmp_path / "text" / name), loads=False)
    assert (first.key, first.captions) == ("a", ("one .", "two .")) and first.load() and last.load()
    assert (odd.key, odd.captions) == ("2258277193_586949ec62", ("some people", "more people"))
    with pytest.raises(ImageError, match="no such file"):
        odd.load()


def test_split_files_choose_images(tmp_path, image, check_source):
    image(tmp_path / "a.jpg"), image(tmp_path / "b.jpg")
    file = tmp_path / "Flickr8k.token.txt"
    file.write_text(TOKENS)
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("b.jpg\nnew.jpg\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("a.jpg\n")
    keys = [sample.key for sample in check_source(FlickrSource(file, split="train"), loads=False)]
    assert keys == ["b", "new"]
    assert [sample.key for sample in check_source(FlickrSource(file, split="val"))] == ["a"]
    assert [sample.key for sample in FlickrSource(file, split="dev+train").samples()] == ["a", "b", "new"]
    with pytest.raises(SourceError, match=r"Flickr_8k\.testImages\.txt: no such file"):
        list(FlickrSource(file, split="test").samples())
    with pytest.raises(SourceError, match="its splits: train, dev, test"):
        list(FlickrSource(file, split="all").samples())


def test_images_only_in_a_split_come_in_its_order(tmp_path):
    (tmp_path / "x.token").write_text("a.jpg#0\tone\n")
    names = [f"new{number}" for number in range(40)]
    (tmp_path / "Flickr_8k.testImages.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    assert [sample.key for sample in FlickrSource(tmp_path / "x.token", split="test").samples()] == names


def test_lines_of_another_kind_are_unreadable_samples(tmp_path, image, check_source):
    image(tmp_path / "a.jpg")
    file = tmp_path / "results_20130124.token"
    file.write_bytes(b"a.jpg#0\tone\njunk\nb.jpg#0\tcaf\xe9\na.jpg#1\ttwo\n")
    first, junk, coffee, last = check_source(FlickrSource(file), loads=False)
    assert first.load() and last.captions == ("two",)
    for sample, words in ((junk, r"line 2: expected 'name\.jpg#0"), (coffee, "line 3: not UTF-8")):
        with pytest.raises(ImageError, match=words):
            sample.load()


@pytest.mark.parametrize("text", ["", "a.jpg\tone\n"])
def test_a_file_of_another_layout_is_refused(tmp_path, text):
    (tmp_path / "x.token").write_text(text)
    with pytest.raises(SourceError, match="no caption in the first 20 lines"):
        list(FlickrSource(tmp_path / "x.token").samples())
