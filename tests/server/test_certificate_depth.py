"""Which certificates are near enough to their authority's, and that not all of them are remembered for ever."""

from dataclasses import dataclass

import pytest

from amqpbroker.server import certificate_depth as depth
from amqpbroker.server.certificate_depth import Depth


@dataclass
class Shaken:
    """Connection with the attributes that the check uses."""

    chain: tuple = ()
    session_reused: bool = False

    def get_verified_chain(self):
        return list(self.chain)


AGAIN = Shaken(session_reused=True)


def certificates(count):
    """A connection by a session that begins, with `count` between the client's and the authority's."""
    return Shaken((b"",) * (count + 2))


@pytest.mark.parametrize("between", [0, 1, 2])
def test_tls_session_is_resumed_only_if_its_certificate_passed_before(between):
    one = Depth(1)
    near = between <= 1
    assert one.passes(certificates(between), b"client") is near
    assert one.passes(AGAIN, b"client") is near
    assert not one.passes(AGAIN, b"another")


def test_only_certificates_of_the_latest_tls_sessions_are_remembered(monkeypatch):
    monkeypatch.setattr(depth, "REMEMBERED", 2)
    one = Depth(1)
    for certificate in b"a", b"b", b"a", b"c":
        assert one.passes(certificates(0), certificate)
    assert [one.passes(AGAIN, certificate) for certificate in (b"a", b"b", b"c")] == [True, False, True]
