"""Reports: every section, images that fail, invalid options, and texts that stay texts."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz import playground
from dinoclip_viz.report.making import report
from dinoclip_viz.viz.scatter import library_code
from tests.report.hostile import BROKEN, CAPTION, HOSTILE, LABELS, PROMPTS, SCRIPT

SECTIONS = ("images", "zero-shot", "pca", "heat", "neighbours", "pairs", "map", "settings")
VOID = {"meta", "link", "img", "input", "br", "hr"}
READABLE = 10


class Outline(HTMLParser):
    """Elements with their attributes and texts, in order; what is not closed in order is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def outline(markup):
    parser = Outline()
    parser.feed(markup)
    parser.close()
    assert parser.open == []
    return parser


def cards(page: str, section: str) -> list[str]:
    """The markup of each card of a section."""
    inside = page[page.index(f'<section id="{section}"') :]
    inside = inside[: inside.index("</section>")]
    return re.split(r'<li class="(?:card|row)"', inside)[1:]


def test_a_report_has_every_section_and_every_image(made, markup, outline):
    assert made.sections == SECTIONS
    assert (made.images, made.total, made.bytes) == (READABLE, READABLE + len(BROKEN), len(markup.encode()))
    assert [each["id"] for each in outline.named("section")] == list(SECTIONS)
    for section in ("images", "zero-shot", "pca", "heat", "neighbours"):
        assert len(cards(markup, section)) == READABLE, section
    assert len(cards(markup, "pairs")) == 1
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_images_that_cannot_be_read_are_listed_without_the_path_of_their_folder(made, hostile, markup, outline):
    assert [name for name, _ in made.failed] == list(BROKEN)
    assert all("found" in reason and "expected" in reason for _, reason in made.failed)
    assert str(hostile) not in markup and str(hostile.parent) not in markup
    text = " ".join(" ".join(outline.texts).split())
    assert "10 images of the folder my <i>images; 3 could not be read." in text
    assert "Without a figure, as an image could not be read: 3.png and cut.png." in text


def test_names_captions_labels_and_prompts_stay_texts(markup, outline):
    texts = " ".join(" ".join(outline.texts).split())
    for text in (HOSTILE, SCRIPT, CAPTION, *LABELS, *PROMPTS, "<s>T</s>", "my <i>images"):
        assert text in texts, text
    assert {tag for tag, _ in outline.elements} & {"i", "b", "u", "s", "svg", "iframe", "object", "embed"} == set()
    handlers = [name for _, attributes in outline.elements for name in attributes if name.startswith("on")]
    assert handlers == []


def test_nothing_is_loaded_and_only_the_scripts_of_the_page_may_run(markup, outline):
    sources = [
        value
        for _, attributes in outline.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href")
    ]
    assert sources and all(value.startswith(("data:", "#")) for value in sources)
    assert re.findall(r"url\((?!data:image/webp;base64,)", markup) == []
    assert "@import" not in markup
    policy = next(each["content"] for each in outline.named("meta") if each.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ") and "unsafe-eval" not in policy
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", markup, re.DOTALL)
    allowed = policy.split("script-src ")[1].split("; ")[0].split()
    assert set(allowed) == {hash_of(scripts[-1]), hash_of(library_code())}
    kinds = [each.get("type", "") for each in outline.named("script")]
    assert kinds == ["application/json", "application/gzip", ""]
    packed = re.search(r'id="map-library">(.*?)</script>', markup, re.DOTALL)[1]
    assert gzip.decompress(base64.b64decode(packed)).decode() == library_code()


def hash_of(script: str) -> str:
    """The source expression that allows a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def test_every_image_has_a_text_and_every_link_of_the_page_leads_somewhere(outline):
    assert all(each.get("alt") for each in outline.named("img"))
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {each["href"][1:] for each in outline.named("a")} <= set(ids)
    assert outline.named("html")[0]["lang"] == "en"


def data(card: str) -> list[Image.Image]:
    """The images of a card, decoded."""
    found = re.findall(r'<img[^>]* src="data:image/(?:webp|png);base64,([^"]+)"', card)
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in found]


def test_figures_are_those_of_the_library(hostile, markup):
    names = sorted(path.name for path in hostile.iterdir() if path.name not in BROKEN and path.suffix == ".png")
    images = [dv.load_image(hostile / name) for name in names]
    model = dv.load_model("playground")
    pca = dv.PatchPCA().fit(model.images.encode_each(images))
    colours = pca.transform(model.images.encode_each(images))
    chances = dv.classify(model, images, list(LABELS))
    maps = [dv.heatmap(model, image, list(PROMPTS)) for image in images]
    for number, name in enumerate(names):
        squares, sharp = data(cards(markup, "pca")[number])
        assert np.abs(np.asarray(squares) / 255 - colours[number][0].numpy()).max() < 0.003, name
        assert max(sharp.size) == 96 and squares.size == tuple(colours[number].shape[2:0:-1])
        coarse = np.asarray(sharp.resize(squares.size, Image.Resampling.BOX)) / 255
        assert np.abs(coarse - colours[number][0].numpy()).mean() < 0.08
        shown = re.findall(r'class="number">([\d.]+) %', cards(markup, "zero-shot")[number])
        assert [float(each) for each in shown] == pytest.approx(
            (100 * chances[number].sort(descending=True).values).tolist(), abs=0.06
        )
        highest = re.findall(r"up to (−?[\d.]+)", cards(markup, "heat")[number])
        assert [float(each.replace("−", "-")) for each in highest] == pytest.approx(
            maps[number].amax((1, 2)).tolist(), abs=0.06
        )


def test_neighbours_are_those_of_a_plain_loop(hostile, markup):
    names = sorted(path.name for path in hostile.iterdir() if path.name not in BROKEN and path.suffix == ".png")
    vectors = F.normalize(dv.load_encoder("playground-dino").encode([hostile / name for name in names]).pooled, dim=1)
    for number in range(len(names)):
        scores = {other: float(vectors[number] @ vectors[other]) for other in range(len(names)) if other != number}
        best = sorted(scores, key=lambda other: -scores[other])[:5]
        card = cards(markup, "neighbours")[number]
        assert [int(each) for each in re.findall(r'href="#near-(\d+)"', card)] == best
        shown = [float(each.replace("−", "-")) for each in re.findall(r'class="number">(−?[\d.]+)', card)]
        assert shown == pytest.approx([scores[other] for other in best], abs=0.006)


def test_the_settings_hold_models_versions_and_the_command(markup, outline):
    settings = markup[markup.index('<section id="settings"') :]
    for text in (
        "playground-dino",
        "part of the package",
        "cpu, float32",
        torch.__version__.split("+")[0],
        Image.__version__,
    ):
        assert text in settings
    command = re.search(r"<code>(.*?)</code>", settings, re.DOTALL)[1]
    assert command.startswith("dinoclip report ") and "--prompt" in command and "--out report.html" in command
    assert re.search(r"Made on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", markup)


def folder_of(path, count, size=96):
    path.mkdir()
    for number, scene in enumerate(playground.draw(2700, count, size)):
        scene.image.save(path / f"{number:02d}.png")
    return path


def test_without_labels_and_prompts_their_sections_are_missing(tmp_path):
    made = report(folder_of(tmp_path / "few", 3), tmp_path / "r.html")
    assert made.sections == ("images", "pca", "neighbours", "pairs", "map", "settings")


def test_one_image_has_no_neighbours_and_no_map(tmp_path):
    made = report(folder_of(tmp_path / "one", 1), tmp_path / "r.html", prompts=["a cat"])
    assert made.sections == ("images", "pca", "heat", "settings")


def test_images_of_extreme_shapes_are_shown(tmp_path):
    folder = tmp_path / "shapes"
    folder.mkdir()
    for width, height in ((1, 1), (1200, 2), (2, 1200), (640, 480)):
        Image.new("RGB", (width, height), (90, 120, 30)).save(folder / f"{width}x{height}.png")
    made = report(folder, tmp_path / "r.html", labels=["cat", "dog"], prompts=["a cat"])
    assert (made.images, made.failed) == (4, ())


def test_of_a_large_folder_images_are_spread_and_those_of_pairs_kept(tmp_path):
    folder = folder_of(tmp_path / "many", 12, 64)
    made = report(folder, tmp_path / "r.html", pairs=[("05.png", "07.png")], max_images=4)
    assert (made.images, made.total) == (4, 12)
    page = made.out.read_text(encoding="utf-8")
    names = re.findall(r'<strong class="name">(.*?)</strong>', page)
    assert {"05.png", "07.png"} <= set(names) and names == sorted(names)
    assert "4 images of the folder many, evenly spread over its 12. Model playground" in page


def test_the_notice_on_photographs_is_missing_for_scenes(tmp_path, markup):
    assert "trained on synthetic scenes only" in markup
    folder = folder_of(tmp_path / "scenes", 2, 64)
    (tmp_path / "scenes.json").write_text("{}")
    made = report(folder, tmp_path / "r.html")
    assert "trained on synthetic scenes only" not in made.out.read_text(encoding="utf-8")


def test_the_guide_gives_the_patches_and_an_adapted_order_of_labels_changes_nothing(tmp_path):
    folder = folder_of(tmp_path / "few", 3)
    model = dv.load_model("playground-clip", guide="playground-dino")
    found = report(folder, tmp_path / "r.html", model, labels=["cat", "dog"], prompts=["a cat"], method="sclip")
    page = found.out.read_text(encoding="utf-8")
    images = [folder / f"{number:02d}.png" for number in range(3)]
    pca = dv.PatchPCA(encoder="playground-dino").fit(images)
    squares = np.asarray(data(cards(page, "pca")[0])[0]) / 255
    assert np.abs(squares - pca.transform(images)[0][0].numpy()).max() < 0.003
    chances = dv.classify(model, images, ["cat", "dog"])[0].max()
    assert f"{100 * chances:.1f} %" in cards(page, "zero-shot")[0]
    assert "method sclip" in page and "playground-clip" in page


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": ["cat"]}, "expected two names or more"),
        ({"labels": ["cat", "cat"]}, "repeated labels"),
        ({"prompts": "a cat"}, "expected a list of texts"),
        ({"prompts": [" "]}, "prompt 1 of 1 is empty"),
        ({"max_images": 0}, "max_images is 0"),
        ({"pairs": [("0.png", "gone.png")]}, "found no image gone.png in the folder"),
        ({"pairs": [("0.png", "0.png")]}, "expected two images"),
        ({"prompts": ["a cat"], "method": "none"}, "does not serve"),
        ({"levels": (5, 1)}, "levels"),
        ({"projection": "tsne"}, "expected one of auto, pca, umap"),
        ({"out": "report.pdf"}, "expected a name in .html or .htm"),
    ],
)
def test_invalid_options_are_refused_in_one_line_and_leave_no_file(hostile, tmp_path, options, words):
    out = tmp_path / options.get("out", "report.html")
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        report(hostile, out, **{name: value for name, value in options.items() if name != "out"})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_readable_images_is_refused_in_one_line(tmp_path):
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    empty.mkdir()
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no image")
    for folder, words in (
        (empty, "no images in this folder"),
        (tmp_path / "gone", "no such folder"),
        (broken / "a.png", "a file"),
        (broken, "none of the 1 images could be read; the first is a.png: found"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            report(folder, tmp_path / "r.html")
    assert not list(tmp_path.glob("*.html")) and not list(tmp_path.glob(".*"))


def test_an_interrupted_report_leaves_the_earlier_one(tmp_path):
    folder = folder_of(tmp_path / "few", 2, 64)
    out = tmp_path / "r.html"
    out.write_text("earlier")

    def stop(step, done, total):
        if step == "draw":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        report(folder, out, watch=stop)
    assert out.read_text() == "earlier" and not list(tmp_path.glob(".*"))
    report(folder, out)
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_public_name_is_the_function_and_the_package(tmp_path):
    made = dv.report(folder_of(tmp_path / "few", 2, 64), tmp_path / "r.html")
    assert made.images == 2 and sys.modules["dinoclip_viz.report"] is dv.report
