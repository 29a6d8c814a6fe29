import random

from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from tests.broker.queues.lines.lines import drain, entry


def test_fifo_requeue_restores_the_original_position():
    line = FifoLine()
    for i in range(6):
        line.push(entry(i))
    taken = [line.pop() for _ in range(4)]
    line.requeue([taken[3]])
    line.requeue([taken[1], taken[0]])
    assert [e.sequence for e in line.line] == [0, 1, 3, 4, 5]
    line.requeue([taken[2]])
    assert drain(line) == [0, 1, 2, 3, 4, 5]


def test_fifo_requeue_at_random_keeps_the_order():
    chance = random.Random(3)
    line = FifoLine()
    for i in range(200):
        line.push(entry(i))
    out = []
    for _ in range(2000):
        if line.count and chance.random() < 0.6:
            out.append(line.pop())
        elif out:
            chance.shuffle(out)
            back, out = out[: len(out) // 2 + 1], out[len(out) // 2 + 1 :]
            line.requeue(back)
        assert [e.sequence for e in line.line] == sorted(e.sequence for e in line.line)
    line.requeue(out) if out else None
    assert drain(line) == list(range(200))


def test_fifo_requeue_near_the_end_keeps_the_order():
    line = FifoLine()
    for i in range(100):
        line.push(entry(i))
    for taken in ([99], [90, 97, 93], [95, 2], list(range(60, 100, 3))):
        out = [line.remove(sequence) for sequence in taken]
        assert [e.sequence for e in line.line] == [i for i in range(100) if i not in taken]
        line.requeue(out)
        assert [e.sequence for e in line.line] == list(range(100))
