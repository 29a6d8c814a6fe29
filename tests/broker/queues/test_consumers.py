import random
from collections.abc import Callable

import pytest

from amqpbroker.broker.queues.consumers import Consumers, QuorumConsumers
from amqpbroker.errors import AmqpError
from tests.broker.queueing import Subscriber, make_vhost


def subscriber(tag: str, limit: int = 1 << 30, **options: object) -> Subscriber:
    return Subscriber(make_vhost().reply_queue(), tag, limit, **options)


def consumers(*these: Subscriber, single_active: bool = False, takeover: bool = False) -> Consumers:
    made = Consumers("q", "/", single_active, takeover)
    for one in these:
        made.add(one)
    return made


def turns(ring: Consumers, count: int) -> list[str]:
    """Return the consumers of the next messages; each message counts as unacknowledged."""
    tags = []
    for _ in range(count):
        consumer = ring.next()
        if consumer is None:
            tags.append("nobody")
            continue
        consumer.unacked += 1
        tags.append(consumer.tag)
    return tags


def settle(ring: Consumers, consumer: Subscriber, count: int = 1) -> bool:
    consumer.unacked -= count
    return ring.settled(consumer)


def test_next_consumer_is_none_without_consumers() -> None:
    assert consumers().next() is None


def test_consumers_take_turns_round_robin() -> None:
    ring = consumers(*[subscriber(tag) for tag in "abc"])
    assert turns(ring, 7) == ["a", "b", "c", "a", "b", "c", "a"]


def test_blocked_consumer_is_skipped_until_it_settles() -> None:
    a, b, c = subscriber("a", 1), subscriber("b"), subscriber("c", 1)
    ring = consumers(a, b, c)
    assert turns(ring, 5) == ["a", "b", "c", "b", "b"]
    assert not a.ringed
    assert not settle(ring, a)
    assert a.ringed
    assert sorted(turns(ring, 2)) == ["a", "b"]
    assert turns(ring, 2) == ["b", "b"]


def test_next_consumer_is_none_while_all_consumers_are_blocked() -> None:
    a, b = subscriber("a", 1), subscriber("b", 1)
    ring = consumers(a, b)
    assert turns(ring, 4) == ["a", "b", "nobody", "nobody"]
    settle(ring, b)
    assert turns(ring, 2) == ["b", "nobody"]


def test_consumer_woken_twice_gets_only_one_turn() -> None:
    a, b = subscriber("a"), subscriber("b")
    ring = consumers(a, b)
    ring.wake(a)
    ring.wake(a)
    assert turns(ring, 4) == ["a", "b", "a", "b"]


def test_removed_consumer_gets_no_turn_after_it_settles() -> None:
    a, b = subscriber("a", 1), subscriber("b")
    ring = consumers(a, b)
    assert turns(ring, 2) == ["a", "b"]
    ring.remove(a)
    settle(ring, a)
    assert turns(ring, 2) == ["b", "b"]
    assert ring.all == [b]


def test_consumer_of_highest_priority_is_first_whenever_it_subscribed() -> None:
    ring = consumers(
        subscriber("low"), subscriber("high", 2, priority=7), subscriber("mid", 1), subscriber("top", 1, priority=9)
    )
    assert turns(ring, 6) == ["top", "high", "high", "low", "mid", "low"]


def test_woken_consumer_of_higher_priority_is_first_again() -> None:
    low, high = subscriber("low", priority=-3), subscriber("high", 1, priority=2)
    ring = consumers(low, high)
    assert turns(ring, 3) == ["high", "low", "low"]
    settle(ring, high)
    assert turns(ring, 2) == ["high", "low"]


def test_round_robin_of_a_lower_priority_continues() -> None:
    high = subscriber("h", 1, priority=1)
    ring = consumers(subscriber("a"), subscriber("b"), high)
    assert turns(ring, 2) == ["h", "a"]
    settle(ring, high)
    assert turns(ring, 4) == ["h", "b", "a", "b"]


@pytest.mark.parametrize("gone", ["a", "b", "high", "low"])
def test_removal_of_a_consumer_does_not_change_the_order_of_others(gone: str) -> None:
    priorities = {"a": 1, "b": 1, "high": 2, "low": 0}
    these = {tag: subscriber(tag, 1, priority=priority) for tag, priority in priorities.items()}
    ring = consumers(*these.values())
    ring.remove(these[gone])
    assert turns(ring, 4) == [tag for tag in ("high", "a", "b", "low") if tag != gone] + ["nobody"]


def test_exclusive_consumer_must_be_the_only_one() -> None:
    ring = consumers(subscriber("a"))
    with pytest.raises(AmqpError) as refused:
        ring.add(subscriber("b", exclusive=True))
    assert refused.value.text == "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    alone = consumers(subscriber("a", exclusive=True))
    with pytest.raises(AmqpError):
        alone.add(subscriber("b"))
    with pytest.raises(AmqpError):
        consumers(single_active=True).add(subscriber("a", exclusive=True))


def test_refused_consumer_is_not_registered() -> None:
    late = subscriber("b")
    ring = consumers(subscriber("a", exclusive=True))
    with pytest.raises(AmqpError):
        ring.add(late)
    assert not late.registered
    assert ring.all[0].tag == "a"
    assert len(ring.all) == 1


def test_consumer_is_accepted_after_the_exclusive_one_is_removed() -> None:
    a, b = subscriber("a", exclusive=True), subscriber("b")
    ring = consumers(a)
    ring.remove(a)
    ring.add(b)
    assert turns(ring, 1) == ["b"]


# --- single active consumer -------------------------------------------------------------------------------------------


def test_single_active_consumer_gets_all_messages_until_the_next_succeeds() -> None:
    a, b, c = subscriber("a", 2), subscriber("b"), subscriber("c")
    ring = consumers(a, b, c, single_active=True)
    assert turns(ring, 3) == ["a", "a", "nobody"]
    ring.remove(a)
    assert ring.active is b
    ring.remove(c)
    assert turns(ring, 2) == ["b", "b"]


def test_classic_new_consumer_of_higher_priority_is_the_next_successor() -> None:
    a, b, high = subscriber("a"), subscriber("b"), subscriber("high", priority=5)
    ring = consumers(a, b, high, single_active=True)
    assert turns(ring, 2) == ["a", "a"]
    assert not settle(ring, a, 2)
    assert turns(ring, 1) == ["a"]
    ring.remove(a)
    assert turns(ring, 1) == ["high"]


@pytest.mark.parametrize("takeover", [False, True])
def test_paused_active_consumer_is_succeeded_by_the_one_of_highest_priority(takeover: bool) -> None:
    a, b, high = subscriber("a"), subscriber("b"), subscriber("high", priority=5)
    ring = consumers(a, b, single_active=True, takeover=takeover)
    assert turns(ring, 1) == ["a"]
    ring.add(high)
    a.pause()
    assert settle(ring, a)
    assert turns(ring, 1) == ["high"]


@pytest.mark.parametrize("takeover", [False, True])
def test_active_consumer_that_pauses_is_out_of_the_ring_until_it_is_succeeded(takeover: bool) -> None:
    a, b = subscriber("a"), subscriber("b")
    ring = consumers(a, b, single_active=True, takeover=takeover)
    assert turns(ring, 2) == ["a", "a"]
    a.pause()
    assert not settle(ring, a)
    assert not a.ringed, "otherwise its last acknowledgement is not noticed while no message is ready"
    assert settle(ring, a)
    assert turns(ring, 1) == ["b"]


def test_quorum_new_consumer_of_higher_priority_replaces_an_idle_active_one() -> None:
    a, high = subscriber("a"), subscriber("high", priority=5)
    ring = consumers(a, high, single_active=True, takeover=True)
    assert ring.active is high
    assert turns(ring, 2) == ["high", "high"]


def test_quorum_new_consumer_waits_until_the_active_one_has_settled() -> None:
    a, equal, high = subscriber("a"), subscriber("equal"), subscriber("high", priority=5)
    ring = consumers(a, equal, single_active=True, takeover=True)
    assert turns(ring, 2) == ["a", "a"]
    ring.add(high)
    assert turns(ring, 1) == ["nobody"]
    assert not settle(ring, a)
    assert turns(ring, 1) == ["nobody"]
    assert settle(ring, a)
    assert turns(ring, 1) == ["high"]


def test_quorum_new_consumer_is_removed_before_it_is_active() -> None:
    a, high = subscriber("a"), subscriber("high", priority=5)
    ring = consumers(a, single_active=True, takeover=True)
    assert turns(ring, 1) == ["a"]
    ring.add(high)
    ring.remove(high)
    assert turns(ring, 1) == ["a"]


def test_quorum_active_consumer_is_removed_with_unacked_messages() -> None:
    a, high = subscriber("a"), subscriber("high", priority=5)
    ring = consumers(a, single_active=True, takeover=True)
    assert turns(ring, 1) == ["a"]
    ring.add(high)
    ring.remove(a)
    assert turns(ring, 1) == ["high"]
    assert not settle(ring, a)
    assert ring.active is high


# --- quorum queues ----------------------------------------------------------------------------------------------------


def quorum_consumers(*these: Subscriber) -> QuorumConsumers:
    made = QuorumConsumers("q", "/")
    for one in these:
        made.add(one)
    return made


@pytest.mark.parametrize(("make", "following"), [(consumers, ["a", "b"]), (quorum_consumers, ["b", "a"])])
def test_consumer_that_reached_its_prefetch_keeps_its_place_except_in_quorum_queues(
    make: Callable[..., Consumers], following: list[str]
) -> None:
    a, b = subscriber("a", 1), subscriber("b", 1)
    ring = make(a, b)
    assert turns(ring, 2) == ["a", "b"]
    settle(ring, b)
    settle(ring, a)
    assert turns(ring, 2) == following


def test_quorum_consumer_below_its_prefetch_keeps_its_place() -> None:
    a, b = subscriber("a", 2), subscriber("b", 2)
    ring = quorum_consumers(a, b)
    assert turns(ring, 2) == ["a", "b"]
    settle(ring, b)
    assert turns(ring, 3) == ["a", "b", "b"]
    assert turns(ring, 1) == ["nobody"]


def test_quorum_consumer_filled_by_the_last_message_moves_to_the_end() -> None:
    a, b = subscriber("a", 1), subscriber("b", 1)
    ring = quorum_consumers(a, b)
    assert turns(ring, 2) == ["a", "b"]
    settle(ring, a)
    a.unacked += 1
    ring.delivered_last(a)
    settle(ring, b)
    settle(ring, a)
    assert turns(ring, 2) == ["b", "a"]


# --- random operations ------------------------------------------------------------------------------------------------


def test_consumers_take_turns_by_priority_after_random_operations() -> None:
    chance = random.Random(5)
    ring = consumers()
    known: list[Subscriber] = []
    last_turn: dict[str, int] = {}
    for step in range(6000):
        act = chance.random()
        if act < 0.04 and len(known) < 12:
            known.append(subscriber(f"c{step}", chance.choice((1, 2, 5)), priority=chance.randrange(3)))
            ring.add(known[-1])
            last_turn[known[-1].tag] = step
        elif act < 0.06 and known:
            ring.remove(known.pop(chance.randrange(len(known))))
        elif act < 0.4 and known:
            one = chance.choice(known)
            if one.unacked:
                if not one.ringed:
                    last_turn[one.tag] = step
                settle(ring, one)
        else:
            able = [one for one in known if one.can_take()]
            got = ring.next()
            if not able:
                assert got is None
                continue
            assert isinstance(got, Subscriber)
            assert got in able
            assert got.priority == max(one.priority for one in able)
            rivals = [one for one in able if one.priority == got.priority]
            assert last_turn[got.tag] == min(last_turn[one.tag] for one in rivals)
            last_turn[got.tag] = step
            got.unacked += 1
        assert all(one.ringed for one in known if one.can_take())
