"""Counters of channels, connections, exchanges and the broker; the numbers are those of RabbitMQ 4.0.5."""

from collections.abc import Callable

from amqpbroker.amqp.channel import Channel
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.counters.stats import Counted
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire, make_broker, published


def counts(counted: Counted) -> dict[str, int]:
    """Return the counters that are not 0."""
    pairs = zip(counted.counter_names, counted.counters(), strict=True)
    return {name: count for name, count in pairs if count}


def channel_of(wire: Wire, number: int = 1) -> Channel:
    return wire.connection.channels[number]


def exchange_counts(broker: Broker, name: str = "") -> tuple[int, ...]:
    return broker.vhost("/").exchange(name).counters()


# --- publish ----------------------------------------------------------------------------------------------------------


def test_every_publish_is_counted_repeated_or_not(broker: Broker, client: Wire):
    client.declare("q")
    client.declare("p")
    same = published("q", b"same")
    client.feed(same * 5 + published("p", b"other") + same * 3 + published("q", b"a longer one") + same)
    client.turn()
    assert counts(channel_of(client)) == {"publish": 11}
    assert exchange_counts(broker) == (11, 11)
    assert counts(broker.vhost("/").queues["q"])["publish"] == 10


def test_publish_to_several_queues_or_to_none_is_counted_once(broker: Broker, client: Wire):
    for queue in ("q", "p"):
        client.declare(queue)
        client.call(1, "queue.bind", queue=queue, exchange="amq.fanout")
    client.publish("", exchange="amq.fanout")
    client.publish("nowhere")
    client.publish("nowhere", mandatory=True)
    client.turn()
    assert channel_of(client).message_stats() == {
        "publish": 3,
        "confirm": 0,
        "return_unroutable": 1,
        "drop_unroutable": 1,
    }
    assert exchange_counts(broker, "amq.fanout") == (1, 2)
    assert exchange_counts(broker) == (2, 0)


def test_only_the_first_exchange_of_a_publish_counts_it(broker: Broker, client: Wire):
    client.declare("q")
    client.call(1, "exchange.bind", destination="amq.direct", source="amq.fanout", routing_key="k")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    client.publish("k", exchange="amq.fanout")
    client.turn()
    assert exchange_counts(broker, "amq.fanout") == (1, 1)
    assert exchange_counts(broker, "amq.direct") == (0, 0)


def test_publishes_before_and_after_a_binding_add_up(broker: Broker, client: Wire):
    client.declare("q")
    for queue in ("p", "r"):
        client.feed(published("q", b"x") * 4)
        client.declare(queue)
        client.call(1, "queue.bind", queue=queue, exchange="amq.direct", routing_key="k")
    client.feed(published("q", b"x") * 4)
    client.turn()
    assert counts(channel_of(client)) == {"publish": 12}
    assert exchange_counts(broker) == (12, 12)


def test_counts_of_a_closed_channel_stay_in_the_totals(broker: Broker, client: Wire):
    client.declare("q")
    client.feed(published("q", b"x") * 4)
    client.get("q", no_ack=False)
    client.call(1, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    assert exchange_counts(broker) == (4, 4)
    expected = {"publish": 4, "get": 1, "get_no_ack": 0, "deliver_get": 1}
    for counted in (broker, broker.vhost("/")):
        found = counted.message_stats()
        assert {name: found[name] for name in expected} == expected
    assert not broker.vhost("/").exchange("").outlets


def test_transaction_is_counted_at_its_commit(broker: Broker, client: Wire):
    client.declare("q")
    client.call(1, "tx.select")
    client.publish("q", b"a")
    client.publish("q", b"b")
    client.turn()
    info = client.connection.channel_infos()[0]
    assert (info.transactional, info.messages_uncommitted, info.message_stats) == (True, 2, {})
    client.call(1, "tx.commit")
    info = client.connection.channel_infos()[0]
    assert (info.messages_uncommitted, info.message_stats["publish"]) == (0, 2)
    client.get("q", no_ack=False)
    client.send(1, "basic.ack", delivery_tag=1)
    client.turn()
    info = client.connection.channel_infos()[0]
    assert (info.acks_uncommitted, info.message_stats["ack"]) == (1, 0)
    client.call(1, "tx.commit")
    info = client.connection.channel_infos()[0]
    assert (info.acks_uncommitted, info.message_stats["ack"]) == (0, 1)


def test_confirms_are_counted_but_not_nacks(broker: Broker, client: Wire):
    client.publish("nowhere")
    client.call(1, "confirm.select")
    client.declare("q", arguments={"x-max-length": Field("I", 1), "x-overflow": longstr("reject-publish")})
    for _ in range(3):
        client.publish("q")
    client.turn()
    assert counts(channel_of(client)) == {"publish": 4, "confirm": 1, "received_confirm": 3, "drop_unroutable": 1}


# --- deliver ----------------------------------------------------------------------------------------------------------


def test_deliveries_and_their_settlement_are_counted(broker: Broker, client: Wire, other: Wire):
    other.declare("q")
    for _ in range(6):
        other.publish("q", b"x")
    other.turn()
    client.call(1, "basic.qos", prefetch_count=4)
    assert len(client.consume("q")) == 4
    client.send(1, "basic.ack", delivery_tag=1)
    client.send(1, "basic.nack", delivery_tag=2, requeue=True)
    client.send(1, "basic.reject", delivery_tag=3, requeue=False)
    client.turn()
    found = channel_of(client).message_stats()
    expected = {"deliver": 7, "deliver_no_ack": 0, "ack": 1, "redeliver": 1, "deliver_get": 7}
    assert {name: found[name] for name in expected} == expected
    found = broker.vhost("/").queues["q"].message_stats()
    assert {name: found[name] for name in expected} == expected
    client.send(1, "basic.ack", delivery_tag=0, multiple=True)
    client.turn()
    assert counts(channel_of(client))["ack"] == 5


def test_gets_are_counted(broker: Broker, client: Wire):
    client.declare("q")
    client.publish("q")
    client.publish("q")
    client.get("q", no_ack=True)
    client.get("q", no_ack=False)
    client.get("q")
    client.send(1, "basic.ack", delivery_tag=2)
    client.turn()
    expected = {"publish": 2, "get": 1, "get_no_ack": 1, "get_empty": 1, "ack": 1}
    assert counts(channel_of(client)) == expected
    assert counts(broker.vhost("/").queues["q"]) == expected


def test_deliveries_without_acknowledgement_are_counted(broker: Broker, client: Wire):
    client.declare("q")
    client.publish("q")
    client.consume("q", no_ack=True)
    client.publish("q")
    client.turn()
    for counted in (channel_of(client), broker.vhost("/").queues["q"]):
        assert counts(counted) == {"publish": 2, "deliver_no_ack": 2}


def test_global_prefetch_applies_after_gets(client: Wire, other: Wire):
    """The number of outstanding deliveries is the difference of two counters."""
    client.call(1, "basic.qos", prefetch_count=2, global_=True)
    client.declare("q")
    for _ in range(5):
        client.publish("q")
    client.get("q", no_ack=False)
    assert len(client.consume("q")) == 2
    client.send(1, "basic.ack", delivery_tag=1)
    assert client.receive() == []
    client.send(1, "basic.ack", delivery_tag=2)
    assert len(client.receive()) == 1


# --- connections and channels ---------------------------------------------------------------------------------------


def test_churn_and_logins_are_counted():
    broker = make_broker()
    wire = Wire(broker).log_in()
    wire.call(2, "channel.open")
    wire.declare("q")
    wire.declare("q")
    wire.declare("q", passive=True)
    wire.call(1, "queue.delete", queue="q")
    wire.connection.lost()
    assert counts(broker.totals.churn) == {
        "connection_created": 1,
        "connection_closed": 1,
        "channel_created": 2,
        "channel_closed": 2,
        "queue_declared": 2,
        "queue_created": 1,
        "queue_deleted": 1,
    }
    refused = Wire(broker)
    refused.feed(b"AMQP\0\0\x09\x01")
    refused.send(0, "connection.start-ok", client_properties={}, mechanism="PLAIN", response="\0guest\0no", locale="")
    refused.turn()
    assert (broker.totals.auth_attempts.succeeded, broker.totals.auth_attempts.failed) == (
        {"amqp091": 1},
        {"amqp091": 1},
    )


def test_bytes(broker: Broker, connect: Callable[..., Wire]):
    client = connect()
    before = client.connection.info()
    received, sent = before.recv_oct, before.send_oct
    packets = {"recv_cnt": before.recv_cnt, "send_cnt": before.send_cnt}
    assert counts(client.connection) == {"recv_oct": received, "send_oct": sent, **packets}
    data = published("nowhere", b"x" * 100, mandatory=True)
    client.feed(data)
    answer = client.turn()
    info = client.connection.info()
    assert (info.recv_oct, info.send_oct) == (received + len(data), sent + len(answer))
    client.connection.lost()
    for byte_totals in (broker.totals.byte_totals, broker.vhost("/").byte_totals):
        assert byte_totals.counters() == (info.recv_oct, info.send_oct, info.recv_cnt, info.send_cnt)
