"""JPEGs at a reduced scale: never less than twice the target, the whole image's size, and almost the same features."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.images.scaled import load_scaled
from dinoclip_viz.pipeline import encode_sources


def jpeg(size, orientation=1, kind="JPEG"):
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 16 + 1, size[0] // 16 + 1, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, quality=90, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize(
    ("target", "scale"), [(400, 1), (151, 1), (150, 2), (76, 2), (75, 4), (38, 4), (37, 8), (3, 8)]
)
def test_the_scale_is_the_smallest_at_least_twice_the_target(target, scale):
    image, size = load_scaled(jpeg((600, 600)), lambda full: (target, target))
    assert size == (600, 600)
    assert image.size == (600 // scale, 600 // scale)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_image_has_its_upright_size_and_target(orientation):
    asked = []

    def resized(full):
        asked.append(full)
        return full[0] // 4, full[1] // 4

    data = jpeg((640, 320), orientation)
    image, size = load_scaled(data, resized)
    whole = dv.load_image(data)
    assert asked == [whole.size]
    assert size == whole.size
    assert image.size == (whole.width // 2, whole.height // 2)
    small = np.asarray(whole.resize(image.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(small - np.asarray(image).astype(int)).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_formats_are_decoded_exactly(kind):
    data = jpeg((320, 240), kind=kind)
    image, size = load_scaled(data, lambda full: (8, 6))
    assert image.size == size == (320, 240)
    assert image.tobytes() == dv.load_image(data).tobytes()


def test_a_broken_file_is_one_line():
    with pytest.raises(dv.ImageError, match="a broken JPEG"):
        load_scaled(jpeg((600, 600))[:4000], lambda full: (60, 60))


def test_the_fraction_that_the_grid_covers_stays(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg((900, 600)))
    paths = [tmp_path / "a.jpg"]
    exact, scaled = (next(encode_sources("playground-dino", paths, decode=how)) for how in ("exact", "scaled"))
    assert torch.equal(exact.boxes, scaled.boxes)
    assert torch.equal(exact.sizes, scaled.sizes)


def test_features_are_almost_the_same(tmp_path):
    paths = []
    for index, scene in enumerate(dv.playground.stream(2700, 12, 384)):
        paths.append(tmp_path / f"{index}.jpg")
        scene.image.save(paths[-1], quality=90)
    exact, scaled = (
        torch.cat([part.pooled for part in encode_sources("playground-dino", paths, decode=how)])
        for how in ("exact", "scaled")
    )
    assert F.cosine_similarity(exact, scaled).min() >= 0.995
    assert not torch.equal(exact, scaled)


def test_it_is_a_setting_of_the_store(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(jpeg((900, 600)))
    dv.embed(tmp_path / "images", "playground-dino", tmp_path / "store", decode="scaled")
    store = dv.FeatureStore.open(tmp_path / "store")
    assert store.settings.decode == "scaled"
    assert store.metadata["width"].to_pylist() == [900]
    with pytest.raises(dv.StoreError, match="decode 'scaled' and 'exact'"):
        dv.embed(tmp_path / "images", "playground-dino", tmp_path / "store")
    with pytest.raises(ValueError, match="decode='fast'; expected 'exact' or 'scaled'"):
        dv.embed(tmp_path / "images", "playground-dino", tmp_path / "other", decode="fast")
