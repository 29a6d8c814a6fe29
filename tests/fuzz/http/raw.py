"""Malformed HTTP: invalid lines, headers and chunks, pipelines, fragments and aborted connections."""

import random
from dataclasses import dataclass

LOGIN = b"Authorization: Basic YWRtaW46YWRtaW4=\r\n"

#: Valid streams, in which mistakes are made.
STREAMS = (
    b"GET /api/overview HTTP/1.1\r\nHost: x\r\n" + LOGIN + b"\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"PUT /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\n" + LOGIN + b"Content-Length: 2\r\n\r\n{}",
    b"PUT /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\n"
    + LOGIN
    + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\nA: b\r\n\r\n",
    b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 21\r\n\r\nusername=a&password=b",
    b"POST /api/definitions HTTP/1.1\r\nHost: x\r\n" + LOGIN + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"DELETE /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\n" + LOGIN + b"Connection: close\r\n\r\n",
    b"GET /api/version HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/api/version HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"AMQP\0\0\x09\x01",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
)

#: Pieces that are inserted into a stream or replace a part of it.
PIECES = (
    b"",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\xff",
    b":",
    b"/",
    b"%",
    b"0\r\n\r\n",
    b"-1\r\n",
    b"ffffffffffffffffffff\r\n",
    b"99999999999999999999",
    b"HTTP/9.9",
    b"HTTP/1.1",
    b"Content-Length: 5\r\n",
    b"Content-Length: -5\r\n",
    b"Content-Length: 99999999999999999999999\r\n",
    b"Content-Length: 0x5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Host: y\r\n",
    b" folded\r\n",
    b"A" * 9_000,
    b"A: " + b"b" * 70_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    bytes(range(256)),
)


@dataclass(frozen=True)
class Stream:
    """Data to send over a connection: parts, with a short pause after each. cut: how the connection ends."""

    port: str
    parts: tuple[bytes, ...]
    cut: str

    def __str__(self) -> str:
        return f"{self.port} {[part[:500] for part in self.parts]} then {self.cut}"


def stream(chance: random.Random) -> Stream:
    data = b"".join([chance.choice(STREAMS) for _ in range(chance.choice((1, 1, 1, 2, 3)))])
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(6)
        if kind <= 1:
            data = data[:at] + chance.choice(PIECES) + data[at:]
        elif kind == 2:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        elif kind == 3:
            data = data[:at] + data[at + chance.randrange(1, 9) :]
        elif kind == 4:
            line = data.find(b"\r\n", at)
            data = data[: line + 2] + chance.choice(PIECES) + data[line + 2 :]
        else:
            data = data[:at]
    count = chance.choice((1, 1, 1, 2, 3, 10))
    ends = sorted([chance.randrange(len(data) + 1) for _ in range(count - 1)])
    parts = tuple(data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True))
    return Stream(
        chance.choice(("management", "management", "metrics")), parts, chance.choice(("wait", "shut", "reset"))
    )
