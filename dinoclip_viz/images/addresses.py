"""Files at http(s) addresses: from the public internet alone, within limits of size and time."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from dinoclip_viz.images.errors import MAXIMUM_BYTES, check_length, image_error, name_of

ADDRESSES = "a public http:// or https:// address"
_SECONDS = 10.0
_REDIRECTS = 3


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
    name = name_of(address)
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
        raise image_error(name, f"no complete answer within {seconds:g} seconds", ADDRESSES) from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise image_error(name, f"no answer ({type(error).__name__}: {error})", ADDRESSES) from error
    finally:
        line.close()


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
        """Holds a connection instead of the one before."""
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
    name = name_of(address)
    for _ in range(_REDIRECTS + 1):
        parts, host, port = _parts(address, name, ports)
        found = list(resolver(host, port))
        if not found:
            raise image_error(name, f"no IP address for {host}", ADDRESSES)
        closed = [ip for ip in found if not allowed(ip)]
        if closed:
            raise image_error(name, f"{host} at {closed[0]}, which is not on the public internet", ADDRESSES)
        answer = _get(parts, host, port, found, line, name)
        if isinstance(answer, bytes):
            return answer
        address = urljoin(address, answer.address)
    raise image_error(name, f"more than {_REDIRECTS} redirects", ADDRESSES)


def _parts(address: str, name: str, ports: Collection[int]) -> tuple[SplitResult, str, int]:
    """Address taken apart, its host in ASCII and its port; every hop passes here."""
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:
        raise image_error(name, f"an address that cannot be read ({error})", ADDRESSES) from error
    if parts.scheme not in ("http", "https"):
        raise image_error(name, f"an address of scheme {parts.scheme!r}", ADDRESSES)
    if not host:
        raise image_error(name, "an address without a host", ADDRESSES)
    if parts.username is not None or parts.password is not None:
        raise image_error(name, "an address with a user name or password", ADDRESSES)
    if port not in ports:
        raise image_error(name, f"port {port} of {host}", f"{ADDRESSES} on port {' or '.join(map(str, ports))}")
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
                raise image_error(name, f"the answer {response.status} {response.reason}", "200 and an image")
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
    expected = response.length  # None where the server does not state it
    check_length(expected or 0, name)
    data = bytearray()
    while chunk := response.read(65536):
        data += chunk
        line.left()
        if len(data) > MAXIMUM_BYTES:
            raise image_error(name, "more than 20 MB")
    line.left()
    if expected is not None and len(data) < expected:
        raise image_error(name, f"{len(data)} of {expected} bytes, then the end", "the whole file")
    return bytes(data)
