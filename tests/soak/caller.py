"""HTTP clients of a soak that send and read as slowly as a phase needs."""

import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import NamedTuple

from tests.load.client import allow_open_files

TIMEOUT_S = 30.0
#: Errors of a connection that the broker drops.
DROPPED = (ConnectionError, ssl.SSLError)
#: Maximum seconds until a new client is answered after others have disconnected.
RECOVERY_S = 1.0

GUEST = "Authorization: Basic " + b64encode(b"guest:guest").decode()

#: Receive buffer of a client that does not read, so that the kernel accepts little of its answer.
SMALL_BUFFER_BYTES = 4096
LARGE_BUFFER_BYTES = 1 << 20


class Answer(NamedTuple):
    """An answer that has been read to the end."""

    status: int
    headers: HTTPMessage
    body: bytes


class Caller:
    """A connection to an HTTP port of this machine. Use it in a `with`.

    trusted: the context for TLS, None for none. buffer_bytes: size of the receive buffer.
    """

    def __init__(self, port: int, trusted: ssl.SSLContext | None = None, buffer_bytes: int | None = None) -> None:
        plain = socket.socket()
        try:
            if buffer_bytes is not None:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            plain.settimeout(TIMEOUT_S)
            plain.connect(("127.0.0.1", port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket = plain if trusted is None else trusted.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *raised: object) -> None:
        self.socket.close()

    def shake(self, trusted: ssl.SSLContext, wait_s: float) -> bool:
        """Begin or continue a TLS handshake; return whether it is complete in time."""
        if not isinstance(self.socket, ssl.SSLSocket):
            self.socket = trusted.wrap_socket(self.socket, server_hostname="localhost", do_handshake_on_connect=False)
        self.socket.settimeout(wait_s)
        try:
            self.socket.do_handshake()
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(TIMEOUT_S)
        return True

    def start(self, method: str, path: str, *head: str, login: str = GUEST) -> None:
        """Send the head of a request, with further header lines."""
        lines = (f"{method} {path} HTTP/1.1", "Host: localhost", *([login] if login else []), *head, "", "")
        self.socket.sendall("\r\n".join(lines).encode())

    def send(self, data: bytes) -> bool:
        """Send data; return whether the broker still accepts any."""
        try:
            self.socket.sendall(data)
        except DROPPED:
            return False
        return True

    def answer(self) -> Answer | None:
        """Return the answer, None if the broker drops the connection instead."""
        # With a small buffer, the kernel sends a few kilobytes every 200 ms.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LARGE_BUFFER_BYTES)
        try:
            with HTTPResponse(self.socket) as response:
                response.begin()
                return Answer(response.status, response.headers, response.read())
        except TimeoutError:
            raise AssertionError(f"no answer within {TIMEOUT_S} s") from None
        except (*DROPPED, HTTPException):
            return None

    def get(self, path: str) -> int | None:
        """Return the status of a GET, None if the broker drops the connection instead."""
        try:
            self.start("GET", path)
        except DROPPED:
            return None
        answer = self.answer()
        return None if answer is None else answer.status

    def post(self, path: str, body: bytes, *head: str, login: str = GUEST) -> Answer | None:
        """Send a POST; return the answer, None if the broker drops the connection instead."""
        self.start_post(path, body, *head, login=login)
        return self.answer()

    def start_post(self, path: str, body: bytes, *head: str, login: str = GUEST) -> None:
        self.start("POST", path, f"Content-Length: {len(body)}", *head, login=login)
        self.send(body)

    def is_open(self) -> bool:
        """Return whether the broker has not closed the connection. All answers must have been read."""
        self.socket.settimeout(0)
        try:
            data = self.socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except DROPPED:
            return False
        finally:
            self.socket.settimeout(TIMEOUT_S)
        assert not data, "the broker sent more than its answer"
        return False

    def wait(self) -> None:
        """Wait for the first byte of the answer, and leave it unread."""
        assert self.socket.recv(1, socket.MSG_PEEK), "the connection was dropped"


@contextmanager
def callers() -> Iterator[list[Caller]]:
    """Yield a list for any number of callers, which are closed at the end."""
    assert allow_open_files(4096), "this process may not open 4,096 files; raise `ulimit -n`"
    held: list[Caller] = []
    try:
        yield held
    finally:
        for caller in held:
            caller.socket.close()


def recovers(port: int, path: str, trusted: ssl.SSLContext | None = None) -> None:
    """Raise AssertionError unless a new client gets an answer within a second; it retries when it is dropped."""
    started = time.monotonic()
    status = None
    while status is None and time.monotonic() < started + TIMEOUT_S:
        with suppress(*DROPPED), Caller(port, trusted) as caller:
            status = caller.get(path)
    took_s = time.monotonic() - started
    assert took_s < RECOVERY_S, f"a new client took {took_s:.2f} s for {path}"
