import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.restore import restore
from amqpbroker.broker.users.permissions import Grant, TopicGrant
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS, OLDEST_COMPAT
from amqpbroker.config import Config
from amqpbroker.errors import AmqpError, not_stored
from amqpbroker.store.definitions.definitions import (
    BindingDefinition,
    Definition,
    ExchangeDefinition,
    MemoryDefinitions,
    ParameterDefinition,
    PermissionDefinition,
    QueueDefinition,
    UserDefinition,
)
from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions
from amqpbroker.store.files import Files
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire.values import Field, Table, encode_table, longstr
from tests.broker.queueing import Subscriber, clock_of, declare_stream
from tests.broker.restoring import accounts, everything, exchange, queue, topology
from tests.seeds import seeds

EVERY_TYPE: Table = {
    "t": Field("t", True),
    "b": Field("b", -1),
    "B": Field("B", 200),
    "s": Field("s", -300),
    "u": Field("u", 300),
    "I": Field("I", -70000),
    "i": Field("i", 70000),
    "l": Field("l", 1 << 40),
    "f": Field("f", 0.5),
    "d": Field("d", 0.1),
    "D": Field("D", (2, 314)),
    "S": longstr(b"\xff\0"),
    "x": Field("x", b"\0"),
    "A": Field("A", [Field("l", 1), longstr(b"two")]),
    "T": Field("T", 1_700_000_000),
    "F": Field("F", {"V": Field("V", None)}),
}


class Node:
    """A broker on definitions in a file, which can be killed and started again."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self._path = path
        self.start(**settings)

    def start(self, **settings: Any) -> None:
        self.definitions = SqliteDefinitions(self._path, Files())
        self.broker = Broker(Config(**settings), ManualClock(), MemoryStore(), self.definitions)

    def restart(self, **settings: Any) -> Vhost:
        """Restart the broker; return the vhost "/"."""
        self.definitions.close()
        self.start(**settings)
        return self.vhost

    @property
    def vhost(self) -> Vhost:
        return self.broker.vhosts["/"]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "definitions.sqlite")
    yield made
    made.definitions.close()


# --- restored objects -------------------------------------------------------------------------------------------------


def test_topology_is_restored_with_arguments(node: Node) -> None:
    vhost = node.vhost
    delayed = {"x-delayed-type": longstr("topic"), "alternate-exchange": longstr("x"), **EVERY_TYPE}
    x = exchange(vhost, "x", arguments=EVERY_TYPE)
    y = vhost.declare_exchange("y", "x-delayed-message", True, True, True, delayed)
    q = queue(vhost, "q", arguments={"x-max-length": Field("b", 5), **EVERY_TYPE})
    other = node.broker.add_vhost("other")
    elsewhere = other.declare_queue("q", True, False, True, {"x-max-priority": Field("B", 3)})
    vhost.bind(x, q, b"\xff", EVERY_TYPE)
    vhost.bind(x, y, b"key", {})
    vhost.bind(y, q, b"a.#", {})
    other.bind(other.exchange("amq.headers"), elsewhere, b"", {"x-match": longstr("any"), "h": Field("l", 1)})
    before = topology(node.broker)
    assert len(before) > 20
    vhost = node.restart()
    assert topology(node.broker) == before
    assert vhost.queue("q", None).settings.max_length == 5
    assert node.broker.vhosts["other"].queue("q", None).settings.max_priority == 3
    assert vhost.exchange("y").alternate == "x"


def test_transient_and_exclusive_objects_are_not_restored(node: Node) -> None:
    vhost = node.vhost
    session = object()
    exclusive = vhost.declare_queue("exclusive", True, True, False, {}, session)
    transient, durable = queue(vhost, "transient", durable=False), queue(vhost, "durable")
    x, passing = exchange(vhost, "x"), exchange(vhost, "passing", durable=False)
    for source in (x, passing):
        for destination in (exclusive, transient, durable):
            vhost.bind(source, destination, b"", {})
    vhost.bind(x, passing, b"", {})
    assert [exclusive.id, transient.id, durable.id] == [0, 0, 1]
    before = topology(node.broker, durable_only=True)
    vhost = node.restart()
    assert topology(node.broker) == before
    assert list(vhost.queues) == ["durable"]
    assert [b.destination.name for b in vhost.exchange("x").bindings.values()] == ["durable"]


def test_restored_queues_have_their_ids_and_new_ones_get_new_ids(node: Node) -> None:
    vhost = node.vhost
    queue(vhost, "a")
    vhost.delete_queue(queue(vhost, "b"))
    queue(vhost, "c")
    assert {number: q.name for number, q in node.broker.storage.holders().items()} == {1: "a", 3: "c"}
    vhost = node.restart()
    assert {number: q.name for number, q in node.broker.storage.holders().items()} == {1: "a", 3: "c"}
    assert queue(vhost, "a").id == 1
    assert queue(vhost, "b").id == 4
    assert node.broker.storage.lost_ids == frozenset()


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("x-modulus-hash", {}), ("x-delayed-message", {"x-delayed-type": longstr("x-modulus-hash")})],
)
def test_exchange_of_a_type_unknown_to_the_emulated_release_is_restored(
    node: Node, kind: str, arguments: Table
) -> None:
    vhost = node.restart(compat=COMPATS["4.3"])
    vhost.declare_exchange("x", kind, True, False, False, arguments)
    assert node.restart().exchanges["x"].type.name == kind


def test_queue_is_restored_with_the_type_of_its_declaration(node: Node) -> None:
    queue(node.vhost, "q")
    vhost = node.restart(default_queue_type="quorum")
    assert vhost.queue("q", None).kind.name == "classic"


def test_deleted_objects_are_not_restored(node: Node) -> None:
    vhost = node.vhost
    x, q, r = exchange(vhost, "x"), queue(vhost, "q"), queue(vhost, "r")
    vhost.bind(x, q, b"1", {"a": Field("l", 1), "b": Field("l", 2)})
    vhost.bind(x, q, b"2", {})
    vhost.bind(x, r, b"3", {})
    vhost.bind(exchange(vhost, "y"), r, b"4", {})
    vhost.unbind(x, q, b"1", {"b": Field("l", 2), "a": Field("l", 1)})
    vhost.delete_exchange("y")
    vhost.delete_queue(r)
    vhost = node.restart()
    assert "y" not in vhost.exchanges
    assert list(vhost.queues) == ["q"]
    assert [b.routing_key for b in vhost.exchange("x").bindings.values()] == [b"2"]


def test_deleted_chain_of_auto_delete_exchanges_is_not_restored(node: Node) -> None:
    vhost = node.vhost
    first, second = exchange(vhost, "first", auto_delete=True), exchange(vhost, "second", auto_delete=True)
    transient = queue(vhost, "transient", durable=False)
    vhost.bind(first, second, b"", {})
    vhost.bind(second, transient, b"", {})
    assert {"first", "second"} <= set(node.restart().exchanges)
    vhost = node.vhost
    vhost.bind(vhost.exchange("second"), queue(vhost, "transient", durable=False), b"", {})
    vhost.delete_queue(vhost.queue("transient", None))
    assert not {"first", "second"} & set(vhost.exchanges)
    assert not {"first", "second"} & set(node.restart().exchanges)


def test_deleted_auto_delete_queue_is_not_restored(node: Node) -> None:
    q = node.vhost.declare_queue("q", True, False, True, {})
    Subscriber(q).subscribe().cancel()
    assert "q" not in node.restart().queues


def test_unused_queue_expires_after_restart_and_is_not_restored(node: Node) -> None:
    queue(node.vhost, "q", arguments={"x-expires": Field("I", 1000)})
    clock_of(node.vhost).advance(900)
    vhost = node.restart()
    clock_of(vhost).advance(900)
    assert "q" in vhost.queues
    clock_of(vhost).advance(100)
    assert "q" not in vhost.queues
    assert "q" not in node.restart().queues


def test_users_and_permissions_are_restored(node: Node) -> None:
    users = node.broker.users
    node.broker.add_vhost("other")
    users.add_user("ann", "s3cret", ["management", "policymaker"])
    users.add_user("bob")
    users.set_permissions("ann", "/", "^a", ".*", "")
    users.set_permissions("ann", "other", "", "", "")
    users.set_topic_permissions("ann", "/", "amq.topic", "^{username}", ".*")
    users.set_topic_permissions("ann", "/", "x", "", "")
    users.set_permissions("bob", "/", "", "", "")
    users.change_password("bob", "new")
    users.set_tags("bob", ["monitoring"])
    users.clear_permissions("bob", "/")
    users.clear_topic_permissions("ann", "/", "x")
    before = accounts(node.broker)
    node.restart()
    assert accounts(node.broker) == before
    users = node.broker.users
    assert users.authenticate("ann", b"s3cret")
    assert users.authenticate("bob", b"new")
    assert users.list_permissions("ann", "/") == [("ann", "/", Grant("^a", ".*", ""))]
    assert users.list_topic_permissions("ann") == [("ann", "/", "amq.topic", TopicGrant("^{username}", ".*"))]
    users.delete_user("ann")
    users.clear_password("bob")
    users.clear_permissions("guest", "/")
    before = accounts(node.broker)
    node.restart()
    assert accounts(node.broker) == before
    assert [user.name for user in node.broker.users.list_users()] == ["guest", "bob"]
    assert node.broker.users.list_permissions() == []


# --- policies, parameters, limits, vhosts -----------------------------------------------------------------------------


def test_policies_are_restored_and_in_force(node: Node) -> None:
    policies = node.broker.policies
    policies.put(Policy("/", "p", "^q", {"max-length": 5}, "queues", 1.5))
    policies.put(Policy("/", "op", "^q", {"max-length": 3}, operator=True, priority=10**20))
    policies.put(Policy("/", "x", "", {"alternate-exchange": "amq.fanout"}, "exchanges"))
    policies.put(Policy("/", "gone", "^q", {"max-length": 1}, priority=9))
    policies.delete("/", "gone")
    policies.put(Policy("/", "x", "", {"alternate-exchange": "amq.topic"}, "exchanges"))
    exchange(node.vhost, "x")
    queue(node.vhost, "q")
    before = everything(node.broker)
    vhost = node.restart()
    # Only the number of route changes differs.
    assert [part for part in everything(node.broker) if part is not before[2]][:2] == [*before[:2]]
    assert everything(node.broker)[3:] == before[3:]
    assert vhost.queues["q"].settings.max_length == 3
    assert {name: x.alternate for name, x in vhost.exchanges.items()}["amq.direct"] == "amq.topic"
    assert vhost.exchanges["x"].alternate == "amq.topic"


def test_limits_and_global_parameters_are_restored(node: Node) -> None:
    limits = node.broker.limits
    limits.set_vhost("/", "max-queues", 5)
    limits.set_vhost("/", "max-connections", 6)
    limits.clear_vhost("/", "max-connections")
    limits.set_user("guest", "max-channels", 7)
    node.broker.global_parameters.put("cluster_name", "ours")
    node.broker.global_parameters.put("gone", [])
    node.broker.global_parameters.delete("gone")
    node.restart()
    assert node.broker.limits.vhosts() == {"/": {"max-queues": 5}}
    assert node.broker.limits.user("guest") == {"max-channels": 7}
    assert node.broker.global_parameters.list() == [("cluster_name", "ours")]
    node.broker.limits.clear_vhost("/")
    node.broker.limits.clear_user("guest")
    node.restart()
    assert node.broker.limits.vhosts() == node.broker.limits.user("guest") == {}


def test_queues_over_the_limit_are_restored(node: Node) -> None:
    queue(node.vhost, "q1")
    queue(node.vhost, "q2")
    node.broker.limits.set_vhost("/", "max-queues", 1)
    assert sorted(node.restart().queues) == ["q1", "q2"]


def test_vhost_is_restored_with_its_properties(node: Node) -> None:
    node.broker.add_vhost("v", "d", ["t"], "quorum")
    node.broker.update_vhost("v", "changed", protected=True)
    before = node.broker.vhosts["v"].definition
    assert node.restart(default_queue_type="quorum").default_queue_type == "classic"
    assert node.broker.vhosts["v"].definition == before
    assert before == ("v", "changed", ("t",), "quorum", True)


def test_content_of_a_deleted_vhost_is_not_restored(node: Node) -> None:
    broker = node.broker
    vhost = broker.add_vhost("v")
    vhost.bind(exchange(vhost, "x"), queue(vhost, "q"), b"", {})
    broker.users.set_permissions("guest", "v", "", "", "")
    broker.users.set_topic_permissions("guest", "v", "x", "", "")
    broker.policies.put(Policy("v", "p", "", {"max-length": 1}))
    broker.limits.set_vhost("v", "max-queues", 5)
    broker.delete_vhost("v")
    node.restart()
    assert list(node.broker.vhosts) == ["/"]
    assert node.broker.users.list_permissions(vhost="v") == node.broker.users.list_topic_permissions(vhost="v") == []
    vhost = node.broker.add_vhost("v")
    assert node.broker.policies.list() == node.broker.parameters.list() == []
    assert not vhost.queues
    assert "x" not in vhost.exchanges


def test_policy_with_keys_unknown_to_the_emulated_release_is_restored(node: Node) -> None:
    definition = {"delayed-retry-type": "all", "delayed-retry-min": 10}
    node.restart(compat=COMPATS["4.3"])
    node.broker.policies.put(Policy("/", "p", "", definition))
    vhost = node.restart(compat=OLDEST_COMPAT)
    declared = queue(vhost, "q", arguments={"x-queue-type": longstr("quorum")})
    assert (declared.effective_policy, declared.returns.retry) == (definition, None)
    assert node.restart(compat=COMPATS["4.3"]).queues["q"].returns.retry is not None  # type: ignore[attr-defined]


def test_invalid_stored_policy_is_skipped_on_restore_but_stays_stored(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [
        ParameterDefinition("policy", "/", "odd", {"pattern": "^q"}),
        ParameterDefinition("shovel", "/", "s", {}),
    ]
    node.definitions.put(*odd)
    node.restart()
    assert node.broker.policies.list() == []
    assert node.broker.parameters.list() == []
    for name in ("odd", "s"):
        assert f"parameter vhost '/' name '{name}' cannot be restored: Validation failed" in caplog.text
    assert node.definitions.all(ParameterDefinition) == odd


# --- the first start --------------------------------------------------------------------------------------------------


def test_configured_user_and_vhost_are_created_once(node: Node) -> None:
    assert node.broker.users.authenticate("guest", b"guest")
    node.broker.users.add_user("root", "root", ["administrator"])
    node.broker.users.delete_user("guest")
    node.restart(default_vhost="main")
    assert list(node.broker.vhosts) == ["/"]
    assert [user.name for user in node.broker.users.list_users()] == ["root"]


def test_start_after_a_failed_first_start_creates_all_defaults(tmp_path: Path) -> None:
    class Failing(SqliteDefinitions):
        def put(self, *definitions: Definition) -> None:
            if isinstance(definitions[0], PermissionDefinition):
                raise not_stored("disk is full")
            super().put(*definitions)

    path = tmp_path / "definitions.sqlite"
    failing = Failing(path, Files())
    with pytest.raises(AmqpError):
        Broker(Config(), ManualClock(), MemoryStore(), failing)
    failing.close()
    node = Node(path)
    assert [grant[0] for grant in node.broker.users.list_permissions()] == ["guest"]
    node.definitions.close()


def test_a_stream_keeps_the_segment_size_of_its_declaration(tmp_path: Path) -> None:
    node = Node(tmp_path / "definitions.sqlite", redeclare="update")
    policies = node.broker.policies
    policies.put(Policy("/", "p", "", {"stream-max-segment-size-bytes": 1000}))
    declare_stream(node.vhost, "small")
    policies.put(Policy("/", "p", "", {"stream-max-segment-size-bytes": 2000}))
    declare_stream(node.vhost, "large")
    changed = declare_stream(node.vhost, "changed")
    policies.delete("/", "p")
    assert declare_stream(node.vhost, "changed", stream_max_segment_size_bytes=3000) is changed
    for _ in range(2):
        sizes = {name: node.vhost.queues[name].segment_bytes for name in ("small", "large", "changed")}
        assert sizes == {"small": 1000, "large": 2000, "changed": 3000}
        node.restart(redeclare="update")
    node.definitions.close()


def test_restore_does_not_write_to_the_definitions(node: Node) -> None:
    vhost = node.vhost
    vhost.bind(exchange(vhost, "x"), queue(vhost, "q"), b"", {})
    node.definitions.sync()
    changes = node.definitions._connection.total_changes
    broker = Broker(Config(), ManualClock(), MemoryStore(), node.definitions)
    assert topology(broker) == topology(node.broker)
    assert node.definitions._connection.total_changes == changes


# --- objects that cannot be restored ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            QueueDefinition("/", "bad", 50, False, encode_table({"x-max-length": Field("l", -1)})),
            "queue vhost '/' name 'bad' cannot be restored: PRECONDITION_FAILED - invalid arg 'x-max-length'",
        ),
        (QueueDefinition("/", "bad", 50, False, b"\0\0\0\5\3x-"), "queue vhost '/' name 'bad' cannot be restored: "),
        (QueueDefinition("gone", "bad", 50, False, b"\0\0\0\0"), "queue vhost 'gone' name 'bad' cannot be restored: "),
        (
            ExchangeDefinition("/", "bad", 0, "x-no-more", False, False, b"\0\0\0\0"),
            "exchange vhost '/' name 'bad' cannot be restored: PRECONDITION_FAILED - unknown exchange type 'x-no-more'",
        ),
        (
            BindingDefinition("/", "x", False, "q", b"bad", b"\0\0\0\5\3x-"),
            "binding vhost '/' source 'x' destination 'q' routing_key b'bad' cannot be restored: ",
        ),
        (
            PermissionDefinition("guest", "/x", "(", "", ""),
            "permission user 'guest' vhost '/x' cannot be restored: invalid regular expression '('",
        ),
        (
            PermissionDefinition("bad", "/", "", "", ""),
            "permission user 'bad' vhost '/' cannot be restored: user 'bad' does not exist",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_object_that_cannot_be_restored_is_logged_and_stays_stored(
    node: Node, caplog: pytest.LogCaptureFixture, bad: Definition, said: str
) -> None:
    vhost = node.vhost
    vhost.bind(exchange(vhost, "x"), queue(vhost, "q"), b"key", {})
    before = topology(node.broker), accounts(node.broker)
    node.definitions.put(bad)
    for _ in range(2):
        caplog.clear()
        vhost = node.restart()
        assert (topology(node.broker), accounts(node.broker)) == before
        (record,) = caplog.records
        assert record.getMessage().startswith(said)
        assert node.broker.storage.lost_ids == ({50} if isinstance(bad, QueueDefinition) else set())
    assert bad in node.definitions.all(type(bad))


@pytest.mark.parametrize(
    "stray",
    [
        BindingDefinition("/", "x", False, "gone", b"key", b"\0\0\0\0"),
        BindingDefinition("/", "gone", False, "q", b"key", b"\0\0\0\0"),
        BindingDefinition("/", "x", True, "q", b"key", b"\0\0\0\0"),
        BindingDefinition("/", "amq.direct", False, "gone", b"key", b"\0\0\0\0"),
    ],
    ids=["queue", "source", "exchange", "predeclared"],
)
def test_binding_of_a_deleted_object_is_removed(
    node: Node, caplog: pytest.LogCaptureFixture, stray: BindingDefinition
) -> None:
    vhost = node.vhost
    vhost.bind(exchange(vhost, "x"), queue(vhost, "q"), b"key", {})
    vhost.bind(vhost.exchange("amq.direct"), queue(vhost, "q"), b"key", {})
    vhost.bind(vhost.exchange("amq.fanout"), exchange(vhost, "x"), b"key", {})
    before = topology(node.broker)
    node.definitions.put(stray)
    with caplog.at_level(logging.INFO):
        node.restart()
    assert topology(node.broker) == before
    assert "removing 1 bindings of queues and exchanges that are deleted" in caplog.messages
    assert stray not in node.definitions.all(BindingDefinition)
    assert len(node.definitions.all(BindingDefinition)) == 3


def test_bindings_of_objects_that_cannot_be_restored_stay_stored(node: Node) -> None:
    bindings = [
        BindingDefinition("/", "x", False, "lost", b"key", b"\0\0\0\0"),
        BindingDefinition("/", "lost", False, "q", b"key", b"\0\0\0\0"),
    ]
    exchange(node.vhost, "x")
    queue(node.vhost, "q")
    node.definitions.put(QueueDefinition("/", "lost", 50, False, b"damaged"))
    node.definitions.put(ExchangeDefinition("/", "lost", 0, "x-no-more", False, False, b"\0\0\0\0"))
    node.definitions.put(*bindings)
    node.restart()
    assert node.definitions.all(BindingDefinition) == bindings


def test_queue_redeclared_after_its_definition_was_damaged_has_a_new_id(node: Node) -> None:
    node.definitions.put(QueueDefinition("/", "q", 50, False, b"damaged"))
    vhost = node.restart()
    assert queue(vhost, "q").id == 51
    vhost = node.restart()
    assert vhost.queue("q", None).id == 51
    assert node.broker.storage.lost_ids == frozenset()


def test_failed_restore_of_a_user_logs_no_password_hash(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(MemoryDefinitions):
        def all(self, kind: type[Any]) -> list[Any]:
            return [UserDefinition("ann", b"secret", ())] if kind is UserDefinition else []

    broker = Broker(Config(), ManualClock(), MemoryStore(), Odd())
    broker.users.restore_user = lambda stored: broker.users.user("nobody")  # type: ignore[method-assign, assignment]
    restore(broker)
    assert caplog.messages == ["user name 'ann' cannot be restored: user 'nobody' does not exist"]


# --- invalid changes --------------------------------------------------------------------------------------------------


def test_an_invalid_permission_is_refused_before_it_is_stored(node: Node) -> None:
    users = node.broker.users
    before = accounts(node.broker)
    with pytest.raises(ValueError, match="invalid regular expression"):
        users.set_permissions("guest", "/", "(", ".*", ".*")
    with pytest.raises(ValueError, match="invalid regular expression"):
        users.set_topic_permissions("guest", "/", "x", ".*", "(")
    assert accounts(node.broker) == before
    node.restart()
    assert accounts(node.broker) == before


# --- random operations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", seeds(10))
def test_durable_topology_after_random_operations_is_restored(node: Node, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"n{number}" for number in range(4)]

    def flag() -> bool:
        return chance.random() < 0.6

    def step(vhost: Vhost) -> None:
        name, other, key = chance.choice(names), chance.choice(names), chance.choice((b"", b"k"))
        action = chance.randrange(9)
        source, to = vhost.exchanges.get(name), vhost.exchanges.get(other)
        q = vhost.queues.get(other)
        if action == 0 and source is None:
            exchange(vhost, name, durable=flag(), auto_delete=not flag())
        elif action == 1 and q is None:
            queue(vhost, other, durable=flag())
        elif action == 2:
            vhost.delete_exchange(name) if chance.random() < 0.3 else None
        elif action == 3 and q is not None and chance.random() < 0.5:
            vhost.delete_queue(q)
        elif action in (4, 5) and source is not None:
            destination = q if flag() else to
            if destination is not None:
                (vhost.bind if action == 4 or flag() else vhost.unbind)(source, destination, key, {})
        elif action in (6, 7) and source is not None and q is not None:
            vhost.bind(source, q, key, {"x": Field("l", chance.randrange(2))})

    seen = 0
    for _ in range(5):
        for _ in range(60):
            step(node.vhost)
        before = topology(node.broker, durable_only=True)
        seen += sum(row[1] == "b" for row in before)
        node.restart()
        assert topology(node.broker) == before
    assert seen > 0


# --- changed arguments ------------------------------------------------------------------------------------------------


def test_arguments_changed_by_a_redeclaration_are_restored(node: Node) -> None:
    vhost = node.restart(redeclare="update")
    queue(vhost, "q", arguments={"x-max-length": Field("I", 5), "x-mine": longstr("kept")})
    changed = queue(vhost, "q", arguments={"x-message-ttl": Field("I", 1000)})
    before = changed.id, changed.arguments, changed.settings
    assert set(changed.arguments) == {"x-message-ttl", "x-mine", "x-queue-type"}
    restored = node.restart().queues["q"]
    assert (restored.id, restored.arguments, restored.settings) == before


def test_broker_that_ends_within_a_redeclaration_restores_the_new_arguments(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndedError(Exception):
        pass

    vhost = node.restart(redeclare="update")
    q = queue(vhost, "q", arguments={"x-max-length": Field("I", 5)})
    put = node.definitions.put

    def end(*definitions: Definition) -> None:
        put(*definitions)
        raise EndedError

    monkeypatch.setattr(node.definitions, "put", end)
    with pytest.raises(EndedError):
        queue(vhost, "q", arguments={"x-max-length": Field("I", 3)})
    assert q.settings.max_length == 5
    assert node.restart().queues["q"].settings.max_length == 3


def test_redeclaration_that_cannot_be_stored_changes_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise not_stored("full")

    vhost = node.restart(redeclare="update")
    q = queue(vhost, "q", arguments={"x-max-length": Field("I", 5)})
    with monkeypatch.context() as patched:
        patched.setattr(node.definitions, "put", fail)
        with pytest.raises(AmqpError) as refused:
            queue(vhost, "q", arguments={"x-max-length": Field("I", 3)})
    assert refused.value.code == 506
    assert (q.arguments["x-max-length"], q.settings.max_length) == (Field("I", 5), 5)
    assert node.restart().queues["q"].settings.max_length == 5


def test_transient_queue_is_changed_without_being_stored(node: Node) -> None:
    vhost = node.restart(redeclare="update")
    queue(vhost, "q", durable=False)
    assert queue(vhost, "q", durable=False, arguments={"x-max-length": Field("I", 3)}).settings.max_length == 3
    assert node.definitions.all(QueueDefinition) == []
