"""A line without due faults changes nothing, for any input, in any pieces, from any position on."""

import random
import re

import pytest

from amqpbroker.wire.frames import HEARTBEAT_FRAME
from tests.harness import Wire, make_broker
from tests.testing.faults.raw import HEADER, method, publish
from tests.testing.faults.test_line import Client, injector_of

LOGIN = (
    HEADER
    + method(0, "connection.start-ok", mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US")
    + method(0, "connection.tune-ok", channel_max=100, frame_max=131072)
    + method(0, "connection.open", virtual_host="/")
    + method(1, "channel.open")
    + method(1, "queue.declare", queue="q")
    + method(2, "channel.open")
)


def script(chance):
    """Return the bytes of a client: mostly valid, sometimes not."""
    data = LOGIN
    for _ in range(chance.randrange(1, 40)):
        channel = chance.choice((1, 1, 1, 2, 3))
        sizes, limits = (0, 1, 5, 400, 20_000, 40_000, 140_000), (408, 4096, 131072)
        data += chance.choice(
            (
                *3 * [publish(bytes(chance.choice(sizes)), channel=channel, frame_max=chance.choice(limits))],
                publish(b"x", "nowhere", channel),
                method(channel, "basic.get", queue="q", no_ack=True),
                method(channel, "basic.consume", queue="q", no_ack=True, consumer_tag=str(chance.randrange(5))),
                method(channel, "queue.declare", queue="q", durable=chance.random() < 0.1),
                HEARTBEAT_FRAME,
                chance.randbytes(20) if chance.random() < 0.1 else b"",
                method(0, "connection.close") if chance.random() < 0.1 else b"",
            )
        )
    return data


def answers(data, chance, line_from, alarms):
    """Return answers to the client, the queues, and whether the connection closes. line_from: None for no line."""
    wire = Wire(make_broker())
    served, out = wire.connection, b""

    def turn():
        wire.broker.sync()
        return b"".join(bytes(part) for _ in range(4) for part in served.collect())

    at = 0
    while at < len(data) and not served.closing:
        if line_from is not None and at >= line_from and served is wire.connection:
            served = injector_of().line(Client(), wire.connection)
        size = chance.choice((1, 3, 7, 8, 20, 100, 1000, 30_000))
        served.feed(data[at : at + size])
        at += size
        if chance.random() < 0.3:
            out += turn()
        if alarms and chance.random() < 0.1:
            chance.choice((wire.broker.alarms.set, wire.broker.alarms.clear))("memory")
    wire.broker.alarms.clear("memory")
    out += turn() + turn()
    queues = wire.broker.vhost("/").queues
    return re.sub(rb"amq\.ctag-[\w-]{22}", b"", out), queues["q"].ready_count if "q" in queues else None, served.closing


@pytest.mark.parametrize("seeds", [range(first, first + 25) for first in range(0, 100, 25)], ids=str)
def test_fault_line_without_matching_faults_does_not_change_answers(seeds):
    for seed in seeds:
        chance = random.Random(seed)
        data, alarms = script(chance), chance.random() < 0.3
        line_from = chance.choice((0, chance.randrange(len(data))))
        plain, lined = (answers(data, random.Random(seed), start, alarms) for start in (None, line_from))
        assert plain == lined, f"seed {seed}"
