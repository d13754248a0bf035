"""`dinoclip pca`."""

import json

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.playground import draw


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """An animated GIF: six scenes of one kind, 96 px, five a second."""
    first, *rest = [scene.image for scene in draw(2001, 6, 96, objects=1)]
    path = tmp_path_factory.mktemp("walk") / "walk.gif"
    first.save(path, save_all=True, append_images=rest, duration=200)
    return path


def test_pca_writes_an_image_and_tells_variance_and_foreground(dinoclip, scenes, tmp_path):
    out = tmp_path / "new" / "folder" / "pca.png"
    done = dinoclip("pca", *scenes, "--out", out, "--json")
    assert done.code == 0 and done.err.count("\n") == done.err.count("for photographs:")
    assert len(done.json["explained_variance"]) == 3
    assert len(done.json["foreground"]) == 4
    assert all(0 <= share <= 1 for share in done.json["foreground"])
    assert Image.open(out).width > 384


def test_pca_overwrites_its_image(dinoclip, scenes, tmp_path):
    out = tmp_path / "pca.jpg"
    out.write_text("old")
    assert dinoclip("pca", scenes[0], "--out", out, "--subject", "foreground").code == 0
    assert Image.open(out).format == "JPEG"


def test_a_saved_basis_gives_the_same_answer_again(dinoclip, scenes, tmp_path):
    basis = tmp_path / "new" / "basis.safetensors"
    first = dinoclip("pca", *scenes, "--out", tmp_path / "a.png", "--save-basis", basis, "--json")
    assert (first.code, first.err) == (0, "")
    again = dinoclip("pca", *scenes, "--out", tmp_path / "b.png", "--basis", basis, "--json")
    alone = dinoclip("pca", scenes[1], "--out", tmp_path / "c.png", "--basis", basis, "--json")
    assert again.json["foreground"] == first.json["foreground"]
    assert again.json["explained_variance"] == first.json["explained_variance"]
    assert alone.json["foreground"] == first.json["foreground"][1:2]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_pca_lists_images_that_failed_and_does_the_rest(dinoclip, scenes, tmp_path):
    done = dinoclip("pca", tmp_path / "none.png", scenes[0], "--out", tmp_path / "pca.png", "--json")
    assert done.code == 1
    assert done.json["images"] == [str(scenes[0])]
    assert len(done.json["foreground"]) == 1
    assert done.json["failed"][0]["image"] == str(tmp_path / "none.png")


def test_pca_says_what_it_cannot_use(dinoclip, scenes, tmp_path):
    out = ["--out", tmp_path / "pca.png"]
    dinoclip("pca", tmp_path / "none.png", *out).refused("none.png", "no such file")
    dinoclip("pca", scenes[0], *out, "--basis", tmp_path / "none").refused("none", "expected a basis")
    dinoclip("pca", scenes[0], *out, "--basis", tmp_path / "none", "--flip").refused("--flip")
    dinoclip("pca", scenes[0], *out, "--size", 4).refused("4 pixels")
    dinoclip("pca", scenes[0], *out, "--encoder", "dinov2-smal").refused("dinov2-small")
    (tmp_path / "file").write_text("")
    dinoclip("pca", scenes[0], "--out", tmp_path / "file" / "pca.png").refused("file")
    assert not (tmp_path / "pca.png").exists()


def frames_of(path):
    with Image.open(path) as animation:
        found = []
        for index in range(animation.n_frames):
            animation.seek(index)
            found.append(np.asarray(animation.convert("RGB")))
        return found, animation.info["duration"]


def test_an_animated_gif_becomes_an_animation_under_one_basis(dinoclip, walk, tmp_path):
    out, basis = tmp_path / "new" / "maps.gif", tmp_path / "basis.safetensors"
    done = dinoclip("pca", walk, "--out", out, "--save-basis", basis, "--json")
    assert done.code == 0 and done.err.count("\n") == done.err.count("for photographs:")
    assert done.json["images"] == [f"{walk}#{index}" for index in range(6)]
    assert len(done.json["foreground"]) == 6 and done.json["seconds"] == 0.2
    found, duration = frames_of(out)
    assert len(found) == 6 and duration == 200
    assert not list(out.parent.glob(".*"))
    part = dinoclip("pca", walk, "--out", tmp_path / "b.gif", "--basis", basis, "--every", 2, "--frames", 2, "--json")
    assert part.json["images"] == [f"{walk}#0", f"{walk}#2"]
    assert part.json["foreground"] == done.json["foreground"][0:3:2]
    again, _ = frames_of(tmp_path / "b.gif")
    apart = [np.abs(again[1].astype(int) - found[index].astype(int)).mean() for index in (1, 2)]
    assert apart[1] < 8 < 2 * apart[0]  # the same frame, but for its palette


def test_a_folder_is_a_sheet_or_an_animation(dinoclip, scenes, tmp_path):
    sheet = dinoclip("pca", scenes[0].parent, "--out", tmp_path / "a.png", "--json")
    assert sheet.json["images"] == [str(scene) for scene in scenes]
    moving = dinoclip("pca", scenes[0].parent, "--out", tmp_path / "a.gif", "--seconds", 0.3, "--json")
    assert moving.json["foreground"] == pytest.approx(sheet.json["foreground"])
    assert frames_of(tmp_path / "a.gif")[1] == 300


def test_a_video_becomes_a_video(dinoclip, walk, tmp_path):
    av = pytest.importorskip("av")
    first = dinoclip("pca", walk, "--out", tmp_path / "a.mp4", "--segments", 3, "--json")
    assert first.code == 0 and all(sum(each) == pytest.approx(1) for each in first.json["segments"])
    done = dinoclip("pca", tmp_path / "a.mp4", "--out", tmp_path / "b.mp4", "--json")
    assert len(done.json["images"]) == 6 and done.json["seconds"] == pytest.approx(0.2, abs=1e-3)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6
    dinoclip("pca", tmp_path / "a.mp4", "--out", tmp_path / "b.png").refused("is a video", ".gif")


def test_a_basis_is_fitted_on_a_store(dinoclip, scenes, tmp_path):
    store = tmp_path / "store"
    embedded = dinoclip(
        "embed", "playground:2002:5:96", "--encoder", "playground-dino", "--patches", "full", "--out", store
    )
    assert embedded.code == 0
    done = dinoclip(
        "pca", *scenes, "--fit", store, "--out", tmp_path / "a.png", "--save-basis", tmp_path / "b", "--json"
    )
    assert done.code == 0 and done.err.count("\n") == done.err.count("for photographs:")
    again = dinoclip("pca", *scenes, "--basis", tmp_path / "b", "--out", tmp_path / "b.png", "--json")
    assert again.json["foreground"] == done.json["foreground"]
    dinoclip("pca", *scenes, "--fit", scenes[0].parent, "--out", tmp_path / "c.png").refused("no store")
    dinoclip("pca", *scenes, "--fit", store, "--basis", tmp_path / "b", "--out", tmp_path / "c.png").refused("--fit")


@pytest.mark.parametrize("way", ["--segments", "--spectral"])
def test_segments_are_drawn_and_their_shares_told(dinoclip, scenes, tmp_path, way):
    done = dinoclip("pca", *scenes[:2], way, 4, "--size", 96, "--out", tmp_path / "a.png", "--json")
    assert done.code == 0
    assert [sum(each) for each in done.json["segments"]] == pytest.approx([1, 1])
    assert Image.open(tmp_path / "a.png").width > 384


def test_a_legend_of_parts_is_an_image_or_json_with_the_given_names(dinoclip, scenes, tmp_path):
    given = ["--legend", tmp_path / "parts.json", "--parts", 3, "--names", "wheel, body"]
    done = dinoclip("pca", *scenes, "--out", tmp_path / "a.png", *given, "--json")
    written = json.loads((tmp_path / "parts.json").read_text())["parts"]
    assert written == done.json["parts"]
    assert [part["name"] for part in written] == ["wheel", "body", "part 3"]
    assert sum(part["share"] for part in written) == pytest.approx(1)
    assert all(0 <= value <= 255 for part in written for value in part["colour"])
    dinoclip("pca", *scenes, "--out", tmp_path / "a.png", "--legend", tmp_path / "parts.png")
    assert Image.open(tmp_path / "parts.png").width == 480


def test_options_that_do_not_go_together_are_refused(dinoclip, scenes, walk, tmp_path):
    still, moving = ["--out", tmp_path / "a.png"], ["--out", tmp_path / "a.gif"]
    dinoclip("pca", walk, *still, "--every", 2).refused("--every", "animation")
    dinoclip("pca", walk, *moving, "--spectral", 3).refused("--segments")
    dinoclip("pca", walk, *moving, "--seconds", 0).refused("seconds=0")
    dinoclip("pca", *scenes, *still, "--names", "a").refused("--legend")
    dinoclip("pca", *scenes, *still, "--legend", "a.txt").refused("a.txt")
    dinoclip("pca", *scenes, *still, "--segments", 999).refused("count is 999")
    dinoclip("pca", tmp_path, *moving).refused("no images")
    dinoclip("pca", tmp_path / "none.gif", *moving).refused("no such file")
    assert not (tmp_path / "a.gif").exists() and not list(tmp_path.glob(".*"))


def test_sharp_maps_follow_the_image(dinoclip, scenes, tmp_path):
    def drawn(name, *options):
        done = dinoclip("pca", scenes[0], "--out", tmp_path / name, "--json", *options)
        assert done.code == 0, done.err
        return done.json, np.asarray(Image.open(tmp_path / name)).astype(int)

    told, plain = drawn("plain.png")
    sharp_told, sharp = drawn("sharp.png", "--sharp")
    _, bilinear = drawn("bilinear.png", "--sharp", "bilinear")
    assert "sharp" not in told and sharp_told["sharp"] == "guided"
    assert sharp.shape == plain.shape == bilinear.shape
    assert not np.array_equal(sharp, plain) and not np.array_equal(sharp, bilinear)
    assert sharp_told["foreground"] == told["foreground"]
    for options in (("--subject", "foreground"), ("--segments", "3")):
        assert not np.array_equal(drawn("a.png", *options)[1], drawn("b.png", *options, "--sharp")[1])


def test_sharp_animations_and_unknown_methods(dinoclip, walk, scenes, tmp_path):
    done = dinoclip("pca", walk, "--out", tmp_path / "sharp.gif", "--frames", 2, "--sharp", "--json")
    assert done.code == 0 and done.json["sharp"] == "guided"
    assert dinoclip("pca", walk, "--out", tmp_path / "plain.gif", "--frames", 2).code == 0
    assert (tmp_path / "sharp.gif").read_bytes() != (tmp_path / "plain.gif").read_bytes()
    words = ("pca", scenes[0], "--out", tmp_path / "a.png")
    dinoclip(*words, "--sharp", "magic").refused("--sharp", "magic")
