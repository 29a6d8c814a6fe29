import pytest

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Wire

KINDS = pytest.mark.parametrize("kind", ["classic", "quorum"])


def declare(client: Wire, kind: str, name: str = "q", single_active: bool = False) -> None:
    arguments: Table = {"x-queue-type": longstr(kind)}
    if single_active:
        arguments["x-single-active-consumer"] = Field("t", True)
    client.declare(name, durable=True, arguments=arguments)


def hold(client: Wire, other: Wire, count: int) -> None:
    """The consumer "c" is given so many messages and cancelled; as many times ten wait then."""
    client.consume("q", tag="c")
    for number in range(count):
        other.publish("q", b"%d" % number)
    assert tags(client) == list(range(1, count + 1))
    client.call(1, "basic.cancel", consumer_tag="c")
    for number in range(count * 10):
        other.publish("q", b"%d" % number)


def consume(client: Wire, prefetch: int, **options: object) -> list[int]:
    """A consumer "c" with that prefetch; the tags of what it is given at once."""
    client.call(1, "basic.qos", prefetch_count=prefetch)
    return [got.arguments["delivery_tag"] for got in client.consume("q", tag="c", **options)]


def tags(client: Wire) -> list[int]:
    return [got.arguments["delivery_tag"] for got in client.receive() if got.name == "basic.deliver"]


def ack(client: Wire, tag: int, multiple: bool = False) -> list[int]:
    client.send(1, "basic.ack", delivery_tag=tag, multiple=multiple)
    return tags(client)


@pytest.mark.parametrize(("kind", "again"), [("classic", [2]), ("quorum", [])])
def test_a_consumer_has_what_another_one_of_its_tag_holds(
    client: Wire, other: Wire, kind: str, again: list[int]
) -> None:
    declare(client, kind)
    hold(client, other, 1)
    assert consume(client, 1) == again
    assert ack(client, 1) == [len(again) + 2]


def test_each_settled_message_is_room_for_one_more_though_more_are_held_than_the_prefetch(
    client: Wire, other: Wire
) -> None:
    declare(client, "quorum")
    hold(client, other, 3)
    assert consume(client, 1) == []
    assert ack(client, 1) == [4]
    client.send(1, "basic.reject", delivery_tag=2, requeue=True)
    assert tags(client) == [5]
    assert ack(client, 4) == [6]


def test_settling_many_at_once_makes_no_more_room_than_the_prefetch(client: Wire, other: Wire) -> None:
    declare(client, "quorum")
    hold(client, other, 4)
    consume(client, 2)
    assert ack(client, 3, multiple=True) == [5, 6]
    assert ack(client, 0, multiple=True) == [7, 8]
    assert ack(client, 7) == [9]


def test_what_has_once_been_less_does_not_become_more_again(client: Wire, other: Wire) -> None:
    declare(client, "quorum")
    hold(client, other, 4)
    other.call(1, "queue.purge", queue="q")
    consume(client, 1)
    assert ack(client, 0, multiple=True) == []
    for _ in range(3):
        other.publish("q", b"")
    assert tags(client) == [5]


def test_a_second_time_counts_anew(client: Wire, other: Wire) -> None:
    declare(client, "quorum")
    hold(client, other, 4)
    consume(client, 1)
    assert ack(client, 1) == [5]
    client.call(1, "basic.cancel", consumer_tag="c")
    assert consume(client, 3) == []
    assert ack(client, 2) == [6]
    client.call(1, "basic.cancel", consumer_tag="c")
    assert consume(client, 6) == [7, 8]


def test_one_of_a_classic_queue_has_what_the_one_before_took_over(client: Wire, other: Wire) -> None:
    declare(client, "classic")
    hold(client, other, 2)
    other.call(1, "queue.purge", queue="q")
    for _ in range(2):
        assert consume(client, 1) == []
        client.call(1, "basic.cancel", consumer_tag="c")
    consume(client, 1)
    for _ in range(4):
        other.publish("q", b"")
    assert tags(client) == [3]
    assert ack(client, 1) == [4]
    assert ack(client, 2) == [5]


def test_of_a_quorum_queue_one_without_acks_has_room_by_what_is_left(client: Wire, other: Wire) -> None:
    declare(client, "quorum")
    hold(client, other, 2)
    assert consume(client, 3, no_ack=True) == list(range(3, 23))
    other.publish("q", b"")
    other.publish("q", b"")
    assert tags(client) == [23, 24]


def test_of_a_quorum_queue_one_without_acks_that_has_no_room_waits_for_an_ack(client: Wire, other: Wire) -> None:
    declare(client, "quorum")
    hold(client, other, 2)
    assert consume(client, 1, no_ack=True) == []
    assert ack(client, 1) == list(range(3, 23))


@KINDS
def test_what_an_open_transaction_has_settled_is_taken_over_too(client: Wire, other: Wire, kind: str) -> None:
    declare(client, kind)
    client.call(1, "tx.select")
    hold(client, other, 2)
    assert ack(client, 1) == []
    given = consume(client, 2)
    assert len(given) == (2 if kind == "classic" else 0)
    client.send(1, "tx.commit")
    assert tags(client) == [len(given) + 3]


@KINDS
def test_it_is_taken_over_after_the_tag_was_used_on_another_queue(client: Wire, other: Wire, kind: str) -> None:
    declare(client, kind)
    declare(client, kind, "elsewhere")
    hold(client, other, 1)
    assert client.consume("elsewhere", tag="c") == []
    client.call(1, "basic.cancel", consumer_tag="c")
    given = consume(client, 1)
    assert len(given) == (1 if kind == "classic" else 0)
    assert ack(client, 1) == [len(given) + 2]


def test_the_only_active_consumer_takes_over(client: Wire, other: Wire) -> None:
    declare(client, "quorum", single_active=True)
    hold(client, other, 2)
    assert consume(client, 1) == []
    assert ack(client, 1) == [3]


def test_one_that_waits_to_be_active_takes_over_nothing(client: Wire, other: Wire) -> None:
    declare(client, "quorum", single_active=True)
    hold(client, other, 2)
    other.consume("q", tag="c")
    assert consume(client, 2) == []
    assert client.call(1, "queue.declare", queue="q", passive=True).arguments["consumer_count"] == 2
    other.call(1, "basic.cancel", consumer_tag="c")
    other.publish("q", b"")
    other.publish("q", b"")
    other.publish("q", b"")
    assert tags(client) == [3, 4]


@KINDS
def test_cancelled_consumers_are_known_only_while_they_hold_messages(client: Wire, other: Wire, kind: str) -> None:
    declare(client, kind)
    (channel,) = client.connection.channels.values()
    hold(client, other, 2)
    assert len(channel.consumers.former) == 1
    other.call(1, "queue.purge", queue="q")
    consume(client, 1)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert len(channel.consumers.former) == 1
    ack(client, 0, multiple=True)
    consume(client, 1)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert channel.consumers.former == []
