"""Soak phases for each type of exchange, kind of queue, overflow, dead-letter reason and kind of settlement."""

import time
from contextlib import ExitStack

from amqpbroker.amqp.routes import ADMITTED
from amqpbroker.broker.queues.length_limit import REOPENED_AT
from amqpbroker.server.reading import EXPECTED_MS, READ_BYTES, TURN_BYTES
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import published
from tests.load.client import request
from tests.soak.client import DELIVER, HEADER_OF_CONTENT, Settled, delivery_tag
from tests.soak.soak import TRANSIENT, Mode, Phase, Soak, in_modes
from tests.soak.traffic import alike, consume, declare_exchange, delete, each, letters_to, number, publish, push

#: Twice the 65,536 operations that may wait for the disk, with an estimated memory of 256 bytes each.
WAITING = 140_000
#: Number of routing keys that exceeds twice the number of routes that a channel caches.
ROUTES = 33_000
#: Twice the number of property byte strings that are remembered.
PROPERTIES = 8_500
#: Twice the number of returned messages after which they are checked for duplicates.
RETURNS = 45_000
#: Messages for some 300 pages of a queue, in more than two segments of the journal.
BACKLOG = 300_000
#: Number of times that a queue is filled to its length limit.
TIMES = 4
LARGE_BYTES = 500_000
#: Twice the messages of 500 kB that may wait for a client that does not read.
LARGE = 60

EXCHANGES = ("direct", "fanout", "topic", "headers", "x-consistent-hash", "x-random", "x-local-random")


def exchanges(soak: Soak, mode: Mode) -> None:
    """Publish with new routing keys through each type, an alternate exchange and another exchange."""
    count = soak.count(ROUTES)
    with soak.client() as client:
        client.declare("all", durable=True, arguments={"x-max-length": number(1000)})
        declare_exchange(client, "rest", "fanout")
        client.call("queue.bind", "queue.bind-ok", queue="all", exchange="rest")
        for kind in EXCHANGES:
            declare_exchange(client, "to-" + kind, kind, {"alternate-exchange": longstr("rest")})
            if kind != "direct":
                key = {"topic": "#", "x-consistent-hash": "1"}.get(kind, "")
                client.call("queue.bind", "queue.bind-ok", queue="all", exchange="to-" + kind, routing_key=key)
        client.call(
            "exchange.bind", "exchange.bind-ok", destination="to-fanout", source="to-topic", routing_key="key.#"
        )
        for kind in EXCHANGES:
            exchange = "to-" + kind
            data = each(mode, count, lambda i, kept, to=exchange: published(f"key.{i}", b"x", to, delivery_mode=kept))
            publish(client, data, count)
        delete(client, "all")
        for exchange in ("rest", *["to-" + kind for kind in EXCHANGES]):
            client.call("exchange.delete", "exchange.delete-ok", exchange=exchange)
        client.close()


def routes(soak: Soak) -> None:
    """Publish with twice the routing keys that the channels of a vhost cache, and no more than each caches."""
    most, few, every = soak.bounds.routes, soak.bounds.few_routes, soak.bounds.all_routes
    count = few + ADMITTED * (most - few)
    full = every // most
    clients = [soak.client() for _ in range(2 * full + 2)]
    clients[0].declare("all", durable=True, arguments={"x-max-length": number(1000)})
    declare_exchange(clients[0], "topics", "topic")
    clients[0].call("queue.bind", "queue.bind-ok", queue="all", exchange="topics", routing_key="#")
    for i, client in enumerate(clients, 1):
        data = each(TRANSIENT, count, lambda i, kept: published(f"key.{i}", b"x", "topics", delivery_mode=kept))
        # The channel stays open, with its cached routes.
        client.call("confirm.select", "confirm.select-ok")
        settled = Settled()
        client.pump(data, lambda settled=settled: settled.tag == count, settled.on_method)
        if i == full:
            remembered = soak.census()["Vhost.remembered"]
            assert remembered == full * most, f"{full} channels remember {remembered} routes, not {most} each"
    remembered = soak.census()["Vhost.remembered"]
    assert full * most <= remembered <= every + few * len(clients), f"the channels remember {remembered} routes"
    delete(clients[0], "all")
    clients[0].call("exchange.delete", "exchange.delete-ok", exchange="topics")
    for client in clients:
        client.close()


def properties(soak: Soak, mode: Mode) -> None:
    """Publish with new properties and headers each time."""
    count = soak.count(PROPERTIES)
    with soak.client() as client:
        client.declare("q", durable=True)

        def make(i: int, kept: int) -> bytes:
            headers: Table = {"number": number(i)} if i % 2 else {}
            return published("q", b"x", delivery_mode=kept, message_id=f"id-{i}", headers=headers)

        publish(client, each(mode, count, make), count)
        consume(client, "q", count, no_ack=False)
        delete(client, "q")
        client.close()


# --- kinds of queue ---------------------------------------------------------------------------------------------------

QUEUES: dict[str, Table] = {
    "classic": {},
    "priority": {"x-max-priority": number(10)},
    "quorum": {"x-queue-type": longstr("quorum")},
    "single active": {"x-single-active-consumer": Field("t", True)},
}


def through_queue(soak: Soak, mode: Mode, arguments: Table) -> None:
    """Publish, consume and acknowledge messages."""
    count = soak.count(RETURNS)
    with soak.client() as client:
        client.declare("q", durable=True, arguments=arguments)
        data = each(mode, count, lambda i, kept: published("q", b"%d" % i, delivery_mode=kept, priority=i % 12))
        publish(client, data, count)
        consume(client, "q", count, no_ack=False)
        delete(client, "q")
        client.close()


def backlog(soak: Soak, mode: Mode) -> None:
    """Fill a queue with many pages and consume all; fill it again, acknowledge a part at once and purge the rest."""
    count = soak.count(BACKLOG)
    part = min(count // 3, 65_535)
    with soak.client() as client:
        client.declare("q", durable=True)
        publish(client, alike(mode, "q", count, body=b"x" * 500), count)
        consume(client, "q", count)
        publish(client, alike(mode, "q", count, body=b"x" * 500), count)
        client.seen.clear()
        client.call("basic.qos", "basic.qos-ok", prefetch_count=part)
        start = request("basic.consume", queue="q", consumer_tag="taker")
        client.pump([start], lambda: client.seen["basic.deliver"] >= part)
        client.send(request("basic.ack", delivery_tag=0, multiple=True) + request("basic.cancel", consumer_tag="taker"))
        client.expect("basic.cancel-ok")
        client.call("queue.purge", "queue.purge-ok", queue="q")
        delete(client, "q")
        client.close()


def lost(soak: Soak, mode: Mode) -> None:
    """End connections with unacknowledged messages, an open transaction, unconfirmed publishes, and half a message."""
    count = soak.count(RETURNS)
    with soak.client() as keeper:
        keeper.declare("q", durable=True)
        publish(keeper, alike(mode, "q", count), count)
        for _ in range(3):
            with soak.client() as client:
                start = request("basic.consume", queue="q", consumer_tag="taker")
                client.pump([start], lambda client=client: client.seen["basic.deliver"] >= count)
                client.send(request("channel.open", 2) + request("tx.select", 2))
                client.send(published("q", b"never", channel=2, delivery_mode=2))
                client.send(request("channel.open", 3) + request("confirm.select", 3))
                client.send(published("q", b"unconfirmed", channel=3, delivery_mode=2))
                client.send(published("q", b"x" * 1000, channel=3)[:-200])
            soak.until(lambda: keeper.depth("q") >= count, "all messages of a lost connection are back")
            keeper.call("queue.purge", "queue.purge-ok", queue="q")
            publish(keeper, alike(mode, "q", count), count)
        delete(keeper, "q")
        keeper.close()


def large(soak: Soak, mode: Mode) -> None:
    """Publish large messages to a consumer that does not read for a while."""
    with soak.client() as client, soak.client() as taker:
        client.declare("q", durable=True)
        taker.send(request("basic.consume", queue="q", no_ack=True))
        publish(client, alike(mode, "q", LARGE, body=b"x" * LARGE_BYTES), LARGE)
        taker.pump((), lambda: taker.seen["basic.deliver"] == LARGE)
        delete(client, "q")
        client.close()


def turns(soak: Soak, mode: Mode) -> None:
    """Publish on several connections that all have much more to read in one event loop iteration."""
    size = 1000
    # The first read of a connection marks it as a publisher, which is not read while the alarm is set.
    count = 4 * TURN_BYTES // size
    soak.forget_clients()
    with ExitStack() as stack:
        clients = [stack.enter_context(soak.client()) for _ in range(2 * TURN_BYTES // READ_BYTES + 2)]
        clients[0].declare("q", durable=True, arguments={"x-max-length": number(1000)})
        rests = []
        with soak.lever("alarm"):
            for client in clients:
                client.call("confirm.select", "confirm.select-ok")
                # One attempt, which ends early if the kernel accepts no more.
                attempts = iter((False, True))
                data = alike(mode, "q", count, body=b"x" * size)
                rests.append(push(client, data, lambda attempts=attempts: next(attempts)))
            read = soak.census()["Confirms.published"] * size
            assert read <= len(clients) * READ_BYTES, f"{read} bytes are read though memory is short"
            # No short request is expected any more, which would be answered before the connections are read.
            time.sleep(2 * EXPECTED_MS / 1000)
        for client, rest in zip(clients, rests, strict=True):
            settled = Settled()
            client.pump(rest, lambda settled=settled: settled.tag == count, settled.on_method)
        delete(clients[0], "q")
        for client in clients:
            client.close()


# --- overflow and dead letters ----------------------------------------------------------------------------------------


def overflow(soak: Soak, mode: Mode, how: str, quorum: bool, letters: bool) -> None:
    """Publish past the length limit, with confirms: dropped, refused, or refused and dead-lettered.

    Then remove more than a fifth each time, so that a quorum queue that refuses publishes accepts them again.
    """
    most, taken = 10, 5
    assert most + 1 - taken <= most * REOPENED_AT
    # A quorum queue refuses publishes only after the one that exceeds its limit.
    full = most + 1 if quorum and how == "reject-publish" else most
    count = max(soak.count(WAITING) // TIMES, 2 * most)
    arguments: Table = {"x-max-length": number(most), "x-overflow": longstr(how)}
    if quorum:
        arguments["x-queue-type"] = longstr("quorum")
    if letters:
        arguments |= letters_to("dead")
    with soak.client() as client:
        client.declare("dead", durable=True, arguments={"x-max-length": number(1000)})
        client.declare("q", durable=True, arguments=arguments)
        for _ in range(TIMES):
            publish(client, alike(mode, "q", count), count, refuses=how != "drop-head")
            assert client.depth("q") == full
            client.seen.clear()
            gets = [request("basic.get", queue="q", no_ack=True) * taken]
            client.pump(gets, lambda: client.seen["basic.get-ok"] == taken)
            assert client.depth("q") == full - taken
        delete(client, "q", "dead")
        client.close()


def rejected(soak: Soak, mode: Mode, quorum: bool) -> None:
    """Reject ten messages at a time, with a prefetch of twenty, and consume the dead letters meanwhile."""
    _die(soak, mode, {"x-queue-type": longstr("quorum")} if quorum else {}, requeue=False, deliveries=1)


def delivery_limit(soak: Soak, mode: Mode) -> None:
    """Return each message until it exceeds the delivery limit."""
    arguments: Table = {"x-queue-type": longstr("quorum"), "x-delivery-limit": number(1)}
    _die(soak, mode, arguments, requeue=True, deliveries=2)


def _die(soak: Soak, mode: Mode, arguments: Table, requeue: bool, deliveries: int) -> None:
    count = soak.count(WAITING)
    with soak.client() as client, soak.client() as mourner:
        client.declare("dead", durable=True)
        client.declare("q", durable=True, arguments={**arguments, **letters_to("dead")})
        mourner.send(request("basic.consume", queue="dead", no_ack=True))
        publish(client, alike(mode, "q", count), count)
        client.seen.clear()
        client.call("basic.qos", "basic.qos-ok", prefetch_count=20)

        def nack(ids: int, payload: bytes) -> bytes:
            tag = delivery_tag(payload) if ids == DELIVER else 0
            if not tag or (tag % 10 and client.seen["basic.deliver"] < count * deliveries):
                return b""
            return request("basic.nack", delivery_tag=tag, multiple=True, requeue=requeue)

        start = request("basic.consume", queue="q", consumer_tag="taker")
        client.pump([start], lambda: client.seen["basic.deliver"] >= count * deliveries, nack)
        mourner.pump((), lambda: mourner.seen["basic.deliver"] == count)
        mourner.close()
        delete(client, "q", "dead")
        client.close()


def expired(soak: Soak, mode: Mode, quorum: bool) -> None:
    """Expire messages after 50 ms in a queue whose dead letters go to a consumer."""
    arguments: Table = {"x-message-ttl": number(50)}
    if quorum:
        arguments["x-queue-type"] = longstr("quorum")
    count = soak.count(WAITING)
    with soak.client() as client, soak.client() as taker:
        client.declare("dead", durable=True)
        client.declare("q", durable=True, arguments={**arguments, **letters_to("dead")})
        taker.send(request("basic.consume", queue="dead", no_ack=True))
        publish(client, alike(mode, "q", count), count)
        taker.pump((), lambda: taker.seen["basic.deliver"] == count)
        taker.close()
        delete(client, "q", "dead")
        client.close()


def delayed(soak: Soak, mode: Mode) -> None:
    """Delay messages for 50 ms in an exchange, and then deliver them to a consumer."""
    count = soak.count(WAITING)
    with soak.client() as client, soak.client() as taker:
        declare_exchange(client, "late", "x-delayed-message", {"x-delayed-type": longstr("direct")})
        client.declare("q", durable=True)
        client.call("queue.bind", "queue.bind-ok", queue="q", exchange="late", routing_key="q")
        taker.send(request("basic.consume", queue="q", no_ack=True))
        publish(client, alike(mode, "q", count, "late", headers={"x-delay": number(50)}), count)
        taker.pump((), lambda: taker.seen["basic.deliver"] == count)
        taker.close()
        client.call("exchange.delete", "exchange.delete-ok", exchange="late")
        delete(client, "q")
        client.close()


# --- settling ---------------------------------------------------------------------------------------------------------


def requeued(soak: Soak, mode: Mode, quorum: bool) -> None:
    """Return the same messages repeatedly."""
    count, some = soak.count(RETURNS), 200
    arguments: Table = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)} if quorum else {}
    with soak.client() as client:
        client.declare("q", durable=True, arguments=arguments)
        publish(client, alike(mode, "q", some), some)
        client.seen.clear()
        client.call("basic.qos", "basic.qos-ok", prefetch_count=100)

        def requeue(ids: int, payload: bytes) -> bytes:
            tag = delivery_tag(payload) if ids == DELIVER else 0
            if not tag or tag % 10 or client.seen["basic.deliver"] >= count:
                return b""
            return request("basic.nack", delivery_tag=tag, multiple=True, requeue=True)

        start = request("basic.consume", queue="q", consumer_tag="taker")
        client.pump([start], lambda: client.seen["basic.deliver"] >= count, requeue)
        client.call("basic.recover", "basic.recover-ok", requeue=True)
        client.call("basic.cancel", "basic.cancel-ok", consumer_tag="taker")
        delete(client, "q")
        client.close()


def transactions(soak: Soak, mode: Mode) -> None:
    """Commit one message at a time, and roll back as many."""
    count = soak.count(WAITING)
    with soak.client() as client:
        client.declare("q", durable=True, arguments={"x-max-length": number(1000)})
        client.call("tx.select", "tx.select-ok")
        commit, rollback = request("tx.commit"), request("tx.rollback")
        data = each(
            mode, count, lambda i, kept: published("q", b"x", delivery_mode=kept) + (commit if i % 2 else rollback)
        )
        client.pump(data, lambda: client.seen["tx.commit-ok"] + client.seen["tx.rollback-ok"] == count)
        delete(client, "q")
        client.close()


def replies(soak: Soak) -> None:
    """Send requests to a server by direct reply-to, 50 of them outstanding at a time."""
    count = soak.count(RETURNS)
    with soak.client() as server, soak.client() as client:
        server.declare("rpc")
        server.send(request("basic.consume", queue="rpc", no_ack=True))

        def answer(ids: int, payload: bytes) -> bytes:
            if ids != HEADER_OF_CONTENT:
                return b""
            reply_to = decode_properties(payload[12:])["reply_to"]
            return published(reply_to.decode() if isinstance(reply_to, bytes) else reply_to, b"answer")

        client.send(request("basic.consume", queue="amq.rabbitmq.reply-to", no_ack=True))
        client.expect("basic.consume-ok")
        some = 50
        for start in range(0, count, some):
            client.send(published("rpc", b"question", reply_to="amq.rabbitmq.reply-to") * some)
            server.pump((), lambda start=start: server.seen["basic.deliver"] == start + some, answer)
            client.pump((), lambda start=start: client.seen["basic.deliver"] == start + some)
        delete(server, "rpc")
        client.close()
        server.close()


def _phases() -> list[Phase]:
    phases = [*in_modes("exchanges", exchanges), Phase("routes", routes), *in_modes("properties", properties)]
    for name, arguments in QUEUES.items():
        phases += in_modes(f"{name} queue", through_queue, arguments=arguments)
    phases += in_modes("backlog", backlog, is_peak=True) + in_modes("lost connections", lost) + in_modes("large", large)
    phases += in_modes("turns of reading", turns)
    for how in ("drop-head", "reject-publish"):
        for quorum in (False, True):
            kind = "quorum" if quorum else "classic"
            phases += in_modes(f"{how} {kind}", overflow, how=how, quorum=quorum, letters=how == "drop-head")
    phases += in_modes("reject-publish-dlx", overflow, how="reject-publish-dlx", quorum=False, letters=True)
    for quorum in (False, True):
        kind = "quorum" if quorum else "classic"
        phases += in_modes(f"rejected {kind}", rejected, quorum=quorum)
        phases += in_modes(f"expired {kind}", expired, quorum=quorum)
        phases += in_modes(f"requeued {kind}", requeued, quorum=quorum)
    phases += in_modes("delivery limit", delivery_limit) + in_modes("delayed", delayed)
    return [*phases, *in_modes("transactions", transactions), Phase("replies", replies)]


PHASES = _phases()
