"""Alarms of memory and disk."""

import time

import pytest

from amqpbroker.testing.faults.block import Block
from amqpbroker.testing.faults.fault import Only


def hears(connection):
    """Return the reasons of connection.blocked and unblocked, and wait for the next one."""
    told = []
    connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
    connection.add_on_connection_unblocked_callback(lambda _, frame: told.append("unblocked"))

    def hear(more):
        before = len(told)
        end = time.monotonic() + (60 if more else 0.01)
        while len(told) == before and time.monotonic() < end:
            connection.process_data_events(0.01)
        return told

    return hear


def test_publishers_are_blocked_until_all_alarms_end(b, connect, queue):
    connection = connect()
    channel = connection.channel()
    hear = hears(connection)
    b.faults.block("disk")
    memory = b.faults.block()
    channel.basic_publish("", queue, b"x")
    assert hear(more=True) == ["low on disk & memory"]
    memory.clear()
    assert hear(more=False) == ["low on disk & memory"]
    b.faults.unblock()
    assert hear(more=True) == ["low on disk & memory", "unblocked"]


def test_ending_one_block_fault_does_not_end_another(b, connect, queue):
    with b.faults.block():
        with b.faults.block():
            pass
        connection = connect()
        hear = hears(connection)
        connection.channel().basic_publish("", queue, b"x")
        assert hear(more=True) == ["low on memory"]


def test_invalid_arguments_raise_errors():
    with pytest.raises(
        ValueError, match="resource = 'memmory': this must be 'memory' or 'disk'; did you mean memory\\?"
    ):
        Block("memmory")
    with pytest.raises(
        ValueError, match=r"an alarm blocks the publishers of the whole broker.*amqp_broker\.faults\.block"
    ):
        Block(only=Only(user="shop"))
