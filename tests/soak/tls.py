"""Soak phases that drive the limits of TLS listeners: completed, abandoned and stalled handshakes."""

import time
from contextlib import suppress

from tests.soak.caller import DROPPED, RECOVERY_S, Caller, callers
from tests.soak.rest import handshake_ms
from tests.soak.soak import Phase, Soak

#: First bytes of a client after its handshake; the broker answers them.
AMQP = b"AMQP\0\0\x09\x01"
HTTP = b"GET /api/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n"
#: Beginning of a handshake: a record of 300 bytes, most of which are missing.
HALF_HELLO = b"\x16\x03\x01\x01\x2c\x01\x00\x01\x28\x03\x03" + b"x" * 40
#: First bytes of clients that never complete a handshake.
ABANDONED = (HALF_HELLO, b"", HTTP)
#: Seconds between two checks of the broker's state, each of which delays the broker's clients.
LOOK_S = 0.2
#: Seconds after which a handshake that waits for others is not complete.
FULL_S = 0.2


def complete(soak: Soak, port: int, greeting: bytes) -> None:
    """Complete handshakes, and close half of the connections properly."""
    for i in range(2 * soak.bounds.handshakes + 10):
        _greet(soak, port, greeting, in_order=bool(i % 2))


def abandoned(soak: Soak, port: int, greeting: bytes) -> None:
    """Connect, and disconnect with half of a handshake, with none, or with other data."""
    for i in range(2 * soak.bounds.handshakes + 10):
        with Caller(port) as caller:
            caller.send(ABANDONED[i % len(ABANDONED)])
    until = time.monotonic() + handshake_ms(soak.host.divisor) / 1000
    while shaking := soak.census()["HandshakeListener._shaking[]"]:
        assert time.monotonic() < until, f"{shaking} clients that are gone shake hands"
        time.sleep(LOOK_S)
    _is_quick(soak, port, greeting)


def stalled(soak: Soak, port: int, greeting: bytes) -> None:
    """Begin more handshakes than are allowed at a time; others complete when these are abandoned or time out."""
    most, timeout_s = soak.bounds.handshakes, handshake_ms(soak.host.divisor) / 1000
    with callers() as held:
        _begin(held, port, most)
        with Caller(port) as waiting:
            _begin(held, port, most)
            assert not waiting.shake(soak.host.trusted, FULL_S), "a handshake completes above the limit"
            shaking = soak.census()["HandshakeListener._shaking[]"]
            assert shaking == most, f"{shaking} clients shake hands, the limit is {most}"
            held[0].socket.close()
            assert waiting.shake(soak.host.trusted, RECOVERY_S), "a handshake waits although another one has ended"
        soak.serves_others()
        started = time.monotonic()
        _greet(soak, port, greeting)
        took_s = time.monotonic() - started
        assert took_s < 2 * timeout_s + RECOVERY_S, f"a client waited {took_s:.2f} s behind handshakes that time out"
    _is_quick(soak, port, greeting)


def _begin(held: list[Caller], port: int, count: int) -> None:
    for _ in range(count):
        held.append(Caller(port))
        held[-1].send(HALF_HELLO)


def _greet(soak: Soak, port: int, greeting: bytes, in_order: bool = False) -> None:
    with Caller(port, soak.host.trusted) as caller:
        caller.send(greeting)
        assert caller.socket.recv(8), "a client was dropped after its handshake"
        if in_order:
            with suppress(*DROPPED):
                caller.socket.unwrap()


def _is_quick(soak: Soak, port: int, greeting: bytes) -> None:
    started = time.monotonic()
    _greet(soak, port, greeting)
    took_s = time.monotonic() - started
    assert took_s < RECOVERY_S, f"a new client took {took_s:.2f} s for a handshake"


def _of(soak: Soak, protocol: bytes) -> tuple[int, bytes]:
    return soak.host.tls_port if protocol == AMQP else soak.host.https_port, protocol


PHASES = [
    Phase(
        f"{kind.__name__} handshakes, {name}",
        lambda soak, kind=kind, protocol=protocol: kind(soak, *_of(soak, protocol)),
        is_peak=True,
    )
    for kind in (complete, abandoned, stalled)
    for name, protocol in (("AMQP", AMQP), ("HTTP", HTTP))
]
