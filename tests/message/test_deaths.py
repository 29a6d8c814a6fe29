import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.message.deaths import Deaths
from amqpbroker.wire.headers import normalised
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.property_edit import set_headers
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.death_tables import Death, history
from tests.wire.fields import fields, names

NO_PROPERTIES = encode_properties({})


def add(deaths: Deaths, death: Death) -> Deaths:
    deaths.add(
        death.queue.encode("utf-8", "surrogateescape"),
        death.reason.encode(),
        death.time_s,
        death.exchange.encode("utf-8", "surrogateescape"),
        death.routing_keys,
        death.expiration_ms,
    )
    return deaths


def recorded(*deaths: Death) -> Deaths:
    """Return the record of one message with these deaths, in order."""
    record = Deaths()
    for death in deaths:
        add(record, death)
    return record


def headers_of(deaths: Deaths) -> Table:
    headers: Table = decode_properties(set_headers(NO_PROPERTIES, deaths.headers()))["headers"]
    return headers


def test_x_death_entry_has_its_fields_in_the_order_of_rabbitmq() -> None:
    headers = headers_of(recorded(Death("é", "expired", exchange="x", expiration_ms=0)))
    assert list(headers["x-death"].value[0].value.items()) == [
        ("original-expiration", longstr("0")),
        ("count", Field("l", 1)),
        ("reason", longstr("expired")),
        ("queue", longstr("é")),
        ("time", Field("T", 1)),
        ("exchange", longstr("x")),
        ("routing-keys", Field("A", [longstr("k1"), longstr("k2")])),
    ]
    assert "original-expiration" not in headers_of(recorded(Death("a", "expired")))["x-death"].value[0].value


def test_x_first_death_headers_stay_and_x_last_death_headers_change() -> None:
    headers = headers_of(
        recorded(Death("a", "expired", exchange="x1"), Death("b", "rejected", exchange="x2"), Death("a", "maxlen"))
    )
    assert {name: field for name, field in headers.items() if name != "x-death"} == {
        "x-first-death-exchange": longstr("x1"),
        "x-first-death-queue": longstr("a"),
        "x-first-death-reason": longstr("expired"),
        "x-last-death-exchange": longstr("x"),
        "x-last-death-queue": longstr("a"),
        "x-last-death-reason": longstr("maxlen"),
    }


queues = st.one_of(st.sampled_from(["", "a", "b", "rejected", "ä", "\udcff", "\x05queueS"]), st.text(max_size=20))
some_deaths = st.lists(
    st.builds(
        Death,
        queue=queues,
        reason=st.sampled_from(["rejected", "expired", "maxlen", "delivery_limit"]),
        time_s=st.integers(0, 2**63 - 1),
        exchange=queues,
        routing_keys=st.lists(st.binary(max_size=300), max_size=3).map(tuple),
        expiration_ms=st.integers(-1, 2**40),
    ),
    min_size=1,
    max_size=8,
)


@given(some_deaths)
def test_death_headers_equal_those_of_a_simple_model(deaths: list[Death]) -> None:
    record = Deaths()
    for count, death in enumerate(deaths, 1):
        add(record, death)
        assert list(headers_of(record).items()) == list(history(*deaths[:count]).headers().items())


#: Headers of clients, with names before, between and after those of the record, and with the same names.
client_names = st.one_of(
    names,
    st.sampled_from(["a", "x-dead", "x-death", "x-delivery-count", "x-e", "x-first-death-exchange", "x-first-death-q"]),
    st.sampled_from(["x-first-death-reason", "x-g", "x-last-death-queue", "x-last-death-reason", "x-last-death-time"]),
)


@given(st.none() | st.dictionaries(client_names, fields), some_deaths)
def test_death_headers_are_sorted_among_the_headers_of_the_client(headers: Table | None, deaths: list[Death]) -> None:
    values = {"content_type": b"text", "priority": 3}
    sent = normalised(encode_properties(values if headers is None else {**values, "headers": headers}))
    properties = sent
    for count, death in enumerate(deaths, 1):
        # The client's own record is not continued; only the broker's own record keeps earlier deaths.
        deaths_so_far = Deaths(properties) if count > 1 else Deaths()
        properties = set_headers(properties, add(deaths_so_far, death).headers())
        wanted = {**(headers or {}), **history(*deaths[:count]).headers()}
        ordered = {name: wanted[name] for name in sorted(wanted, key=lambda name: name.encode("utf-8"))}
        assert properties == encode_properties({**values, "headers": ordered})
        assert normalised(properties) is properties


@given(some_deaths, queues)
def test_dead_letter_cycles_equal_those_of_a_simple_model(deaths: list[Death], queue: str) -> None:
    assert recorded(*deaths).is_cycle(queue) is history(*deaths).is_cycle(queue)
    assert recorded(*deaths).is_cycle(deaths[0].queue) is history(*deaths).is_cycle(deaths[0].queue)


@pytest.mark.parametrize("count", [0, 100])
@pytest.mark.parametrize("reason", ["expired", "rejected"])
def test_routing_key_with_the_bytes_of_a_death_does_not_count_as_one(reason: str, count: int) -> None:
    forged = b"\x06reasonS\0\0\0%c%b\x05queueS\0\0\0\1q" % (len(reason), reason.encode())
    others = [Death(f"other{number}", "expired") for number in range(count)]
    deaths = recorded(*others, Death("a", "expired", routing_keys=(forged,)), Death("b", "expired"))
    assert not deaths.is_cycle("q")
    assert add(deaths, Death("q", reason)).is_cycle("q") is (reason == "expired")
    assert len(headers_of(deaths)["x-death"].value) == count + 3


@pytest.mark.parametrize("reason", ["expired", "rejected"])
def test_death_among_many_is_found_and_counted(reason: str) -> None:
    others = [Death(f"q{number}", "expired") for number in range(1, 100)]
    deaths = recorded(Death("q", reason), *others)
    assert deaths.is_cycle("q") is (reason == "expired")
    assert deaths.is_cycle("q50")
    assert not deaths.is_cycle("q100")
    first = headers_of(add(deaths, Death("q", reason)))["x-death"].value[0].value
    assert (first["queue"], first["count"]) == (longstr("q"), Field("l", 2))


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
def test_dead_letter_cycle_follows_the_rules_of_rabbitmq(
    deaths: list[tuple[str, str]], queue: str, cycle: bool
) -> None:
    """Check deaths in chronological order against the rules of mc:is_death_cycle."""
    assert recorded(*(Death(*one) for one in deaths)).is_cycle(queue) is cycle
    assert history(*(Death(*one) for one in deaths)).is_cycle(queue) is cycle


@pytest.mark.parametrize(
    ("deaths", "queue", "cycle"),
    [
        # a message comes back to its closed group
        ([("q", "group"), ("d", "expired")], "q", False),
        ([("q", "group"), ("d", "replaced")], "q", False),
        # and follows again, at once or after it has expired
        ([("q", "group")], "d", False),
        ([("q", "group"), ("d", "expired"), ("q", "group")], "d", False),
        ([("q", "group"), ("d", "replaced"), ("q", "group")], "d", True),
        ([("q", "rejected"), ("d", "maxlen"), ("q", "group")], "d", True),
        ([("q", "group"), ("d", "expired"), ("q", "group"), ("d", "maxlen"), ("q", "group")], "d", True),
        ([("d", "maxlen"), ("q", "rejected"), ("q", "group")], "d", False),
        # two queues whose groups are closed
        ([("q", "group"), ("r", "group")], "q", True),
    ],
)
def test_message_that_follows_its_group_goes_around_a_cycle_only_if_it_expires_there(
    deaths: list[tuple[str, str]], queue: str, cycle: bool
) -> None:
    assert recorded(*(Death(*one) for one in deaths)).is_cycle(queue) is cycle


def test_record_of_many_deaths_counts_each_queue_and_reason() -> None:
    deaths = [Death(f"q{number % 7}", ("expired", "rejected")[number % 2], time_s=number) for number in range(100)]
    assert list(headers_of(recorded(*deaths)).items()) == list(history(*deaths).headers().items())
