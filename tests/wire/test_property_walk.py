import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.wire.headers import normalised
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.property_edit import merge_headers, sort_headers
from amqpbroker.wire.property_walk import PSEUDO_QUEUE_BYTES, PropertyWalk
from amqpbroker.wire.raw_headers import headers_start, longstrs, value_end
from amqpbroker.wire.values import Field, MalformedError, longstr
from tests.wire.fields import fields, names


def walked(data):
    """Return the results of a walk over properties that it accepted; None if it did not accept them."""
    walk = PropertyWalk()
    if not walk.walk(data):
        return None
    at = walk.unsorted_at
    kept = (sort_headers(data, at) or merge_headers(data, at)) if at else data
    assert (kept == data) == (not walk.unsorted_at)
    user = data[walk.user_at : walk.user_end] if walk.user_end else None
    reply = data[walk.reply_at : walk.reply_at + 1 + PSEUDO_QUEUE_BYTES] if walk.reply_at else None
    keys = tuple(longstrs(data, at + 1 + data[at]) if at else None for at in (walk.cc_at, walk.bcc_at))
    assert bool(walk.headers_at) == walk.has_headers
    assert walk.expiration_at == 0 or data[walk.expiration_at + 1] in b"+0"
    expiration = (walk.expiration_ms, bool(walk.expiration_at))
    return kept, walk.mode, walk.priority, expiration, walk.has_headers, user, reply, keys


def sorted_only(data):
    """Return properties with headers sorted by their names, the first of each name, and values as they are."""
    at = headers_start(data)
    if not at:
        return data
    end = at + int.from_bytes(data[at - 4 : at], "big")
    entries, place = {}, at
    while place < end:
        stop = value_end(data, place + 1 + data[place])
        entries.setdefault(data[place + 1 : place + 1 + data[place]], data[place:stop])
        place = stop
    table = b"".join(entries[name] for name in sorted(entries))
    return data[: at - 4] + len(table).to_bytes(4, "big") + table + data[end:]


def decoded(data):
    """Return the decoder's results, for properties that at most need sorting; None for all others."""
    try:
        values = decode_properties(data)
        kept = normalised(data)
        if kept != sorted_only(data):
            return None
    except MalformedError:
        return None
    expiration = values.get("expiration")
    if expiration is not None and not NUMBER.fullmatch(expiration):
        return None
    headers = values.get("headers", {})
    keys = [headers.get(name) for name in ("CC", "BCC")]
    if any(field is not None and field.kind != "A" for field in keys):
        return None
    return (
        kept,
        values.get("delivery_mode", 0),
        values.get("priority", 0),
        (-1, False) if expiration is None else (int(expiration), b"%d" % int(expiration) != expiration),
        "headers" in values,
        values.get("user_id"),
        REPLY if b"\x15" + values.get("reply_to", b"") == REPLY else None,
        tuple(
            None if field is None else tuple(item.value for item in field.value if item.kind == "S") for field in keys
        ),
    )


#: Numbers of at most twelve digits.
NUMBER = re.compile(rb"\+?0*[0-9]{1,12}")
REPLY = b"\x15amq.rabbitmq.reply-to"

APPLICATION = {
    "content_type": b"application/json",
    "headers": {"attempt": Field("I", 1), "tenant": longstr("acme"), "x-request-id": longstr("a1b2")},
    "delivery_mode": 2,
    "priority": 3,
    "correlation_id": b"c-1",
    "reply_to": b"answers",
    "expiration": b"60000",
    "message_id": b"m-1",
    "timestamp": 1_700_000_000,
    "message_type": b"order.created",
    "user_id": b"guest",
    "app_id": b"shop",
}


def test_property_walk_accepts_all_properties_of_applications():
    data = encode_properties(APPLICATION)
    assert walked(data) == (data, 2, 3, (60_000, False), True, b"guest", None, (None, None))
    assert walked(encode_properties({})) == (b"\0\0", 0, 0, (-1, False), False, None, None, (None, None))


@pytest.mark.parametrize("name", sorted(APPLICATION))
def test_property_walk_accepts_each_property_alone(name):
    data = encode_properties({name: APPLICATION[name]})
    assert walked(data) == decoded(data) is not None


@pytest.mark.parametrize(
    "properties",
    [
        {"headers": {"CC": longstr("a")}},
        {"headers": {"BCC": longstr("a")}},
        {"expiration": b"-1"},
        {"expiration": b"-0"},
        {"expiration": b"+-1"},
        {"expiration": b"1.5"},
        {"expiration": b""},
        {"expiration": b"+"},
        {"expiration": b"9" * 13},
    ],
    ids=str,
)
def test_invalid_keys_and_expirations_are_left_to_the_properties_decoder(properties):
    assert walked(encode_properties(properties)) is None


@pytest.mark.parametrize("expiration", [b"05000", b"+5", b"+00", b"000", b"0" * 250 + b"5", b"9" * 12, b"+1"])
@pytest.mark.parametrize("others", [{}, APPLICATION], ids=["alone", "among others"])
def test_property_walk_accepts_expirations_with_sign_or_leading_zeros(others, expiration):
    data = encode_properties({**others, "expiration": expiration})
    assert walked(data) == decoded(data) is not None
    assert walked(data)[3] == (int(expiration), expiration != b"9" * 12)


@pytest.mark.parametrize("items", [[], [longstr("a")], [Field("I", 1), longstr("a"), Field("A", []), longstr("")]])
@pytest.mark.parametrize("headers", [("CC",), ("BCC",), ("BCC", "CC"), ("CC", "x", "BCC", "y"), ("aCC", "CC", "CCC")])
def test_property_walk_finds_cc_and_bcc_headers(headers, items):
    data = encode_properties({"headers": {name: Field("A", items) for name in headers}})
    assert walked(data) == decoded(data) is not None


@pytest.mark.parametrize("name", [b"CC", b"BCC"])
def test_duplicate_cc_or_bcc_headers_are_left_to_the_properties_decoder(name):
    entry = bytes((len(name),)) + name + b"A\0\0\0\0"
    assert walked(b"\x20\0" + (2 * len(entry)).to_bytes(4, "big") + 2 * entry) is None


def test_next_property_walk_resets_cc_bcc_and_expiration():
    walk = PropertyWalk()
    assert walk.walk(encode_properties({"headers": {name: Field("A", []) for name in ("BCC", "CC")}}))
    assert walk.cc_at
    assert walk.bcc_at
    assert walk.walk(encode_properties({"expiration": b"01"}))
    assert (walk.cc_at, walk.bcc_at, walk.headers_at) == (0, 0, 0)
    assert walk.expiration_at
    assert walk.walk(encode_properties({"expiration": b"1"}))
    assert not walk.expiration_at


UNSORTED = [
    {"b": longstr(""), "a": longstr("")},
    {"same-beginning-2": longstr(""), "same-beginning-1": longstr("")},
    {"tenant": longstr("acme"), "attempt": Field("I", 1), "trace-id": longstr("x"), "": longstr("")},
    {"zCC": longstr(""), "CC2": longstr("")},
    *({f"header-{number}": longstr("") for number in range(count, 0, -1)} for count in (7, 8, 9, 10, 300)),
]


@pytest.mark.parametrize("headers", UNSORTED, ids=lambda headers: ",".join(headers)[:40])
@pytest.mark.parametrize("others", [{}, APPLICATION], ids=["alone", "among others"])
def test_property_walk_accepts_and_sorts_unsorted_headers(headers, others):
    data = encode_properties({**others, "headers": headers})
    assert walked(data) == decoded(data) is not None
    assert walked(data)[0] == encode_properties({**others, "headers": dict(sorted(headers.items()))}) != data


def test_property_walk_keeps_the_first_of_duplicate_headers():
    entries = b"\1bS\0\0\0\1y\1aI\0\0\0\1\1aI\0\0\0\2\1bt\1"
    data = b"\x30\0" + len(entries).to_bytes(4, "big") + entries + b"\2"
    kept = b"\1aI\0\0\0\1\1bS\0\0\0\1y"
    assert walked(data) == decoded(data)
    assert walked(data)[0] == b"\x30\0" + len(kept).to_bytes(4, "big") + kept + b"\2"


@pytest.mark.parametrize("name", sorted(APPLICATION))
def test_property_walk_finds_a_direct_reply_to(name):
    data = encode_properties({name: APPLICATION[name], "reply_to": REPLY[1:]})
    assert walked(data) == decoded(data)
    assert walked(data)[-2] == REPLY


def test_next_property_walk_resets_the_direct_reply_to():
    walk = PropertyWalk()
    assert walk.walk(encode_properties({"reply_to": REPLY[1:]}))
    assert walk.reply_at
    assert walk.walk(encode_properties({"reply_to": b"answers"}))
    assert not walk.reply_at


def nested(depth):
    inner = Field("A", [])
    for _ in range(depth):
        inner = Field("A", [inner])
    return encode_properties({"headers": {"a": inner}})


def test_property_walk_limits_nesting_as_the_decoder_does():
    assert walked(nested(60)) is not None
    for depth in range(60, 70):
        try:
            data = nested(depth)
        except MalformedError:
            break
        assert walked(data) in (None, decoded(data))


whole_tables = st.dictionaries(
    st.one_of(names, st.sampled_from(["CC", "BCC", "x-delay", "aaaaaaa1", "aaaaaaa2"])), fields
)
properties = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.binary(max_size=9),
        "headers": whole_tables,
        "delivery_mode": st.integers(0, 255),
        "priority": st.integers(0, 255),
        "reply_to": st.one_of(st.just(b"amq.rabbitmq.reply-to"), st.binary(max_size=25)),
        "expiration": st.one_of(
            st.integers(0, 10**12 - 1).map(lambda value: b"%d" % value),
            st.from_regex(rb"\A[+-]?0*[0-9]{0,13}\Z").filter(lambda value: len(value) < 256),
            st.binary(max_size=3),
        ),
        "timestamp": st.integers(0, 2**64 - 1),
        "user_id": st.binary(max_size=9),
        "cluster_id": st.binary(max_size=9),
    },
)


@given(properties)
def test_accepted_properties_have_the_values_of_the_decoder(values):
    data = encode_properties(values)
    assert walked(data) == decoded(data) or walked(data) is None
    if decoded(data) is not None:
        assert walked(data) is not None


@given(properties, st.integers(0, 2**32))
def test_bytes_that_the_decoder_refuses_are_not_accepted(values, seed):
    chance = random.Random(seed)
    data = bytearray(encode_properties(values))
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(data))
        if chance.random() < 0.2:
            del data[place:]
            data += bytes(1)
        else:
            data[place] = chance.randrange(256)
    assert walked(bytes(data)) in (None, decoded(bytes(data)))
