"""Soak phases that drive the limits of requests by HTTP clients: connections, bodies and logins."""

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from amqpbroker.management.bodies import MAX_LOGIN_BYTES
from amqpbroker.server.resting import GIVE_WAY_S
from tests.soak.caller import DROPPED, RECOVERY_S, Caller, callers, recovers
from tests.soak.soak import Phase, Soak

#: Maximum seconds until the broker has read the sent data, or has dropped clients.
PATIENCE_S = 10.0
#: Number of large bodies that fit into the limit of all.
SHARE = 8
CHUNK_BYTES = 100_000
#: Number of connections with an unanswered request among those that give way.
UPLOADS = 4
#: Seconds after which all connections may give way.
PAUSE_S = GIVE_WAY_S + 0.25


# --- connections ------------------------------------------------------------------------------------------------------


class _Crowd:
    """Open connections of a listener that may give way, in the order of their waits.

    most: maximum number of them.
    """

    def __init__(self, held: list[Caller], most: int) -> None:
        self._held = held
        self._most = most
        #: Starts of the waits of `held`, or somewhat earlier.
        self._since: list[float] = []

    def __len__(self) -> int:
        return len(self._held)

    def add(self, caller: Caller, since: float) -> None:
        self._held.append(caller)
        self._since.append(since)

    def send(self, data: bytes) -> None:
        """Send data on all connections."""
        for caller in self._held:
            caller.send(data)

    def check(self) -> None:
        """Forget the connections that gave way.

        Raises AssertionError if too many are open, or if others gave way than those that have waited longest.
        """
        until = time.monotonic() + RECOVERY_S
        # A client may be answered a moment before the other connection is closed.
        while (count := sum(self._forget())) > self._most:
            assert time.monotonic() < until, f"{count} connections are open, the limit is {self._most}"
            time.sleep(0.01)

    def _forget(self) -> list[bool]:
        """Remove closed connections; return for each of the others that it is open."""
        is_open = [caller.is_open() for caller in self._held]
        gone = is_open.index(True) if True in is_open else len(is_open)
        assert all(is_open[gone:]), "a connection gave way before one that had waited longer"
        if gone:
            waited_s = time.monotonic() - self._since[gone - 1]
            # The broker's clock advances only between its steps, so that a wait can seem longer to it.
            assert waited_s > GIVE_WAY_S / 2, f"a connection gave way after {waited_s:.2f} s"
        for caller in self._held[:gone]:
            caller.socket.close()
        del self._held[:gone], self._since[:gone]
        return is_open[gone:]


@contextmanager
def _crowd(soak: Soak, most: int) -> Iterator[_Crowd]:
    """Yield a crowd, whose connections are closed at the end."""
    # The soak's own connection would be one of them, and would give way; the next request opens it again.
    soak.management.close()
    try:
        with callers() as held:
            yield _Crowd(held, most)
    finally:
        soak.management.close()


def connections(
    soak: Soak, port: int, path: str, trusted: ssl.SSLContext | None = None, has_bodies: bool = True
) -> None:
    """Open twice as many connections as the limit, idle ones and then ones with a part of a request; they give way.

    has_bodies: whether the port serves requests with a body.
    """
    soak.management.call("GET", "/whoami")  # the first client waits until the HTTP server is made
    recovers(port, path, trusted)
    _idle(soak, port, path, trusted)
    recovers(port, path, trusted)
    _unfinished(soak, port, path, trusted, UPLOADS if has_bodies else 0)
    recovers(port, path, trusted)


def _idle(soak: Soak, port: int, path: str, trusted: ssl.SSLContext | None) -> None:
    """Open too many connections whose request is answered."""
    most = soak.bounds.http_connections
    with _crowd(soak, most) as crowd:
        for i in range(2 * most + 10):
            _join(crowd, port, path, trusted)
            if i % (most // 4) == 0:
                crowd.check()
        crowd.check()
        assert len(crowd) >= most - 2, f"only {len(crowd)} connections are open, the limit is {most}"
        time.sleep(PAUSE_S)
        _replace(soak, crowd, port, path, trusted)


def _unfinished(soak: Soak, port: int, path: str, trusted: ssl.SSLContext | None, uploads: int) -> None:
    """Open as many connections as are allowed, with half a head, or with an answered request whose body is missing.

    uploads: number of those whose request is not answered yet. These do not give way.
    """
    most = soak.bounds.http_connections
    with callers() as busy, _crowd(soak, most - uploads) as crowd:
        for _ in range(uploads):
            caller = Caller(port, trusted)
            busy.append(caller)
            caller.start("POST", "/api/definitions", "Content-Length: 2")
            caller.send(b"{")
        for i in range(most - uploads):
            since = time.monotonic()
            caller = Caller(port, trusted)
            crowd.add(caller, since)
            if i % 2:
                caller.send(b"GET / HTTP/1.1\r\nHo")
            else:
                # The broker does not read the body of a request that it refuses.
                caller.start("GET", path, "Content-Length: 1000", login="")
                assert caller.answer() is not None, "a connection below the limit was dropped"
        time.sleep(PAUSE_S)
        crowd.check()
        # Further bytes of a request do not begin a new wait.
        crowd.send(b"x")
        _replace(soak, crowd, port, path, trusted)
        for caller in busy:
            caller.send(b"}")
            _is_answered(caller, 204)


def _replace(soak: Soak, crowd: _Crowd, port: int, path: str, trusted: ssl.SSLContext | None) -> None:
    """Connect new clients, which take the places of half of the crowd: each is served at once."""
    for i in range(len(crowd) // 2):
        assert _join(crowd, port, path, trusted), f"new client {i} was dropped, although others wait for a request"
    crowd.check()
    try:
        soak.serves_others()
    except DROPPED as error:
        raise AssertionError(f"another client was dropped, although others wait for a request: {error}") from error
    crowd.check()


def _join(crowd: _Crowd, port: int, path: str, trusted: ssl.SSLContext | None) -> bool:
    """Add a connection with an answered request to the crowd; return False if the broker drops the connection."""
    since = time.monotonic()
    try:
        caller = Caller(port, trusted)
    except DROPPED:
        return False
    if caller.get(path) is None:
        caller.socket.close()
        return False
    crowd.add(caller, since)
    return True


# --- bodies -----------------------------------------------------------------------------------------------------------


def bodies(soak: Soak) -> None:
    """Upload twice the allowed size of all bodies, slowly.

    Abandon half of the uploads that fit, and finish the others.
    """
    bounds, port = soak.bounds, soak.host.http_port
    size = bounds.bodies_bytes // SHARE
    with callers() as held:
        for i in range(SHARE):
            held.append(Caller(port))
            _upload(held[i], f"upload-{i}", size)
        _has_bodies(soak, SHARE * (size - 2))
        for _ in range(SHARE + 2):
            with Caller(port) as caller:
                _upload(caller, "refused", size)
                _is_answered(caller, 503)
                caller.send(b"{}")
                assert caller.get("/api/whoami") == 200, "a connection is of no use after a refused body"
        soak.serves_others()
        for caller in held[::2]:
            caller.socket.close()
        for caller in held[1::2]:
            caller.send(b"{}")
            _is_answered(caller, 201)
        _has_bodies(soak, 0)
    with Caller(port) as caller:
        caller.start("PUT", "/api/queues/%2F/largest", f"Content-Length: {bounds.body_bytes}")
        caller.send(b" " * (bounds.body_bytes - 2) + b"{}")
        _is_answered(caller, 201)
    for queue in soak.management.call("GET", "/queues"):
        soak.management.call("DELETE", f"/queues/%2F/{queue['name']}")


def too_large(soak: Soak) -> None:
    """Send bodies of twice the largest size, announced and in chunks, with and without a login."""
    port, size = soak.host.http_port, 2 * soak.bounds.body_bytes
    chunk = b"%x\r\n" % CHUNK_BYTES + b" " * CHUNK_BYTES + b"\r\n"
    for _ in range(3):
        with Caller(port) as announced, Caller(port) as stranger, Caller(port) as chunked, Caller(port) as login:
            announced.start("POST", "/api/definitions", f"Content-Length: {size}")
            _is_answered(announced, 400)
            stranger.start("POST", "/api/definitions", f"Content-Length: {size}", login="")
            _is_answered(stranger, 401)
            chunked.start("POST", "/api/definitions", "Transfer-Encoding: chunked")
            for _ in range(size // CHUNK_BYTES):
                chunked.send(chunk)
            chunked.send(b"0\r\n\r\n")
            _is_answered(chunked, 400)
            assert chunked.get("/api/whoami") == 200, "a connection is of no use after a refused body"
            form = b"username=guest&password=guest&more="
            answer = login.post("/api/login", form + b"x" * 2 * MAX_LOGIN_BYTES, login="")
            assert answer is not None, "the connection was dropped"
            assert answer.status == 400, answer
    _has_bodies(soak, 0)


def _upload(caller: Caller, queue: str, size: int) -> None:
    """Declare a queue, without the last two bytes of the body."""
    caller.start("PUT", f"/api/queues/%2F/{queue}", f"Content-Length: {size}")
    for part in (size // 2, size - 2 - size // 2):
        caller.send(b" " * part)


def _is_answered(caller: Caller, status: int) -> None:
    answer = caller.answer()
    assert answer is not None, "the connection was dropped"
    assert answer.status == status, f"{answer}, not {status}"


def _has_bodies(soak: Soak, size: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while (taken := soak.census()["Bodies.total_bytes"]) != size:
        assert time.monotonic() < until, f"bodies take {taken} bytes, not {size}"
        time.sleep(0.05)


# --- logins -----------------------------------------------------------------------------------------------------------


def sessions(soak: Soak) -> None:
    """Log in to the management UI more often than is remembered, for each user and for all users together."""
    bounds, api = soak.bounds, soak.management
    own = 2 * bounds.user_sessions + 1
    users = 2 * bounds.sessions // bounds.user_sessions + 2
    for i in range(users):
        api.call("PUT", f"/users/visitor-{i}", {"password": "secret", "tags": "management"})
    with Caller(soak.host.http_port) as caller:
        first = [_log_in(caller, "visitor-0") for _ in range(own)]
        assert [_is_known(caller, token) for token in first] == [i >= own - bounds.user_sessions for i in range(own)]
        rest = [_log_in(caller, f"visitor-{i}") for i in range(1, users) for _ in range(bounds.user_sessions)]
        known = [_is_known(caller, token) for token in (*first, *rest)]
        assert sum(known) == bounds.sessions, f"{sum(known)} logins are known, the limit is {bounds.sessions}"
        assert all(known[-bounds.sessions :]), "others than the oldest logins ended"
        for token in rest[-bounds.user_sessions :]:
            caller.start("DELETE", "/api/login", f"Cookie: {token}", "X-Requested-With: soak", login="")
            caller.answer()
    for i in range(users):
        api.call("DELETE", f"/users/visitor-{i}")


def _log_in(caller: Caller, user: str) -> str:
    """Return the cookie of a new login."""
    answer = caller.post("/api/login", f"username={user}&password=secret".encode(), login="")
    assert answer is not None, "the connection was dropped"
    assert answer.status == 200, answer
    return answer.headers["Set-Cookie"].partition(";")[0]


def _is_known(caller: Caller, token: str) -> bool:
    caller.start("GET", "/api/whoami", f"Cookie: {token}", login="")
    answer = caller.answer()
    assert answer is not None, "the connection was dropped"
    return answer.status == 200


PHASES = [
    Phase(
        "HTTP connections at once",
        lambda soak: connections(soak, soak.host.http_port, "/api/whoami"),
        is_peak=True,
    ),
    Phase(
        "HTTPS connections at once",
        lambda soak: connections(soak, soak.host.https_port, "/api/whoami", soak.host.trusted),
        is_peak=True,
    ),
    Phase(
        "connections to the metrics at once",
        lambda soak: connections(soak, soak.host.metrics_port, "/metrics/none", has_bodies=False),
        is_peak=True,
    ),
    Phase("bodies at once", bodies, is_peak=True),
    Phase("bodies that are too large", too_large, is_peak=True),
    Phase("logins to the page", sessions, is_peak=True),
]
