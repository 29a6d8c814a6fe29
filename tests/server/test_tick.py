from amqpbroker.clock import ManualClock
from amqpbroker.server.tick import BATCH, SLICE_MS, Tick


class Turn:
    """An event loop's turn: what was scheduled runs when the test says so."""

    def __init__(self):
        self.scheduled = []
        self.log = []
        self.clock = ManualClock()
        self.tick = Tick(self.scheduled.append, lambda: self.log.append("sync"), self.log.append, self.clock.now_ms)

    def end(self):
        scheduled, self.scheduled[:] = list(self.scheduled), []
        for callback in scheduled:
            callback()


class Client:
    def __init__(self, name, log, at_end=lambda: None):
        self.name = name
        self.log = log
        self.at_end = at_end

    def end_turn(self):
        self.log.append(self.name)
        self.at_end()


def test_everything_marked_is_served_after_one_sync():
    turn = Turn()
    turn.tick.mark(Client("a", turn.log))
    turn.tick.mark(Client("b", turn.log))
    assert len(turn.scheduled) == 1
    turn.end()
    assert turn.log == ["sync", "a", "b"]
    assert turn.scheduled == []


def test_a_mark_during_sync_belongs_to_the_same_turn():
    turn = Turn()
    late = Client("confirmed", turn.log)
    turn.tick = Tick(turn.scheduled.append, lambda: turn.tick.mark(late), turn.log.append, turn.clock.now_ms)
    turn.tick.mark(Client("a", turn.log))
    turn.end()
    assert turn.log == ["a", "confirmed"]
    assert turn.scheduled == []


def test_a_mark_while_answers_are_written_waits_for_the_next_turn():
    turn = Turn()
    late = Client("late", turn.log)
    turn.tick.mark(Client("a", turn.log, at_end=lambda: turn.tick.mark(late)))
    turn.end()
    assert turn.log == ["sync", "a"]
    turn.end()
    assert turn.log == ["sync", "a", "sync", "late"]


def test_nothing_is_answered_once_a_sync_failed():
    turn = Turn()
    failure = OSError("disk full")

    def sync():
        raise failure

    tick = Tick(turn.scheduled.append, sync, turn.log.append, turn.clock.now_ms)
    tick.mark(Client("a", turn.log))
    turn.end()
    tick.mark(Client("b", turn.log))
    turn.end()
    assert turn.log == [failure]


def test_clients_that_asked_for_something_are_answered_after_those_that_it_concerns():
    """The client that deletes a queue must not have its answer before the queue's consumers are told."""
    turn = Turn()
    turn.tick.mark(Client("asked first", turn.log), asked=True)
    turn.tick.mark(Client("concerned", turn.log))
    turn.tick.mark(Client("asked last", turn.log), asked=True)
    turn.tick.mark(Client("concerned, too", turn.log))
    turn.end()
    assert turn.log == ["sync", "concerned", "concerned, too", "asked first", "asked last"]
    turn.tick.mark(Client("later", turn.log))
    turn.end()
    assert turn.log[-2:] == ["sync", "later"]


def test_clients_that_a_turn_has_no_time_for_come_first_in_the_next_one():
    """Ten thousand clients, of whom each takes a millisecond, and one that marks itself again each time."""
    turn = Turn()

    def again():
        turn.clock.advance(1)
        turn.tick.mark(greedy)

    greedy = Client("greedy", turn.log, at_end=again)
    turn.tick.mark(greedy)
    turn.tick.mark(Client("asked", turn.log), asked=True)
    names = [str(number) for number in range(10_000)]
    for name in names:
        turn.tick.mark(Client(name, turn.log, at_end=lambda: turn.clock.advance(1)))
    while "asked" not in turn.log:
        before = turn.clock.now_ms()
        turn.end()
        assert turn.clock.now_ms() - before < SLICE_MS + BATCH
    served = [each for each in turn.log if each not in ("sync", "greedy")]
    assert served == [*names, "asked"]
    assert turn.log.index("asked") == len(turn.log) - 2
    assert turn.log.count("greedy") < 5
