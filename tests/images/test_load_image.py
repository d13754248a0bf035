"""Whatever a stranger hands over becomes the right RGB image or one clear line; nothing else happens."""

import io
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from dinoclip_viz.images import (
    MAXIMUM_BYTES,
    MAXIMUM_SIDE,
    ImageError,
    addresses,
    default_longer,
    download,
    is_public,
    load_image,
    to_grid,
    whole_size,
)

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def quarters(height: int = 16, width: int = 32) -> np.ndarray:
    """An image that looks different from every side: red, green over blue, white."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, WHITE
    return pixels


IMAGE = quarters()


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    (image or Image.fromarray(IMAGE)).save(file, kind, **options)
    return file.getvalue()


def textured(kind: str, **options: object) -> bytes:
    """A file whose data is long enough to be cut anywhere."""
    return saved(kind, Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)), **options)


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG by hand: colour 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha; each row begins with 0."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data


def zeros(count: int) -> bytes:
    """Many zeros, compressed without ever being held."""
    packer, block = zlib.compressobj(9), bytes(1_000_000)
    return b"".join(packer.compress(block[: min(count - at, len(block))]) for at in range(0, count, len(block))) + (
        packer.flush()
    )


def zip_bomb(width: int, height: int) -> bytes:
    """A small PNG that really decompresses to all of its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zeros(height * (1 + 3 * width))) + chunk(b"IEND", b"")


def many_scans(count: int) -> bytes:
    """A small progressive JPEG that refines the same image again and again."""
    data = saved("JPEG", progressive=True, quality=98, subsampling=0)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def with_orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def without_adobe_mark(data: bytes) -> bytes:
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def frames(*colours: tuple[int, ...], mode: str = "RGB") -> list[Image.Image]:
    return [Image.new(mode, (8, 8), colour) for colour in colours]


def animated(kind: str, **options: object) -> bytes:
    first, *rest = frames(RED, GREEN, BLUE)
    return saved(kind, first, save_all=True, append_images=rest, duration=50, **options)


def webp_header(width: int, height: int) -> bytes:
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (width - 1).to_bytes(3, "little")
    body += (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    data = saved("JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def refusal(source: object, **options: object) -> str:
    """The message a source is refused with, which is one readable line."""
    with warnings.catch_warnings(), pytest.raises(ImageError) as caught:
        warnings.simplefilter("error")
        load_image(source, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.isprintable() and len(message) < 700
    assert "found" in message and "expected" in message
    assert "Traceback" not in message and " at 0x" not in message
    return message


# Files

BROKEN_FILES = {
    "empty.jpg": (b"", "empty file"),
    "one_byte.jpg": (b"\xff", "unknown data"),
    "start_only.jpg": (b"\xff\xd8\xff", "broken JPEG"),
    "start_only.png": (b"\x89PNG\r\n\x1a\n", "broken PNG"),
    "start_only.gif": (b"GIF89a", "broken GIF"),
    "start_only.bmp": (b"BM", "broken BMP"),
    "start_only.webp": (b"RIFF\x04\0\0\0WEBP", "broken WEBP"),
    "cut_in_header.jpg": (textured("JPEG")[:100], "broken JPEG"),
    "cut_in_middle.jpg": (textured("JPEG")[: len(textured("JPEG")) // 2], "broken JPEG"),
    "cut_near_end.jpg": (textured("JPEG")[:-200], "broken JPEG"),
    "cut_progressive.jpg": (textured("JPEG", progressive=True)[:-200], "broken JPEG"),
    "cut_in_header.png": (textured("PNG")[:20], "broken PNG"),
    "cut_in_middle.png": (textured("PNG")[: len(textured("PNG")) // 2], "broken PNG"),
    "cut_at_end.png": (textured("PNG")[:-12], "broken PNG"),
    "cut.webp": (textured("WEBP")[:-50], "broken WEBP"),
    "cut_lossless.webp": (textured("WEBP", lossless=True)[:300], "broken WEBP"),
    "cut.gif": (textured("GIF")[:-300], "broken GIF"),
    "cut.bmp": (textured("BMP")[:-300], "broken BMP"),
    "page.jpg": (b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML text"),
    "page.png": (b"\xef\xbb\xbf<html>403</html>", "HTML text"),
    "data.png": (b'{"error": "not found"}', "JSON text"),
    "note.jpg": (b"no image here\n", "plain text"),
    "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "plain text"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG text"),
    "drawing.png": (b'<?xml version="1.0"?>\n<svg/>', "SVG text"),
    "scan.tif": (saved("TIFF")[:40], "TIFF"),
    "scan.jpg": (saved("TIFF")[:40], "TIFF"),
    "paper.pdf": (b"%PDF-1.7\n", "PDF"),
    "figure.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "figure.jpg": (b"\xc5\xd0\xd3\xc6" + bytes(40), "PostScript"),
    "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(20), "HEIC"),
    "icon.ico": (saved("ICO"), "unknown data"),
    "grey.ppm": (b"P5 1 1 255\n", "a broken PPM"),
    "archive.png": (b"PK\x03\x04" + bytes(30), "zip archive"),
    "packed.png": (b"\x1f\x8b\x08" + bytes(30), "gzip"),
    "noise.bin": (b"\x93\x01\x02\x03" * 50, "unknown data"),
    "claims_400_mp.png": (png(20_000, 20_000, 8, 2, b"\0"), "400.0 megapixels"),
    "claims_all.png": (png(2**31 - 1, 2**31 - 1, 8, 2, b"\0"), "megapixels"),
    "claims_100_mp.gif": (b"GIF89a" + struct.pack("<HH", 10_000, 10_000) + bytes(20), "100.0 megapixels"),
    "claims_100_mp.bmp": (bmp_header(10_000, -10_000), "100.0 megapixels"),
    "claims_100_mp.webp": (webp_header(10_000, 10_000), "100.0 megapixels"),
    "claims_most.webp": (webp_header(2**24, 2**24), "megapixels"),
    "claims_100_mp.jpg": (jpeg_of_size(10_000, 10_000), "100.0 megapixels"),
    "claims_most.jpg": (jpeg_of_size(65_535, 65_535), "megapixels"),
    "frame_beyond.gif": (
        b"GIF89a"
        + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0)
        + bytes(6)
        + b","
        + struct.pack("<HHHHB", 0, 0, 9_000, 9_000, 0)
        + b"\x02\x02\x4c\x01\x00;",
        "megapixels",
    ),
    "zip_bomb.png": (zip_bomb(6_000, 7_000), "42.0 megapixels"),
    "ztxt_bomb.png": (png(1, 1, 8, 0, b"\0\0", chunk(b"zTXt", b"Comment\0\0" + zeros(50_000_000))), "broken PNG"),
    "itxt_bomb.png": (
        png(1, 1, 8, 0, b"\0\0", chunk(b"iTXt", b"Comment\0\1\0\0\0" + zeros(50_000_000))),
        "broken PNG",
    ),
    "profile_bomb.png": (png(1, 1, 8, 0, b"\0\0", chunk(b"iCCP", b"icc\0\0" + zeros(50_000_000))), "broken PNG"),
    "many_scans.jpg": (many_scans(600), "more than 500 scans"),
    "bad_header_sum.png": (png(1, 1, 8, 0, b"\0\0").replace(b"IHDR\0\0\0\1", b"IHDR\0\0\0\2"), "broken PNG"),
    "bad_data_sum.png": (saved("PNG")[:-17] + b"\x55" + saved("PNG")[-16:], "broken PNG"),
    "no_data.png": (png(1, 1, 8, 0, b""), "broken PNG"),
    "no_pixels.png": (png(0, 5, 8, 0, b"\0"), "no pixels"),
    "no_pixels.bmp": (bmp_header(0, 0), "no pixels"),
    "no_pixels.gif": (b"GIF89a" + bytes(40), "no pixels"),
    "too_long.bmp": (saved("BMP") + bytes(MAXIMUM_BYTES), "20.0 MB"),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_file_that_is_no_whole_image_is_refused_by_name(name: str, tmp_path: Path) -> None:
    data, words = BROKEN_FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    for source in (path, str(path)):
        message = refusal(source)
        assert name in message
        assert any(word in message for word in words.split("|"))
    assert f"{len(data)} bytes: found" in refusal(data)


GREY_RAMP = b"\0" + struct.pack(">HHHH", 0, 128, 33_000, 65_535)
"""16 bits scaled by 1 / 257 and rounded: 0, 0 (0.498), 128 (128.4), 255."""
PALETTE = chunk(b"PLTE", bytes(RED + GREEN + BLUE))
DEEP_COLOUR = struct.pack(">3H", 1000, 2000, 3000)
ONE_RED = [[RED] * 8] * 8

GOOD_FILES = {
    "plain.png": (saved("PNG"), IMAGE, 0),
    "plain.bmp": (saved("BMP"), IMAGE, 0),
    "plain.gif": (saved("GIF"), IMAGE, 0),
    "plain.webp": (saved("WEBP", lossless=True), IMAGE, 0),
    "lossy.webp": (saved("WEBP", Image.new("RGB", (8, 8), RED), quality=95), ONE_RED, 3),
    "plain.jpg": (saved("JPEG", quality=98, subsampling=0), IMAGE, 4),
    "progressive.jpg": (saved("JPEG", quality=98, subsampling=0, progressive=True), IMAGE, 4),
    "png_named.jpg": (saved("PNG"), IMAGE, 0),
    "gif_named.txt": (saved("GIF"), IMAGE, 0),
    "no_extension": (saved("BMP"), IMAGE, 0),
    "trailing.png": (saved("PNG") + b"<html>", IMAGE, 0),
    "interlaced_name with spaces é.png": (saved("PNG"), IMAGE, 0),
    "cmyk.jpg": (saved("JPEG", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=98), ONE_RED, 4),
    "cmyk_without_adobe.jpg": (  # stored inverted all the same, as every program writes it
        without_adobe_mark(saved("JPEG", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=98)),
        ONE_RED,
        4,
    ),
    "grey.jpg": (saved("JPEG", Image.new("L", (8, 8), 77)), [[[77] * 3] * 8] * 8, 1),
    "one_bit.png": (png(3, 1, 1, 0, b"\0\xa0"), [[WHITE, BLACK, WHITE]], 0),
    "two_bits.png": (png(4, 1, 2, 0, b"\0\x1b"), [[[v] * 3 for v in (0, 85, 170, 255)]], 0),
    "sixteen_bits.png": (png(4, 1, 16, 0, GREY_RAMP), [[[v] * 3 for v in (0, 0, 128, 255)]], 0),
    "sixteen_bits_clear.png": (
        png(4, 1, 16, 0, GREY_RAMP, chunk(b"tRNS", struct.pack(">H", 128))),
        [[[v] * 3 for v in (0, 255, 128, 255)]],
        0,
    ),
    "sixteen_bits_rgb.png": (png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 65_535, 32_768, 0)), [[[255, 128, 0]]], 1),
    "sixteen_bits_rgb_clear.png": (
        png(2, 1, 16, 2, b"\0" + DEEP_COLOUR + bytes(6), chunk(b"tRNS", DEEP_COLOUR)),
        [[WHITE, BLACK]],
        0,
    ),
    "sixteen_bits_rgba.png": (png(1, 1, 16, 6, b"\0" + struct.pack(">4H", 0, 0, 0, 32_768)), [[[127] * 3]], 1),
    "palette.png": (png(3, 1, 8, 3, b"\0\0\1\2", PALETTE), [[RED, GREEN, BLUE]], 0),
    "palette_one_clear.png": (
        png(3, 1, 8, 3, b"\0\0\1\2", PALETTE, chunk(b"tRNS", b"\xff\0")),
        [[RED, WHITE, BLUE]],
        0,
    ),
    "palette_half_clear.png": (
        png(3, 1, 8, 3, b"\0\0\1\2", PALETTE, chunk(b"tRNS", b"\x80\x00\xff")),
        [[(255, 127, 127), WHITE, BLUE]],
        0,
    ),
    "grey_one_clear.png": (png(2, 1, 8, 0, b"\0\x07\x09", chunk(b"tRNS", b"\0\x07")), [[WHITE, (9, 9, 9)]], 0),
    "four_bits_one_clear.png": (png(2, 1, 4, 0, b"\0\x12", chunk(b"tRNS", b"\0\x01")), [[WHITE, (34,) * 3]], 0),
    "one_bit_clear.png": (png(2, 1, 1, 0, b"\0\x40", chunk(b"tRNS", b"\0\0")), [[WHITE, WHITE]], 0),
    "rgb_one_clear.png": (
        png(2, 1, 8, 2, b"\0" + bytes(RED + BLUE), chunk(b"tRNS", b"\0\xff\0\0\0\0")),
        [[WHITE, BLUE]],
        0,
    ),
    "rgba.png": (
        png(3, 1, 8, 6, b"\0" + bytes([255, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 128])),
        [[RED, WHITE, (127,) * 3]],
        0,
    ),
    "la.png": (png(2, 1, 8, 4, b"\0\x00\xff\x00\x33"), [[BLACK, (204,) * 3]], 0),
    "clear.gif": (saved("GIF", Image.new("P", (2, 2), 3), transparency=3), [[WHITE] * 2] * 2, 0),
    "clear.webp": (saved("WEBP", Image.new("RGBA", (2, 2), (9, 9, 9, 0)), lossless=True), [[WHITE] * 2] * 2, 0),
    "animated.gif": (animated("GIF"), ONE_RED, 0),
    "animated.webp": (animated("WEBP", lossless=True), ONE_RED, 0),
    "animated.png": (animated("PNG"), ONE_RED, 0),
    "animated_apart.png": (animated("PNG", default_image=True), ONE_RED, 0),
    "broken_exif.jpg": (saved("JPEG", quality=98, subsampling=0, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), IMAGE, 4),
    "odd_exif.png": (saved("PNG", exif=b"garbage"), IMAGE, 0),
    "orientation_9.png": (saved("PNG", exif=with_orientation(9)), IMAGE, 0),
    "broken_profile.png": (saved("PNG", icc_profile=b"not a profile"), IMAGE, 0),
    "broken_profile.jpg": (saved("JPEG", quality=98, subsampling=0, icc_profile=b"\xff" * 300), IMAGE, 4),
    "one_pixel.png": (png(1, 1, 8, 2, b"\0\1\2\3"), [[(1, 2, 3)]], 0),
    "tall.png": (png(1, 10_000, 8, 0, b"\0\x11" * 10_000), [[(17,) * 3]] * 10_000, 0),
    "wide.png": (png(10_000, 1, 8, 0, b"\0" + b"\x11" * 10_000), [[(17,) * 3] * 10_000], 0),
    "few_scans.jpg": (many_scans(3), IMAGE, 4),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("name", GOOD_FILES)
def test_an_image_of_any_kind_is_read_as_it_looks(name: str, tmp_path: Path) -> None:
    data, expected, tolerance = GOOD_FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data)):
        image = load_image(source)
        assert type(image) is Image.Image and image.mode == "RGB" and image.info == {}
        found = np.asarray(image)
        assert found.shape == np.shape(expected)
        assert np.abs(found.astype(int) - np.asarray(expected)).max() <= tolerance


STORED = {  # EXIF: where the image's first row and first column belong
    1: IMAGE,  # top, left
    2: IMAGE[:, ::-1],  # top, right
    3: IMAGE[::-1, ::-1],  # bottom, right
    4: IMAGE[::-1],  # bottom, left
    5: IMAGE.swapaxes(0, 1),  # left, top
    6: IMAGE[:, ::-1].swapaxes(0, 1),  # right, top
    7: IMAGE[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: IMAGE[::-1].swapaxes(0, 1),  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_every_orientation_comes_upright_and_only_once(kind: str, orientation: int) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    options = {"PNG": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}[kind]
    once = load_image(saved(kind, stored, exif=with_orientation(orientation), **options))
    assert np.abs(np.asarray(once).astype(int) - IMAGE).max() <= (4 if kind == "JPEG" else 0)
    assert load_image(once).tobytes() == once.tobytes()
    assert load_image(saved("PNG", once)).size == (32, 16)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_a_file_cut_anywhere_is_refused_unless_no_pixel_is_lost(kind: str, options: dict[str, object]) -> None:
    data = textured(kind, **options)
    whole, refused = load_image(data).tobytes(), 0
    cuts = [*range(0, len(data), max(1, len(data) // 150)), *range(len(data) - 20, len(data))]
    for cut in cuts:
        try:
            assert load_image(data[:cut]).tobytes() == whole
        except ImageError:
            refused += 1
    assert refused >= len(cuts) - 21


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.filterwarnings("ignore")
def test_bytes_changed_at_random_give_an_image_or_one_line(kind: str) -> None:
    chance, data = np.random.default_rng(1), saved(kind)
    for _ in range(150):
        broken = bytearray(data)
        for at in chance.integers(0, len(data), chance.integers(1, 5)):
            broken[at] = chance.integers(0, 256)
        try:
            assert load_image(broken).mode == "RGB"
        except ImageError as error:
            assert str(error).isprintable()


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    (tmp_path / "real.png").write_bytes(saved("PNG"))
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(os.path.relpath(tmp_path / "plug.jpg"))
        for name in ("pipe.jpg", "zero.jpg", "plug.jpg"):
            assert "device, pipe or socket" in refusal(tmp_path / name) and name in refusal(tmp_path / name)
    assert "a directory" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "absent.jpg") and "absent.jpg" in refusal(tmp_path / "absent.jpg")
    assert "cannot be read" in refusal(tmp_path / "circle.jpg")
    assert load_image(tmp_path / "link.png").size == (32, 16)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "no such file"),
        ("  ", "no such file"),
        ("line\nbreak\x1b[31m.jpg", "line?break"),
        ("null\0.jpg", "null"),
        ("x" * 5000, "cannot be read"),
        ("data:image/png;base64,iVBORw0KGgo=", "begins with data:"),
        ("ftp://example.org/a.jpg", "begins with ftp://"),
        ("file:///etc/passwd", "begins with file://"),
        ("FILE:/etc/passwd", "begins with FILE:"),
        ("javascript:alert(1)", "begins with javascript:"),
        ("s3://bucket/a.jpg", "begins with s3://"),
        ("http:/one-slash.jpg", "no such file"),
        (None, "NoneType"),
        (7, "int"),
        ([1, 2, 3], "list"),
        (io.StringIO("x"), 'open it with mode "rb"'),
        (b"", "an empty file"),
    ],
)
def test_what_is_no_source_is_refused_in_one_line(source: object, words: str) -> None:
    assert words in refusal(source)


def test_a_file_is_closed_and_may_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved("PNG"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        image = load_image(path)
    path.unlink()
    assert image.getpixel((0, 0)) == RED


def test_pillow_is_left_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters[:]
    load_image(saved("PNG"))
    refusal(b"\x89PNG\r\n\x1a\n")
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters[:])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_eight_threads_read_what_one_reads(tmp_path: Path) -> None:
    sources = [*(data for data, _, _ in GOOD_FILES.values()), *(data for data, _ in BROKEN_FILES.values())]

    def outcome(data: bytes) -> bytes | str:
        try:
            return load_image(data).tobytes()
        except ImageError as error:
            return str(error)

    small = [data for data in sources if len(data) < 100_000]
    alone = [outcome(data) for data in small]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(outcome, small * 4)) == alone * 4


# Arrays

ONE_PIXEL = np.array([[[10, 20, 30]]], np.uint8)

GOOD_ARRAYS = {
    "uint8": (ONE_PIXEL, [[(10, 20, 30)]]),
    "grey": (np.array([[0, 9]], np.uint8), [[BLACK, (9, 9, 9)]]),
    "grey with an axis": (np.array([[[0], [9]]], np.uint8), [[BLACK, (9, 9, 9)]]),
    "bool": (np.array([[True, False]]), [[WHITE, BLACK]]),
    "uint16": (np.array([[0, 128, 129, 65_535]], np.uint16), [[BLACK, BLACK, (1, 1, 1), WHITE]]),
    "uint16 of the other end": (np.array([[33_000]], ">u2"), [[(128,) * 3]]),
    "float32": (np.array([[0, 0.5, 1]], np.float32), [[BLACK, (128,) * 3, WHITE]]),
    "float16": (np.array([[0, 0.5, 1]], np.float16), [[BLACK, (128,) * 3, WHITE]]),
    "float64 RGB": (ONE_PIXEL / 255, [[(10, 20, 30)]]),
    "float a rounding away": (np.array([[-1e-7, 1 + 1e-7]]), [[BLACK, WHITE]]),
    "alpha": (np.array([[[0, 0, 0, 51], [7, 7, 7, 0]]], np.uint8), [[(204,) * 3, WHITE]]),
    "float alpha": (np.array([[[1, 0, 0, 1.0], [1, 0, 0, 0]]]), [[RED, WHITE]]),
    "strided": (np.repeat(ONE_PIXEL, 4, axis=1)[:, ::2, ::-1], [[(30, 20, 10)] * 2]),
    "channels first": (IMAGE.transpose(2, 0, 1), IMAGE),
    "grey channels first": (np.zeros((1, 2, 5), np.uint8), [[BLACK] * 5] * 2),
    "fortran": (np.asfortranarray(IMAGE), IMAGE),
    "as high as channels": (np.zeros((3, 5, 3), np.uint8), [[BLACK] * 5] * 3),
    "thin": (np.zeros((10_000, 1), np.uint8), [[BLACK]] * 10_000),
}

BAD_ARRAYS = {
    "NaN": (np.array([[0, np.nan]]), "NaN or infinite"),
    "infinite": (np.array([[0, np.inf]]), "NaN or infinite"),
    "minus infinite": (np.array([[0, -np.inf]]), "NaN or infinite"),
    "float to 255": (np.array([[0.0, 255.0]]), "divide by 255"),
    "float below 0": (np.array([[-1.0, 1.0]]), "values from -1 to 1"),
    "float a little above": (np.array([[1.001]]), "values from 1.001"),
    "two channels first": (np.zeros((2, 8, 9), np.uint8), "(2, 8, 9)"),
    "two channels": (np.zeros((8, 9, 2), np.uint8), "(8, 9, 2)"),
    "five channels": (np.zeros((8, 9, 5), np.uint8), "(8, 9, 5)"),
    "no height": (np.zeros((0, 9, 3), np.uint8), "no pixels"),
    "no width": (np.zeros((9, 0), np.float32), "no pixels"),
    "no channels": (np.zeros((9, 9, 0), np.uint8), "3 axes"),
    "no axis": (np.array(3, np.uint8), "0 axes"),
    "one axis": (np.zeros(9, np.uint8), "1 axes"),
    "a batch": (np.zeros((2, 9, 9, 3), np.uint8), "list(batch)"),
    "object": (np.array([[None]]), "type object"),
    "complex": (np.zeros((2, 2), complex), "type complex128"),
    "text": (np.array([["a"]]), "type <U1"),
    "dates": (np.zeros((2, 2), "datetime64[s]"), "type datetime64[s]"),
    "int64": (np.zeros((2, 2), np.int64), "array.astype(np.uint8)"),
    "int8": (np.zeros((2, 2), np.int8), "array.astype(np.uint8)"),
    "uint32": (np.zeros((2, 2), np.uint32), "array.astype(np.uint8)"),
    "huge": (np.broadcast_to(np.uint8(0), (10_000, 10_000, 3)), "100.0 megapixels"),
    "huge floats": (np.broadcast_to(np.float64(np.nan), (200_000, 200_000)), "40000.0 megapixels"),
}


@pytest.mark.parametrize("name", GOOD_ARRAYS)
def test_an_array_becomes_the_image_it_holds(name: str) -> None:
    array, expected = GOOD_ARRAYS[name]
    before = array.copy()
    array.flags.writeable = False
    image = load_image(array)
    np.testing.assert_array_equal(np.asarray(image), expected)
    np.testing.assert_array_equal(array, before)
    image.putpixel((0, 0), (1, 2, 3))
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_an_array_that_is_no_image_is_refused_with_a_way_out(name: str) -> None:
    array, words = BAD_ARRAYS[name]
    message = refusal(array)
    assert words in message and f"{array.dtype} array of shape {array.shape}" in message


# PIL images


def lab_of(colour: tuple[int, int, int]) -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(Image.new("RGB", (2, 1), colour), *profiles, outputMode="LAB")


def palette_with_alpha() -> Image.Image:
    image = Image.new("PA", (2, 1))
    image.putpalette(bytes(RED + BLUE))
    image.putpixel((0, 0), (0, 255))
    image.putpixel((1, 0), (1, 0))
    return image


PIL_IMAGES = {
    "RGB": (Image.new("RGB", (2, 1), RED), [[RED] * 2], 0),
    "L": (Image.new("L", (2, 1), 7), [[(7,) * 3] * 2], 0),
    "1": (Image.new("1", (2, 1), 1), [[WHITE] * 2], 0),
    "P": (Image.new("RGB", (2, 1), BLUE).convert("P"), [[BLUE] * 2], 0),
    "PA": (palette_with_alpha(), [[RED, WHITE]], 0),
    "LA": (Image.new("LA", (2, 1), (0, 51)), [[(204,) * 3] * 2], 0),
    "La": (Image.new("LA", (2, 1), (0, 51)).convert("La"), [[(204,) * 3] * 2], 0),
    "RGBA": (Image.new("RGBA", (2, 1), (255, 0, 0, 0)), [[WHITE] * 2], 0),
    "RGBa": (Image.new("RGBA", (2, 1), (0, 0, 0, 51)).convert("RGBa"), [[(204,) * 3] * 2], 0),
    "RGBX": (Image.new("RGBX", (2, 1), (1, 2, 3, 0)), [[(1, 2, 3)] * 2], 0),
    "CMYK": (Image.new("CMYK", (2, 1), (0, 255, 255, 0)), [[RED] * 2], 0),
    "YCbCr": (Image.new("RGB", (2, 1), RED).convert("YCbCr"), [[RED] * 2], 2),
    "HSV": (Image.new("HSV", (2, 1), (0, 255, 255)), [[RED] * 2], 0),
    "LAB": (lab_of((200, 60, 30)), [[(200, 60, 30)] * 2], 4),
    "I;16": (Image.fromarray(np.array([[65_535, 33_000]], np.uint16)), [[WHITE, (128,) * 3]], 0),
    "I;16B": (Image.frombytes("I;16B", (2, 1), b"\xff\xff\x80\xe8"), [[WHITE, (128,) * 3]], 0),
    "I": (Image.fromarray(np.array([[65_535, 33_000]], np.int32)), [[WHITE, (128,) * 3]], 0),
    "F": (Image.fromarray(np.array([[1, 0.5]], np.float32)), [[WHITE, (128,) * 3]], 0),
}


@pytest.mark.parametrize("mode", PIL_IMAGES)
def test_a_pil_image_of_any_mode_is_converted_and_left_alone(mode: str) -> None:
    source, expected, tolerance = PIL_IMAGES[mode]
    assert source.mode == mode
    before = source.tobytes(), dict(source.info), source.size
    image = load_image(source)
    assert np.abs(np.asarray(image).astype(int) - np.asarray(expected)).max() <= tolerance
    image.putpixel((0, 0), (1, 2, 3))
    assert before == (source.tobytes(), dict(source.info), source.size) and source.mode == mode


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Image.new("RGB", (0, 5)), "no pixels"),
        (Image.fromarray(np.array([[70_000]], np.int32)), "70000"),
        (Image.fromarray(np.array([[-1]], np.int32)), "-1"),
        (Image.new("F", (1, 1), 200.0), "divide by 255"),
        (Image.new("F", (1, 1), float("nan")), "NaN"),
        (Image.new("1", (10_000, 5_000)), "50.0 megapixels"),
        (Image.open(io.BytesIO(textured("JPEG")[:-200])), "truncated"),
        (Image.open(io.BytesIO(textured("PNG")[:-400])), "truncated"),
    ],
)
def test_a_pil_image_that_cannot_be_used_is_refused(source: Image.Image, words: str) -> None:
    assert words in refusal(source)


def test_an_open_file_turns_upright_and_keeps_its_own_note() -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[6]))
    source = Image.open(io.BytesIO(saved("PNG", stored, exif=with_orientation(6))))
    np.testing.assert_array_equal(np.asarray(load_image(source)), IMAGE)
    assert source.size == (16, 32) and source.getexif()[0x0112] == 6


# Addresses


class Images(BaseHTTPRequestHandler):
    """What a host may answer, by path."""

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        self.server.asked.append((self.path, self.headers["Host"]))  # type: ignore[attr-defined]
        places = {
            "/again": "/image.png",
            "/loop": "/loop",
            "/private": f"http://10.0.0.1:{port}/",
            "/metadata": f"http://169.254.169.254:{port}/latest",
            "/inside": f"http://inside.example:{port}/",
            "/mapped": f"http://[::ffff:10.0.0.1]:{port}/",
            "/etc": "file:///etc/passwd",
            "/door": "http://images.example:22/",
            "/secret": f"http://ann:secret@images.example:{port}/",
            "/three": "/two",
            "/two": "/again",
            "/four": "/three",
        }
        try:
            if self.path in places:
                self.send_response(302)
                self.send_header("Location", places[self.path])
                self.end_headers()
            else:
                self.answer()
        except OSError:  # the client has hung up, as it should
            self.server.hung_up.set()  # type: ignore[attr-defined]

    def answer(self) -> None:
        data, length = saved("PNG"), None
        if self.path == "/drip_header":
            self.drip(b"HTTP/1.1 200 OK\r\nX: ")
            return
        if self.path == "/claims":
            length = 10 * MAXIMUM_BYTES
        elif self.path == "/short":
            length = len(data) + 5
        elif self.path == "/page":
            data = b"<html>hello</html>"
        self.send_response(404 if self.path == "/absent" else 200)
        if length:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.path == "/endless":
            while True:
                self.wfile.write(bytes(1_000_000))
        if self.path == "/drip":
            self.drip(data[:8])
        self.wfile.write(data)

    def drip(self, start: bytes) -> None:
        self.wfile.write(start)
        while True:
            self.wfile.write(b"a")
            time.sleep(0.02)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    found = ThreadingHTTPServer(("127.0.0.1", 0), Images)
    found.daemon_threads = True
    found.asked, found.hung_up = [], threading.Event()
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def names(host: str, port: int) -> list[str]:
    """A resolver that knows a few names, and that IP addresses are their own."""
    known = {
        "images.example": ["127.0.0.1"],
        "inside.example": ["93.184.216.34", "192.168.1.1"],
        "nobody.example": [],
    }
    return known.get(host, [host])


@pytest.fixture
def fetch(server):
    """`download` from the loopback server, which alone counts as public."""
    return partial(
        download,
        ports=[server.server_address[1]],
        resolver=names,
        allowed=lambda ip: ip in ("127.0.0.1", "93.184.216.34"),
    )


@pytest.fixture
def site(server) -> str:
    return f"http://images.example:{server.server_address[1]}"


@pytest.mark.parametrize("path", ["/image.png", "/again", "/three", "/ä ö.png?q=ü#part", ""])
def test_an_address_is_fetched_from_the_very_ip_that_was_checked(path: str, server, fetch, site: str) -> None:
    calls = []

    def once(host: str, port: int) -> list[str]:
        calls.append(host)
        return names(host, port)

    server.asked.clear()
    image = load_image(site + path, fetch=partial(fetch, resolver=once))
    np.testing.assert_array_equal(np.asarray(image), IMAGE)
    assert len(calls) == len(server.asked) == {"/again": 2, "/three": 4}.get(path, 1)
    assert {host for _, host in server.asked} == {site.removeprefix("http://")}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/loop", "more than 3 redirects"),
        ("/four", "more than 3 redirects"),
        ("/private", "10.0.0.1, which is not on the public internet"),
        ("/metadata", "169.254.169.254, which is not on"),
        ("/inside", "inside.example at 192.168.1.1, which is not on"),
        ("/mapped", "which is not on the public internet"),
        ("/etc", "scheme 'file'"),
        ("/door", "port 22"),
        ("/secret", "user name or password"),
        ("/absent", "404 Not Found"),
        ("/page", "HTML text"),
        ("/claims", "200.0 MB"),
        ("/endless", "more than 20 MB"),
        ("/short", "then the end"),
    ],
)
def test_an_answer_that_is_no_public_image_is_refused(path: str, words: str, fetch, site: str) -> None:
    message = refusal(site + path, fetch=fetch)
    assert words in message and site + path in message and "secret@" not in message


@pytest.mark.parametrize("path", ["/drip", "/drip_header"])
def test_a_slow_server_has_a_deadline_for_everything_together(path: str, server, fetch, site: str) -> None:
    server.hung_up.clear()
    start = time.monotonic()
    assert "within 0.4 seconds" in refusal(site + path, fetch=partial(fetch, seconds=0.4))
    assert time.monotonic() - start < 2
    assert server.hung_up.wait(5)  # the connection does not outlive the call


def test_a_slow_resolver_has_the_same_deadline(fetch, site: str) -> None:
    wait = threading.Event()
    slow = partial(fetch, seconds=0.2, resolver=lambda host, port: [str(wait.wait(2))])
    assert "within 0.2 seconds" in refusal(site, fetch=slow)
    wait.set()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1/a.png", "not on the public internet"),
        ("http://127.1/a.png", "not on the public internet"),
        ("http://2130706433/", "not on the public internet"),
        ("http://[::1]/a.png", "not on the public internet"),
        ("http://[::ffff:127.0.0.1]/", "not on the public internet"),
        ("http://0.0.0.0/", "not on the public internet"),
        ("https://169.254.169.254/latest/meta-data", "not on the public internet"),
        ("HTTP://192.168.0.1/", "not on the public internet"),
        ("http://93.184.216.34:8080/", "port 8080"),
        ("http://93.184.216.34:99999/", "cannot be read"),
        ("http://[::1/", "cannot be read"),
        ("http:///a.png", "without a host"),
        (f"http://{'a' * 70}.example/", "cannot be read"),
        ("http://ann:secret@93.184.216.34/", "user name or password"),
        ("http://nobody.example/", "no IP address"),
        ("http://93.184.216.34/\nSet-Cookie: a", "no answer|public"),
    ],
)
def test_an_address_outside_the_public_web_is_refused_before_connecting(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise OSError("a connection was tried")

    monkeypatch.setattr(addresses.socket, "create_connection", never)
    numeric = partial(
        download, resolver=lambda host, port: [] if host == "nobody.example" else addresses.resolve(host, port)
    )
    message = refusal(address, fetch=numeric)
    assert any(word in message for word in words.split("|")) and "secret" not in message
    assert words.startswith("no answer") or "was tried" not in message


def test_only_addresses_of_the_public_internet_count_as_public() -> None:
    public = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
    closed = """
        0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.0.1 169.254.169.254 172.16.0.1 192.168.0.1 192.0.2.1 198.18.0.1
        224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 fc00::1 fd12::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 2001:db8::1
        2002:7f00:1:: 2001:0:4136:e378:: ::ffff:10.0.0.1 ::ffff:127.0.0.1 64:ff9b::a00:1 ::127.0.0.1 localhost nonsense
    """
    assert [address for address in public if not is_public(address)] == []
    assert [address for address in closed.split() if is_public(address)] == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_https_is_fetched_when_its_certificate_names_the_host_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = f"""
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=images.example
        -addext subjectAltName=DNS:images.example -keyout {key} -out {certificate}
    """
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Images) as server:
        server.daemon_threads, server.asked, server.hung_up = True, [], threading.Event()
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        fetch = partial(
            download, ports=[port], resolver=lambda host, port: ["127.0.0.1"], allowed=lambda ip: True, seconds=5
        )
        assert "self-signed" in refusal(f"https://images.example:{port}/", fetch=fetch)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert load_image(f"https://images.example:{port}/", fetch=fetch).size == (32, 16)
        assert "ertificate" in refusal(f"https://other.example:{port}/", fetch=fetch)
        assert "within 0.4" in refusal(f"https://images.example:{port}/drip", fetch=partial(fetch, seconds=0.4))
        assert server.hung_up.wait(5)
        server.shutdown()


# Sizes


def test_whole_sizes_are_multiples_nearest_to_the_image() -> None:
    for patch in (8, 14, 16, 32):
        for width, height in ((640, 480), (480, 640), (100, 100), (1, 10_000), (10_000, 1), (3, 2), (1023, 1024)):
            for longer in (patch, 37, 224, 518, 1000, MAXIMUM_SIDE):
                if longer < patch:
                    continue
                found = whole_size((width, height), patch, longer)
                assert all(side > 0 and side % patch == 0 and side <= MAXIMUM_SIDE for side in found)
                assert abs(max(found) - longer) <= patch / 2 or max(found) == MAXIMUM_SIDE // patch * patch
                assert found == whole_size((height, width), patch, longer)[::-1]
                exact = max(found) * min(width, height) / max(width, height)
                assert abs(min(found) - exact) <= patch / 2 or min(found) == patch


@pytest.mark.parametrize(
    ("size", "patch", "longer", "words"),
    [
        ((9, 9), 14, 1025, "to 1024"),
        ((9, 9), 14, 13, "one patch"),
        ((9, 9), 14, 0, "one patch"),
        ((9, 9), 14, -14, "one patch"),
        ((9, 9), 0, 14, "patch 0"),
        ((0, 9), 14, 14, "0 x 9"),
    ],
)
def test_sizes_that_cannot_be_are_refused(size: tuple[int, int], patch: int, longer: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        whole_size(size, patch, longer)


def test_the_default_size_stays_between_the_published_one_and_its_double() -> None:
    assert [default_longer((side, 1), 224) for side in (1, 224, 300, 448, 9999)] == [224, 224, 300, 448, 448]
    assert default_longer((5, 300), 224) == 300
    assert default_longer((9999, 9999), 518) == MAXIMUM_SIDE


def test_an_image_on_its_grid_keeps_its_colours_and_is_a_new_one() -> None:
    image = load_image(IMAGE)
    assert to_grid(image, (32, 16)) is not image
    small, large = to_grid(image, (4, 2)), to_grid(image, (64, 64))
    assert small.size == (4, 2) and large.size == (64, 64)
    assert large.getpixel((0, 0)) == RED and large.getpixel((63, 63)) == WHITE
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255  # finer than the small grid: without antialiasing they would come out black or white
    assert np.abs(np.asarray(to_grid(load_image(stripes), (8, 8))).astype(int) - 127).max() < 25
