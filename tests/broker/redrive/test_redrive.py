from typing import Any

import pytest

from amqpbroker.broker.queues.arguments.declaration import queue_settings
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.redrive.options import VIA_EXCHANGE, VIA_QUEUE, RedriveFilter
from amqpbroker.broker.redrive.redrive import CANCELLED, COMPLETED, FAILED, RUNNING, Pace
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.checksum import content_checksum
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.death_tables import deaths_of
from tests.broker.queueing import Subscriber, clock_of, declare, get, publish, ready, table
from tests.broker.redrive.driving import advance, allowed, kill, message, redrive, started, work_with_dlq
from tests.broker.storing import Node
from tests.fault_files import FlakyFiles

#: Every kind of dead letter queue, and single active consumer.
KINDS = pytest.mark.parametrize(
    "kind",
    [{}, {"queue_type": "quorum"}, {"max_priority": 3}, {"single_active_consumer": True}],
    ids=["classic", "quorum", "priority", "single-active"],
)


def numbers(task: Any) -> tuple[int, int, int, int]:
    return task.moved, task.failed, task.skipped, task.left


# --- what is moved ----------------------------------------------------------------------------------------------------


@KINDS
def test_dead_letters_return_to_the_tail_of_their_queue_in_order(vhost: Vhost, kind: dict[str, Any]) -> None:
    work, dlq = work_with_dlq(vhost, kind, **kind)
    kill(work, b"1", b"2", b"3")
    publish(work, b"newer")
    task = redrive(dlq)
    assert (ready(work), ready(dlq)) == ([b"newer", b"1", b"2", b"3"], [])
    assert (task.state, *numbers(task)) == (COMPLETED, 3, 0, 0, 0)


def test_each_message_returns_to_the_queue_in_which_it_died_last(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    second = declare(vhost, "second", dead_letter_exchange="", dead_letter_routing_key="dlq")
    kill(work, b"1")
    kill(second, b"2")
    kill(work, b"3")
    redrive(dlq)
    assert (ready(work), ready(second)) == ([b"1", b"3"], [b"2"])


def test_message_is_as_it_was_before_its_death(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, message(b"1", "key", "amq.topic", tenant="a"))
    redrive(dlq)
    [entry] = work.ready
    assert (entry.message.exchange, entry.message.routing_key) == ("amq.topic", b"key")
    headers = decode_properties(entry.message.properties)["headers"]
    assert list(headers) == ["tenant"]
    assert not entry.redelivered
    kill_again = get(work)
    work.reject([kill_again])
    assert [(death.queue, death.count, death.exchange) for death in deaths_of(get(dlq).message)] == [
        ("work", 1, "amq.topic")
    ]


def test_history_is_kept_on_request_and_counts_further_deaths(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, b"1")
    redrive(dlq, keep_history=True)
    work.reject([get(work)])
    assert [death.count for death in deaths_of(get(dlq).message)] == [2]


@pytest.mark.parametrize("restored", [False, True])
def test_expiration_is_restored_on_request_only(vhost: Vhost, restored: bool) -> None:
    work, dlq = work_with_dlq(vhost)
    work.publish(message(b"1", expiration_ms=100))
    advance(vhost, 100)
    assert ready(dlq) == [b"1"]
    redrive(dlq, restore_expiration=restored)
    assert ready(work) == [b"1"]
    advance(vhost, 100)
    assert ready(dlq) == ([b"1"] if restored else [])


@KINDS
def test_messages_that_consumers_hold_stay(vhost: Vhost, kind: dict[str, Any]) -> None:
    work, dlq = work_with_dlq(vhost, kind)
    kill(work, b"1", b"2", b"3")
    consumer = Subscriber(dlq, limit=1).subscribe()
    redrive(dlq)
    assert ready(work) == [b"2", b"3"]
    consumer.requeue()
    assert consumer.bodies == [b"1", b"1"]


@KINDS
def test_message_that_a_consumer_took_meanwhile_is_passed_over(vhost: Vhost, kind: dict[str, Any]) -> None:
    work, dlq = work_with_dlq(vhost, kind)
    kill(work, b"1", b"2", b"3")
    task = started(dlq)
    held = get(dlq)
    advance(vhost, 0)
    assert (ready(work), numbers(task)) == ([b"2", b"3"], (2, 0, 0, 0))
    dlq.ack(held)


def test_messages_that_return_meanwhile_are_not_moved_again(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost, message_ttl=0, dlq={})
    work.publish(message(b"1"))
    work.publish(message(b"2"))
    task = redrive(dlq)
    assert (ready(dlq), numbers(task)) == ([b"1", b"2"], (2, 0, 0, 0))


@KINDS
def test_messages_that_arrive_after_the_start_are_not_moved(vhost: Vhost, kind: dict[str, Any]) -> None:
    work, dlq = work_with_dlq(vhost, kind)
    kill(work, b"1", b"2")
    task = started(dlq)
    dlq.ack(get(dlq))
    kill(work, b"3")
    advance(vhost, 0)
    assert (ready(work), ready(dlq), numbers(task)) == ([b"2"], [b"3"], (1, 0, 0, 0))


@KINDS
def test_message_that_a_consumer_gives_back_in_time_does_not_keep_another_from_being_moved(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    work, dlq = work_with_dlq(vhost, kind)
    kill(work, *[b"%d" % number for number in range(4)])
    held = get(dlq)
    task = started(dlq)
    dlq.requeue([held])
    advance(vhost, 0)
    assert (ready(work), ready(dlq)) == ([b"0", b"1", b"2", b"3"], [])
    assert numbers(task) == (4, 0, 0, 0)


def test_each_returned_message_is_visited_once_while_others_leave(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost, {"queue_type": "quorum"})
    for number in range(3 * BOUNDS.slice_count):
        kill(work, message(b"%d" % number, tenant="a" if number % 2 else "b"))
    dlq.requeue([get(dlq) for _ in range(3 * BOUNDS.slice_count)], failed=False)
    task = redrive(dlq, filter=RedriveFilter(headers={"tenant": "a"}))
    assert numbers(task) == (150, 0, 150, 0)
    assert ready(dlq) == [b"%d" % number for number in range(0, 3 * BOUNDS.slice_count, 2)]


def test_consumer_of_the_destination_gets_the_message_as_a_new_one(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost, delivery_limit=1, queue_type="quorum")
    publish(work, b"1")
    for _ in range(2):
        work.requeue([get(work)])
    assert ready(dlq) == [b"1"]
    consumer = Subscriber(work).subscribe()
    redrive(dlq)
    assert consumer.got == [(b"1", False)]
    assert consumer.held[0].delivery_count == 0


def test_duplicate_is_moved_into_a_queue_that_drops_duplicates(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost, message_deduplication=True, cache_ttl=60_000)
    letter = message(b"1", **{"x-deduplication-header": "id"})
    kill(work, letter)
    redrive(dlq)
    assert ready(work) == [b"1"]


def test_other_messages_go_to_consumers_of_the_dead_letter_queue(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, b"1")
    redrive(dlq)
    consumer = Subscriber(dlq).subscribe()
    kill(work, b"2")
    assert consumer.bodies == [b"1"]


# --- what stays -------------------------------------------------------------------------------------------------------


@KINDS
def test_messages_without_a_place_to_go_stay_in_their_order(vhost: Vhost, kind: dict[str, Any]) -> None:
    work, dlq = work_with_dlq(vhost, kind)
    gone = declare(vhost, "gone", dead_letter_exchange="", dead_letter_routing_key="dlq")
    for number in range(3):
        kill(gone, b"g%d" % number)
        kill(work, b"w%d" % number)
    vhost.delete_queue(gone)
    task = redrive(dlq)
    assert (ready(work), ready(dlq)) == ([b"w0", b"w1", b"w2"], [b"g0", b"g1", b"g2"])
    assert (task.state, *numbers(task)) == (COMPLETED, 3, 3, 0, 0)
    assert task.problem == "queue 'gone' does not exist"
    assert [get(dlq).message.body for _ in range(3)] == [b"g0", b"g1", b"g2"]


def test_messages_stay_that_a_full_queue_refuses(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost, max_length=1, overflow="reject-publish")
    kill(work, b"1", b"2")
    task = redrive(dlq)
    assert (ready(work), ready(dlq)) == ([b"1"], [b"2"])
    assert "length limit" in task.problem


@pytest.mark.parametrize("wanted", [{}, {"reason": "rejected", "queue": "work", "headers": {"tenant": "a", "n": 1}}])
def test_filter_selects_messages(vhost: Vhost, wanted: dict[str, Any]) -> None:
    work, dlq = work_with_dlq(vhost)
    other = declare(vhost, "other", dead_letter_exchange="", dead_letter_routing_key="dlq")
    kill(work, message(b"yes", tenant="a", n=Field("I", 1)), message(b"no", tenant="b", n=Field("I", 1)), b"none")
    kill(other, message(b"other", "other", tenant="a", n=Field("I", 1)))
    work.publish(message(b"expired", expiration_ms=0, tenant="a", n=Field("I", 1)))
    task = redrive(dlq, filter=RedriveFilter(**wanted))
    if wanted:
        assert (ready(work), ready(other)) == ([b"yes"], [])
        assert numbers(task) == (1, 0, 4, 0)
    else:
        assert (ready(dlq), numbers(task)) == ([], (5, 0, 0, 0))


@KINDS
def test_named_messages_are_moved_in_the_order_of_the_queue(vhost: Vhost, kind: dict[str, Any]) -> None:
    work, dlq = work_with_dlq(vhost, kind)
    kill(work, b"1", b"2", b"3", b"4", b"5")
    placed = [entry for _, entry in dlq.ready_following(0, 5)]
    chosen = {entry.sequence: content_checksum(entry.message) for entry in (placed[3], placed[1])}
    task = redrive(dlq, filter=RedriveFilter(messages=chosen | {placed[2].sequence: 1}))
    assert (ready(work), ready(dlq)) == ([b"2", b"4"], [b"1", b"3", b"5"])
    assert (task.state, *numbers(task)) == (COMPLETED, 2, 0, 3, 0)


def test_redrive_ends_when_all_named_messages_are_moved(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, b"1", b"2", b"3", b"4")
    chosen = {entry.sequence: content_checksum(entry.message) for _, entry in dlq.ready_following(0, 2)}
    task = started(dlq, filter=RedriveFilter(messages=chosen))
    assert task.left == 2
    vhost.clock.advance(0)  # type: ignore[attr-defined]
    assert numbers(task) == (2, 0, 0, 0)
    assert numbers(redrive(dlq, limit=5, filter=RedriveFilter(messages={1: 1}))) == (0, 0, 2, 0)


@pytest.mark.parametrize(("header", "wanted"), [("tenant", "a"), ("", "k1")])
def test_filter_selects_a_message_group(vhost: Vhost, header: str, wanted: str) -> None:
    work, dlq = work_with_dlq(vhost, group_header=header)
    for body, key, tenant in (b"1", "k1", "a"), (b"2", "k2", "b"), (b"3", "k1", "a"):
        kill(work, message(body, key, "amq.topic", tenant=tenant))
    kill(declare(vhost, "plain", dead_letter_exchange="", dead_letter_routing_key="dlq"), message(b"4", tenant="a"))
    task = redrive(dlq, filter=RedriveFilter(group=wanted))
    assert (ready(work), numbers(task)) == ([b"1", b"3"], (2, 0, 2, 0))


@pytest.mark.parametrize(("wanted", "moved"), [("integer", [b"1"]), ("string", [b"2"]), (None, [b"1", b"2"])])
def test_filter_selects_a_message_group_by_the_type_of_its_key(
    vhost: Vhost, wanted: str | None, moved: list[bytes]
) -> None:
    work, dlq = work_with_dlq(vhost, group_header="tenant")
    for body, tenant in (b"1", Field("l", 1)), (b"2", longstr("1")):
        kill(work, message(body, tenant=tenant))
    redrive(dlq, filter=RedriveFilter(group="1", group_key_type=wanted))
    assert ready(work) == moved


def test_messages_of_a_closed_group_stay_until_the_group_is_redriven(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost, group_header="tenant", group_on_dead="follow")
    kill(work, message(b"1", tenant="a"))
    assert work.publish(message(b"2", tenant="a"))
    task = redrive(dlq)
    assert (ready(work), ready(dlq), numbers(task)) == ([], [b"1", b"2"], (0, 2, 0, 0))
    assert task.problem == "a message group of queue 'work' is closed: redrive the group"
    assert isinstance(work, GroupQueue)
    (group,) = work.line.groups.stopped()
    assert work.redrive_group(group, [dlq]) == 2
    assert (ready(work), ready(dlq)) == ([b"1", b"2"], [])


@pytest.mark.parametrize("keep_history", [False, True])
@pytest.mark.parametrize("header", ["tenant", ""])
@pytest.mark.parametrize("via", [VIA_QUEUE, VIA_EXCHANGE])
def test_messages_of_a_closed_group_are_not_moved_to_another_queue(
    vhost: Vhost, via: str, header: str, keep_history: bool
) -> None:
    work, dlq = work_with_dlq(vhost, group_header=header, group_on_dead="follow")
    other = declare(vhost, "other")
    kill(work, message(b"1", "other", tenant="a"))
    assert work.publish(message(b"2", "other", tenant="a"))
    assert dlq.publish(message(b"no dead letter of the group", "other", tenant="a"))
    destination = "other" if via == VIA_QUEUE else None
    task = redrive(dlq, destination=destination, via=via, keep_history=keep_history)
    assert ready(dlq)[:2] == [b"1", b"2"]
    assert task.failed == 2 + (destination is None)
    assert len(ready(other)) == (destination is not None)
    assert isinstance(work, GroupQueue)
    (group,) = work.line.groups.stopped()
    assert work.redrive_group(group, [dlq]) == 2


def test_letters_that_did_not_close_their_group_are_moved_to_another_queue(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost, group_header="tenant", group_on_dead="follow", message_ttl=1000)
    other = declare(vhost, "other")
    assert work.publish(message(b"1", tenant="a"))
    advance(vhost, 1000)
    kill(work, message(b"2", tenant="a"))
    redrive(dlq, destination="other")
    assert (ready(other), ready(dlq)) == ([b"1"], [b"2"])


def test_parked_messages_of_a_dead_letter_queue_are_moved(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost, {"group_header": "tenant", "group_on_dead": "park"})
    for body in b"1", b"2":
        kill(work, message(body, tenant="a"))
    dlq.reject([get(dlq)])
    redrive(dlq)
    assert (ready(work), ready(dlq)) == ([b"1", b"2"], [])
    work.reject([get(work)])
    assert get(dlq).message.body == b"1"


@pytest.mark.parametrize("kind", [{}, {"queue_type": "quorum"}], ids=["classic", "quorum"])
def test_parked_group_of_a_dead_letter_queue_goes_on_when_its_first_message_is_moved(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    work, dlq = work_with_dlq(vhost, {"group_header": "tenant", "group_on_dead": "park", **kind})
    for body in b"1", b"2", b"3":
        kill(work, message(body, tenant="a"))
    dlq.reject([get(dlq)])
    assert isinstance(dlq, GroupQueue)
    for index, stopped in (1, 1), (0, 0):
        entry = dlq.ready_following(0, 2)[index][1]
        redrive(dlq, filter=RedriveFilter(messages={entry.sequence: content_checksum(entry.message)}))
        assert len(dlq.line.groups.stopped()) == stopped
    assert (ready(work), get(dlq).message.body) == ([b"2", b"1"], b"3")


@pytest.mark.parametrize("kind", [{}, {"queue_type": "quorum"}], ids=["classic", "quorum"])
@pytest.mark.parametrize(("on_dead", "state"), [("park", "parked"), ("follow", "closed")])
def test_messages_of_a_stopped_group_of_the_redriven_queue_stay(
    vhost: Vhost, kind: dict[str, Any], on_dead: str, state: str
) -> None:
    refusing = {"max_length": 1, "overflow": "reject-publish"}
    work, _ = work_with_dlq(vhost, refusing, group_header="tenant", group_on_dead=on_dead, **kind)
    other = declare(vhost, "other")
    for body in b"1", b"2", b"3":
        assert work.publish(message(body, tenant="a"))
    work.reject([get(work)])
    assert work.publish(message(b"4", tenant="b"))
    waiting = ready(work)[:-1]
    task = redrive(work, destination="other")
    assert (ready(work), ready(other), numbers(task)) == (waiting, [b"4"], (1, len(waiting), 0, 0))
    assert task.problem == f"a message group of queue 'work' is {state}: redrive the group"


def test_messages_that_were_redriven_into_a_parked_group_stay(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost, group_header="tenant")
    declare(vhost, "other")
    kill(work, message(b"1", tenant="a"))
    redrive(dlq, keep_history=True)
    work.apply_settings(queue_settings(work.kind, work.arguments, {"group-on-dead": "park"}))
    work.reject([get(work)])
    task = redrive(work, destination="other")
    assert (ready(work), numbers(task)) == ([b"1"], (0, 1, 0, 0))


def test_messages_behind_an_unsettled_one_of_their_group_stay(vhost: Vhost) -> None:
    work, _ = work_with_dlq(vhost, group_header="tenant")
    other = declare(vhost, "other")
    for body, tenant in (b"1", "a"), (b"2", "a"), (b"3", "b"):
        assert work.publish(message(body, tenant=tenant))
    get(work)
    task = redrive(work, destination="other")
    assert (ready(work), ready(other), numbers(task)) == ([b"2"], [b"3"], (1, 1, 0, 0))
    assert task.problem.startswith("an earlier message of a group of queue 'work' is delivered or delayed")


def test_messages_of_a_fair_queue_are_moved_beside_unsettled_ones(vhost: Vhost) -> None:
    work, _ = work_with_dlq(vhost, group_header="tenant", group_type="fair")
    other = declare(vhost, "other")
    for body in b"1", b"2":
        assert work.publish(message(body, tenant="a"))
    get(work)
    redrive(work, destination="other")
    assert ready(other) == [b"2"]


def test_limit_ends_the_task(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, b"1", b"2", b"3")
    task = redrive(dlq, limit=2)
    assert (ready(work), ready(dlq)) == ([b"1", b"2"], [b"3"])
    assert (task.state, *numbers(task)) == (COMPLETED, 2, 0, 0, 0)


# --- time -------------------------------------------------------------------------------------------------------------


def test_rate_is_kept_by_the_clock_of_the_broker(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, *[b"%d" % number for number in range(10)])
    task = redrive(dlq, max_per_second=4)
    assert task.moved == 1
    advance(vhost, 249)
    assert task.moved == 1
    advance(vhost, 1)
    assert task.moved == 2
    advance(vhost, 1000)
    assert (task.moved, task.left, task.state) == (6, 4, RUNNING)
    advance(vhost, 3_600_000)
    assert (task.moved, task.state) == (10, COMPLETED)
    assert task.ended_ms - task.started_ms == 2250


def test_pace_makes_up_for_one_second_only() -> None:
    pace = Pace(10, 0)
    moved = 0
    while not pace.wait_ms(60_000):
        pace.count(60_000)
        moved += 1
    assert moved == 11
    assert pace.wait_ms(60_000) == 100


def test_other_work_goes_on_between_slices(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, *[b"%d" % number for number in range(2 * BOUNDS.slice_count + 1)])
    task = started(dlq)
    seen = []
    for _ in range(3):
        clock_of(vhost).fire_due()
        seen.append(task.moved)
    assert seen == [BOUNDS.slice_count, 2 * BOUNDS.slice_count, 2 * BOUNDS.slice_count + 1]


def test_message_that_cannot_be_read_is_tried_again() -> None:
    queues = {"dlq": table(), "work": table(dead_letter_exchange="", dead_letter_routing_key="dlq")}
    before = Node(FlakyFiles(), **queues)
    for number in range(3):
        letter = message(b"%d" % number)
        letter.persistent = True
        kill(before.broker.vhosts["/"].queues["work"], letter)
    before.broker.sync()
    node = before.crash()
    work, dlq = (node.broker.vhosts["/"].queues[name] for name in ("work", "dlq"))
    node.files.share = 1.0
    task = started(dlq)
    node.clock.advance(500)
    assert (task.state, task.moved) == (RUNNING, 0)
    node.files.share = 0.0
    node.clock.advance(1000)
    assert (task.state, ready(work), ready(dlq)) == (COMPLETED, [b"0", b"1", b"2"], [])


# --- end --------------------------------------------------------------------------------------------------------------


def test_cancelled_task_leaves_the_other_messages(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, *[b"%d" % number for number in range(BOUNDS.slice_count + 5)])
    task = started(dlq)
    clock_of(vhost).fire_due()
    task.cancel()
    advance(vhost, 1000)
    assert (task.state, *numbers(task)) == (CANCELLED, BOUNDS.slice_count, 0, 0, 5)
    assert (work.ready_count, dlq.ready_count) == (BOUNDS.slice_count, 5)


def test_task_of_a_deleted_queue_fails(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, b"1")
    task = started(dlq)
    vhost.delete_queue(dlq)
    advance(vhost, 0)
    assert (task.state, task.reason, task.left) == (FAILED, "queue 'dlq' was deleted", 1)
    assert work.ready_count == 0


def test_task_fails_when_its_user_loses_the_permissions(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, b"1", b"2", b"3")
    now: list[Permissions | None] = [allowed(), allowed(read="none"), None]
    task = started(dlq, lambda: now[0], max_per_second=1)
    advance(vhost, 0)
    now.pop(0)
    advance(vhost, 1000)
    assert (task.state, task.moved) == (FAILED, 1)
    assert task.reason == "ACCESS_REFUSED - read access to queue 'dlq' in vhost '/' refused for user 'guest'"
    now.pop(0)
    gone = started(dlq, lambda: now[0])
    advance(vhost, 0)
    assert gone.reason == "the user who started it has no permissions in vhost '/' any more"
