from itertools import pairwise
from typing import NoReturn

import pytest

from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.vhost import PREDECLARED, Vhost
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import Subscriber, clock_of, declare, message, publish, table

#: Properties of a message that is delayed for 100 ms.
LATER = encode_properties({"headers": {"x-delay": Field("I", 100)}})


def exchange(vhost: Vhost, name: str, kind: str = "fanout", auto_delete: bool = False, **arguments: str) -> Exchange:
    fields = {name.replace("_", "-"): longstr(value) for name, value in arguments.items()}
    return vhost.declare_exchange(name, kind, False, auto_delete, False, fields)


def routed(vhost: Vhost, source: str, key: str = "") -> list[str]:
    message = Message(encode_address(source, key.encode()), b"\0\0", b"")
    return sorted(found.name for found in route(vhost.exchange(source), message, vhost.exchanges.get).destinations)


# --- exchanges --------------------------------------------------------------------------------------------------------


def test_new_vhost_has_the_predeclared_exchanges(vhost: Vhost) -> None:
    assert [(name, vhost.exchange(name).type.name) for name, _ in PREDECLARED] == list(PREDECLARED)
    assert all(each.durable for each in vhost.exchanges.values())
    internal = ["amq.rabbitmq.trace", "amq.rabbitmq.event"]
    assert [name for name, each in vhost.exchanges.items() if each.internal] == internal
    assert vhost.exchange("").type.name == "direct"
    assert not vhost.queues


def test_redeclaring_an_equivalent_exchange_returns_it(vhost: Vhost) -> None:
    first = exchange(vhost, "x", "topic")
    assert exchange(vhost, "x", "topic") is first
    with pytest.raises(AmqpError, match="inequivalent arg 'type' for exchange 'x'"):
        exchange(vhost, "x", "direct")


@pytest.mark.parametrize("name", ["amq.mine", "amq."])
def test_names_that_begin_with_amq_are_reserved(vhost: Vhost, name: str) -> None:
    with pytest.raises(AmqpError) as error:
        exchange(vhost, name)
    assert error.value.text == f"ACCESS_REFUSED - exchange name '{name}' contains reserved prefix 'amq.*'"


def test_missing_exchange_is_an_error(vhost: Vhost) -> None:
    with pytest.raises(AmqpError) as error:
        vhost.exchange("nope")
    assert error.value.text == "NOT_FOUND - no exchange 'nope' in vhost '/'"
    vhost.delete_exchange("nope")


def test_system_and_used_exchanges_are_protected_from_deletion(vhost: Vhost) -> None:
    for name, text in (("", "default exchange"), ("amq.topic", "deletion of system exchange 'amq.topic'")):
        with pytest.raises(AmqpError, match=text):
            vhost.delete_exchange(name)
    queue = declare(vhost)
    vhost.bind(exchange(vhost, "x"), queue, b"", {})
    with pytest.raises(AmqpError) as error:
        vhost.delete_exchange("x", if_unused=True)
    assert error.value.text == "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"
    vhost.delete_exchange("x")
    assert "x" not in vhost.exchanges
    assert not queue.incoming


def test_exchange_that_is_only_a_destination_is_unused(vhost: Vhost) -> None:
    source, target = exchange(vhost, "source"), exchange(vhost, "target")
    vhost.bind(source, target, b"", {})
    vhost.delete_exchange("target", if_unused=True)
    assert not source.bindings
    assert routed(vhost, "source") == []


# --- bindings ---------------------------------------------------------------------------------------------------------


def test_equal_bindings_exist_once(vhost: Vhost) -> None:
    source, queue = exchange(vhost, "x", "direct"), declare(vhost)
    for _ in range(2):
        vhost.bind(source, queue, b"k", {})
    assert len(source.bindings) == len(queue.incoming) == 1
    assert routed(vhost, "x", "k") == ["q"]
    vhost.unbind(source, queue, b"k", {})
    assert routed(vhost, "x", "k") == []


def test_bindings_are_distinguished_by_key_and_arguments_in_any_order(vhost: Vhost) -> None:
    source, queue = exchange(vhost, "x", "direct"), declare(vhost)
    one, two = Field("I", 1), Field("I", 2)
    vhost.bind(source, queue, b"k", {"a": one, "b": two})
    vhost.bind(source, queue, b"k", {"b": two, "a": one})
    assert len(source.bindings) == 1
    vhost.bind(source, queue, b"other", {"a": one, "b": two})
    vhost.bind(source, queue, b"k", {"a": two, "b": two})
    assert len(source.bindings) == 3
    assert vhost.is_bound(source, queue, b"k", {"b": two, "a": one})
    assert not vhost.is_bound(source, queue, b"k", {})
    vhost.unbind(source, queue, b"k", {"a": one, "b": two})
    assert routed(vhost, "x", "k") == ["q"]


def test_unbind_of_a_missing_binding_does_nothing(vhost: Vhost) -> None:
    source, queue = exchange(vhost, "x", auto_delete=True), declare(vhost)
    vhost.unbind(source, queue, b"", {})
    assert "x" in vhost.exchanges


def test_default_exchange_refuses_bindings(vhost: Vhost) -> None:
    queue, default = declare(vhost), vhost.exchange("")
    for change in (vhost.bind, vhost.unbind):
        with pytest.raises(AmqpError, match="operation not permitted on the default exchange"):
            change(default, queue, b"", {})
        with pytest.raises(AmqpError, match="operation not permitted on the default exchange"):
            change(exchange(vhost, "x"), default, b"", {})
    assert routed(vhost, "", "q") == ["q"]


def test_refused_binding_has_no_effect(vhost: Vhost) -> None:
    source, queue = exchange(vhost, "x", "headers"), declare(vhost)
    with pytest.raises(AmqpError, match="x-match"):
        vhost.bind(source, queue, b"", {"x-match": longstr("some")})
    assert not source.bindings
    assert not queue.incoming


def test_auto_delete_exchange_is_deleted_with_its_last_binding(vhost: Vhost) -> None:
    source, queue, other = exchange(vhost, "x", auto_delete=True), declare(vhost), declare(vhost, "other")
    vhost.bind(source, queue, b"", {})
    vhost.bind(source, other, b"", {})
    vhost.unbind(source, queue, b"", {})
    assert "x" in vhost.exchanges
    vhost.delete_queue(other)
    assert "x" not in vhost.exchanges


def test_chain_of_auto_delete_exchanges_is_deleted(vhost: Vhost) -> None:
    names = [f"x{i}" for i in range(5)]
    chain = [exchange(vhost, name, auto_delete=True) for name in names]
    for source, destination in pairwise(chain):
        vhost.bind(source, destination, b"", {})
    queue = declare(vhost)
    vhost.bind(chain[-1], queue, b"", {})
    assert routed(vhost, "x0") == ["q"]
    vhost.delete_queue(queue)
    assert not set(names) & set(vhost.exchanges)


def test_loop_of_auto_delete_exchanges_is_deleted_as_a_whole(vhost: Vhost) -> None:
    one, two = exchange(vhost, "one", auto_delete=True), exchange(vhost, "two", auto_delete=True)
    vhost.bind(one, two, b"", {})
    vhost.bind(two, one, b"", {})
    vhost.unbind(one, two, b"", {})
    assert not {"one", "two"} & set(vhost.exchanges)
    assert not one.bindings
    assert not two.bindings


def test_every_change_of_a_route_changes_the_epoch(vhost: Vhost) -> None:
    epochs = [vhost.route_epoch]

    def changed() -> bool:
        epochs.append(vhost.route_epoch)
        return epochs[-1] != epochs[-2]

    source = exchange(vhost, "x")
    assert changed()
    queue = declare(vhost)
    changed()
    vhost.bind(source, queue, b"", {})
    assert changed()
    vhost.unbind(source, queue, b"", {})
    assert changed()
    vhost.bind(source, queue, b"", {})
    changed()
    vhost.delete_queue(queue)
    assert changed()
    vhost.delete_exchange("x")
    assert changed()


# --- queues -----------------------------------------------------------------------------------------------------------


def test_redeclaring_an_equivalent_queue_returns_it(vhost: Vhost) -> None:
    first = declare(vhost, max_length=3)
    assert declare(vhost, max_length=3) is first
    with pytest.raises(AmqpError, match="inequivalent arg 'x-max-length' for queue 'q'"):
        declare(vhost, max_length=4)


def test_invalid_queue_is_not_created(vhost: Vhost) -> None:
    with pytest.raises(AmqpError, match="invalid arg 'x-max-length'"):
        declare(vhost, max_length=-1)
    assert not vhost.queues


def test_exclusive_queue_is_usable_only_by_its_connection(vhost: Vhost) -> None:
    mine, yours = object(), object()
    queue = declare(vhost, session=mine)
    assert vhost.queue("q", mine) is queue
    for access in (lambda: vhost.queue("q", yours), lambda: vhost.queue("q", None), lambda: declare(vhost)):
        with pytest.raises(AmqpError) as error:
            access()
        assert error.value.code == 405
        assert "cannot obtain exclusive access to locked queue 'q' in vhost '/'" in error.value.text
    assert routed(vhost, "", "q") == ["q"]
    vhost.delete_exclusive_queues(yours)
    assert "q" in vhost.queues
    vhost.delete_exclusive_queues(mine)
    assert "q" not in vhost.queues


def test_end_of_a_connection_visits_only_its_own_queues(vhost: Vhost) -> None:
    class Unwalked(dict[str, Queue]):
        def __iter__(self) -> NoReturn:
            pytest.fail("all queues were walked")

        keys = values = items = __iter__  # type: ignore[assignment]

    mine, others = object(), object()
    for session, name in ((mine, "a"), (mine, "b"), (mine, "c"), (others, "d"), (None, "e")):
        declare(vhost, name, session=session)
    vhost.delete_queue(vhost.queue("b", mine))
    vhost.queues = Unwalked(vhost.queues)
    vhost.delete_exclusive_queues(mine)
    assert [name for name in "abcde" if name in vhost.queues] == ["d", "e"]
    vhost.delete_exclusive_queues(mine)
    vhost.delete_exclusive_queues(others)
    assert [name for name in "abcde" if name in vhost.queues] == ["e"]


def test_missing_queue_is_an_error(vhost: Vhost) -> None:
    with pytest.raises(AmqpError) as error:
        vhost.queue("nope", None)
    assert error.value.text == "NOT_FOUND - no queue 'nope' in vhost '/'"


def test_delete_answers_the_ready_count_before_it_cancels_consumers(vhost: Vhost) -> None:
    queue = declare(vhost)
    publish(queue, b"1", b"2", b"3")
    one = Subscriber(queue, limit=1).subscribe()
    told: list[tuple[int, int]] = []
    vhost.delete_queue(queue, answer=lambda count: told.append((count, one.told_cancelled)))
    vhost.delete_queue(queue, answer=lambda count: told.append((count, one.told_cancelled)))
    assert told == [(2, 0), (0, 1)]
    assert one.told_cancelled == 1


def test_consumers_of_a_deleted_queue_are_cancelled_in_order_of_their_tags(vhost: Vhost) -> None:
    told: list[str] = []

    class Listening(Subscriber):
        def cancelled(self) -> None:
            told.append(self.tag)

    queue = declare(vhost)
    for tag in ("c", "9", "B", "a", "10"):
        Listening(queue, tag).subscribe()
    vhost.delete_queue(queue)
    assert told == ["10", "9", "B", "a", "c"]


def test_deleting_a_queue_twice_does_not_delete_a_new_queue_of_its_name(vhost: Vhost) -> None:
    old = declare(vhost, auto_delete=True)
    one = Subscriber(old).subscribe()
    vhost.delete_queue(old)
    new = declare(vhost, auto_delete=True)
    publish(new, b"1")
    one.cancel()
    vhost.delete_queue(old)
    assert vhost.queues == {"q": new}
    assert new.ready_count == 1


def test_queue_delete_respects_if_unused_and_if_empty(vhost: Vhost) -> None:
    queue = declare(vhost)
    one = Subscriber(queue).subscribe()
    with pytest.raises(AmqpError) as error:
        vhost.delete_queue(queue, if_unused=True)
    assert error.value.text == "PRECONDITION_FAILED - queue 'q' in vhost '/' in use"
    publish(queue, b"1")
    one.cancel()
    vhost.delete_queue(queue, if_unused=True, if_empty=True)
    queue = declare(vhost)
    publish(queue, b"1")
    with pytest.raises(AmqpError) as error:
        vhost.delete_queue(queue, if_empty=True)
    assert error.value.text == "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"


def test_a_deleted_queue_is_unbound(vhost: Vhost) -> None:
    source, queue = exchange(vhost, "x"), declare(vhost)
    vhost.bind(source, queue, b"1", {})
    vhost.bind(source, queue, b"2", {})
    vhost.delete_queue(queue)
    assert not source.bindings
    assert not queue.incoming
    assert routed(vhost, "x") == []


# --- alternate exchanges, delays --------------------------------------------------------------------------------------


def test_alternate_exchange_is_looked_up_for_each_message(vhost: Vhost) -> None:
    exchange(vhost, "x", "direct", alternate_exchange="second")
    assert routed(vhost, "x", "k") == []
    vhost.bind(exchange(vhost, "second"), declare(vhost), b"", {})
    assert routed(vhost, "x", "k") == ["q"]


def test_delayed_message_is_routed_by_the_bindings_at_its_release(vhost: Vhost) -> None:
    source = exchange(vhost, "x", "x-delayed-message", x_delayed_type="fanout")
    message = Message(encode_address("x", b""), LATER, b"later")
    for destination in route(source, message, vhost.exchanges.get).destinations:
        destination.publish(message)
    queue = declare(vhost)
    vhost.bind(source, queue, b"", {})
    clock_of(vhost).advance(99)
    assert queue.ready_count == 0
    clock_of(vhost).advance(1)
    assert queue.ready_count == 1


def test_deleting_a_delayed_exchange_discards_its_messages(vhost: Vhost) -> None:
    source = exchange(vhost, "x", "x-delayed-message", x_delayed_type="fanout")
    queue = declare(vhost)
    vhost.bind(source, queue, b"", {})
    message = Message(encode_address("x", b""), LATER, b"later")
    for destination in route(source, message, vhost.exchanges.get).destinations:
        destination.publish(message)
    vhost.delete_exchange("x")
    clock_of(vhost).advance(1000)
    assert queue.ready_count == 0
    assert clock_of(vhost).next_due_ms() is None


# --- dead letters -----------------------------------------------------------------------------------------------------


def test_dead_letters_go_through_the_bindings_of_their_exchange(vhost: Vhost) -> None:
    dlx = exchange(vhost, "dlx", "direct")
    for name in ("one", "two", "three"):
        vhost.bind(dlx, declare(vhost, name), b"bad" if name != "three" else b"good", {})
    queue = declare(vhost, dead_letter_exchange="dlx", dead_letter_routing_key="bad", max_length=0)
    publish(queue, b"1")
    assert [vhost.queue(name, None).ready_count for name in ("one", "two", "three")] == [1, 1, 0]


def test_dead_letters_retain_their_key_by_default(vhost: Vhost) -> None:
    vhost.bind(exchange(vhost, "dlx", "direct"), declare(vhost, "grave"), b"q", {})
    queue = declare(vhost, dead_letter_exchange="dlx", max_length=0)
    publish(queue, b"1")
    assert vhost.queue("grave", None).ready_count == 1


def test_dead_letter_cycle_is_cut_only_in_the_queue_it_came_from(vhost: Vhost) -> None:
    dlx = exchange(vhost, "dlx")
    queue, other = declare(vhost, dead_letter_exchange="dlx", max_length=1), declare(vhost, "other")
    vhost.bind(dlx, queue, b"", {})
    vhost.bind(dlx, other, b"", {})
    publish(queue, b"1", b"2")
    assert (queue.ready_count, other.ready_count) == (1, 1)


def dying(vhost: Vhost, overflow: str) -> list[Queue]:
    """Return a queue "q" of length 0, with dead letters to the queue "both", and that queue; publishes reach both."""
    dead = {"dead_letter_exchange": "", "dead_letter_routing_key": "both"}
    return [declare(vhost, max_length=0, overflow=overflow, **dead), declare(vhost, "both")]


def is_dead(queue: Queue) -> list[bool]:
    assert isinstance(queue, LocalQueue)
    return [entry.message.died for entry in queue.ready]


@pytest.mark.parametrize(("overflow", "accepted"), [("drop-head", True), ("reject-publish-dlx", False)])
def test_a_message_reaches_all_its_queues_before_its_dead_letter(vhost: Vhost, overflow: str, accepted: bool) -> None:
    queues = dying(vhost, overflow)
    assert vhost.publish(message(b"1"), queues) is accepted
    assert is_dead(queues[1]) == [False, True]
    publish(queues[1], b"2")
    vhost.publish(message(b"3"), queues[:1])
    assert is_dead(queues[1]) == [False, True, False, True]


def test_a_released_message_reaches_all_its_queues_before_its_dead_letter(vhost: Vhost) -> None:
    source = exchange(vhost, "x", "x-delayed-message", x_delayed_type="fanout")
    queues = dying(vhost, "drop-head")
    for queue in queues:
        vhost.bind(source, queue, b"", {})
    late = Message(encode_address("x", b""), LATER, b"later")
    vhost.publish(late, route(source, late, vhost.exchanges.get).destinations)
    clock_of(vhost).advance(100)
    assert is_dead(queues[1]) == [False, True]


def test_queue_arguments_are_stored_as_declared(vhost: Vhost) -> None:
    queue = declare(vhost, max_length=3, something_else="kept")
    assert table(max_length=3, something_else="kept").items() <= queue.arguments.items()
