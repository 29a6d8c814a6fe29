from amqpbroker.broker.fates.all_fates import AllFates
from amqpbroker.broker.fates.fates import Fates
from amqpbroker.message.message import Copy, Message, encode_address


class Follower(Fates):
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
    fates = AllFates(list(parts))
    for part in parts:
        part.set_active(True)
    copy = Copy(message(b"a"), 0, 1, 0)
    fates.entered(copy, "q")
    fates.acknowledged(copy, "q")
    fates.failed(copy, "q", "expired")
    fates.unroutable(copy.message, "user")
    fates.begin_move(copy, "q")
    fates.begin_letter(copy, "q", "rejected", True)
    fates.end_move("deleted")
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
    fates = AllFates([Follower(b"a"), Follower(b"b")])
    assert [fates.follows(message(body)) for body in (b"a1", b"b1", b"c1")] == [True, True, False]


def test_whole_is_active_while_any_follower_is() -> None:
    first, second = Follower(b"a"), Follower(b"b")
    fates = AllFates([first, second])
    states = [fates.active]
    for part, active in ((first, True), (second, True), (first, False), (second, False)):
        part.set_active(active)
        states.append(fates.active)
    assert states == [False, True, True, True, False]


def test_follower_that_is_not_active_does_not_search_copies_that_are_settled() -> None:
    active, idle = Follower(b"a"), Follower(b"b")
    fates = AllFates([active, idle])
    active.set_active(True)
    copy = Copy(message(b"a"), 0, 1, 0)
    fates.acknowledged(copy, "q")
    fates.failed(copy, "q", "purged")
    assert active.calls == [("acknowledged", "q"), ("failed", "q", "purged")]
    assert idle.calls == []
