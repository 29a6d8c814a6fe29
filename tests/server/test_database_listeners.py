"""Listening sockets of a broker with a database."""

import pytest

from amqpbroker.config import Config, Listener, Management, Prometheus
from amqpbroker.server.database_listeners import DatabaseListeners


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
    config = Config(
        listeners=(Listener("127.0.0.1", 0),),
        management=Management(port=None),
        prometheus=Prometheus(port=None),
        store_url=url,
        store_address=address,
    )
    made = DatabaseListeners(config)
    for sockets in (*made.bound.values(), [made._peers]):
        for sock in sockets:
            sock.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warns
    assert all("set store.address=HOST:PORT" in message for message in caplog.messages)
