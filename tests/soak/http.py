"""Soak phases that drive the limits of requests by HTTP clients: connections, bodies and logins."""

import ssl
import time

from amqpbroker.management.bodies import MAX_LOGIN_BYTES
from tests.soak.caller import DROPPED, Caller, callers, recovers
from tests.soak.soak import Phase, Soak

#: Maximum seconds until the broker has read the sent data, or has dropped clients.
PATIENCE_S = 10.0
#: Number of large bodies that fit into the limit of all.
SHARE = 8
CHUNK_BYTES = 100_000


# --- connections ------------------------------------------------------------------------------------------------------


def connections(soak: Soak, port: int, path: str, trusted: ssl.SSLContext | None = None) -> None:
    """Open twice as many connections as the limit, idle ones and then ones with half a request."""
    most = soak.bounds.http_connections
    soak.management.call("GET", "/whoami")  # its connection must be open before the others
    recovers(port, path, trusted)
    with callers() as held:
        dropped = sum(not _is_held(held, port, path, trusted) for _ in range(2 * most + 10))
        # The soak's own connection is one of them.
        assert most - 2 <= len(held) <= most, f"{len(held)} connections are open, the limit is {most}"
        assert dropped > most, f"only {dropped} connections were dropped"
        soak.serves_others()
    recovers(port, path, trusted)
    with callers() as held:
        for _ in range(most):
            caller = Caller(port, trusted)
            held.append(caller)
            caller.send(b"GET /api/whoami HTTP/1.1\r\nHo")
        with callers() as late:
            assert not sum(_is_held(late, port, path, trusted) for _ in range(most // 10)), "the limit does not hold"
        soak.serves_others()
    recovers(port, path, trusted)


def _is_held(held: list[Caller], port: int, path: str, trusted: ssl.SSLContext | None) -> bool:
    """Add a connection with an answered request to `held`; return False if the broker drops the connection."""
    try:
        caller = Caller(port, trusted)
    except DROPPED:
        return False
    if caller.get(path) is None:
        caller.socket.close()
        return False
    held.append(caller)
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
        lambda soak: connections(soak, soak.host.metrics_port, "/metrics/none"),
        is_peak=True,
    ),
    Phase("bodies at once", bodies, is_peak=True),
    Phase("bodies that are too large", too_large, is_peak=True),
    Phase("logins to the page", sessions, is_peak=True),
]
