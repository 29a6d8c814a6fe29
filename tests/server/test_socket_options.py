import socket

import pytest

from amqpbroker.server.socket_options import set_options

CONGESTION = getattr(socket, "TCP_CONGESTION", None)


@pytest.fixture
def sock():
    with socket.socket() as made:
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_small_frames_are_not_delayed_and_dead_peers_are_found(sock, host):
    set_options(sock, host)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.skipif(CONGESTION is None, reason="only Linux lets congestion control be chosen")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"])
def test_nothing_is_paced_to_this_machine(sock, host):
    set_options(sock, host)
    assert sock.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16).rstrip(b"\0") == b"reno"


@pytest.mark.skipif(CONGESTION is None, reason="only Linux lets congestion control be chosen")
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", ""])
def test_the_network_s_congestion_is_the_system_s_matter(sock, host):
    before = sock.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16)
    set_options(sock, host)
    assert sock.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16) == before


def test_a_system_that_refuses_it_is_no_reason_to_refuse_a_client(sock):
    class Refusing:
        def setsockopt(self, level, option, value):
            if option == CONGESTION:
                raise PermissionError("not allowed")
            sock.setsockopt(level, option, value)

    set_options(Refusing(), "127.0.0.1")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
