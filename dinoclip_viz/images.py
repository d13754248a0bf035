"""Anything that is an image -> an RGB image; sizes that fit a patch grid.

Files come from strangers: what a file is, its content says, never its name; how large it will be is known before it is
decoded; and whatever goes wrong ends in one `ImageError` that names the source.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import os
import re
import socket
import ssl
import stat
import struct
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MAXIMUM_SIDE = 1024
"""The longest side, in pixels, that an image may have as an encoder's input."""

MAXIMUM_PIXELS = 40_000_000
MAXIMUM_BYTES = 20_000_000

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[np.generic]
"""A path, an http(s) address, the bytes of a file, a PIL image or an array."""

_FILES = "JPEG, PNG, WebP, GIF or BMP of at most 40 megapixels and 20 MB"
_ARRAYS = "uint8, uint16, bool or float in [0, 1], of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
_ADDRESSES = "a public http:// or https:// address"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://|(data|file|blob|about|javascript|mailto):", re.IGNORECASE)
_SECONDS = 10.0
_REDIRECTS = 3
_ROUNDING = 1e-5  # how far beyond [0, 1] resizing and the like may push a float
_SCANS = 500  # libjpeg-turbo's own bound on the scans of a progressive JPEG: each costs as much as a whole image


class ImageError(ValueError):
    """A source is not an image that can be used; one line names it, what was found and what is accepted."""


def load_image(source: ImageSource, *, fetch: Callable[[str], bytes] | None = None) -> Image.Image:
    """The image as an RGB image of its own: fully loaded, upright by its EXIF, transparency flattened on white.

    16 bit values are scaled to 8; CMYK, LAB, palettes and grey are converted; of an animation comes the first frame, of
    a PIL image the current one. Colour profiles are not applied, and no metadata stays with the result.

    Args:
        source: path of a regular file, http(s) address, bytes of a file, PIL image, or array: (H, W), (H, W, 1),
            (H, W, 3) or (H, W, 4) of uint8, uint16, bool, or float in [0, 1]. It is not changed.
        fetch: address -> bytes of the file; `download` unless given.

    Raises:
        ImageError: the source is missing, broken, truncated, too large, or not an image of an accepted kind.

    Examples:
        >>> load_image(np.array([[0.0, 1.0]])).getpixel((1, 0))
        (255, 255, 255)
        >>> load_image(b"<html>404</html>")
        Traceback (most recent call last):
        ...
        dinoclip_viz.images.ImageError: 16 bytes: found HTML text; expected JPEG, PNG, WebP, GIF or BMP of at most ...
    """
    name = _name(source)
    if isinstance(source, Image.Image):
        return _image_of_pil(source, name)
    if isinstance(source, np.ndarray):
        return _image_of_array(source, name)
    if isinstance(source, (bytes, bytearray, memoryview)):
        _check_length(memoryview(source).nbytes, name)
        return _decode(bytes(source), name)
    if isinstance(source, str) and (scheme := _SCHEME.match(source)):
        if scheme[0].lower() not in ("http://", "https://"):
            raise _error(name, f"an address that begins with {scheme[0]}", f"{_ADDRESSES}, or a path")
        return _decode((fetch or download)(source), name)
    if isinstance(source, (str, os.PathLike)):
        return _decode(_read(source, name), name)
    raise _error(name, f"a {type(source).__name__}", "a path, an http(s) address, bytes, a PIL image or a NumPy array")


def whole_size(size: tuple[int, int], patch: int, longer: int, most: int = MAXIMUM_SIDE) -> tuple[int, int]:
    """Width and height, whole numbers of patches, nearest to the image's shape with its longer side about `longer`.

    Args:
        size: width and height of the image in pixels.
        patch: side of a patch in pixels.
        longer: wished length of the longer side in pixels, from one patch to `most`.
        most: the longest side that comes back, in pixels.

    Raises:
        ValueError: a side or the patch is not positive, or `longer` is out of its range.

    Examples:
        >>> whole_size((640, 480), patch=14, longer=224)
        (224, 168)
        >>> whole_size((10, 1000), patch=16, longer=512)
        (16, 512)
    """
    if patch < 1 or min(size) < 1:
        raise ValueError(f"size {size[0]} x {size[1]} and patch {patch}; expected sides and patch of at least 1 pixel")
    if not patch <= longer <= most:
        raise ValueError(f"longer side of {longer} pixels; expected from one patch ({patch}) to {most}")
    count = min(_rounded(longer, patch), most // patch)
    width, height = (max(1, _rounded(side * count, max(size))) for side in size)
    return width * patch, height * patch


def default_longer(size: tuple[int, int], published: int) -> int:
    """Longer side when nobody asked for one: the image's own, from the published size to twice it.

    Args:
        size: width and height of the image in pixels.
        published: side in pixels of the square that the model is published with.

    Examples:
        >>> [default_longer(size, published=224) for size in ((50, 100), (300, 200), (4000, 3000))]
        [224, 300, 448]
        >>> default_longer((4000, 3000), published=518)  # twice it would be more than MAXIMUM_SIDE
        1024
    """
    return min(max(published, min(max(size), 2 * published)), MAXIMUM_SIDE)


def to_grid(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image stretched to a size, bicubic, antialiased where it shrinks; always a new image.

    Args:
        image: RGB image.
        size: width and height in pixels, as `whole_size` gives them.

    Examples:
        >>> to_grid(Image.new("RGB", (640, 480)), whole_size((640, 480), patch=14, longer=224)).size
        (224, 168)
    """
    return image.resize(size, Image.Resampling.BICUBIC)


def resolve(host: str, port: int) -> list[str]:
    """Every IP address of a host, as the system's resolver gives them.

    Raises:
        OSError: the host is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, so that a stranger's link may be followed to it.

    Args:
        address: IPv4 or IPv6; an IPv4 address inside an IPv6 one (mapped, NAT64) is judged by itself.

    Examples:
        >>> [is_public(address) for address in ("93.184.216.34", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")]
        [True, False, False, False]
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped or ip in ipaddress.ip_network("64:ff9b::/96"):
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip.sixtofour or ip.teredo or ip.is_site_local:
            return False
    closed = (ip.is_private, ip.is_loopback, ip.is_link_local, ip.is_multicast, ip.is_reserved, ip.is_unspecified)
    return ip.is_global and not any(closed)


def download(
    address: str,
    *,
    seconds: float = _SECONDS,
    ports: Collection[int] = (80, 443),
    resolver: Callable[[str, int], Sequence[str]] = resolve,
    allowed: Callable[[str], bool] = is_public,
) -> bytes:
    """The bytes at an http(s) address, at most 20 MB, from the public internet alone.

    Each hop of at most three redirects is checked anew: a host with any address that is not allowed is refused, and the
    connection goes to the very address that was checked, so that a name cannot change its mind in between. Proxies of
    the environment are not used: behind one, the check would mean nothing.

    Args:
        address: http:// or https://, without user name and password.
        seconds: for everything together, redirects and slow servers included.
        ports: which may be asked.
        resolver: host, port -> its IP addresses.
        allowed: whether an IP address may be connected to.

    Raises:
        ImageError: the address is refused, does not answer in time, or answers with an error or with too much.
    """
    name = _name(address)
    line = _Line(time.monotonic() + seconds)
    answer: Future[bytes] = Future()

    def work() -> None:
        try:
            answer.set_result(_follow(address, line, ports, resolver, allowed))
        except BaseException as error:  # carried to the caller's thread, which raises it
            answer.set_exception(error)

    # A thread, since neither the resolver nor a server that sends a byte now and then can be given a deadline.
    threading.Thread(target=work, name="dinoclip-download", daemon=True).start()
    try:
        return answer.result(timeout=seconds)
    except TimeoutError as error:
        raise _error(name, f"no complete answer within {seconds:g} seconds", _ADDRESSES) from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _error(name, f"no answer ({type(error).__name__}: {error})", _ADDRESSES) from error
    finally:
        line.close()


# Files


def _name(source: object) -> str:
    """How messages call a source: on one line, printable, short, without a password."""
    if isinstance(source, Image.Image):
        return f"{source.mode} image of {source.width} x {source.height}"
    if isinstance(source, np.ndarray):
        return f"{source.dtype} array of shape {source.shape}"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"{memoryview(source).nbytes} bytes"
    if not isinstance(source, (str, os.PathLike)):
        return "source"
    text = os.fsdecode(source)
    if re.match(r"(?i)[a-z][a-z0-9+.-]+://", text):
        text = re.sub(r"(?<=://)[^/?#]*@", "", text)
    text = _printable(text)
    return repr(text) if not text.strip() else text if len(text) <= 200 else f"{text[:80]}...{text[-80:]}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _error(name: str, found: str, expected: str = _FILES) -> ImageError:
    return ImageError(f"{name}: found {_printable(' '.join(found.split()))[:300]}; expected {expected}")


def _check_length(length: int, name: str) -> None:
    if length > MAXIMUM_BYTES:
        raise _error(name, f"{length / 1e6:.1f} MB")


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise _error(name, f"no pixels ({width} x {height})")
    if width * height > MAXIMUM_PIXELS:
        raise _error(name, f"{width} x {height} = {width * height / 1e6:.1f} megapixels")


def _read(path: str | os.PathLike[str], name: str) -> bytes:
    """The content of a regular file; pipes and devices are not even opened."""
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            raise _error(name, "a directory" if stat.S_ISDIR(state.st_mode) else "a device, pipe or socket, not a file")
        _check_length(state.st_size, name)
        with open(path, "rb") as file:
            return file.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError as error:
        raise _error(name, "no such file") from error
    except OSError as error:
        raise _error(name, f"a file that cannot be read ({error.strerror})") from error
    except ImageError:
        raise
    except ValueError as error:  # a null character in the path
        raise _error(name, f"a path that cannot be ({error})") from error


def _decode(data: bytes, name: str) -> Image.Image:
    """The first frame of a file of an accepted kind."""
    _check_length(len(data), name)
    kind = _kind(data)
    if kind not in _HEADERS:
        raise _error(name, kind)
    try:
        size = _HEADERS[kind](data)
        if size is not None:  # else Pillow has the first word, and is asked below
            _check_size(size, name)
        if kind == "JPEG" and data.count(b"\xff\xda") > _SCANS:
            raise _error(name, f"a JPEG of more than {_SCANS} scans")
        if kind == "PNG":  # decoding alone would not miss a chunk's checksum, nor the end of the file
            Image.open(io.BytesIO(data), formats=[kind]).verify()
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            _check_size(image.size, name)
            if kind == "PNG":
                _scale_transparency(image, depth=data[24])
            return _rgb(image, name)
    except ImageError:
        raise
    except UnidentifiedImageError as error:  # its message names an object in memory
        raise _error(name, f"a broken {kind}") from error
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them stumble over
        raise _error(name, f"a broken {kind} ({error or type(error).__name__})") from error


def _kind(data: bytes) -> str:
    """A key of `_HEADERS`, or what else the content looks like."""
    if not data:
        return "an empty file"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    text = data[:2000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    looks = (
        *((data.startswith(start), kind) for start, kind in _STARTS),
        (data[4:8] == b"ftyp", "AVIF, HEIC or a video"),
        (b"<html" in text or text.startswith(b"<!doctype html"), "HTML text"),
        (b"<svg" in text, "SVG text"),
        (text.startswith((b"{", b"[")), "JSON text"),
        (text.isascii() and re.search(rb"[^\s\x20-\x7e]", text) is None, "plain text"),
    )
    return next((kind for looks_so, kind in looks if looks_so), f"unknown data ({data[:4].hex(' ')}...)")


_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"8BPS", "a Photoshop file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip data"),
)


# Sizes that files declare, read here because opening a WebP already allocates its canvas, and opening an image of 90
# megapixels already warns. None: the header is too short or too odd to say.


def _png_size(data: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", data[16:24]) if len(data) >= 24 else None


def _gif_size(data: bytes) -> tuple[int, int] | None:
    return struct.unpack("<HH", data[6:10]) if len(data) >= 10 else None


def _bmp_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 26:
        return None
    old = struct.unpack("<I", data[14:18])[0] == 12
    width, height = struct.unpack("<HH", data[18:22]) if old else struct.unpack("<ii", data[18:26])
    return width, abs(height)  # a negative height says that rows come from the top


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame: not a table, nor an extension
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        if marker == 0xDA:
            return None
        if marker == 0xFF:  # padding
            place += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # these stand alone
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


_HEADERS: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    "JPEG": _jpeg_size,
    "PNG": _png_size,
    "WEBP": _webp_size,
    "GIF": _gif_size,
    "BMP": _bmp_size,
}


def _scale_transparency(image: Image.Image, depth: int) -> None:
    """Scales the value that means transparent to 8 bits, as Pillow did with the pixels of 2, 4 and 16 bits alone."""
    clear = image.info.get("transparency")
    if isinstance(clear, int) and image.mode == "L" and depth in (2, 4):
        image.info["transparency"] = clear * (255 // (2**depth - 1))
    elif isinstance(clear, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in clear)


# Pixels


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the image upright."""


def _image_of_pil(image: Image.Image, name: str) -> Image.Image:
    _check_size(image.size, name)
    try:
        return _rgb(image, name)
    except ImageError:
        raise
    except Exception as error:  # a lazy image decodes here, and converting meets palettes and values of any kind
        raise _error(name, f"a broken image ({error or type(error).__name__})") from error


def _rgb(image: Image.Image, name: str) -> Image.Image:
    """A PIL image of any mode as an upright RGB copy without metadata."""
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    if image.mode[0] == "I" or image.mode == "F":
        result = _image_of_deep(image, name)
    elif image.has_transparency_data:
        seen = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        result = Image.new("RGB", image.size, "white")
        result.paste(seen.convert("RGB"), mask=seen.getchannel("A"))
    else:
        result = image.convert("RGB")
    if turn is not None:
        result = result.transpose(turn)
    result.info = {}  # an orientation that stayed would turn the image a second time
    return result


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where it cannot be read: a broken note does not spoil the pixels."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # the same plugins, stumbling over the note
        return 1
    return value if isinstance(value, int) else 1


def _image_of_deep(image: Image.Image, name: str) -> Image.Image:
    """Pixels of 16 bits (I;16, I), or float in [0, 1] (F), as RGB."""
    values = np.asarray(image)
    if image.mode == "I":
        if values.min() < 0 or values.max() > 65535:
            raise _error(name, f"values from {values.min()} to {values.max()}", "integers of 16 bits, in [0, 65535]")
        values = values.astype(np.uint16)
    grey = _eight_bits(values, name)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey = np.where(values == clear, np.uint8(255), grey)
    return Image.fromarray(grey).convert("RGB")


def _image_of_array(array: NDArray[np.generic], name: str) -> Image.Image:
    hint = ""
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        hint = "; channels come last: array.transpose(1, 2, 0)"
    elif array.ndim == 4:
        hint = "; one image at a time: array[0]"
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        raise _error(name, f"{array.ndim} axes {array.shape}", _ARRAYS + hint)
    _check_size((array.shape[1], array.shape[0]), name)
    pixels = _eight_bits(array, name)
    return _rgb(Image.fromarray(pixels[:, :, 0] if array.shape[2:] == (1,) else pixels), name)


def _eight_bits(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Values scaled to 0..255, rounded to the nearest; always a new array."""
    kind, width = values.dtype.kind, values.dtype.itemsize
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if kind == "u" and width == 1:
        return values.astype(np.uint8)
    if kind == "u" and width == 2:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind != "f":
        hint = "; cast first: array.astype(np.uint8)" if kind in "iu" else ""
        raise _error(name, f"values of type {values.dtype}", _ARRAYS + hint)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):  # NaN wins in both
        raise _error(name, "values that are NaN or infinite", _ARRAYS)
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        hint = "divide by 255, or cast: array.astype(np.uint8)" if low >= 0 and high <= 255 else "scale it first"
        raise _error(name, f"values from {low:g} to {high:g}", f"{_ARRAYS}; {hint}")
    scaled: NDArray[np.float32] = values.astype(np.float32)
    return np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, halves up; exact, unlike a float's."""
    return (2 * numerator + denominator) // (2 * denominator)


# Downloads


class _Redirect(NamedTuple):
    address: str


class _Line:
    """The one connection that a download has open, so that another thread can hang up."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._closed = False
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()

    def left(self) -> float:
        """Seconds that remain."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("out of time")
        return left

    def hold(self, connection: socket.socket) -> None:
        """Takes the connection in the place of the one before."""
        with self._lock:
            self._connection = connection
            if self._closed:
                connection.close()
                raise TimeoutError("out of time")

    def close(self) -> None:
        """Wakes whoever is reading: its connection has ended."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                with contextlib.suppress(OSError):  # it has ended already
                    # Below TLS, whose state belongs to the thread that reads.
                    socket.socket.shutdown(self._connection, socket.SHUT_RDWR)


def _follow(
    address: str,
    line: _Line,
    ports: Collection[int],
    resolver: Callable[[str, int], Sequence[str]],
    allowed: Callable[[str], bool],
) -> bytes:
    name = _name(address)
    for _ in range(_REDIRECTS + 1):
        parts, host, port = _parts(address, name, ports)
        found = list(resolver(host, port))
        if not found:
            raise _error(name, f"no IP address for {host}", _ADDRESSES)
        closed = [ip for ip in found if not allowed(ip)]
        if closed:
            raise _error(name, f"{host} at {closed[0]}, which is not on the public internet", _ADDRESSES)
        answer = _get(parts, host, port, found, line, name)
        if isinstance(answer, bytes):
            return answer
        address = urljoin(address, answer.address)
    raise _error(name, f"more than {_REDIRECTS} redirects", _ADDRESSES)


def _parts(address: str, name: str, ports: Collection[int]) -> tuple[SplitResult, str, int]:
    """Address taken apart, its host in ASCII and its port; every hop passes here."""
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:
        raise _error(name, f"an address that cannot be read ({error})", _ADDRESSES) from error
    if parts.scheme not in ("http", "https"):
        raise _error(name, f"an address of scheme {parts.scheme!r}", _ADDRESSES)
    if not host:
        raise _error(name, "an address without a host", _ADDRESSES)
    if parts.username is not None or parts.password is not None:
        raise _error(name, "an address with a user name or password", _ADDRESSES)
    if port not in ports:
        raise _error(name, f"port {port} of {host}", f"{_ADDRESSES} on port {' or '.join(map(str, ports))}")
    return parts, host, port


def _get(parts: SplitResult, host: str, port: int, found: Sequence[str], line: _Line, name: str) -> bytes | _Redirect:
    """What one GET answers: the body, or where else to look."""
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
        "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?") if parts.query else ""
    )
    secure = parts.scheme == "https"
    with _connect(found, port, host if secure else None, line) as plug:
        if isinstance(plug, ssl.SSLSocket):
            plug.do_handshake()
        connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(host, port)
        connection.auto_open = 0  # never by name: only to the address that was checked
        connection.sock = plug
        connection.request(
            "GET", target, headers={"User-Agent": "dinoclip-viz", "Accept": "image/*", "Connection": "close"}
        )
        with connection.getresponse() as response:
            goal = response.getheader("Location")
            if response.status in (301, 302, 303, 307, 308) and goal:
                return _Redirect(goal)
            if response.status != 200:
                raise _error(name, f"the answer {response.status} {response.reason}", "200 and an image")
            return _body(response, line, name)


def _connect(found: Sequence[str], port: int, secure_host: str | None, line: _Line) -> socket.socket:
    """A connection to the first of the checked addresses that answers; TLS has yet to shake hands."""
    failure: OSError = OSError("no address")
    for ip in found:
        try:
            plug = socket.create_connection((ip, port), timeout=line.left())
        except OSError as error:
            failure = error
            continue
        if secure_host is not None:
            context = ssl.create_default_context()
            plug = context.wrap_socket(plug, server_hostname=secure_host, do_handshake_on_connect=False)
        line.hold(plug)
        return plug
    raise failure


def _body(response: http.client.HTTPResponse, line: _Line, name: str) -> bytes:
    expected = response.length  # None where the server does not say
    _check_length(expected or 0, name)
    data = bytearray()
    while chunk := response.read(65536):
        data += chunk
        line.left()
        if len(data) > MAXIMUM_BYTES:
            raise _error(name, "more than 20 MB")
    line.left()
    if expected is not None and len(data) < expected:
        raise _error(name, f"{len(data)} of {expected} bytes, then the end", "the whole file")
    return bytes(data)
