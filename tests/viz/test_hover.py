import base64
import io
import json
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.viz import hover
from dinoclip_viz.viz.colours import colour_table
from dinoclip_viz.viz.hover import hover_code, hover_module, hover_page, hover_payload, hover_widget, quantise

CLOSE = 0.01
MISSING = r'pip install "dinoclip-viz\[notebooks\]"'


def noise(rows=4, columns=6, dimension=8, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns, dimension))


def cosines(patches):
    """(N, N), by the definition, in double precision."""
    unit = patches / np.abs(patches).max(axis=1, keepdims=True)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    return unit @ unit.T


def sent(patches):
    """(N, N), as the browser computes them: whole-number dot products times both scales."""
    levels, scales = quantise(patches)
    return (levels.astype(np.int64) @ levels.T.astype(np.int64)) * scales[:, None] * scales


def worst(patches):
    return np.abs(sent(patches) - cosines(patches)).max()


# Quantisation


@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 64, 128, 384, 1000, 1536])
def test_random_patches_keep_their_cosines(dimension):
    assert worst(np.random.default_rng(dimension).normal(size=(400, dimension))) < CLOSE
    assert worst(np.random.default_rng(dimension).random((400, dimension))) < CLOSE


@pytest.mark.parametrize("dimension", [8, 128, 384, 1024])
@pytest.mark.parametrize("huge", [10.0, 127.0, 260.0, 1e4, 1e200])
def test_one_huge_channel_does_not_drown_the_others(dimension, huge):
    patches = np.random.default_rng(1).normal(size=(300, dimension))
    patches[:150, 0] = huge
    patches[150:, dimension // 2] *= huge
    assert worst(patches) < CLOSE


@pytest.mark.parametrize("dimension", [384, 1024])
def test_channels_just_below_half_a_level_are_kept(dimension):
    """Plain int8 rounds all but the first channel to 0 here, and is wrong by more than is allowed."""
    signs = np.random.default_rng(2).choice([-1.0, 1.0], (40, dimension))
    patches = np.concatenate([signs, -signs]) * (0.49 / 127)
    patches[:, 0] = 1
    plain = np.rint(patches * 127)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    assert np.abs(plain @ plain.T - cosines(patches)).max() > CLOSE
    assert worst(patches) < CLOSE


def test_a_few_huge_channels_sparse_and_constant_patches_keep_their_cosines():
    generator = np.random.default_rng(3)
    patches = generator.normal(size=(300, 384))
    patches[:, :5] *= generator.choice([1, 50, 500], (300, 5))
    patches[100:200] *= generator.random((100, 384)) < 0.02
    patches[100:200, 0] += 1e-3
    patches[200:] = generator.normal(size=(100, 1)) + 1e-3 * patches[200:]
    assert worst(patches) < CLOSE


def test_patches_of_the_playground_keep_their_cosines(playground):
    _, features = playground
    every = np.concatenate([patches.reshape(-1, patches.shape[-1]) for patches in features])
    assert worst(every.astype(np.float64)) < CLOSE


def test_a_patch_is_exactly_as_it_is_and_one_of_zeros_is_like_none():
    patches = noise().reshape(-1, 8)
    patches[3] = 0
    levels, scales = quantise(patches)
    assert levels.dtype == np.int8 and scales.dtype == np.float32 and np.abs(levels.astype(int)).max() == 127
    found = (levels.astype(float) @ levels.T) * scales[:, None] * scales
    assert (found[3] == 0).all()
    assert np.allclose(np.delete(np.diag(found), 3), 1, atol=1e-6)


def test_the_length_of_a_patch_does_not_matter():
    patches = noise().reshape(-1, 8)
    assert np.abs(sent(patches * 1e-30) - sent(patches)).max() < 1e-2
    assert np.abs(sent(np.float32(patches) * np.float32(1e30)) - sent(patches)).max() < 1e-2


# What is sent


@pytest.fixture(scope="module")
def playground():
    import dinoclip_viz as dv

    scenes = [dv.playground.draw(seed, 1, 96)[0].image for seed in (1002, 1003)]
    features = dv.load_encoder("playground-dino").encode_each(scenes)
    return scenes, [each.patches[0].numpy() for each in features]


def test_bytes_come_back_as_they_were_in_order():
    grids = [noise(4, 6, 70), noise(2, 3, 70, seed=1)]
    payload = hover_payload([np.zeros((8, 12)), np.zeros((10, 15))], grids)
    levels, scales = quantise(np.concatenate([grid.reshape(-1, 70) for grid in grids]))
    received = json.loads(payload.to_json())
    assert base64.b64decode(received["features"]) == levels.tobytes()
    assert np.array_equal(np.frombuffer(base64.b64decode(received["scales"]), "<f4"), scales)
    assert base64.b64decode(received["colours"]) == colour_table("magma").tobytes()
    assert [(each["rows"], each["columns"]) for each in received["images"]] == [(4, 6), (2, 3)]
    assert received["dimension"] == 70


def test_the_sizes_that_are_told_are_those_that_are_sent():
    payload = hover_payload([np.zeros((8, 12))], [noise(4, 6, 100)])
    source = payload.meta["images"][0]["src"]
    assert payload.nbytes == {"features": 24 * 100, "scales": 24 * 4, "images": len(source)}
    assert (len(payload.features), len(payload.scales)) == (2400, 96)
    assert payload.meta["size"].startswith("24 patches of 100 numbers, sent once: 0.00 MB of int8")


def test_two_images_of_37_by_37_patches_of_384_are_about_a_megabyte():
    grids = [noise(37, 37, 384), noise(37, 37, 384, seed=1)]
    payload = hover_payload([np.zeros((518, 518))] * 2, grids)
    assert payload.nbytes["features"] == 2 * 37 * 37 * 384
    assert "1.06 MB of int8 features" in payload.meta["size"]


def test_images_are_bounded_and_travel_inside(playground):
    loud = np.random.default_rng(0).integers(0, 256, (500, 2000, 3), dtype=np.uint8)
    payload = hover_payload([loud, playground[0][0]], [noise(), noise()])
    first, second = (each["src"] for each in payload.meta["images"])
    kind, data = first.split(",", 1)
    assert kind == "data:image/jpeg;base64"
    opened = Image.open(io.BytesIO(base64.b64decode(data)))
    assert opened.size == (768, 192)
    size = [payload.meta["images"][0][name] for name in ("width", "height")]
    assert size == [768, 192]
    assert second.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))


def test_boxes_become_shares_and_default_to_the_whole_image():
    payload = hover_payload(
        [np.zeros((100, 200))] * 2, [noise()] * 2, boxes=[(50, 0, 150, 100), None], names=["a", "b"]
    )
    first, second = payload.meta["images"]
    assert first["box"] == [0.25, 0, 0.75, 1] and second["box"] == [0, 0, 1, 1]
    assert (first["name"], second["name"]) == ("a", "b")


def test_half_precision_and_whole_numbers_are_taken():
    for dtype in (np.float16, np.float64, np.int16):
        payload = hover_payload([np.zeros((8, 8))], [np.full((2, 2, 64), 3, dtype)])
        assert len(payload.features) == 4 * 64


# What is refused, in one line


@pytest.mark.parametrize(
    ("count", "given", "words"),
    [
        (0, {"patches": []}, "found 0 images; expected 1 to 6"),
        (7, {"patches": [noise()] * 7}, "7 images; expected 1 to 6"),
        (2, {"patches": [noise()]}, "2 images and 1 arrays of patches"),
        (1, {"patches": [noise()], "names": ["a", "b"]}, "1 images and 2 names"),
        (1, {"patches": [noise()], "boxes": []}, "1 images and 0 boxes"),
        (1, {"patches": [noise()[None]]}, r"shape \(1, 4, 6, 8\); expected \(H, W, D\)"),
        (1, {"patches": [np.zeros((0, 3, 4))]}, "shape"),
        (2, {"patches": [noise(), noise(dimension=9)]}, "8 and 9 dimensions.*a single encoder"),
        (1, {"patches": [np.where(noise() > 2, np.nan, noise())]}, "image 1 are NaN"),
        (1, {"patches": [np.full((2, 2, 3), np.inf)]}, "4 patches of image 1 are NaN or infinite"),
        (1, {"patches": [noise()], "boxes": [(0, 0, 9, 8)]}, "expected .* inside the image of 8 x 8"),
        (1, {"patches": [noise()], "boxes": [(4, 0, 4, 8)]}, "inside the image of 8 x 8"),
        (1, {"patches": [noise()], "low": 1.0}, "low below high"),
        (1, {"patches": [noise()], "colours": "jet"}, "jet"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(count, given, words):
    with pytest.raises(ValueError, match=words) as caught:
        hover_payload([np.zeros((8, 8))] * count, **given)
    assert "\n" not in str(caught.value)


# The script and its places


def test_the_script_lies_in_the_package_and_fetches_nothing():
    folder = files("dinoclip_viz.viz.hover")
    assert hover_module() == folder.joinpath("hover.js").read_text(encoding="utf-8")
    for text in (hover_module(), folder.joinpath("hover.css").read_text(encoding="utf-8")):
        assert not any(word in text for word in ("http", "import ", "fetch(", "eval(", "url(", "</script", "innerHTML"))


def test_the_code_without_a_module_exports_nothing():
    assert hover_module().count("export default") == 1
    assert "export" not in hover_code().replace("what the module exports", "")


def test_a_page_cannot_be_broken_out_of_by_a_name():
    page = hover_page(hover_payload([np.zeros((8, 8))], [noise()], names=["</script><b>"]), title="<i>")
    assert "</script><b>" not in page and "<title>&lt;i&gt;</title>" in page
    start = page.index('id="payload">') + len('id="payload">')
    received = json.loads(page[start : page.index("</script>", start)])
    assert received["images"][0]["name"] == "</script><b>"


def test_without_anywidget_one_line_names_the_extra(monkeypatch):
    import dinoclip_viz as dv
    from dinoclip_viz.viz.hover import widget

    widget._widget_class.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    for call in (
        lambda: hover_widget([np.zeros((8, 8))], [noise()]),
        lambda: dv.hover("no-such-encoder", "no-file.png"),
    ):
        with pytest.raises(ModuleNotFoundError, match=MISSING) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_importing_loads_neither_anywidget_nor_matplotlib():
    names = ["anywidget", "matplotlib", "torch"]
    code = f"import sys, dinoclip_viz.viz.hover; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_widget_carries_its_features_as_bytes(playground):
    pytest.importorskip("anywidget")
    import dinoclip_viz as dv
    from dinoclip_viz.viz.hover import widget

    widget._widget_class.cache_clear()
    scenes, features = playground
    made = hover_widget(scenes, features)
    payload = hover_payload(scenes, features)
    state = made.get_state()
    assert state["features"] == payload.features and state["scales"] == payload.scales
    assert "features" not in state["meta"] and json.dumps(state["meta"])
    assert state["_esm"] == hover_module() and made.pins == []
    both = dv.hover("playground-dino", [np.asarray(scene) for scene in scenes])
    assert both.get_state()["features"] == payload.features
    assert len(dv.hover("playground-dino", scenes[0], size=48).meta["images"]) == 1
    with pytest.raises(ValueError, match="7 images"):
        dv.hover("playground-dino", [scenes[0]] * 7)


def test_public_names_are_there():
    assert all(hasattr(hover, name) for name in hover.__all__)
