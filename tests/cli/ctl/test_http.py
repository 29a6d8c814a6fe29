"""Requests of ctl over HTTP, with a connection that answers as a test says."""

import io

import pytest

from amqpbroker.cli.ctl import http
from amqpbroker.cli.ctl.http import Answer, HttpError, Server

SERVER = Server("http", "h", 15672, 1.0)


class StillSocket:
    """A connection with its answer. sent: the bytes of the request."""

    def __init__(self, answer):
        self.answer = answer
        self.sent = b""

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass

    def sendall(self, data):
        self.sent += data

    def makefile(self, mode):
        return io.BytesIO(self.answer)


@pytest.fixture
def exchange(monkeypatch):
    """Return a function that sends a request and returns the answer and the bytes that were sent."""

    def call(answer, method="GET", path="/api/whoami", body=None, headers=None, server=SERVER):
        connection = StillSocket(answer)
        monkeypatch.setattr(http.socket, "create_connection", lambda address, timeout: connection)
        return server.request(method, path, body, headers or {}), connection.sent

    return call


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_request_has_the_path_the_host_and_its_headers(exchange):
    _, sent = exchange(OK, headers={"Authorization": "Basic eA=="})
    assert sent == (
        b"GET /api/whoami HTTP/1.1\r\nHost: h:15672\r\nAuthorization: Basic eA==\r\n"
        b"Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("server", "host"),
    [
        (Server("http", "::1", 80, 1.0), b"[::1]:80"),
        (Server("http", "b\xfccher.example", None, 1.0), b"xn--bcher-kva.example"),
    ],
)
def test_host_header_is_that_of_the_url(exchange, server, host):
    assert b"\r\nHost: " + host + b"\r\n" in exchange(OK, server=server)[1]


def test_body_is_sent_with_its_size(exchange):
    assert exchange(OK, "PUT", body=b"{}")[1].partition(b"Content-Length: 2\r\n")[2].endswith(b"\r\n\r\n{}")
    assert b"Content-Length: 0\r\n" in exchange(OK, "PUT")[1]
    assert b"Content-Length" not in exchange(OK, "DELETE")[1]


@pytest.mark.parametrize(
    ("reason", "sent"), [("caf\xe9", b"X-Reason: caf\xe9\r\n"), ("\u0436", "X-Reason: \u0436\r\n".encode())]
)
def test_headers_need_not_be_ascii(exchange, reason, sent):
    assert sent in exchange(OK, headers={"X-Reason": reason})[1]


@pytest.mark.parametrize(
    ("path", "headers", "text"),
    [
        ("/a b", {}, "the path '/a b'"),
        ("/a\r\nX: y", {}, "the path"),
        ("/\xe9", {}, "the path"),
        ("/", {"X-Reason": "a\r\nX: y"}, "the header 'X-Reason: a.*' has a line break"),
        ("/", {"X-Reason": "a\nX: y"}, "the header"),
    ],
)
def test_request_that_would_end_a_line_early_is_not_sent(exchange, path, headers, text):
    with pytest.raises(HttpError, match=text):
        exchange(OK, path=path, headers=headers)


@pytest.mark.parametrize(
    ("received", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest", Answer(200, {"content-length": "2"}, b"{}")),
        (b"HTTP/1.1 404\r\nA:b\r\n\r\nuntil the end", Answer(404, {"a": "b"}, b"until the end")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, {}, b"")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
            Answer(200, {"transfer-encoding": "chunked"}, b"abc0123456789"),
        ),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, Answer(200, {"content-length": "0"}, b"")),
    ],
)
def test_answer_is_read(exchange, received, answer):
    assert exchange(received)[0] == answer


@pytest.mark.parametrize(
    ("received", "text"),
    [
        (b"", "Remote end closed connection without response"),
        (b"AMQP\x00\x00\x09\x01", "^AMQP"),
        (b"HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "the answer ends after 2 of 5 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length: x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", "'z' is not the size of a chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "the answer ends after 2 of 5 bytes"),
        (b"HTTP/1.1 " + b"2" * 70_000, "a line of more than 65536 bytes"),
    ],
)
def test_answer_that_is_not_http_is_an_error(exchange, received, text):
    with pytest.raises(HttpError, match=text):
        exchange(received)


def test_refused_certificate_closes_the_connection(monkeypatch):
    closed = []
    connection = StillSocket(b"")
    connection.close = lambda: closed.append(True)
    monkeypatch.setattr(http.socket, "create_connection", lambda address, timeout: connection)
    with pytest.raises(FileNotFoundError):
        Server("https", "h", None, 1.0, "/does/not/exist.pem").request("GET", "/", None, {})
    assert closed == [True]
