import contextlib
import socket

import pytest

from amqpbroker.config import Listener
from amqpbroker.server.listeners import ListenError, listen, shown, start_listening


@contextlib.contextmanager
def listening(*listeners):
    sockets = listen(listeners)
    try:
        yield [sock.getsockname()[:2] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_port_0_selects_a_free_port():
    with listening(Listener("127.0.0.1", 0)) as addresses:
        ((host, port),) = addresses
        assert host == "127.0.0.1"
        assert port > 0


def test_several_listeners_can_be_opened():
    with listening(Listener("127.0.0.1", 0), Listener("127.0.0.1", 0)) as addresses:
        assert len(set(addresses)) == 2


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_listener_accepts_an_ipv6_address():
    with listening(Listener("::1", 0)) as addresses:
        assert addresses[0][0] == "::1"


def test_listener_accepts_a_host_name():
    with listening(Listener("localhost", 0)) as addresses:
        assert {host for host, _ in addresses} <= {"127.0.0.1", "::1"}


def test_port_in_use_is_an_error_and_no_listener_stays_open():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}: the port is in use.*--port"):
            listen([Listener("127.0.0.1", 0), Listener("127.0.0.1", port)])


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70])
def test_listener_on_an_unknown_host_is_an_error(host):
    with pytest.raises(ListenError, match=f"{host}: no address is known"):
        listen([Listener(host, 0)])


def test_listener_on_an_address_of_another_machine_is_an_error():
    with pytest.raises(ListenError, match=r"this machine has no such address; choose one with --host, such as"):
        listen([Listener("192.0.2.1", 0)])
    with pytest.raises(ListenError, match=r"no such address; choose one with --set a.ip=HOST, such as"):
        listen([Listener("192.0.2.1", 0)], host_flag="--set a.ip=HOST")


def test_a_port_that_is_taken_after_it_was_bound_is_named():
    with socket.socket() as first, socket.socket() as second:
        for sock in (first, second):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
        second.bind(("127.0.0.1", port))
        start_listening(first, 1)
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}: the port is in use, perhaps by"):
            start_listening(second, 1)


def test_ipv6_addresses_are_shown_in_brackets():
    assert shown("127.0.0.1", 5672) == "127.0.0.1:5672"
    assert shown("::1", 5672) == "[::1]:5672"
