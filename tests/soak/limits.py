"""Soak phases for bounds of channels, queues, exchanges, users and patterns, and for limits that users set."""

import time
from collections import Counter

from amqpbroker.broker.publishing.inspection import _KNOWN_COUNT
from amqpbroker.broker.queues.kinds import DEFAULT_DELIVERY_LIMIT
from amqpbroker.broker.shovels.definition import _PREFETCH
from amqpbroker.broker.users.login_guard import FREE_GUESSES
from amqpbroker.config import Config
from amqpbroker.patterns import _DEEPEST, _GIVEN_UP_AFTER, _LONGEST
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import MAX_DEPTH, Field, Table, longstr
from tests.harness import published
from tests.load.client import request
from tests.soak.client import DELIVER, delivery_tag
from tests.soak.soak import PERSISTENT, TRANSIENT, Phase, Soak
from tests.soak.traffic import (
    alike,
    bind,
    consume,
    consumer_tag,
    declare_exchange,
    delete,
    each,
    letters_to,
    number,
    publish,
    reopen,
)

#: Number of dead letters, each with its own routing key.
LETTERS = 2_100
#: Size of messages for which the bound in bytes of a shovel is lower than its prefetch.
SHOVELLED_BYTES = 100_000
QUORUM: Table = {"x-queue-type": longstr("quorum")}

GET_OK = 60 << 16 | 71


# --- messages ---------------------------------------------------------------------------------------------------------


def deaths(soak: Soak) -> None:
    """Dead-letter messages with different routing keys, expired and rejected."""
    with soak.client() as client:
        for name in ("in", "dead"):
            declare_exchange(client, name, "fanout")
        client.declare("dead", durable=True)
        bind(client, "dead", "dead")
        for ttl in (True, False):
            arguments = {"x-dead-letter-exchange": longstr("dead")} | ({"x-message-ttl": number(1)} if ttl else {})
            client.declare("q", durable=True, arguments=arguments)
            bind(client, "q", "in")
            data = each(PERSISTENT, LETTERS, lambda i, kept: published(f"key.{i}", b"x", "in", delivery_mode=kept))
            publish(client, data, LETTERS)
            if not ttl:
                reopen(client)
                rejects = (
                    request("basic.get", queue="q") + request("basic.reject", delivery_tag=tag, requeue=False)
                    for tag in range(1, LETTERS + 1)
                )
                client.pump(rejects, lambda: client.seen["basic.get-ok"] == LETTERS)
            consume(client, "dead", LETTERS)
            delete(client, "q")
        delete(client, "dead")
        for name in ("in", "dead"):
            client.call("exchange.delete", "exchange.delete-ok", exchange=name)
        client.close()


def small_properties(soak: Soak) -> None:
    """Publish with each combination of many delivery modes and priorities."""
    with soak.client() as client:
        client.declare("q", arguments={"x-max-length": number(10)})
        count = 2 * _KNOWN_COUNT + 100
        data = each(TRANSIENT, count, lambda i, kept: published("q", b"x", delivery_mode=i % 256, priority=i // 256))
        publish(client, data, count)
        assert soak.census()["amqpbroker.broker.publishing.inspection.KNOWN[]"] == _KNOWN_COUNT
        delete(client, "q")
        client.close()


def too_large(soak: Soak) -> None:
    """Publish messages of the largest size, and of more than twice that size, which are refused."""
    most = Config().max_message_size
    with soak.client() as client:
        client.declare("q")
        publish(client, [published("q", bytes(most))], 1)
        for channel in (2, 3):
            client.call("channel.open", "channel.open-ok", channel=channel)
            client.send(published("q", bytes(2 * most + 1), channel=channel))
            assert client.expect("channel.close")["reply_code"] == 406
            client.send(request("channel.close-ok", channel))
        assert client.depth("q") == 1
        delete(client, "q")
        client.close()


def nested(soak: Soak) -> None:
    """Declare a queue with nested arguments: as deep as allowed, and more than twice as deep, which is refused."""
    with soak.client() as client:
        client.send(_declare_nested(MAX_DEPTH - 2))
        client.expect("queue.declare-ok")
        delete(client, "q")
        client.close()
    with soak.client() as client:
        client.send(_declare_nested(2 * MAX_DEPTH + 1))
        client.expect("connection.close")


def _declare_nested(levels: int) -> bytes:
    """Return queue.declare with tables nested in tables; the encoder of this project refuses too many levels."""
    table = b""
    for _ in range(levels):
        table = b"\x01tF" + len(table).to_bytes(4, "big") + table
    without_arguments = methods.encode("queue.declare", queue="q")[:-4]
    return frame(METHOD, 1, without_arguments + len(table).to_bytes(4, "big") + table)


def many_keys(soak: Soak) -> None:
    """Publish to many queues with the header CC."""
    count = 2 * 255 + 20
    with soak.client() as client:
        names = [f"copy-{i}" for i in range(count)]
        for name in names:
            client.send(request("queue.declare", queue=name, durable=True, nowait=True))
        keys = Field("A", [longstr(name) for name in names])
        for kept in (1, 2):
            publish(client, [published("copy-0", b"x", delivery_mode=kept, headers={"CC": keys})], 1)
        assert [client.depth(name) for name in names] == [2] * count
        delete(client, *names)
        client.close()


# --- queues -----------------------------------------------------------------------------------------------------------


def bindings(soak: Soak) -> None:
    """Delete a queue and an exchange with many bindings, and declare them again before all bindings are removed."""
    count = 2 * soak.bounds.many_bindings + 100
    with soak.client() as client:
        for deleted, name in (("queue", "q"), ("exchange", "e")):
            client.declare("q", durable=True)
            declare_exchange(client, "e", "topic")
            client.seen.clear()
            data = (request("queue.bind", queue="q", exchange="e", routing_key=f"key.{i}") for i in range(count))
            client.pump(data, lambda: client.seen["queue.bind-ok"] == count)
            client.call(f"{deleted}.delete", f"{deleted}.delete-ok", **{deleted: name})
        delete(client, "q")
        client.close()


def dealt(soak: Soak) -> None:
    """Acknowledge many messages of two consumers of a quorum queue at once, so that it delivers as many."""
    prefetch = 2 * soak.bounds.round_count + 100
    with soak.client() as client:
        for size in (10, 2 * soak.bounds.round_bytes // prefetch + 100):
            client.declare("q", durable=True, arguments=QUORUM)
            count = 6 * prefetch
            publish(client, alike(TRANSIENT, "q", count, body=b"x" * size), count)
            client.seen.clear()
            client.call("basic.qos", "basic.qos-ok", prefetch_count=prefetch)
            shares: Counter[str] = Counter()

            def settle(ids: int, payload: bytes, shares: Counter[str] = shares) -> bytes:
                if ids != DELIVER:
                    return b""
                shares[consumer_tag(payload)] += 1
                tag = delivery_tag(payload)
                return b"" if tag % (2 * prefetch) else request("basic.ack", delivery_tag=0, multiple=True)

            both = [request("basic.consume", queue="q", consumer_tag=tag) for tag in "ab"]
            client.pump([b"".join(both)], lambda count=count: client.seen["basic.deliver"] == count, settle)
            assert min(shares.values()) >= 2 * prefetch, shares
            for tag in "ab":
                client.call("basic.cancel", "basic.cancel-ok", consumer_tag=tag)
            delete(client, "q")
            reopen(client)
        client.close()


def default_delivery_limit(soak: Soak) -> None:
    """Return messages of a quorum queue until the default delivery limit removes them."""
    some = 3
    count = some * (DEFAULT_DELIVERY_LIMIT + 1)
    with soak.client() as client:
        client.declare("dead", durable=True)
        client.declare("q", durable=True, arguments=QUORUM | letters_to("dead"))
        publish(client, alike(PERSISTENT, "q", some), some)
        client.seen.clear()
        gets = (
            request("basic.get", queue="q") + request("basic.nack", delivery_tag=tag, requeue=True)
            for tag in range(1, count + 1)
        )
        client.pump(gets, lambda: client.seen["basic.get-ok"] == count)
        soak.until(lambda: client.depth("dead") == some, "all messages are dead-lettered")
        delete(client, "q", "dead")
        client.close()


def priorities(soak: Soak, arguments: Table) -> None:
    """Publish with every priority, and consume with more consumer priorities than that."""
    count = 2 * 256
    with soak.client() as client:
        client.declare("q", durable=True, arguments=arguments)
        publish(client, each(PERSISTENT, count, lambda i, kept: _ranked(i % 256, kept)), count)
        client.seen.clear()
        client.call("basic.qos", "basic.qos-ok", prefetch_count=1)
        starts = (
            request(
                "basic.consume", queue="q", consumer_tag=str(i), arguments={"x-priority": Field("I", i - count // 2)}
            )
            for i in range(count)
        )
        client.pump(starts, lambda: client.seen["basic.deliver"] == count)
        client.send(request("basic.ack", delivery_tag=0, multiple=True))
        delete(client, "q")
        client.close()


def _ranked(priority: int, kept: int) -> bytes:
    return published("q", b"x", delivery_mode=kept, priority=priority)


def delayed_retries(soak: Soak) -> None:
    """Return more messages to a queue with a delayed retry than two pages, and than it releases at once."""
    count = max(4 * soak.bounds.page_count, 2 * soak.bounds.releases, 2 * soak.bounds.returns) + 100
    arguments: Table = {
        **QUORUM,
        "x-delivery-limit": Field("l", -1),
        "x-delayed-retry-type": longstr("all"),
        "x-delayed-retry-min": number(2_000),
    }
    with soak.client() as client:
        client.declare("q", durable=True, arguments=arguments)
        publish(client, alike(PERSISTENT, "q", count), count)
        client.seen.clear()
        start = request("basic.consume", queue="q", consumer_tag="taker")
        client.pump([start], lambda: client.seen["basic.deliver"] == count)
        client.send(request("basic.nack", delivery_tag=0, multiple=True, requeue=True))
        assert client.depth("q") == 0
        assert soak.census()["DelayedMessages.count"] == count
        client.pump((), lambda: client.seen["basic.deliver"] == 2 * count)
        client.call("basic.cancel", "basic.cancel-ok", consumer_tag="taker")
        delete(client, "q")
        client.close()


# --- connections, channels and consumers ------------------------------------------------------------------------------


def channels(soak: Soak) -> None:
    """Open every channel that a connection may have, with one consumer each, and one more, on two connections."""
    most = Config().channel_max
    with soak.client() as keeper:
        keeper.declare("q")
        for _ in range(2):
            with soak.client() as client:
                opens = (
                    request("channel.open", channel)
                    + request("basic.consume", channel, queue="q", consumer_tag=str(channel))
                    for channel in range(2, most + 1)
                )
                client.pump(opens, lambda client=client: client.seen["basic.consume-ok"] == most - 1)
                client.send(request("channel.open", most + 1))
                client.expect("connection.close")
        delete(keeper, "q")
        keeper.close()


def consumers(soak: Soak) -> None:
    """Start many consumers with priorities on one channel, and cancel them."""
    count = soak.count(20_000)
    with soak.client() as client:
        client.declare("q")
        starts = (
            request("basic.consume", queue="q", consumer_tag=str(i), arguments={"x-priority": Field("I", i % 700)})
            for i in range(count)
        )
        client.pump(starts, lambda: client.seen["basic.consume-ok"] == count)
        publish(client, alike(TRANSIENT, "q", count), count)
        cancels = (request("basic.cancel", consumer_tag=str(i)) for i in range(count))
        client.pump(cancels, lambda: client.seen["basic.cancel-ok"] == count)
        delete(client, "q")
        client.close()


def gone_with_their_connection(soak: Soak) -> None:
    """End a connection with many exclusive queues, whose auto-delete exchanges are deleted with them."""
    most = soak.bounds.permissions
    count = 2 * most + 100
    soak.forget_clients()
    with soak.client() as client:
        declared = (
            request("queue.declare", queue=f"own-{i}", exclusive=True)
            + request("exchange.declare", exchange=f"own-{i}", exchange_type="direct", auto_delete=True)
            + request("queue.bind", queue=f"own-{i}", exchange=f"own-{i}")
            for i in range(count)
        )
        client.pump(declared, lambda: client.seen["queue.bind-ok"] == count)
        assert soak.census()["Permissions._allowed[]"] <= most
    soak.until(lambda: "own-0" not in _names(soak, "queues"), "exclusive queues are deleted")
    soak.until(lambda: "own-0" not in _names(soak, "exchanges"), "auto-delete exchanges are deleted")


def _names(soak: Soak, what: str) -> set[str]:
    rows = soak.management.call("GET", f"/{what}/%2F?name=own-0&columns=name&page=1")["items"]
    return {row["name"] for row in rows}


def histories(soak: Soak) -> None:
    """Request the histories of more queues than may have one, and delete the queues."""
    count = 2 * soak.bounds.histories + 10
    with soak.client() as client:
        names = [f"history-{i}" for i in range(count)]
        for name in names:
            client.declare(name, durable=True)
        # Together, so that the disk is not waited for once for each queue.
        publish(client, (data for name in names for data in alike(PERSISTENT, name, 10)), 10 * count)
        for name in names:
            soak.management.call("GET", f"/queues/%2F/{name}?lengths_age=60&lengths_incr=5")
        assert soak.census()["Histories._histories[]"] == soak.bounds.histories
        delete(client, *names)
        client.close()


def shovel_held_up(soak: Soak, size: int) -> None:
    """Shovel twice the allowed number of unconfirmed messages while the destination does not read."""
    most = min(soak.bounds.shovel_bytes // (size + 1_000), _PREFETCH)
    count = 2 * most + 100
    url = f"amqp://guest:guest@127.0.0.1:{soak.port}"
    value = {
        "src-protocol": "amqp091",
        "src-uri": url,
        "src-queue": "from",
        "dest-protocol": "amqp091",
        "dest-uri": url,
        "dest-queue": "to",
    }
    with soak.client() as client:
        for name in ("from", "to"):
            client.declare(name, durable=True)
        publish(client, alike(TRANSIENT, "from", count, body=b"x" * size), count)
        with soak.lever("alarm"):
            soak.management.call("PUT", "/parameters/shovel/%2F/wide", {"value": value})
            soak.until(lambda: count - client.depth("from") >= most, "the shovel has taken what it may")
            time.sleep(0.5)
            assert client.depth("from"), "the shovel reads on"
            assert client.depth("to") == 0
        soak.until(lambda: client.depth("to") == count, "all messages are moved")
        soak.management.call("DELETE", "/parameters/shovel/%2F/wide")
        delete(client, "from", "to")
        client.close()


# --- users ------------------------------------------------------------------------------------------------------------


def patterns(soak: Soak) -> None:
    """Set patterns that are too slow, too long or too deep, and use the slow ones until they are aborted."""
    api = soak.management
    slow = "^(a|aa|a?a)+$"
    api.call("PUT", "/users/slow", {"password": "secret", "tags": "management"})
    api.call("PUT", "/permissions/%2F/slow", {"configure": slow, "write": slow, "read": slow})
    for i in range(2 * _GIVEN_UP_AFTER + 2):
        name = "a" * 200 + f"b{i}"
        status, _ = api.request("PUT", f"/queues/%2F/{name}", {}, "slow", "secret")
        assert status in (401, 403), status
    assert soak.census()["Pattern._slow"] >= _GIVEN_UP_AFTER
    api.call("DELETE", "/users/slow")
    for pattern in ("(a+)+" * _LONGEST, "(" * (2 * _DEEPEST + 1) + "a+b+" + ")" * (2 * _DEEPEST + 1)):
        body = {"pattern": pattern, "definition": {"max-length": 1}}
        assert api.request("PUT", "/policies/%2F/none", body)[0] == 400


def guesses_from_one_address(soak: Soak) -> None:
    """Guess many passwords of one user from one address."""
    api = soak.management
    api.call("PUT", "/users/guessed", {"password": "secret", "tags": "management"})
    for i in range(2 * FREE_GUESSES + 5):
        assert api.request("GET", "/whoami", user="guessed", password=f"guess-{i}")[0] == 401
    assert api.request("GET", "/whoami", user="guessed", password="secret")[0] == 401, "guessing goes on"
    api.call("DELETE", "/users/guessed")


def limits(soak: Soak) -> None:
    """Reach the limits of a vhost and of a user, and continue after usage is below each limit again."""
    api = soak.management
    most = 5
    api.call("PUT", "/vhosts/limited")
    api.call("PUT", "/permissions/limited/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    api.call("PUT", "/vhost-limits/limited/max-queues", {"value": most})
    api.call("PUT", "/user-limits/guest/max-channels", {"value": most})
    for _ in range(3):
        made = [api.request("PUT", f"/queues/limited/q-{i}", {})[0] for i in range(2 * most + 1)]
        assert [status < 300 for status in made] == [True] * most + [False] * (most + 1), made
        for i in range(most):
            api.call("DELETE", f"/queues/limited/q-{i}")
        for _ in range(most):
            with soak.client() as client:
                for channel in range(2, most + 1):
                    client.call("channel.open", "channel.open-ok", channel=channel)
                client.send(request("channel.open", most + 1))
                client.expect("connection.close")
    api.call("DELETE", "/user-limits/guest/max-channels")
    api.call("DELETE", "/vhosts/limited")


PHASES = [
    Phase("deaths of many keys", deaths),
    Phase("small properties", small_properties),
    Phase("too large", too_large, is_peak=True, error="precondition_failed"),
    Phase("nested arguments", nested, error="frame_error"),
    Phase("copies by CC", many_keys),
    Phase("bindings", bindings),
    Phase("dealt out", dealt),
    Phase("default delivery limit", default_delivery_limit),
    Phase("priorities classic", lambda soak: priorities(soak, {"x-max-priority": number(255)})),
    Phase("priorities quorum", lambda soak: priorities(soak, QUORUM)),
    Phase("priorities quorum, strict", lambda soak: priorities(soak, QUORUM), compat="4.3"),
    Phase("delayed retries", delayed_retries, compat="4.3"),
    Phase("channels of a connection", channels, error="not_allowed"),
    Phase("consumers of a channel", consumers, is_peak=True),
    Phase("gone with their connection", gone_with_their_connection),
    Phase("histories", histories),
    Phase("shovel window", lambda soak: shovel_held_up(soak, SHOVELLED_BYTES)),
    Phase("shovel prefetch", lambda soak: shovel_held_up(soak, 10)),
    Phase("patterns", patterns),
    Phase("guesses from one address", guesses_from_one_address),
    Phase("limits", limits, error="not_allowed"),
]
