"""`dinoclip pca`."""

from PIL import Image


def test_pca_writes_a_picture_and_tells_variance_and_foreground(dinoclip, scenes, tmp_path):
    out = tmp_path / "new" / "folder" / "pca.png"
    done = dinoclip("pca", *scenes, "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    assert len(done.json["explained_variance"]) == 3
    assert len(done.json["foreground"]) == 4
    assert all(0 <= share <= 1 for share in done.json["foreground"])
    assert Image.open(out).width > 384


def test_pca_overwrites_its_picture(dinoclip, scenes, tmp_path):
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


def test_pca_lists_pictures_that_failed_and_does_the_rest(dinoclip, scenes, tmp_path):
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
