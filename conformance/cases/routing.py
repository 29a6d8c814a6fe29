"""Alternate exchanges, CC and BCC, consistent hash (2.5)."""

from __future__ import annotations

from typing import Any

from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value


@case()
def alternate(lab: Lab) -> None:
    """Messages without a queue go to the alternate exchange, with exchange and key unchanged."""
    ch = lab.channel()
    ch.exchange(lab.x("alt"), "fanout")
    ch.exchange(lab.x(), "direct", arguments={"alternate-exchange": lab.x("alt")})
    ch.queue(lab.q("normal"))
    ch.queue(lab.q("unrouted"))
    ch.bind(lab.q("normal"), lab.x(), "k")
    ch.bind(lab.q("unrouted"), lab.x("alt"))
    ch.publish(lab.x(), "k", "normal", mandatory=True)
    ch.publish(lab.x(), "other", "unrouted", mandatory=True)
    ch.sync()


@case()
def alternate_missing(lab: Lab) -> None:
    """An alternate exchange that is not there is ignored."""
    ch = lab.channel()
    ch.exchange(lab.x(), "direct", arguments={"alternate-exchange": lab.x("gone")})
    ch.publish(lab.x(), "k", mandatory=True)
    ch.wait("basic.return")


@case()
def alternate_made_later(lab: Lab) -> None:
    """It may be declared after it was named."""
    ch = lab.channel()
    ch.exchange(lab.x(), "direct", arguments={"alternate-exchange": lab.x("alt")})
    ch.exchange(lab.x("alt"), "fanout")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x("alt"))
    ch.publish(lab.x(), "k", mandatory=True)
    ch.sync()


@case()
def alternate_chain(lab: Lab) -> None:
    """Alternates of alternates are tried in turn."""
    ch = lab.channel()
    ch.exchange(lab.x("c"), "fanout")
    ch.exchange(lab.x("b"), "direct", arguments={"alternate-exchange": lab.x("c")})
    ch.exchange(lab.x("a"), "direct", arguments={"alternate-exchange": lab.x("b")})
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x("c"))
    ch.publish(lab.x("a"), "k")
    ch.sync()


@case()
def alternate_loop(lab: Lab) -> None:
    """Two exchanges that are each other's alternate."""
    ch = lab.channel()
    ch.exchange(lab.x("a"), "direct", arguments={"alternate-exchange": lab.x("b")})
    ch.exchange(lab.x("b"), "direct", arguments={"alternate-exchange": lab.x("a")})
    ch.publish(lab.x("a"), "k", mandatory=True)
    ch.wait("basic.return")


@case()
def alternate_itself(lab: Lab) -> None:
    """An exchange that is its own alternate."""
    ch = lab.channel()
    ch.exchange(lab.x(), "direct", arguments={"alternate-exchange": lab.x()})
    ch.publish(lab.x(), "k", mandatory=True)
    ch.wait("basic.return")


@case()
def alternate_default(lab: Lab) -> None:
    """The default exchange as alternate."""
    ch = lab.channel()
    ch.exchange(lab.x(), "direct", arguments={"alternate-exchange": ""})
    ch.queue(lab.q())
    ch.publish(lab.x(), lab.q(), "by name", mandatory=True)
    ch.publish(lab.x(), "nobody", "no name", mandatory=True)
    ch.wait("basic.return")


@case()
def alternate_within_e2e(lab: Lab) -> None:
    """The alternate of an exchange that is reached through another."""
    ch = lab.channel()
    ch.exchange(lab.x("alt"), "fanout")
    ch.exchange(lab.x("inner"), "direct", arguments={"alternate-exchange": lab.x("alt")})
    ch.exchange(lab.x("outer"), "fanout")
    ch.exchange_bind(lab.x("inner"), lab.x("outer"))
    ch.queue(lab.q("alt"))
    ch.queue(lab.q("other"))
    ch.bind(lab.q("alt"), lab.x("alt"))
    ch.publish(lab.x("outer"), "k", "first")
    ch.bind(lab.q("other"), lab.x("outer"))
    ch.publish(lab.x("outer"), "k", "second")
    ch.sync()


@case()
def alternate_internal(lab: Lab) -> None:
    """An internal exchange may be an alternate."""
    ch = lab.channel()
    ch.exchange(lab.x("alt"), "fanout", internal=True)
    ch.exchange(lab.x(), "topic", arguments={"alternate-exchange": lab.x("alt")})
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x("alt"))
    ch.publish(lab.x(), "k")
    ch.sync()


@case()
def alternate_with_cc(lab: Lab) -> None:
    """A CC key that finds a queue keeps the alternate out of it."""
    ch = lab.channel()
    ch.exchange(lab.x("alt"), "fanout")
    ch.exchange(lab.x(), "direct", arguments={"alternate-exchange": lab.x("alt")})
    ch.queue(lab.q("cc"))
    ch.queue(lab.q("alt"))
    ch.bind(lab.q("cc"), lab.x(), "copy")
    ch.bind(lab.q("alt"), lab.x("alt"))
    ch.publish(lab.x(), "nobody", headers={"CC": ["copy"]})
    ch.sync()


def three_queues(lab: Lab) -> Channel:
    """A channel and a direct exchange with queues bound as a, b and c."""
    ch = lab.channel()
    ch.exchange(lab.x())
    for short in ("a", "b", "c"):
        ch.queue(lab.q(short))
        ch.bind(lab.q(short), lab.x(), short)
    return ch


@family(
    {
        "cc": ({"CC": ["b"]},),
        "cc_two": ({"CC": ["b", "c"]},),
        "bcc": ({"BCC": ["b"]},),
        "both": ({"CC": ["b"], "BCC": ["c"]},),
        "cc_same_as_key": ({"CC": ["a"]},),
        "cc_twice": ({"CC": ["b", "b"]},),
        "cc_and_bcc_same": ({"CC": ["b"], "BCC": ["b"]},),
        "cc_empty": ({"CC": []},),
        "bcc_empty": ({"BCC": []},),
        "cc_unroutable": ({"CC": ["nobody"]},),
        "bcc_with_others": ({"BCC": ["b"], "z": 1, "a": 2},),
        "lower_case": ({"cc": ["b"], "bcc": ["c"]},),
        "cc_binary": ({"CC": [Value("S", b"\xff")]},),
    }
)
def copies(lab: Lab, headers: dict[str, Any]) -> None:
    """CC and BCC reach further queues; delivery shows the key of the publish."""
    ch = three_queues(lab)
    ch.publish(lab.x(), "a", headers=headers)
    ch.sync()


@case()
def copies_default_exchange(lab: Lab) -> None:
    """CC and BCC on the default exchange name queues."""
    ch = three_queues(lab)
    ch.publish("", lab.q("a"), headers={"CC": [lab.q("b")], "BCC": [lab.q("c")]})
    ch.sync()


@case()
def copies_only(lab: Lab) -> None:
    """The key itself finds nothing, BCC does: mandatory is content."""
    ch = three_queues(lab)
    ch.publish(lab.x(), "nobody", headers={"BCC": ["b"]}, mandatory=True)
    ch.sync()


@case()
def copies_returned(lab: Lab) -> None:
    """The CC and BCC headers of a returned message."""
    ch = three_queues(lab)
    ch.publish(lab.x(), "nobody", headers={"CC": ["nowhere"], "BCC": ["secret"], "z": 1}, mandatory=True)
    ch.wait("basic.return")


@case()
def copies_topic(lab: Lab) -> None:
    """CC keys pass through a topic exchange's patterns."""
    ch = lab.channel()
    ch.exchange(lab.x(), "topic")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "c.*")
    ch.publish(lab.x(), "a.a", headers={"CC": ["b.b", "c.c"]})
    ch.sync()


@case()
def copies_e2e(lab: Lab) -> None:
    """CC keys count in the second exchange too."""
    ch = lab.channel()
    ch.exchange(lab.x("one"), "direct")
    ch.exchange(lab.x("two"), "direct")
    ch.queue(lab.q())
    ch.exchange_bind(lab.x("two"), lab.x("one"), "k")
    ch.bind(lab.q(), lab.x("two"), "copy")
    ch.publish(lab.x("one"), "k", headers={"CC": ["copy"]})
    ch.sync()


@family(
    {
        "cc_text": ({"CC": "b"},),
        "cc_int": ({"CC": 1},),
        "cc_table": ({"CC": {}},),
        "cc_void": ({"CC": None},),
        "bcc_text": ({"BCC": "b"},),
        "bcc_bool": ({"BCC": True},),
        "cc_of_ints": ({"CC": [1, 2]},),
        "cc_of_mixed": ({"CC": ["b", 1]},),
        "bcc_of_ints": ({"BCC": [1]},),
        "both_text": ({"CC": "b", "BCC": "c"},),
    }
)
def copies_invalid(lab: Lab, headers: dict[str, Any]) -> None:
    """CC and BCC must be arrays of text."""
    ch = three_queues(lab)
    ch.publish(lab.x(), "a", headers=headers)
    lab.quiet()


@case()
def local_random(lab: Lab) -> None:
    """x-local-random gives each message to one of the queues, whatever its key."""
    ch = lab.channel()
    ch.exchange(lab.x(), "x-local-random")
    ch.publish(lab.x(), "k", "nobody", mandatory=True)
    ch.wait("basic.return")
    for short in ("one", "two"):
        ch.queue(lab.q(short))
        lab.hide(lab.q(short))
        ch.bind(lab.q(short), lab.x())
    for number in range(200):
        ch.publish(lab.x(), str(number))
    lab.wait_ready_in_all([lab.q("one"), lab.q("two")], 200)
    lab.observe("both got some", min(lab.ready(lab.q("one")), lab.ready(lab.q("two"))) > 50)


@case()
def local_random_e2e(lab: Lab) -> None:
    """x-local-random with an exchange as its destination."""
    ch = lab.channel()
    ch.exchange(lab.x(), "x-local-random")
    ch.exchange(lab.x("other"), "fanout")
    ch.exchange_bind(lab.x("other"), lab.x())


@case()
def local_random_with_key(lab: Lab) -> None:
    """A binding of x-local-random has no key."""
    ch = lab.channel()
    ch.exchange(lab.x(), "x-local-random")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "k")


HASH = "x-consistent-hash"


@family(
    {
        "zero": ("0",),
        "negative": ("-1",),
        "text": ("abc",),
        "empty": ("",),
        "float": ("1.5",),
        "spaces": (" 1",),
        "plus": ("+1",),
        "one": ("1",),
        "large": ("1000",),
    }
)
def hash_weight(lab: Lab, key: str) -> None:
    """A binding key is a weight."""
    ch = lab.channel()
    ch.exchange(lab.x(), HASH)
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), key)


@family(
    {
        "header": ({"hash-header": "h"},),
        "header_int": ({"hash-header": 1},),
        "property_message_id": ({"hash-property": "message_id"},),
        "property_correlation_id": ({"hash-property": "correlation_id"},),
        "property_timestamp": ({"hash-property": "timestamp"},),
        "property_foo": ({"hash-property": "foo"},),
        "property_int": ({"hash-property": 1},),
        "both": ({"hash-header": "h", "hash-property": "message_id"},),
    }
)
def hash_arguments(lab: Lab, arguments: dict[str, Any]) -> None:
    """Arguments of a consistent hash exchange."""
    lab.channel().exchange(lab.x(), HASH, arguments=arguments)


@case()
def hash_one_queue(lab: Lab) -> None:
    """All messages go to the only queue."""
    ch = lab.channel()
    ch.exchange(lab.x(), HASH)
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "3")
    for number in range(5):
        ch.publish(lab.x(), str(number), str(number))
    ch.sync()


@case()
def hash_no_queue(lab: Lab) -> None:
    """Without a queue nothing is routed."""
    ch = lab.channel()
    ch.exchange(lab.x(), HASH)
    ch.publish(lab.x(), "k", mandatory=True)
    ch.wait("basic.return")


@family(
    {
        "by_key": ({}, lambda number: (str(number), {})),
        "by_header": ({"hash-header": "h"}, lambda number: ("k", {"headers": {"h": str(number)}})),
        "by_message_id": ({"hash-property": "message_id"}, lambda number: ("k", {"message_id": str(number)})),
        "by_timestamp": ({"hash-property": "timestamp"}, lambda number: ("k", {"timestamp": number})),
    }
)
def hash_spread(lab: Lab, arguments: dict[str, Any], message: Any) -> None:
    """Weights 1 and 3: about a quarter and three quarters, each message once, the same key always the same way."""
    ch = lab.channel()
    ch.exchange(lab.x(), HASH, arguments=arguments)
    for short, weight in (("light", "1"), ("heavy", "3")):
        ch.queue(lab.q(short))
        lab.hide(lab.q(short))
        ch.bind(lab.q(short), lab.x(), weight)
    counts: list[list[int]] = []
    for _ in range(2):
        for number in range(1000):
            key, properties = message(number)
            ch.publish(lab.x(), key, **properties)
        lab.wait_ready_in_all([lab.q("light"), lab.q("heavy")], 1000 * (len(counts) + 1))
        counts.append([lab.ready(lab.q("light")), lab.ready(lab.q("heavy"))])
    (light, heavy), (light_twice, heavy_twice) = counts
    lab.observe("messages in all", light + heavy)
    lab.observe("light has about a quarter", 150 < light < 350)
    lab.observe("the second thousand went the same way", [light_twice, heavy_twice] == [2 * light, 2 * heavy])


@case()
def hash_missing_header(lab: Lab) -> None:
    """Messages without the header that is hashed all go the same way."""
    ch = lab.channel()
    ch.exchange(lab.x(), HASH, arguments={"hash-header": "h"})
    for short in ("one", "two"):
        ch.queue(lab.q(short))
        lab.hide(lab.q(short))
        ch.bind(lab.q(short), lab.x(), "1")
    for number in range(50):
        ch.publish(lab.x(), str(number))
    lab.wait_ready_in_all([lab.q("one"), lab.q("two")], 50)
    lab.observe("counts", sorted([lab.ready(lab.q("one")), lab.ready(lab.q("two"))]))


@case()
def hash_unbind(lab: Lab) -> None:
    """When a queue leaves, the other gets all."""
    ch = lab.channel()
    ch.exchange(lab.x(), HASH)
    for short in ("one", "two"):
        ch.queue(lab.q(short))
        ch.bind(lab.q(short), lab.x(), "1")
    ch.unbind(lab.q("one"), lab.x(), "1")
    for number in range(5):
        ch.publish(lab.x(), str(number), str(number))
    ch.sync()


@case()
def hash_bind_twice(lab: Lab) -> None:
    """A queue bound with a second weight."""
    ch = lab.channel()
    ch.exchange(lab.x(), HASH)
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "1")
    ch.bind(lab.q(), lab.x(), "2")
    ch.publish(lab.x(), "k", "k")
    ch.unbind(lab.q(), lab.x(), "1")
    ch.publish(lab.x(), "k", "l", mandatory=True)
    ch.sync()


@case()
def random_shares(lab: Lab) -> None:
    """x-random gives each message to one of the queues, whatever its key."""
    ch = lab.channel()
    ch.exchange(lab.x(), "x-random")
    ch.publish(lab.x(), "k", "nobody", mandatory=True)
    ch.wait("basic.return")
    for short in ("one", "two"):
        ch.queue(lab.q(short))
        lab.hide(lab.q(short))
        ch.bind(lab.q(short), lab.x(), short)
    for number in range(200):
        ch.publish(lab.x(), str(number))
    lab.wait_ready_in_all([lab.q("one"), lab.q("two")], 200)
    lab.observe("both got some", min(lab.ready(lab.q("one")), lab.ready(lab.q("two"))) > 50)


@case()
def random_bound_twice(lab: Lab) -> None:
    """A queue with two bindings to x-random gets a message once, and stays when one of them is removed."""
    ch = lab.channel()
    ch.exchange(lab.x(), "x-random", arguments={"x-anything": 1})
    ch.queue(lab.q())
    for key in ("a", "b"):
        ch.bind(lab.q(), lab.x(), key)
    ch.publish(lab.x(), "k", "1", mandatory=True)
    ch.unbind(lab.q(), lab.x(), "a")
    ch.publish(lab.x(), "k", "2", mandatory=True)
    ch.unbind(lab.q(), lab.x(), "b")
    ch.publish(lab.x(), "k", "3", mandatory=True)
    ch.wait("basic.return")


@case()
def random_e2e(lab: Lab) -> None:
    """An exchange is a destination of x-random like a queue; CC keys do not multiply."""
    ch = lab.channel()
    ch.exchange(lab.x(), "x-random")
    ch.exchange(lab.x("other"), "direct")
    ch.queue(lab.q())
    ch.exchange_bind(lab.x("other"), lab.x(), "whatever")
    ch.bind(lab.q(), lab.x("other"), "cc")
    ch.publish(lab.x(), "k", "unroutable", mandatory=True)
    ch.wait("basic.return")
    ch.publish(lab.x(), "cc", "by key", mandatory=True)
    ch.publish(lab.x(), "k", "by CC", mandatory=True, headers={"CC": ["cc"]})
    lab.quiet()
