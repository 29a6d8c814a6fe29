from amqpbroker.broker.tracking.expiries import SLACK, Expiries
from amqpbroker.clock import ManualClock


def made() -> tuple[ManualClock, Expiries, list[bytes]]:
    clock, expired = ManualClock(), list[bytes]()
    return clock, Expiries(clock, expired.append), expired


def test_ids_expire_in_the_order_of_their_times() -> None:
    clock, expiries, expired = made()
    for id_, after_ms in (b"late", 20), (b"early", 10), (b"last", 30):
        expiries.set(id_, clock.wall_ms() + after_ms)
    clock.advance(9)
    assert expired == []
    clock.advance(1)
    assert expired == [b"early"]
    clock.advance(20)
    assert expired == [b"early", b"late", b"last"]


def test_last_time_of_an_id_counts() -> None:
    clock, expiries, expired = made()
    expiries.set(b"sooner", clock.wall_ms() + 100)
    expiries.set(b"sooner", clock.wall_ms() + 10)
    expiries.set(b"later", clock.wall_ms() + 10)
    expiries.set(b"later", clock.wall_ms() + 20)
    clock.advance(10)
    assert expired == [b"sooner"]
    clock.advance(200)
    assert expired == [b"sooner", b"later"]


def test_removed_id_does_not_expire() -> None:
    clock, expiries, expired = made()
    expiries.set(b"a", clock.wall_ms() + 10)
    expiries.remove(b"a")
    expiries.remove(b"unknown")
    clock.advance(10)
    assert expired == []


def test_id_that_is_set_again_when_it_expires_expires_again() -> None:
    clock = ManualClock()
    expired = []

    def again(id_: bytes) -> None:
        expired.append(id_)
        if len(expired) < 3:
            expiries.set(id_, clock.wall_ms() + 10)

    expiries = Expiries(clock, again)
    expiries.set(b"a", clock.wall_ms() + 10)
    clock.advance(10)
    clock.advance(10)
    clock.advance(100)
    assert expired == [b"a"] * 3


def test_nothing_expires_after_the_end() -> None:
    clock, expiries, expired = made()
    expiries.set(b"a", clock.wall_ms() + 10)
    expiries.close()
    clock.advance(10)
    assert expired == []


def test_removed_ids_take_no_memory_until_their_times() -> None:
    clock, expiries, expired = made()
    expiries.set(b"kept", clock.wall_ms() + 10)
    for number in range(1000):
        expiries.set(b"%d" % number, clock.wall_ms() + 1_000_000 - number)
        expiries.remove(b"%d" % number)
        assert len(expiries) <= 2 * 2 + SLACK
    clock.advance(10)
    assert expired == [b"kept"]


def test_removed_ids_take_no_memory_if_no_others_come() -> None:
    clock, expiries, expired = made()
    ids = [b"%d" % number for number in range(10 * SLACK)]
    for id_ in (*ids, b"kept"):
        expiries.set(id_, clock.wall_ms() + 10)
    for id_ in ids:
        expiries.remove(id_)
    assert len(expiries) <= 2 + SLACK
    expiries.remove(b"kept")
    assert len(expiries) == 0
    expiries.set(b"again", clock.wall_ms() + 10)
    clock.advance(10)
    assert expired == [b"again"]
