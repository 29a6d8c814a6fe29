import pytest

from amqpbroker.broker.redrive.options import VIA_EXCHANGE
from amqpbroker.broker.users.permissions import TopicGrant
from amqpbroker.broker.vhost import Vhost
from tests.broker.queueing import declare, publish, ready
from tests.broker.redrive.driving import advance, allowed, kill, message, redrive, started, work_with_dlq


def test_destination_takes_all_messages(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    other = declare(vhost, "other")
    kill(work, b"1")
    publish(dlq, b"published")
    task = redrive(dlq, destination="other")
    assert (ready(other), ready(dlq), task.moved) == ([b"1", b"published"], [], 2)


def test_message_that_did_not_die_needs_a_destination(vhost: Vhost) -> None:
    _, dlq = work_with_dlq(vhost)
    publish(dlq, b"published")
    task = redrive(dlq)
    assert (ready(dlq), task.failed) == ([b"published"], 1)
    assert task.problem == "a message has no x-death header of this broker: set a destination"


def test_message_that_died_in_the_redriven_queue_stays(vhost: Vhost) -> None:
    _, dlq = work_with_dlq(vhost)
    loop = declare(vhost, "loop", dead_letter_exchange="", dead_letter_routing_key="loop")
    kill(loop, message(b"1", "loop"))
    task = redrive(loop)
    assert (ready(loop), task.failed) == ([b"1"], 1)
    assert dlq.ready_count == 0


def test_message_does_not_go_to_an_exclusive_queue(vhost: Vhost) -> None:
    declare(vhost, "dlq")
    mine = declare(vhost, "mine", session=object(), dead_letter_exchange="", dead_letter_routing_key="dlq")
    kill(mine, b"1")
    task = redrive(vhost.queues["dlq"])
    assert (task.failed, task.problem) == (1, "queue 'mine' is exclusive to a connection")


def bound(vhost: Vhost, *queues: str, exchange: str = "amq.topic", key: bytes = b"key") -> None:
    for name in queues:
        vhost.bind(vhost.exchanges[exchange], vhost.queues.get(name) or declare(vhost, name), key, {})


def test_exchange_routes_again_to_all_queues(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    bound(vhost, "work", "copy")
    kill(work, message(b"1", "key", "amq.topic"))
    redrive(dlq, via=VIA_EXCHANGE)
    assert [ready(vhost.queues[name]) for name in ("work", "copy")] == [[b"1"], [b"1"]]  # type: ignore[arg-type]


def test_message_stays_if_one_of_its_queues_refuses_it(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    declare(vhost, "full", max_length=0, overflow="reject-publish")
    bound(vhost, "work", "full")
    kill(work, message(b"1", "key", "amq.topic"))
    task = redrive(dlq, via=VIA_EXCHANGE)
    assert (ready(work), ready(dlq), task.failed) == ([], [b"1"], 1)


@pytest.mark.parametrize(
    ("exchange", "problem"),
    [
        ("gone", "exchange 'gone' does not exist"),
        ("amq.topic", "exchange 'amq.topic' routes a message to no queue"),
    ],
)
def test_message_stays_that_its_exchange_cannot_route(vhost: Vhost, exchange: str, problem: str) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, message(b"1", "key", exchange))
    task = redrive(dlq, via=VIA_EXCHANGE)
    assert (ready(dlq), task.problem) == ([b"1"], problem)


@pytest.mark.parametrize("via", ["queue", "exchange"])
def test_message_stays_where_the_user_may_not_write(vhost: Vhost, via: str) -> None:
    work, dlq = work_with_dlq(vhost)
    bound(vhost, "work")
    kill(work, message(b"1", "key", "amq.topic"))
    task = started(dlq, lambda: allowed(write="^none$"), via=via)
    advance(vhost, 0)
    assert (ready(dlq), task.failed) == ([b"1"], 1)
    assert task.problem.startswith("ACCESS_REFUSED - write access to ")


def test_topic_permission_applies(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    bound(vhost, "work")
    kill(work, message(b"1", "key", "amq.topic"))
    permissions = allowed()
    permissions.grant_topics("amq.topic", TopicGrant("^other$", ".*"))
    task = started(dlq, lambda: permissions, via=VIA_EXCHANGE)
    advance(vhost, 0)
    assert (ready(dlq), task.failed) == ([b"1"], 1)
