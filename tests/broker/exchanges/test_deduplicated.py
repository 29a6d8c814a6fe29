from typing import Any

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import ExchangeDefinition
from amqpbroker.store.store import MemoryStore
from amqpbroker.testing.retained import KeptDefinitions
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import table
from tests.broker.storing import Node, StepCommitter, bodies, depth
from tests.harness import Received, Wire, make_broker

HEADER = "x-deduplication-header"


class Client(Wire):
    """A client in confirm mode, with the exchange "e" and the queues "q" and "p" bound to it."""

    def setup(self, kind: str = "fanout", **arguments: Any) -> "Client":
        self.log_in()
        if kind != "x-message-deduplication":
            arguments = {"message_deduplication": True, **arguments}
        given = table(**arguments)
        got = self.call(1, "exchange.declare", exchange="e", exchange_type=kind, durable=True, arguments=given)
        assert got.name == "exchange.declare-ok", got
        for name in ("q", "p"):
            self.declare(name, durable=True)
            self.call(1, "queue.bind", queue=name, exchange="e", routing_key="k")
        self.call(1, "confirm.select")
        return self

    def send_id(self, id_: str | None, key: str = "k", mandatory: bool = False, **headers: Field) -> list[str]:
        """Publish a message; return the names of the answers."""
        if id_ is not None:
            headers[HEADER] = longstr(id_)
        self.publish(key, b"", "e", headers=headers, delivery_mode=2, mandatory=mandatory)
        return [got.name for got in self.receive()]

    def depths(self) -> tuple[int, int]:
        return self.depth("q"), self.depth("p")


@pytest.fixture
def broker() -> Broker:
    return make_broker()


def client(broker: Broker, kind: str = "fanout", **arguments: Any) -> Client:
    return Client(broker).setup(kind, **arguments)


@pytest.mark.parametrize("kind", ["fanout", "direct", "topic", "x-message-deduplication"])
def test_duplicate_is_confirmed_and_not_routed(broker: Broker, kind: str) -> None:
    publisher = client(broker, kind, cache_ttl=1000)
    for id_ in ("a", "a", "b", None, None):
        assert publisher.send_id(id_, mandatory=True) == ["basic.ack"]
    assert publisher.depths() == (4, 4)
    exchange = broker.vhosts["/"].exchanges["e"]
    assert exchange.duplicate_filter is not None
    assert exchange.duplicate_filter.dropped == 1
    assert exchange.counters() == (5, 8)
    assert isinstance(broker.clock, ManualClock)
    broker.clock.advance(1000)
    publisher.send_id("a")
    assert publisher.depths() == (5, 5)


def test_message_that_reaches_no_queue_is_returned_and_can_be_repeated(broker: Broker) -> None:
    publisher = client(broker, "direct", cache_ttl=1000)
    for _ in range(2):
        assert publisher.send_id("a", "nowhere", mandatory=True) == ["basic.return", "basic.ack"]
    publisher.send_id("a")
    assert publisher.depths() == (1, 1)


def test_refused_message_can_be_repeated(broker: Broker) -> None:
    publisher = client(broker, cache_ttl=1000)
    full = {"x-max-length": Field("I", 0), "x-overflow": longstr("reject-publish")}
    publisher.declare("full", arguments=full)
    publisher.call(1, "queue.bind", queue="full", exchange="e", routing_key="")
    assert publisher.send_id("a") == ["basic.nack"]
    publisher.call(1, "queue.delete", queue="full")
    assert publisher.send_id("a") == ["basic.ack"]
    assert publisher.send_id("a") == ["basic.ack"]
    assert publisher.depths() == (2, 2)


def test_transaction_takes_ids_at_the_commit_and_one_of_two_equal_ones_counts(broker: Broker) -> None:
    client(broker, cache_ttl=1000)
    publisher = Client(broker)
    publisher.log_in()
    publisher.call(1, "tx.select")
    headers = {HEADER: longstr("a")}
    publisher.publish("k", b"", "e", headers=headers)
    publisher.call(1, "tx.rollback")
    for _ in range(2):
        publisher.publish("k", b"", "e", headers=headers)
    assert publisher.depths() == (0, 0)
    assert publisher.call(1, "tx.commit").name == "tx.commit-ok"
    assert publisher.depths() == (1, 1)


def test_repeated_transaction_needs_no_space(broker: Broker) -> None:
    client(broker, cache_ttl=1000)
    publisher = Client(broker)
    publisher.log_in()
    full = {"x-max-length": Field("I", 1), "x-overflow": longstr("reject-publish")}
    publisher.declare("full", arguments=full)
    publisher.declare("own", arguments=full | table(message_deduplication=True))
    publisher.call(1, "queue.bind", queue="full", exchange="e", routing_key="")
    publisher.call(1, "tx.select")
    for _ in range(2):
        publisher.publish("k", b"", "e", headers={HEADER: longstr("a")})
        publisher.publish("own", b"", headers={HEADER: longstr("a")})
        assert publisher.call(1, "tx.commit").name == "tx.commit-ok"


def test_released_delayed_message_is_not_checked_again(broker: Broker) -> None:
    publisher = client(broker, "x-delayed-message", delayed_type="fanout", cache_ttl=1000)
    for _ in range(2):
        assert publisher.send_id("a", **{"x-delay": Field("I", 100)}) == ["basic.ack"]
    assert isinstance(broker.clock, ManualClock)
    broker.clock.advance(100)
    publisher.receive()
    assert publisher.depths() == (1, 1)


def test_dead_letters_are_checked(broker: Broker) -> None:
    publisher = client(broker, cache_ttl=1000)
    publisher.declare("source", arguments=table(dead_letter_exchange="e"))
    for _ in range(2):
        publisher.publish("source", b"", headers={HEADER: longstr("a")})
        publisher.receive()
        got = publisher.get("source", no_ack=False)
        publisher.send(1, "basic.reject", delivery_tag=got.arguments["delivery_tag"], requeue=False)
        publisher.receive()
    assert publisher.depths() == (1, 1)
    queue = broker.vhosts["/"].queues["q"]
    assert (queue.letters, "publish" in queue.message_stats()) == (1, False)
    assert broker.vhosts["/"].exchanges["e"].counters() == (0, 0)


def test_messages_that_come_through_another_exchange_are_not_checked(broker: Broker) -> None:
    publisher = client(broker, cache_ttl=1000)
    publisher.call(1, "exchange.declare", exchange="front", exchange_type="fanout")
    publisher.call(1, "exchange.bind", source="front", destination="e", routing_key="")
    for _ in range(2):
        publisher.publish("k", b"", "front", headers={HEADER: longstr("a")})
    publisher.receive()
    assert publisher.depths() == (2, 2)


# --- arguments --------------------------------------------------------------------------------------------------------


def declared(broker: Broker, kind: str = "fanout", **arguments: Any) -> Received:
    wire = Wire(broker).log_in()
    return wire.call(1, "exchange.declare", exchange="e", exchange_type=kind, arguments=table(**arguments))


@pytest.mark.parametrize(
    ("arguments", "argument", "text"),
    [
        ({"message_deduplication": 1}, "x-message-deduplication", "expected boolean, got long"),
        ({"cache_ttl": 1}, "x-cache-ttl", "has no effect without x-message-deduplication = true"),
        (
            {"message_deduplication": True, "deduplication_scope": "queue"},
            "x-deduplication-scope",
            "only queues have a scope: leave it out",
        ),
        ({"message_deduplication": True, "cache_size": 0}, "x-cache-size", "expected 1 to 2147483647, got 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    broker: Broker, arguments: dict[str, Any], argument: str, text: str
) -> None:
    assert declared(broker, **arguments).arguments["reply_text"] == (
        f"PRECONDITION_FAILED - invalid arg '{argument}' for exchange 'e' in vhost '/': \"{text}\""
    )
    assert "e" not in broker.vhosts["/"].exchanges


def test_other_values_of_an_argument_are_no_equivalent_declaration(broker: Broker) -> None:
    arguments = {"message_deduplication": True, "cache_ttl": 1000}
    assert declared(broker, **arguments).name == "exchange.declare-ok"
    assert declared(broker, **arguments).name == "exchange.declare-ok"
    got = declared(broker, **(arguments | {"cache_ttl": 2000}))
    assert "inequivalent arg 'x-cache-ttl' for exchange 'e'" in got.arguments["reply_text"]


def test_without_extensions_the_arguments_have_no_effect_and_the_type_is_unknown() -> None:
    compat = make_broker().config.compat.configured({}, extensions=False)
    broker = make_broker(compat=compat)
    assert declared(broker, message_deduplication="x").name == "exchange.declare-ok"
    assert broker.vhosts["/"].exchanges["e"].duplicate_filter is None
    got = declared(broker, "x-message-deduplication")
    assert "unknown exchange type 'x-message-deduplication'" in got.arguments["reply_text"]


def test_invalid_stored_declaration_is_restored_without_deduplication(broker: Broker) -> None:
    exchange = broker.vhosts["/"].declare_exchange(
        "e", "fanout", True, False, False, table(message_deduplication=True, cache_size=0), stored_id=1
    )
    assert exchange.duplicate_filter is None
    with pytest.raises(AmqpError):
        broker.vhosts["/"].declare_exchange("f", "fanout", True, False, False, table(cache_size=0))


# --- stored -----------------------------------------------------------------------------------------------------------


class ExchangeNode(Node):
    """A Node with the exchange "e", which drops duplicates, bound to its queues."""

    def declare_more(self) -> None:
        vhost = self.broker.vhosts["/"]
        arguments = table(message_deduplication=True, cache_ttl=1000)
        exchange = vhost.declare_exchange("e", "fanout", True, False, False, arguments, stored_id=100)
        for name in self.queues:
            vhost.bind(exchange, vhost.queues[name], b"", {}, stored=True)

    def send(self, *ids: str) -> None:
        client = self.client()
        for id_ in ids:
            client.publish("", id_.encode(), "e", headers={HEADER: longstr(id_)}, delivery_mode=2)
        client.turn()


def test_ids_of_an_exchange_survive_a_crash() -> None:
    node = ExchangeNode(q={}, p={})
    node.send("a", "b")
    node.clock.advance(500)
    node = node.crash()
    node.send("a", "c")
    assert (depth(node, "q"), depth(node, "p")) == (3, 3)
    node.clock.advance(500)
    node = node.crash()
    node.send("a", "c")
    assert (depth(node, "q"), depth(node, "p")) == (4, 4)


def test_ids_of_a_deleted_exchange_are_not_kept() -> None:
    node = ExchangeNode(q={})
    node.send("a", "b")
    bodies(node)
    assert node.persistence.log.living.size_bytes > 0
    node.broker.vhosts["/"].delete_exchange("e")
    node.broker.sync()
    assert node.persistence.log.living.size_bytes == 0


@pytest.mark.parametrize("written", range(4))
def test_after_a_crash_a_message_and_its_id_are_both_there_or_both_gone(written: int) -> None:
    node = ExchangeNode(committer=StepCommitter, limits={"batch_bytes": 1}, q={}, p={})
    node.send("a", "b", "c")
    for _ in range(written):
        node.committer.finish()
    after = node.crash()
    assert (depth(after, "q"), depth(after, "p")) == (written, written)
    after.send("a", "b", "c")
    while after.committer.work:
        after.committer.finish()
    assert (depth(after, "q"), depth(after, "p")) == (3, 3)


def test_id_of_an_exchange_is_that_of_its_stored_definition() -> None:
    definitions = KeptDefinitions()
    broker = Broker(Config(), ManualClock(), MemoryStore(), definitions)
    broker.vhosts["/"].declare_exchange("e", "fanout", True, False, False, table(message_deduplication=True))
    again = Broker(Config(), ManualClock(), MemoryStore(), definitions)
    (definition,) = definitions.all(ExchangeDefinition)
    for each in broker, again:
        duplicate_filter = each.vhosts["/"].exchanges["e"].duplicate_filter
        assert duplicate_filter is not None
        assert duplicate_filter.id == definition.id > 0
