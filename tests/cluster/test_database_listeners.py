"""Listening sockets of a broker with a database."""

import socket

import pytest

from amqpbroker.cluster.database_listeners import DatabaseListeners
from amqpbroker.config import Config, Listener, Management, Prometheus


def opened(url, address, listener="127.0.0.1"):
    """Return the listening sockets of a broker, which are closed again."""
    config = Config(
        listeners=(Listener(listener, 0),),
        management=Management(port=None),
        prometheus=Prometheus(port=None),
        store_url=url,
        store_address=address,
    )
    made = DatabaseListeners(config)
    for sockets in (*made.bound.values(), [made._peers]):
        for sock in sockets:
            sock.close()
    return made


@pytest.mark.parametrize(
    ("url", "address", "warns"),
    [
        ("postgresql://db.example/broker", "127.0.0.1:0", True),
        ("postgresql://db.example/broker", "localhost:0", True),
        ("postgresql://127.0.0.1,db.example/broker", "[::1]:0", True),
        ("postgresql://127.0.0.2,[::1],localhost/broker", "127.0.0.1:0", False),
        ("postgresql:///broker?host=/run/postgresql", "127.0.0.1:0", False),
        ("postgresql:///broker", "", False),
        ("postgresql://db.example/broker", "0.0.0.0:0", False),
    ],
)
def test_an_address_of_this_machine_only_is_warned_about_unless_the_database_is_here(
    url, address, warns, caplog, monkeypatch
):
    monkeypatch.setattr("socket.getfqdn", lambda: "broker.example")
    opened(url, address)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warns
    assert all("set store.address=HOST:PORT" in message for message in caplog.messages)


def test_a_name_of_this_machine_that_means_a_loopback_address_here_is_warned_about(caplog, monkeypatch):
    found = socket.getaddrinfo

    def lookup(host, *arguments, **options):
        return found("127.0.1.1" if host == "broker.example" else host, *arguments, **options)

    monkeypatch.setattr("socket.getaddrinfo", lookup)
    opened("postgresql://db.example/broker", "broker.example:0")
    assert "set store.address=HOST:PORT" in caplog.text


@pytest.mark.parametrize(
    ("listener", "address", "host"),
    [
        ("127.0.0.1", "0.0.0.0:0", "broker.example"),
        ("::1", "0.0.0.0:0", "broker.example"),
        ("0.0.0.0", "", "broker.example"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.1:0", "127.0.0.1"),
    ],
)
def test_brokers_behind_proxies_of_their_machines_have_different_addresses(listener, address, host, monkeypatch):
    monkeypatch.setattr("socket.getfqdn", lambda: "broker.example")
    assert opened("postgresql:///broker", address, listener).address.startswith(f"{host}:")
