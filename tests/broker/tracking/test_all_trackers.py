from amqpbroker.broker.tracking.all_trackers import AllTrackers
from amqpbroker.broker.tracking.copy_tracker import CopyTracker
from amqpbroker.message.message import Copy, Message, encode_address


class Follower(CopyTracker):
    """Notes each call, and follows messages with a body that begins with its name."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.calls: list[tuple[str, ...]] = []

    def follows(self, message: Message) -> bool:
        return message.body.startswith(self.name)

    def entered(self, copy: Copy, queue: str) -> None:
        self.calls.append(("entered", queue))

    def acknowledged(self, copy: Copy, queue: str) -> None:
        self.calls.append(("acknowledged", queue))

    def failed(self, copy: Copy, queue: str, reason: str) -> None:
        self.calls.append(("failed", queue, reason))

    def unroutable(self, message: Message, user: str) -> None:
        self.calls.append(("unroutable", user))

    def begin_move(self, copy: Copy, queue: str) -> None:
        self.calls.append(("begin_move", queue))

    def begin_letter(self, copy: Copy, queue: str, reason: str, rejected: bool) -> None:
        self.calls.append(("begin_letter", queue, reason, str(rejected)))

    def end_move(self, reason: str) -> None:
        self.calls.append(("end_move", reason))


def message(body: bytes) -> Message:
    return Message(encode_address("", b"q"), b"\0\0", body)


def test_every_follower_receives_every_fate() -> None:
    parts = [Follower(b"a"), Follower(b"b")]
    tracker = AllTrackers(list(parts))
    for part in parts:
        part.set_active(True)
    copy = Copy(message(b"a"), 0, 1, 0)
    tracker.entered(copy, "q")
    tracker.acknowledged(copy, "q")
    tracker.failed(copy, "q", "expired")
    tracker.unroutable(copy.message, "user")
    tracker.begin_move(copy, "q")
    tracker.begin_letter(copy, "q", "rejected", True)
    tracker.end_move("deleted")
    for part in parts:
        assert part.calls == [
            ("entered", "q"),
            ("acknowledged", "q"),
            ("failed", "q", "expired"),
            ("unroutable", "user"),
            ("begin_move", "q"),
            ("begin_letter", "q", "rejected", "True"),
            ("end_move", "deleted"),
        ]


def test_message_is_followed_if_any_follower_follows_it() -> None:
    tracker = AllTrackers([Follower(b"a"), Follower(b"b")])
    assert [tracker.follows(message(body)) for body in (b"a1", b"b1", b"c1")] == [True, True, False]


def test_whole_is_active_while_any_follower_is() -> None:
    first, second = Follower(b"a"), Follower(b"b")
    tracker = AllTrackers([first, second])
    states = [tracker.active]
    for part, active in ((first, True), (second, True), (first, False), (second, False)):
        part.set_active(active)
        states.append(tracker.active)
    assert states == [False, True, True, True, False]


def test_follower_that_is_not_active_does_not_search_copies_that_are_settled() -> None:
    active, idle = Follower(b"a"), Follower(b"b")
    tracker = AllTrackers([active, idle])
    active.set_active(True)
    copy = Copy(message(b"a"), 0, 1, 0)
    tracker.acknowledged(copy, "q")
    tracker.failed(copy, "q", "purged")
    assert active.calls == [("acknowledged", "q"), ("failed", "q", "purged")]
    assert idle.calls == []
