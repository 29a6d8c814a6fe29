"""A broker that is short of something."""

import pytest

from amqpbroker.testing.faults.block import Block
from amqpbroker.testing.faults.fault import Only


def test_publishers_are_blocked_until_all_is_well(b, connect, queue):
    connection = connect()
    channel = connection.channel()
    told = []
    connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
    connection.add_on_connection_unblocked_callback(lambda _, frame: told.append("unblocked"))
    b.faults.block("disk")
    memory = b.faults.block()
    channel.basic_publish("", queue, b"x")
    connection.process_data_events(0.05)
    assert told == ["low on disk & memory"]
    memory.clear()
    connection.process_data_events(0.01)
    assert told == ["low on disk & memory"]
    b.faults.unblock()
    connection.process_data_events(0.05)
    assert told == ["low on disk & memory", "unblocked"]


def test_the_first_to_end_does_not_end_the_other(b, connect, queue):
    with b.faults.block():
        with b.faults.block():
            pass
        connection = connect()
        connection.channel().basic_publish("", queue, b"x")
        told = []
        connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
        connection.process_data_events(0.05)
        assert told == ["low on memory"]


def test_what_makes_no_sense_is_told():
    with pytest.raises(ValueError, match="resource = 'patience': a broker is short of memory or disk"):
        Block("patience")
    with pytest.raises(ValueError, match="blocks all who publish"):
        Block(only=Only(user="shop"))
