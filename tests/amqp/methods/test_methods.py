from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from tests.harness import Received, Wire


def test_old_clients_get_their_ticket(client: Wire) -> None:
    assert client.call(1, "access.request", realm="/data", active=True, write=True) == Received(
        1, "access.request-ok", {"ticket": 1}
    )


def test_a_ticket_means_nothing(client: Wire) -> None:
    client.declare("q")
    payload = bytearray(methods.encode("queue.declare", queue="q", passive=True))
    payload[4:6] = b"\xff\xff"
    client.feed(frame(METHOD, 1, bytes(payload)))
    assert [got.name for got in client.receive()] == ["queue.declare-ok"]
