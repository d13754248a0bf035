"""Every format against the same pixels as PNG; deep data against levels by hand; hostile files end in one line."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from dinoclip_viz.images import ALL_FORMATS, ImageError, load_image

RNG = np.random.default_rng(0)
SMOOTH = np.stack([*np.meshgrid(np.linspace(0, 255, 48), np.linspace(0, 255, 32)), np.full((32, 48), 90.0)], -1)
PIXELS = SMOOTH.round().astype(np.uint8)


def file_of(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    if kind == "HEIC":
        import pillow_heif

        pillow_heif.from_pillow(image or Image.fromarray(PIXELS)).save(file, **options)
    else:
        (image or Image.fromarray(PIXELS)).save(file, kind, **options)
    return file.getvalue()


def refusal(data: bytes, **options: object) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(data, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


FILES = {
    "PNG": ({}, 0),
    "GIF": ({}, 40),
    "BMP": ({}, 0),
    "TIFF": ({}, 0),
    "PPM": ({}, 0),
    "WEBP": ({"lossless": True}, 0),
    "JPEG": ({"quality": 100, "subsampling": 0}, 3),
    "AVIF": ({"quality": 100, "subsampling": "4:4:4"}, 3),
    "HEIC": ({"quality": -1, "chroma": 444}, 3),
}


@pytest.mark.parametrize("kind", ALL_FORMATS)
def test_every_format_gives_the_pixels_of_the_png(kind):
    options, near = FILES[kind]
    png = np.asarray(load_image(file_of("PNG")), int)
    found = np.asarray(load_image(file_of(kind, **options)), int)
    assert found.shape == png.shape
    assert np.abs(found - png).max() <= near


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw"])
def test_compressed_tiffs_are_read(compression):
    assert np.array_equal(load_image(file_of("TIFF", compression=compression)), PIXELS)


def test_the_first_page_of_a_tiff_is_read():
    pages = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    assert load_image(file_of("TIFF", pages[0], save_all=True, append_images=pages[1:])).getpixel((0, 0)) == (255, 0, 0)


def test_without_pillow_heif_the_extra_is_named(monkeypatch):
    data = file_of("HEIC")
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
    assert 'pip install "dinoclip-viz[heif]"' in refusal(data)


def test_pillow_does_not_learn_heic_behind_its_users_back():
    load_image(file_of("HEIC"))
    assert "HEIF" not in Image.OPEN


def test_formats_can_be_narrowed():
    assert "expected PNG or AVIF of" in refusal(file_of("TIFF"), formats=("PNG", "AVIF"))


# More than 8 bits


DEEP = (np.arange(32 * 48).reshape(32, 48) * 65535 // (32 * 48 - 1)).astype(np.uint16)


def tiff(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits of any channels, written by hand."""
    colour = 0 if values.ndim == 2 else {2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = values.astype(">u2").reshape(len(values), -1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def by_hand(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.floor(np.clip((values.astype(float) - low) * 255 / (high - low), 0, 255) + 0.5).astype(np.uint8)


@pytest.mark.parametrize("write", [tiff, png16, lambda values: file_of("PPM", Image.fromarray(values))])
def test_sixteen_bits_are_scaled_by_their_whole_range(write):
    assert np.array_equal(np.asarray(load_image(write(DEEP)))[:, :, 0], by_hand(DEEP, 0, 65535))


@pytest.mark.parametrize("make", [tiff, png16, lambda values: values])
def test_twelve_bits_in_sixteen_warn_once_and_are_right_with_levels(make):
    twelve = DEEP // 16
    with pytest.warns(UserWarning, match=r"less than a sixteenth.*levels") as caught:
        load_image(make(twelve))
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_image(make(twelve), levels=(0, 4095))
    assert np.array_equal(np.asarray(found)[:, :, 1], by_hand(twelve, 0, 4095))
    assert np.array_equal(load_image(make(twelve), levels="auto"), found)


def test_colours_of_sixteen_bits_keep_them_with_levels():
    twelve = np.stack([DEEP // 16, DEEP[::-1] // 16, np.full_like(DEEP, 900)], -1)
    with pytest.warns(UserWarning, match="levels"):
        load_image(png16(twelve))
    assert np.array_equal(load_image(png16(twelve), levels=(0, 4095)), by_hand(twelve, 0, 4095))
    clear = np.concatenate([twelve, np.full((32, 48, 1), 65535, np.uint16)], -1)
    assert np.array_equal(load_image(png16(clear), levels=(0, 4095)), by_hand(twelve, 0, 4095))


def test_colours_of_sixteen_bits_in_a_tiff_say_what_is_lost():
    twelve = np.stack([DEEP // 16] * 3, -1)
    data = tiff(twelve, photometric="rgb")
    with pytest.warns(UserWarning, match="levels"):
        load_image(data)
    assert "a PNG of 16 bits, or an array" in refusal(data, levels=(0, 4095))


def test_a_slice_of_hounsfield_units_needs_levels_and_is_right_with_them():
    slice_ = np.linspace(-1024, 1500, 24 * 20).reshape(24, 20)
    expected = by_hand(slice_, -160, 240)
    assert "or give levels" in refusal(slice_)
    for form in (slice_, slice_.astype(np.float32), tiff(slice_.astype(np.float32))):
        assert np.abs(np.asarray(load_image(form, levels=(-160, 240)), int)[:, :, 0] - expected).max() <= 1
    whole = slice_.round()
    for form in (whole.astype(np.int16), whole.astype(np.int64), tiff(whole.astype(np.int16))):
        assert np.array_equal(np.asarray(load_image(form, levels=(-160, 240)))[:, :, 0], by_hand(whole, -160, 240))


def test_a_float_tiff_in_the_unit_range_needs_no_levels():
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(np.asarray(load_image(tiff(values)))[:, :, 2], by_hand(values, 0, 1))


def test_the_values_of_a_pgm_are_those_in_its_file():
    data = b"P5 # twelve bits\n48 32\n4095\n" + (DEEP // 16).astype(">u2").tobytes()
    whole, levelled = load_image(data), load_image(data, levels=(0, 4095))
    assert np.abs(np.asarray(whole, int) - np.asarray(levelled, int)).max() <= 1
    assert np.array_equal(np.asarray(levelled)[:, :, 0], by_hand(DEEP // 16, 0, 4095))


def test_levels_hold_for_eight_bits_too():
    assert np.array_equal(load_image(file_of("PNG"), levels=(50, 100)), by_hand(PIXELS, 50, 100))


@pytest.mark.parametrize("levels", [(3, 3), (5, 1), (0, float("nan")), "all", 7, (1, 2, 3), (None, 1)])
def test_levels_that_cannot_be_are_refused(levels):
    with pytest.raises(ValueError, match=r"levels: found .*; expected None"):
        load_image(file_of("PNG"), levels=levels)


def test_flat_images_bring_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_image(np.zeros((4, 4), np.uint16))
        load_image(np.full((4, 4), 0.5))


# Colour profiles


def profile(primaries: list[tuple[float, float]], gamma: float) -> bytes:
    """An RGB profile of D50 white by its primaries (D50-adapted x, y) and gamma, written by hand."""
    matrix = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([0.9642, 1.0, 0.8249])
    columns = matrix * np.linalg.solve(matrix, white)

    def s15(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(s15(float(value)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"wide"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + b"\0" * 78
    described += b"\0" * (-len(described) % 4)
    parts = [(b"desc", described), (b"wtpt", xyz(white))]
    parts += [(name, xyz(columns[:, i])) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    parts += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    place, table, body = 128 + 4 + 12 * len(parts), b"", b""
    for name, data in parts:
        table += name + struct.pack(">II", place + len(body), len(data))
        body += data
    rest = b"mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    head = struct.pack(">I", place + len(body)) + b"lcms" + b"\x02\x40\0\0" + rest
    head += s15(0.9642) + s15(1.0) + s15(0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body


ADOBE_RGB = profile([(0.6484, 0.3309), (0.2302, 0.7016), (0.1559, 0.0661)], 2.19921875)


def srgb_of_adobe(pixels: np.ndarray) -> np.ndarray:
    """By the published matrices (Adobe RGB (1998) and IEC 61966-2-1, both of D65)."""
    linear = (pixels / 255.0) ** 2.19921875
    to_xyz = [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    to_srgb = [[3.24097, -1.53738, -0.49861], [-0.96924, 1.87597, 0.04156], [0.05563, -0.20398, 1.05697]]
    found = np.clip(linear @ np.array(to_xyz).T @ np.array(to_srgb).T, 0, 1)
    return 255 * np.where(found <= 0.0031308, 12.92 * found, 1.055 * found ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_adobe_rgb_becomes_srgb(kind):
    colours = RNG.integers(60, 200, (12, 12, 3)).astype(np.uint8)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = file_of(kind, Image.fromarray(colours), icc_profile=ADOBE_RGB, **options)
    assert np.abs(np.asarray(load_image(data), float) - srgb_of_adobe(colours)).max() <= 2
    clear = Image.fromarray(np.concatenate([colours, np.full((12, 12, 1), 255, np.uint8)], -1))
    data = file_of(kind, clear, icc_profile=ADOBE_RGB, **options)
    assert np.abs(np.asarray(load_image(data), float) - srgb_of_adobe(colours)).max() <= 2


def test_srgb_and_broken_profiles_change_nothing():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (srgb, b"no profile", ADOBE_RGB[:200]):
        assert np.array_equal(load_image(file_of("PNG", icc_profile=icc)), PIXELS)
    grey = Image.fromarray(PIXELS[:, :, 0])  # a profile of colours on grey values is not one of theirs
    assert np.array_equal(np.asarray(load_image(file_of("PNG", grey, icc_profile=ADOBE_RGB)))[:, :, 0], PIXELS[:, :, 0])


# Hostile files


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIC", "PPM"])
def test_a_file_cut_anywhere_is_refused_in_one_line(kind):
    noise = Image.fromarray(RNG.integers(0, 256, (40, 40, 3), np.uint8))
    data = file_of(kind, noise)
    for stop in np.linspace(1, len(data) * 0.9, 25).astype(int):
        refusal(data[:stop])


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIC", "PPM"])
def test_bytes_changed_at_random_give_an_image_or_one_line(kind):
    data = file_of(kind)
    for seed in range(60):
        generator = np.random.default_rng(seed)
        broken = bytearray(data)
        for place in generator.integers(0, min(len(data), 600), 4):
            broken[place] = generator.integers(0, 256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                load_image(bytes(broken))
            except ImageError as error:
                assert "\n" not in str(error)


def with_bytes(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def peak_of(data: bytes) -> tuple[str, float]:
    tracemalloc.start()
    message = refusal(data)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return message, peak


def test_bombs_are_refused_by_their_headers():
    tiff_ = file_of("TIFF", Image.new("L", (48, 32)))
    declared = {
        "TIFF width": with_bytes(tiff_, struct.pack("<HHII", 256, 4, 1, 48), struct.pack("<HHII", 256, 4, 1, 2**31)),
        "PPM": b"P5 100000 100000 255\n" + b"\0" * 100,
    }
    for kind in ("AVIF", "HEIC"):
        image = Image.new("RGB", (64, 64))
        size = b"ispe\0\0\0\0" + struct.pack(">II", 64, 64)
        declared[kind] = with_bytes(file_of(kind, image), size, b"ispe\0\0\0\0" + struct.pack(">II", 30_000, 30_000))
    for name, data in declared.items():
        message, peak = peak_of(data)
        assert "megapixels" in message and peak < 5, name


def test_an_avif_that_lies_about_its_size_is_refused_by_its_stream():
    wide, high = 9000, 5000
    data = file_of("AVIF", Image.new("RGB", (wide, high)), speed=10, quality=10)
    size = b"ispe\0\0\0\0" + struct.pack(">II", wide, high)
    message = refusal(with_bytes(data, size, b"ispe\0\0\0\0" + struct.pack(">II", 48, 32)))
    assert f"{wide} x {high} = 45.0 megapixels" in message


def test_a_tiff_with_tiles_larger_than_its_page_is_refused():
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((64, 64), np.uint8), tile=(64, 64))
    data = file.getvalue()
    for tag in (322, 323):
        old = next(data[i : i + 12] for i in range(len(data) - 12) if data[i : i + 2] == struct.pack("<H", tag))
        data = with_bytes(data, old, struct.pack("<HHII", tag, 4, 1, 65536))
    assert "megapixels" in refusal(data)
