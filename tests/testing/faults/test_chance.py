"""Random faults are the same for the same seed."""

import re

import pytest

from amqpbroker.testing.faults.chance import Chance
from tests.testing.faults.raw import publish


def what_happens(b, dial, seed, pieces):
    """Publish a hundred messages on each of three connections, `pieces` of them at a time. Return the faults."""
    b.faults.forget()
    b.faults.random(seed, rate=0.02)
    for _ in range(3):
        client = dial()
        client.call("confirm.select")
        try:
            for start in range(0, 100, pieces):
                client.send(b"".join(publish(b"%d" % number) for number in range(start, start + pieces)))
                client.told()
        except (OSError, EOFError):
            continue
    return [re.sub(r"connection \d+ \([^)]*\)|^\S+", "", str(struck)) for struck in b.faults.happened]


def test_the_same_seed_triggers_the_same_faults(b, dial, queue):
    first = what_happens(b, dial, 7, pieces=10)
    assert len(first) >= 3
    assert first == what_happens(b, dial, 7, pieces=10)
    assert first != what_happens(b, dial, 8, pieces=10)


def test_random_faults_do_not_depend_on_how_input_is_split(b, dial, queue):
    """Faults count frames, whether data is sent at once, byte by byte or frame by frame."""

    def struck(cut):
        b.faults.forget()
        b.faults.random(3, rate=0.05)
        client = dial()
        client.call("confirm.select")
        data = b"".join(publish(b"%d" % number) for number in range(50))
        try:
            for start in range(0, len(data), cut):
                client.send(data[start : start + cut])
            client.told()
        except (OSError, EOFError):
            pass
        return [re.sub(r"connection \d+ \([^)]*\)|^\S+", "", str(one)) for one in b.faults.happened]

    assert struck(1 << 20) == struck(7) == struck(500) != []


def test_random_duplicate_fault_delivers_some_messages_twice(b, channel, queue):
    b.faults.random(1, rate=0.2, kinds=["duplicate"], times=3)
    for number in range(50):
        channel.basic_publish("", queue, b"%d" % number)
    got = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(54)]
    assert got[:50] == [b"%d" % number for number in range(50)]
    assert len(set(got[50:53]) & set(got[:50])) == 3
    assert got[53] is None


def test_automatically_chosen_seed_is_in_the_fault_report(b, client):
    ordered = b.faults.random(rate=1, kinds=["reset"])
    seed = int(re.search(r"seed=(\d+)", repr(ordered))[1])
    client.send(publish(b"x"))
    client.end()
    assert f"random(seed={seed}, rate=1, kinds=('reset',)) reset at frame" in b.faults.report()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"rate": 0}, "rate = 0: this must be a probability above 0, and at most 1, such as 0.01"),
        ({"rate": 2}, "rate = 2"),
        ({"kinds": ("nap",)}, "this must be a list with some of reset, drop, nack, duplicate"),
        ({"kinds": ()}, "this must be a list with some of reset"),
        ({"kinds": 5}, "kinds = 5: this must be a list"),
        ({"kinds": "drop"}, "kinds = 'drop': this must be a list"),
    ],
)
def test_invalid_arguments_raise_errors(arguments, text):
    with pytest.raises(ValueError, match=text):
        Chance(1, **arguments)
