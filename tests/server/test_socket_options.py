import contextlib
import socket
import struct
import sys

import pytest

from amqpbroker.server.socket_options import finish_when_closed, reset_when_closed, set_options, unsent_bytes

CONGESTION = getattr(socket, "TCP_CONGESTION", None)


@pytest.fixture
def sock():
    with socket.socket() as made:
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_client_sockets_have_tcp_nodelay_and_keepalive(sock, host):
    set_options(sock, host)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.skipif(CONGESTION is None, reason="only Linux lets congestion control be chosen")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_connections_use_reno_congestion_control(sock, host):
    set_options(sock, host)
    assert sock.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16).rstrip(b"\0") == b"reno"


@pytest.mark.skipif(CONGESTION is None, reason="only Linux lets congestion control be chosen")
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", ""])
def test_remote_connections_keep_the_system_s_congestion_control(sock, host):
    before = sock.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16)
    set_options(sock, host)
    assert sock.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16) == before


def test_refused_congestion_control_option_is_ignored(sock):
    class Refusing:
        def setsockopt(self, level, option, value):
            if option == CONGESTION:
                raise PermissionError("not allowed")
            sock.setsockopt(level, option, value)

    set_options(Refusing(), "127.0.0.1")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_reset_when_closed_can_be_undone(sock):
    for change, lingers in ((reset_when_closed, 1), (finish_when_closed, 0)):
        change(sock)
        assert struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == (lingers, 0)
    finish_when_closed(None)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports unsent bytes")
def test_unsent_bytes_are_those_that_the_peer_s_kernel_has_not_accepted():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        with served:
            assert unsent_bytes(served) == 0
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            served.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    served.send(bytes(65536))
            assert unsent_bytes(served) > 0
        assert unsent_bytes(served) is None
    assert unsent_bytes(None) is None
