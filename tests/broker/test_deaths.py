import pytest

from amqpbroker.broker.deaths import Death, Deaths, recorded, recovered
from amqpbroker.wire.values import Field, longstr


def death(queue: str, reason: str = "expired", time_s: int = 1, exchange: str = "x", expiration_ms: int = -1) -> Death:
    return Death(queue, reason, 1, time_s, exchange, (b"k1", b"k2"), expiration_ms)


def history(*deaths: Death) -> Deaths:
    record = None
    for one in deaths:
        record = recorded(record, one)
    assert record is not None
    return record


def entries(record: Deaths) -> list[tuple[str, str, int, int]]:
    return [(one.queue, one.reason, one.count, one.time_s) for one in record.entries]


def test_the_most_recent_death_comes_first() -> None:
    record = history(death("a", time_s=1), death("b", time_s=2), death("a", "rejected", time_s=3))
    assert entries(record) == [("a", "rejected", 1, 3), ("b", "expired", 1, 2), ("a", "expired", 1, 1)]


def test_a_death_of_the_same_queue_and_reason_counts_and_keeps_its_first_particulars() -> None:
    record = history(
        death("a", time_s=1, exchange="first", expiration_ms=7),
        death("b", time_s=2),
        death("a", time_s=9, exchange="y"),
    )
    assert entries(record) == [("a", "expired", 2, 1), ("b", "expired", 1, 2)]
    assert record.entries[0].exchange == "first"
    assert record.entries[0].expiration_ms == 7


def test_a_record_does_not_change() -> None:
    before = history(death("a"))
    recorded(before, death("b"))
    recorded(before, death("a"))
    assert entries(before) == [("a", "expired", 1, 1)]


def test_first_stays_and_last_follows() -> None:
    headers = history(
        death("a", exchange="x1"), death("b", "rejected", exchange="x2"), death("a", exchange="x3")
    ).headers()
    assert {name: field for name, field in headers.items() if name != "x-death"} == {
        "x-first-death-exchange": longstr("x1"),
        "x-first-death-queue": longstr("a"),
        "x-first-death-reason": longstr("expired"),
        "x-last-death-exchange": longstr("x3"),
        "x-last-death-queue": longstr("a"),
        "x-last-death-reason": longstr("expired"),
    }


def test_the_fields_of_x_death_and_their_order() -> None:
    table = history(death("é", expiration_ms=0)).headers()["x-death"].value[0].value
    assert list(table.items()) == [
        ("original-expiration", longstr("0")),
        ("count", Field("l", 1)),
        ("reason", longstr("expired")),
        ("queue", longstr("é")),
        ("time", Field("T", 1)),
        ("exchange", longstr("x")),
        ("routing-keys", Field("A", [longstr("k1"), longstr("k2")])),
    ]
    assert "original-expiration" not in history(death("a")).headers()["x-death"].value[0].value


def test_a_record_comes_back_from_its_headers() -> None:
    record = history(death("a", expiration_ms=5), death("b", "rejected", time_s=2, exchange=""), death("a", time_s=3))
    again = recovered(record.headers())
    assert again.entries == record.entries
    assert again.headers() == record.headers()
    more = death("c", "maxlen")
    assert recorded(again, more).headers() == recorded(record, more).headers()


@pytest.mark.parametrize(
    ("deaths", "queue", "cycle"),
    [
        ([("a", "expired")], "a", True),
        ([("a", "maxlen")], "a", True),
        ([("a", "delivery_limit")], "a", True),
        ([("a", "expired")], "b", False),
        ([("a", "rejected")], "a", False),
        ([("a", "expired"), ("b", "expired")], "a", True),
        ([("a", "expired"), ("b", "rejected")], "a", False),
        ([("a", "rejected"), ("b", "expired")], "a", False),
        # a rejection before the queue's own last death is not in the cycle
        ([("b", "rejected"), ("a", "expired")], "a", True),
        ([("b", "rejected"), ("a", "expired"), ("c", "expired")], "a", True),
        ([("a", "rejected"), ("b", "expired"), ("a", "expired")], "a", True),
        ([("a", "expired"), ("b", "expired"), ("a", "rejected"), ("b", "expired")], "a", False),
    ],
)
def test_cycles(deaths: list[tuple[str, str]], queue: str, cycle: bool) -> None:
    """The deaths in the order in which they happened; rules of mc:is_death_cycle."""
    assert history(*(death(*one) for one in deaths)).is_cycle(queue) is cycle
