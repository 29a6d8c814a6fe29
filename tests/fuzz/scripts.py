"""Strategies for client input: methods with meaningful arguments, content, broken frames."""

import random
from typing import Any

from hypothesis import strategies as st

from amqpbroker.broker.exchanges.registry import known_exchange_types
from amqpbroker.compat import DEFAULT_COMPAT
from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT, HEARTBEAT_FRAME, METHOD, frame
from amqpbroker.wire.methods import BY_NAME, METHODS, encode
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import published
from tests.wire import fields

#: Methods that a client calls on an open channel; the more interesting ones are repeated.
ON_A_CHANNEL = (
    "channel.flow",
    "exchange.declare",
    "exchange.declare",
    "exchange.delete",
    "exchange.bind",
    "exchange.unbind",
    "queue.declare",
    "queue.declare",
    "queue.declare",
    "queue.bind",
    "queue.bind",
    "queue.unbind",
    "queue.purge",
    "queue.delete",
    "basic.qos",
    "basic.consume",
    "basic.consume",
    "basic.consume",
    "basic.cancel",
    "basic.get",
    "basic.get",
    "basic.ack",
    "basic.ack",
    "basic.reject",
    "basic.nack",
    "basic.recover",
    "basic.recover-async",
    "tx.select",
    "tx.commit",
    "tx.rollback",
    "confirm.select",
    "access.request",
)
OPENING_AND_CLOSING = ("channel.open", "channel.open", "channel.close", "channel.close-ok")

REPLY_TO = "amq.rabbitmq.reply-to"
queues = st.sampled_from(["", "a", "b", "c", REPLY_TO, "amq.x"])
exchanges = st.sampled_from(["", "amq.direct", "amq.fanout", "amq.topic", "amq.headers", "x", "y", "z"])
keys = st.sampled_from(["", "a", "b", "c", "k", "a.b", "#", "*", "2"])
small = st.integers(0, 3)
rarely = st.sampled_from([False, False, False, False, True])

#: Arguments that the broker knows, with values that are often valid.
_KNOWN: dict[str, st.SearchStrategy[Field]] = {
    "x-message-ttl": st.integers(-1, 50).map(lambda value: Field("I", value)),
    "x-expires": st.integers(0, 3000).map(lambda value: Field("l", value)),
    "x-max-length": st.integers(-1, 3).map(lambda value: Field("s", value)),
    "x-max-length-bytes": st.integers(0, 20).map(lambda value: Field("i", value)),
    "x-max-priority": st.integers(0, 6).map(lambda value: Field("B", value)),
    "x-overflow": st.sampled_from(["drop-head", "reject-publish", "reject-publish-dlx", "?"]).map(longstr),
    "x-dead-letter-exchange": exchanges.map(longstr),
    "x-dead-letter-routing-key": keys.map(longstr),
    "x-single-active-consumer": st.booleans().map(lambda value: Field("t", value)),
    "x-queue-type": st.sampled_from(["classic", "quorum", "stream", "undefined"]).map(longstr),
    "x-delivery-limit": st.integers(-1, 2).map(lambda value: Field("b", value)),
    "x-consumer-timeout": st.integers(-1, 3000).map(lambda value: Field("l", value)),
    "x-priority": st.integers(-2, 2).map(lambda value: Field("b", value)),
    "x-match": st.sampled_from(["all", "any", "all-with-x", "any-with-x", "some"]).map(longstr),
    "x-delayed-type": st.sampled_from(["direct", "topic", "x-delayed-message", "?"]).map(longstr),
    "alternate-exchange": exchanges.map(longstr),
    "hash-header": keys.map(longstr),
    "hash-property": st.sampled_from(["message_id", "timestamp", "?"]).map(longstr),
    "k": st.sampled_from([longstr("v"), Field("V", None), Field("I", 1)]),
}
known = st.lists(
    st.sampled_from(sorted(_KNOWN)).flatmap(lambda name: st.tuples(st.just(name), _KNOWN[name])), max_size=3
).map(dict)
odd = st.lists(st.tuples(st.sampled_from(sorted(_KNOWN)), fields.fields), min_size=1, max_size=2).map(dict)
arguments: st.SearchStrategy[Table] = st.one_of(st.just({}), known, known, known, odd, fields.tables)

#: Strategies of arguments by name, for all methods.
_MEANT: dict[str, st.SearchStrategy[Any]] = {
    "queue": queues,
    "exchange": exchanges,
    "source": exchanges,
    "destination": exchanges,
    "alternate": exchanges,
    "routing_key": keys,
    "exchange_type": st.sampled_from(sorted(known_exchange_types(DEFAULT_COMPAT)) * 3 + ["?"]),
    "arguments": arguments,
    "consumer_tag": st.sampled_from(["", "t", "u"]),
    "delivery_tag": st.one_of(st.integers(0, 6), fields.ARGUMENTS["longlong"]),
    "prefetch_size": st.sampled_from([0, 0, 0, 0, 1]),
    "prefetch_count": small,
    "passive": rarely,
    "nowait": rarely,
    "internal": rarely,
    "immediate": rarely,
    "exclusive": rarely,
    "if_unused": rarely,
    "if_empty": rarely,
    "active": st.just(True) | rarely,
}


@st.composite
def calls(draw: st.DrawFn, name: str) -> bytes:
    """Return the payload of a method with arguments that are often meaningful."""
    values = {field: draw(_MEANT.get(field, fields.ARGUMENTS[kind])) for field, kind in BY_NAME[name].fields}
    if name in ("basic.recover", "basic.recover-async"):
        values["requeue"] = not draw(rarely)
    return encode(name, **values)


channels = st.sampled_from([1, 1, 1, 1, 2, 2, 3, 0, 65535])
open_channels = st.sampled_from([1, 1, 2])

headers = st.one_of(
    fields.tables,
    st.fixed_dictionaries(
        {},
        optional={
            "x-delay": st.integers(-1, 100).map(lambda value: Field("I", value)),
            "CC": st.lists(keys.map(longstr), max_size=2).map(lambda value: Field("A", value)),
            "BCC": st.lists(keys.map(longstr), max_size=2).map(lambda value: Field("A", value)),
            "x-death": fields.fields,
            "x-match": fields.fields,
            "k": _KNOWN["k"],
        },
    ),
)
properties = st.one_of(
    st.just({}),
    fields.properties,
    st.fixed_dictionaries(
        {},
        optional={
            "headers": headers,
            "delivery_mode": st.sampled_from([1, 2]),
            "priority": st.integers(0, 9),
            "expiration": st.sampled_from([b"0", b"10", b"1000", b"-1", b"x", b"007"]),
            "reply_to": st.sampled_from([REPLY_TO.encode(), b"a"]),
            "user_id": st.sampled_from([b"guest", b"other"]),
        },
    ),
)


@st.composite
def publishes(draw: st.DrawFn, channels: st.SearchStrategy[int]) -> bytes:
    """Return a whole publish, sometimes several equal ones."""
    data = published(
        draw(keys),
        b"x" * draw(st.sampled_from([0, 1, 3, 30, 1000, 1001])),
        draw(exchanges | st.just("")),
        draw(channels),
        draw(st.booleans()),
        draw(st.sampled_from([4096, 9, 20])),
        **draw(properties),
    )
    return data * draw(st.sampled_from([1, 1, 1, 4]))


methods = st.sampled_from(ON_A_CHANNEL).flatmap(calls)
any_method = st.sampled_from(sorted(BY_NAME)).flatmap(calls)
any_arguments = st.sampled_from(sorted(METHODS)).flatmap(
    lambda ids: st.binary(max_size=12).map(lambda raw: ids.to_bytes(4, "big") + raw)
)


def framed(
    kind: int, payloads: st.SearchStrategy[bytes], channels: st.SearchStrategy[int] = channels
) -> st.SearchStrategy[bytes]:
    return st.tuples(channels, payloads).map(lambda drawn: frame(kind, *drawn))


content_headers = st.tuples(st.sampled_from([0, 1, 3, 1000, 1001, 2**64 - 1]), properties).map(
    lambda drawn: b"\0\x3c\0\0" + drawn[0].to_bytes(8, "big") + encode_properties(drawn[1])
)

#: Frames that are valid if channels 1 and 2 are open.
good = st.one_of(
    framed(METHOD, methods, open_channels), framed(METHOD, methods, open_channels), publishes(open_channels)
)

#: Whole frames that may be invalid in their position.
odd_frames = st.one_of(
    framed(METHOD, methods),
    framed(METHOD, st.sampled_from(OPENING_AND_CLOSING).flatmap(calls)),
    publishes(channels),
    framed(METHOD, any_method),
    framed(METHOD, any_arguments),
    framed(METHOD, st.just(encode("basic.publish", routing_key="a"))),
    framed(HEADER, content_headers),
    framed(HEADER, st.binary(max_size=20)),
    framed(BODY, st.binary(max_size=5)),
    framed(HEARTBEAT, st.sampled_from([b"", b"", b"x"])),
    st.just(HEARTBEAT_FRAME),
    st.tuples(st.integers(0, 255), channels, st.binary(max_size=9)).map(lambda drawn: frame(*drawn)),
)

pauses = st.sampled_from([0, 0, 0, 10, 100, 2000, 6000])
scripts = st.lists(st.one_of(good, good, good, good, odd_frames, pauses), max_size=25)


def _call(name: str, channel: int = 1, **values: Any) -> bytes:
    return frame(METHOD, channel, encode(name, **values))


def _typed(**values: Any) -> Table:
    def field(value: Any) -> Field:
        return longstr(value) if isinstance(value, str) else Field("l", value)

    return {name.replace("_", "-"): field(value) for name, value in values.items()}


def _exchange(name: str, kind: str, **values: Any) -> bytes:
    return _call("exchange.declare", exchange=name, exchange_type=kind, arguments=_typed(**values))


def _queue(name: str, **values: Any) -> bytes:
    return _call("queue.declare", queue=name, durable=True, arguments=_typed(**values))


def _binding(queue: str, exchange: str, key: str, **values: Any) -> bytes:
    return _call("queue.bind", queue=queue, exchange=exchange, routing_key=key, arguments=_typed(**values))


#: Definitions that may exist when a script begins: exchanges of every type, queues that dead-letter to each other.
TOPOLOGIES = (
    _exchange("x", "x-delayed-message", x_delayed_type="topic")
    + _exchange("y", "x-consistent-hash", hash_header="k")
    + _exchange("z", "headers", alternate_exchange="y")
    + _queue("a", x_max_priority=5, x_max_length=2, x_dead_letter_exchange="x", x_dead_letter_routing_key="b")
    + _queue("b", x_message_ttl=50, x_dead_letter_exchange="", x_dead_letter_routing_key="a")
    + _queue("c", x_queue_type="quorum", x_delivery_limit=1, x_dead_letter_exchange="z")
    + _binding("a", "x", "#")
    + _binding("b", "y", "1")
    + _binding("c", "y", "2")
    + _binding("a", "z", "", x_match="any", k="v"),
    _exchange("x", "x-random")
    + _exchange("y", "x-local-random", x_unknown=1)
    + _exchange("z", "x-consistent-hash", hash_property="message_id")
    + _queue("a", x_overflow="reject-publish-dlx", x_max_length=1, x_dead_letter_exchange="x")
    + _queue("b", x_expires=1000, x_max_length_bytes=40)
    + _queue("c", x_consumer_timeout=1000)
    + _binding("a", "x", "")
    + _binding("b", "x", "")
    + _binding("c", "y", "")
    + _binding("b", "z", "3"),
)


def _sane_step(seed: str) -> bytes | int:
    """Return one operation of a well-behaved client, by `random`: drawing each part from Hypothesis is too slow."""
    chance = random.Random(seed)
    channel = chance.choice((1, 1, 2))
    queue, exchange = chance.choice("aaabbbcccde"), chance.choice(("x", "y", "z", "amq.topic", ""))
    key = chance.choice(("a", "b", "c", "a.b", "k"))

    def call(name: str, **values: Any) -> bytes:
        return _call(name, channel, **values)

    def publish() -> bytes:
        headers: Table = {}
        if chance.random() < 0.3:
            headers["x-delay"] = Field("I", chance.randrange(200))
        if chance.random() < 0.3:
            headers["k"] = longstr(chance.choice("vw"))
        if chance.random() < 0.1:
            headers[chance.choice(("CC", "BCC"))] = Field("A", [longstr(chance.choice("abc"))])
        more: dict[str, Any] = {"headers": headers} if headers else {}
        if chance.random() < 0.3:
            more["priority"] = chance.randrange(10)
        if chance.random() < 0.2:
            more["expiration"] = b"%d" % chance.choice((0, 10, 100))
        if chance.random() < 0.1:
            more["reply_to"] = REPLY_TO.encode()
        if chance.random() < 0.3:
            more["message_id"] = b"%d" % chance.randrange(10)
        body = b"x" * chance.choice((0, 1, 5, 50, 900))
        data = published(key, body, exchange, channel, chance.random() < 0.2, chance.choice((4096, 100)), **more)
        return data * chance.choice((1, 1, 3))

    def settle() -> bytes:
        known = (1, False), (2, False), (3, True), (chance.randrange(9), True)
        tag, multiple = (0, True) if chance.random() < 0.7 else chance.choice(known)
        name = chance.choice(("basic.ack", "basic.ack", "basic.nack", "basic.nack" if tag == 0 else "basic.reject"))
        more = {} if name == "basic.ack" else {"requeue": chance.random() < 0.6}
        if name != "basic.reject":
            more["multiple"] = multiple
        return call(name, delivery_tag=tag, **more)

    def consume() -> bytes:
        source = chance.choice((queue, queue, queue, REPLY_TO))
        return call(
            "basic.consume",
            queue=source,
            consumer_tag=chance.choice(("", "", "", "t")),
            no_ack=source == REPLY_TO or chance.random() < 0.4,
            exclusive=chance.random() < 0.05,
            arguments=_typed(x_priority=chance.randrange(3)) if chance.random() < 0.3 else {},
        )

    def declare() -> bytes:
        arguments = chance.choice(({}, {}, _typed(x_max_length=2), _typed(x_message_ttl=30, x_max_priority=2)))
        if chance.random() < 0.2:
            arguments = {**arguments, "x-single-active-consumer": Field("t", True)}
        return call("queue.declare", queue=chance.choice("de"), auto_delete=chance.random() < 0.3, arguments=arguments)

    acts = {
        publish: 30,
        settle: 18,
        consume: 12,
        declare: 4,
        lambda: call("basic.get", queue=queue, no_ack=chance.random() < 0.5): 8,
        lambda: call("basic.qos", prefetch_count=chance.randrange(4), global_=chance.random() < 0.2): 5,
        lambda: call("basic.cancel", consumer_tag="t"): 3,
        lambda: call("basic.recover", requeue=True): 2,
        lambda: call("queue.bind", queue=queue, exchange=exchange or "x", routing_key=key): 3,
        lambda: call("queue.unbind", queue=queue, exchange=exchange or "x", routing_key=key): 1,
        lambda: call("queue.purge", queue=queue): 1,
        lambda: call("queue.delete", queue=queue): 1,
        lambda: call("exchange.bind", source=exchange or "x", destination="z", routing_key=key): 1,
        lambda: call("exchange.delete", exchange=exchange): 1,
        lambda: _call(chance.choice(("tx.select", "tx.commit", "tx.commit", "tx.rollback")), 2): 3,
        lambda: _call("confirm.select", 1): 2,
        lambda: call("channel.close") + call("channel.open"): 2,
        lambda: chance.choice((1, 20, 100, 1000)): 5,
        lambda: chance.random() < 0.6: 2,
    }
    return chance.choices(list(acts), list(acts.values()))[0]()


@st.composite
def sane_scripts(draw: st.DrawFn) -> list[bytes | int]:
    """Return many valid operations on two channels; most steps end the event loop iteration."""
    script: list[bytes | int] = [_call("channel.open", 2) + draw(st.sampled_from(TOPOLOGIES)), 0, _call("tx.select", 2)]
    base = draw(st.integers(0, 2**64))
    for number in draw(st.lists(st.integers(0, 10_000), min_size=40, max_size=80)):
        script.append(_sane_step(f"{base} {number}"))
        if number % 5:
            script.append(0)
    return script
