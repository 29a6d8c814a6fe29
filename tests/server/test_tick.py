from amqpbroker.server.tick import Tick


class Turn:
    """An event loop's turn: what was scheduled runs when the test says so."""

    def __init__(self):
        self.scheduled = []
        self.log = []
        self.tick = Tick(self.scheduled.append, lambda: self.log.append("sync"), self.log.append)

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


def test_all_marked_clients_are_served_after_one_sync():
    turn = Turn()
    turn.tick.mark(Client("a", turn.log))
    turn.tick.mark(Client("b", turn.log))
    assert len(turn.scheduled) == 1
    turn.end()
    assert turn.log == ["sync", "a", "b"]
    assert turn.scheduled == []


def test_client_marked_during_the_sync_is_served_in_the_same_turn():
    turn = Turn()
    late = Client("confirmed", turn.log)
    turn.tick = Tick(turn.scheduled.append, lambda: turn.tick.mark(late), turn.log.append)
    turn.tick.mark(Client("a", turn.log))
    turn.end()
    assert turn.log == ["a", "confirmed"]
    assert turn.scheduled == []


def test_what_a_sync_leaves_for_later_is_persisted_in_the_next_turn():
    turn = Turn()
    left = ["compaction", "more of it"]

    def sync():
        turn.log.append("sync")
        if left:
            left.pop()
            turn.tick.request()

    turn.tick = Tick(turn.scheduled.append, sync, turn.log.append)
    turn.tick.request()
    for _ in range(4):
        turn.end()
    assert turn.log == ["sync", "sync", "sync"]


def test_client_marked_while_others_are_served_waits_for_the_next_turn():
    turn = Turn()
    late = Client("late", turn.log)
    turn.tick.mark(Client("a", turn.log, at_end=lambda: turn.tick.mark(late)))
    turn.end()
    assert turn.log == ["sync", "a"]
    turn.end()
    assert turn.log == ["sync", "a", "sync", "late"]


def test_no_client_is_served_after_a_failed_sync():
    turn = Turn()
    failure = OSError("disk full")

    def sync():
        raise failure

    tick = Tick(turn.scheduled.append, sync, turn.log.append)
    tick.mark(Client("a", turn.log))
    turn.end()
    tick.mark(Client("b", turn.log))
    turn.end()
    assert turn.log == [failure]


def test_requesting_clients_are_answered_after_the_clients_concerned():
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
