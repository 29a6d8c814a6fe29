"""Locks that run out just before the acknowledgement arrives."""

import pytest

LOCKED = {"x-consumer-timeout": 60_000, "x-consumer-timeout-action": "return"}


@pytest.fixture
def locked(channel):
    channel.queue_declare("locked", arguments=LOCKED)
    for body in (b"1", b"2", b"3"):
        channel.basic_publish("", "locked", body)
    yield "locked"
    channel.queue_delete("locked")


def test_lock_runs_out_before_the_counted_ack(b, channel, locked):
    b.faults.expire_lock(2)
    got = []
    for method, _, body in channel.consume(locked, inactivity_timeout=60):
        got.append((body, method.redelivered))
        channel.basic_ack(method.delivery_tag)
        if len(got) == 4:
            break
    assert sorted(got) == [(b"1", False), (b"2", False), (b"2", True), (b"3", False)]
    channel.cancel()
    assert channel.queue_declare(locked, passive=True).method.message_count == 0
    assert [struck.fault for struck in b.faults.happened] == ["expire_lock(ack=2)"]


def test_ack_of_several_finds_all_their_locks_expired(b, channel, locked):
    b.faults.expire_lock()
    methods = [channel.basic_get(locked)[0] for _ in range(3)]
    channel.basic_ack(methods[1].delivery_tag, multiple=True)
    assert channel.queue_declare(locked, passive=True).method.message_count == 2


def test_ack_of_a_delivery_without_a_lock_is_handled_as_usual(b, channel):
    channel.queue_declare("plain", exclusive=True)
    channel.basic_publish("", "plain", b"x")
    b.faults.expire_lock()
    channel.basic_ack(channel.basic_get("plain")[0].delivery_tag)
    assert channel.queue_declare("plain", passive=True).method.message_count == 0
    assert b.faults.happened == []


def test_number_of_the_ack_is_checked(b):
    with pytest.raises(ValueError, match="ack = 0"):
        b.faults.expire_lock(0)
