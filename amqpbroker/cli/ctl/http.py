"""HTTP requests of ctl, each on a connection of its own.

http.client does the same, but importing it takes longer than a health check: it loads the packages email and ssl.
"""

import socket
from typing import IO, NamedTuple

#: Longest status line or header that is read.
_LINE_BYTES = 65_536
#: Statuses of answers without a body.
_BODILESS = {204, 304}


class HttpError(Exception):
    """The server did not answer as HTTP requires. The text says what it did instead."""


class Answer(NamedTuple):
    """The answer to a request. headers: by name in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Server(NamedTuple):
    """A server of HTTP or HTTPS.

    port: None for the default one. cacertfile: trusted certificates, None for those of the system.
    """

    scheme: str
    host: str
    port: int | None
    timeout_s: float
    cacertfile: str | None = None

    def request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """Send a request and return the answer. Raises OSError, HttpError.

        timeout_s: the limit for connecting, and for each wait for data.
        """
        with self._connected() as sock:
            sock.sendall(_head(method, path, {"Host": self._host(), **headers}, body) + (body or b""))
            with sock.makefile("rb") as stream:
                return _answer(stream)

    def _connected(self) -> socket.socket:
        port = self.port or (443 if self.scheme == "https" else 80)
        sock = socket.create_connection((self.host, port), self.timeout_s)
        if self.scheme != "https":
            return sock
        import ssl  # a health check on this machine does without

        try:
            return ssl.create_default_context(cafile=self.cacertfile).wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise

    def _host(self) -> str:
        host = self.host if self.host.isascii() else self.host.encode("idna").decode()
        host = f"[{host}]" if ":" in host else host
        return host if self.port is None else f"{host}:{self.port}"


def _head(method: str, path: str, headers: dict[str, str], body: bytes | None) -> bytes:
    """Return the request line and the headers. Raises HttpError for characters that would end one of them early."""
    size = {"Content-Length": str(len(body or b""))} if body is not None or method in ("POST", "PUT") else {}
    more = {"Accept-Encoding": "identity", "Connection": "close"}
    lines = [f"{name}: {value}" for name, value in {**headers, **size, **more}.items()]
    if not (path.isascii() and path.isprintable()) or " " in path:
        raise HttpError(f"the path {path!r} has characters that a URL cannot have")
    if bad := [line for line in lines if "\r" in line or "\n" in line]:
        raise HttpError(f"the header {bad[0]!r} has a line break")
    # Names and reasons that are not ASCII arrive as latin-1, or else as UTF-8.
    text = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _answer(stream: IO[bytes]) -> Answer:
    status = 100
    while 100 <= status < 200:  # announcements of the answer
        status = _status(_line(stream))
        headers = _headers(stream)
    return Answer(status, headers, _body(stream, status, headers))


def _line(stream: IO[bytes]) -> str:
    line = stream.readline(_LINE_BYTES + 1)
    if len(line) > _LINE_BYTES:
        raise HttpError(f"the answer has a line of more than {_LINE_BYTES} bytes")
    return line.decode("latin-1")


def _status(line: str) -> int:
    if not line:
        raise HttpError("Remote end closed connection without response")
    version, _, rest = line.strip().partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/") or not (code.isascii() and code.isdigit() and len(code) == 3):
        raise HttpError(line.strip())
    return int(code)


def _headers(stream: IO[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    while (line := _line(stream)) not in ("\r\n", "\n", ""):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


def _body(stream: IO[bytes], status: int, headers: dict[str, str]) -> bytes:
    if status in _BODILESS:
        return b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return b"".join(iter(lambda: _chunk(stream), b""))
    size = headers.get("content-length", "")
    if not size:
        return stream.read()  # until the server closes the connection
    if not (size.isascii() and size.isdigit()):
        raise HttpError(f"Content-Length: {size}")
    return _read(stream, int(size))


def _chunk(stream: IO[bytes]) -> bytes:
    """Return the next part of a body in chunks, empty at the end. Headers after the end are not read."""
    line = _line(stream).partition(";")[0].strip()
    try:
        size = int(line, 16)
    except ValueError:
        raise HttpError(f"{line!r} is not the size of a chunk") from None
    data = _read(stream, size)
    if size:
        _line(stream)
    return data


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise HttpError(f"the answer ends after {len(data)} of {size} bytes")
    return data
