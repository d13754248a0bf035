"""Hostile images end in an image or one line within 5 s and 1 GB; ordinary files are below every limit."""

from __future__ import annotations

import io
import struct
import time
from functools import cache

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.data.frames import frames, is_moving
from dinoclip_viz.images import ImageError, load_image
from dinoclip_viz.images.blocks import check_animation, check_blocks, exif_excess
from dinoclip_viz.images.blocks.png import MOST_OTHERS
from dinoclip_viz.images.decoding import kind_of
from dinoclip_viz.images.ppm import open_ppm
from tests.images.hostile import KINDS, chunk, every, fill, gif, hostile, jpeg, png, saved, segment
from tests.images.hostile_run import measured
from tests.images.hostile_tiff import page

LONG = ("40 megapixels", "of 1 bit", "steps", "more than its pixels", "tiles beyond")
SHORT = [kind for kind in KINDS if not any(word in kind for word in LONG)]
CHANCE = np.random.default_rng(0)
NOISE = Image.fromarray(CHANCE.integers(0, 256, (96, 128, 3), np.uint8))


def test_there_are_two_hundred_of_them_equal_at_every_call():
    assert len(list(every())) >= 200
    assert len({hostile(kind, 3) for kind in SHORT}) == len(SHORT)
    assert hostile("noise after every magic", 3) == hostile("noise after every magic", 3)


def test_one_of_each_kind_ends_in_an_image_or_one_line_in_time():
    found = list(measured((kind, 0) for kind in SHORT))
    assert [one.kind for one in found] == SHORT
    assert {one.kind: one.fault for one in found if one.fault} == {}
    # what is refused is refused before it is decoded
    slow = {one.kind: one.seconds for one in found if "more than" in one.outcome and one.seconds > 1}
    assert slow == {}


REFUSED = {
    "gif comments": "comments and extensions before its first frame",
    "gif application blocks": "comments and extensions before its first frame",
    "gif one long comment": "comments and extensions before its first frame",
    "png tiny chunks": "chunks beside its pixels",
    "png empty pixel chunks": "chunks of pixels",
    "jpeg comments": "2,000 segments",
    "jpeg padding": "20,000 stray bytes",
    "jpeg photoshop resources": "Photoshop resources",
    "jpeg 490 scans of 40 megapixels": "scans of 39.6 megapixels",
    "jpeg thousands of small scans": "more than 500 scans",
    "jpeg overlapping exif": "a directory of 65,000 tags",
    "tiff strips of one pixel": "a tag of 1,875,000 values",
    "tiff overlapping tags of a page": "tags of 60000.0 MB",
    "tiff jpeg of many scans": "JPEGs of several scans",
    "tiff the same jpeg in every strip": "strips overlap",
    "bmp runs of one": "run-length encoded BMP",
    "ppm comments": "more than 10,000 comments",
    "avif boxes": "more than 5,000 boxes",
    "heic extents without bytes": "more than 5,000 parts",
    "avif associations": "tables of items",
    "heic tiles beyond the image": "tiles of 943.7 megapixels together",
    "heic the same tile again": "MB in a file of",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_the_line_has_what_there_is_too_much_of(kind):
    with pytest.raises(ImageError, match=REFUSED[kind]) as caught:
        load_image(hostile(kind))
    assert "\n" not in str(caught.value)


# Ordinary files


def exif(entries: int = 1) -> bytes:
    notes = Image.Exif()
    notes[0x0112] = 6
    for number in range(entries):
        notes[0x9C9B + number] = "note " * 20
    return notes.tobytes()


def phone() -> bytes:
    """A JPEG as phones write it: EXIF, a profile in many segments, an index of pictures, a trailing picture."""
    parts = [segment(0xE1, exif(20)[:60000])]
    parts += [segment(0xE2, b"ICC_PROFILE\0" + bytes([n + 1, 60]) + bytes(64000)) for n in range(60)]
    parts += [segment(0xE2, b"MPF\0" + bytes(80)), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"x" * 60000)]
    file = saved(NOISE, "JPEG", quality=95)
    return file[:2] + b"".join(parts) + file[2:] + saved(NOISE, "JPEG")


def animation() -> bytes:
    """3,000 frames, each with a comment."""
    images = [Image.new("RGB", (16, 16), (number % 250, number // 2, 0)) for number in range(300)]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:] * 10, comment=b"c" * 300)
    return file.getvalue()


def small_chunks() -> bytes:
    """A PNG whose pixels stand in chunks of 512 bytes."""
    file = saved(NOISE.resize((800, 600), Image.Resampling.NEAREST), "PNG", compress_level=0)
    start = file.index(b"IDAT") - 4
    pixels, place = b"", start
    while file[place + 4 : place + 8] == b"IDAT":
        length = int.from_bytes(file[place : place + 4], "big")
        pixels, place = pixels + file[place + 8 : place + 8 + length], place + 12 + length
    parts = [chunk(b"IDAT", pixels[at : at + 512]) for at in range(0, len(pixels), 512)]
    return file[:start] + b"".join(parts) + file[place:]


ORDINARY = {
    "phone": phone,
    "progressive": lambda: saved(NOISE.resize((2000, 1500)), "JPEG", progressive=True),
    "stray bytes": lambda: jpeg(segment(0xFE, b"note") + b"\0" * 100 + b"\xff" * 50),
    "animation": animation,
    "gif with XMP": lambda: gif(b"!\xff\x0bXMP DataXMP" + (b"\x60" + b"x" * 96) * 1000 + b"\0"),
    "png in small chunks": small_chunks,
    "png texts": lambda: png(b"".join(chunk(b"tEXt", b"key%d\0value" % n) for n in range(500))),
    "tiff strips": lambda: saved(NOISE.resize((500, 3000)), "TIFF", tiffinfo={278: 1}),
    "tiff jpeg": lambda: saved(NOISE.resize((600, 400)), "TIFF", compression="jpeg"),
    "webp": lambda: saved(NOISE, "WEBP", exif=exif()),
    "avif": lambda: saved(NOISE, "AVIF", exif=exif()),
    "bmp": lambda: saved(NOISE.convert("P"), "BMP"),
}


@cache
def ordinary(name: str) -> bytes:
    return ORDINARY[name]()


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_files_are_below_every_limit(name):
    data = ordinary(name)
    check_blocks(data, kind_of(data), name)
    check_animation(data, name)
    with Image.open(io.BytesIO(data)) as image:
        assert set(load_image(data).size) == set(image.size)


@pytest.mark.parametrize("name", ORDINARY)
def test_the_structure_of_an_ordinary_file_is_read_in_far_less_time_than_its_pixels(name):
    data = ordinary(name)
    kind = kind_of(data)
    begun = [time.process_time()]
    for _ in range(5):
        check_blocks(data, kind, name)
        begun.append(time.process_time())
    assert min(np.diff(begun)) < 0.02  # about 0.1 ms on a quiet machine


def test_a_gif_at_the_limit_is_read_and_one_beyond_is_not():
    assert load_image(gif(fill(b"!\xfe\x03abc\0", 2990 * 7))).size == (8, 8)
    with pytest.raises(ImageError, match="comments and extensions"):
        load_image(gif(fill(b"!\xfe\x03abc\0", 3010 * 7)))


def test_a_png_at_the_limit_is_read_and_one_beyond_is_not():
    assert load_image(png(chunk(b"quIt") * (MOST_OTHERS - 2))).size == (8, 8)
    with pytest.raises(ImageError, match="chunks beside its pixels"):
        load_image(png(chunk(b"quIt") * (MOST_OTHERS + 2)))


def test_overlapping_tags_are_counted_whole_and_real_ones_pass():
    shared = [(1000 + number, 7, 50_000, 200) for number in range(30)]
    assert "tags of 1.5 MB" in exif_excess(page(8, 8, [0], [64], data=bytes(60_000), rows=8, more=shared))
    assert exif_excess(exif(300)) is None
    assert exif_excess(b"Exif\0\0no directory") is None


def test_a_sub_directory_is_checked_as_the_first():
    inner = struct.pack("<H", 5000) + bytes(12 * 5000)
    data = page(8, 8, [0], [64], data=bytes(64) + inner, rows=8, more=[(34665, 4, 1, 0)])
    place = data.index(inner[:2] + bytes(20))
    assert "a directory of 5,000 tags" in exif_excess(data.replace(struct.pack("<HHII", 34665, 4, 1, 0),
        struct.pack("<HHII", 34665, 4, 1, place)))  # fmt: skip


def test_frames_of_a_hostile_animation_are_refused_before_they_are_walked_over(tmp_path):
    for kind in ("gif frames", "gif pixels in blocks of one", "gif comments"):
        file = tmp_path / "a.gif"
        file.write_bytes(hostile(kind))
        begun = time.process_time()
        assert not is_moving(file)
        with pytest.raises(ImageError, match=r"a GIF of more than"):
            list(frames(file))
        assert time.process_time() - begun < 4
    file.write_bytes(ordinary("animation"))
    assert is_moving(file)
    assert len(list(frames(file, most=40))) == 40


# PPM is read by this package


def ppm_cases() -> dict[str, bytes]:
    high, wide, cases = 7, 11, {}
    for most in (255, 254, 100, 256, 4095, 65535):
        kind = ">u2" if most > 255 else "u1"
        grey = CHANCE.integers(0, most + 1, (high, wide)).astype(kind)
        colours = CHANCE.integers(0, most + 1, (high, wide, 3)).astype(kind)
        cases[f"P5 {most}"] = b"P5 # grey\n%d %d\n%d\n" % (wide, high, most) + grey.tobytes()
        cases[f"P6 {most}"] = b"P6\n%d %d %d\n" % (wide, high, most) + colours.tobytes()
        cases[f"P2 {most}"] = b"P2\n%d %d\n%d\n# c\n" % (wide, high, most) + b" ".join(b"%d" % v for v in grey.ravel())
        cases[f"P3 {most}"] = b"P3\n%d %d\n%d\n" % (wide, high, most) + b"\n".join(b"%d" % v for v in colours.ravel())
    bits = CHANCE.integers(0, 2, (high, wide))
    cases["P1"] = b"P1\n%d %d\n" % (wide, high) + b"\n".join(bytes(48 + bit for bit in row) for row in bits)
    cases["P4"] = b"P4\n%d %d\n" % (wide, high) + np.packbits(bits, axis=1).tobytes()
    return cases


PPMS = ppm_cases()


@pytest.mark.parametrize("name", PPMS)
def test_ppm_files_give_pillows_pixels(name):
    with Image.open(io.BytesIO(PPMS[name])) as expected:
        found = open_ppm(PPMS[name])
        assert (found.mode, found.size) == (expected.mode, expected.size)
        assert np.array_equal(np.asarray(found), np.asarray(expected))
    with pytest.raises(ImageError, match="broken PPM"):
        load_image(PPMS[name][:-8])
