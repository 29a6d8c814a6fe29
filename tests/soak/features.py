"""Soak phases for features of exchanges, queues, consumers and transactions that no other phase drives."""

import time

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import published
from tests.load.client import request
from tests.soak.client import DELIVER, HEADER_OF_CONTENT, SoakClient, delivery_tag
from tests.soak.soak import MIXED, Mode, Phase, Soak, in_modes
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

#: Messages of a phase, for some forty pages of a queue.
MESSAGES = 20_000
#: Consumers that become the active one of a queue.
ELECTIONS = 4_000
#: Deliveries that exceed their timeout.
OVERDUE = 2_000

QUEUES = ("q0", "q1", "q2")

#: Body of a request that gets and acknowledges a message.
GET = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}


def _declare(client: SoakClient, *queues: str, arguments: Table | None = None) -> None:
    for queue in queues:
        client.declare(queue, durable=True, arguments=arguments or {})


def _delete_exchange(client: SoakClient, name: str) -> None:
    client.call("exchange.delete", "exchange.delete-ok", exchange=name)


# --- duplicates -------------------------------------------------------------------------------------------------------


def duplicates(soak: Soak, mode: Mode) -> None:
    """Publish more ids than a queue and an exchange remember; the oldest ones are forgotten."""
    most = soak.bounds.deduplication_ids
    on: Table = {"x-message-deduplication": Field("t", True), "x-cache-ttl": number(10**9)}
    with soak.client() as client:
        _declare(client, "q")
        _declare(client, "own", arguments=on)
        declare_exchange(client, "once", "fanout", on)
        bind(client, "q", "once")

        def message(id_: str, kept: int, exchange: str, ttl_ms: int) -> bytes:
            headers: Table = {"x-deduplication-header": longstr(id_), "x-cache-ttl": number(ttl_ms)}
            return published("own", b"x", exchange, delivery_mode=kept, headers=headers)

        def send(first: int, count: int, exchange: str, queue: str, added: int, ttl_ms: int = 10**9) -> None:
            # Ids of more than 64 bytes are stored as digests.
            for start in range(first, first + count, MESSAGES):
                slice_ = min(MESSAGES, first + count - start)
                data = each(mode, slice_, lambda i, kept: message(f"{start + i:0100}", kept, exchange, ttl_ms))  # noqa: B023
                publish(client, data, slice_)
                depth = client.depth(queue)
                client.call("queue.purge", "queue.purge-ok", queue=queue)
                added -= depth
            assert not added, f"{added} messages more than expected are missing in {queue}"

        send(0, 2 * most + 10, "", "own", 2 * most + 10)
        send(most + 20, most // 10, "", "own", 0)
        send(0, 10, "", "own", 10)
        send(5 * most, most // 10, "", "own", most // 10, ttl_ms=1)
        send(0, 10, "once", "q", 10)
        send(0, 10, "once", "q", 0)
        delete(client, "q", "own")
        _delete_exchange(client, "once")
        client.close()


# --- batches ----------------------------------------------------------------------------------------------------------


def batches(soak: Soak, mode: Mode) -> None:
    """Publish more batches than are counted, and as many members as are counted, all of which fail; then wait until the
    batches are forgotten.
    """
    bounds = soak.bounds
    # It is long enough to publish all members.
    ttl_ms = 15_000 if soak.host.divisor == 1 else 5_000

    def member(batch: int, id_: int, kept: int, size: int) -> bytes:
        headers: Table = {
            "x-batch-id": longstr(f"{batch}"),
            "x-batch-size": number(size),
            "x-batch-ttl": number(ttl_ms),
        }
        return published("q", b"x", delivery_mode=kept, headers=headers, message_id=f"{id_}")

    with soak.client() as client:
        _declare(client, "q")
        # Empty batches end at once, and the first of them make space for the last.
        count = 2 * bounds.batches + 10
        publish(client, each(mode, count, lambda i, kept: member(i, 0, kept, 0)), count)
        most = bounds.batch_members
        for batch in (-1, -2):
            publish(client, each(mode, most, lambda i, kept: member(batch, i, kept, most)), most)  # noqa: B023
            client.call("queue.purge", "queue.purge-ok", queue="q")
        delete(client, "q")
        time.sleep(ttl_ms / 1000 + 1)
        client.close()


# --- jobs -------------------------------------------------------------------------------------------------------------


def jobs(soak: Soak, mode: Mode) -> None:
    """Publish more jobs than are followed, and replies of more bytes than are kept; then wait until the jobs are
    forgotten.
    """
    bounds = soak.bounds
    # It is long enough to publish all jobs.
    ttl_ms = 15_000 if soak.host.divisor == 1 else 5_000

    def job(id_: str, key: str, kept: int, exchange: str = "") -> bytes:
        headers: Table = {"x-job": Field("t", True), "x-job-ttl": number(ttl_ms)}
        return published(key, b"x", exchange, delivery_mode=kept, headers=headers, message_id=id_)

    with soak.client() as client:
        _declare(client, "q")
        # Unroutable jobs end at once, and the first of them make space for the last.
        count = 2 * bounds.jobs + 10
        publish(client, each(mode, count, lambda i, kept: job(f"{i}", "nowhere", kept)), count)
        reply = b"x" * bounds.job_reply_bytes
        for i in range(2 * bounds.job_replies_bytes // bounds.job_reply_bytes + 2):
            publish(client, [job(f"{i}", "q", 2)], 1)
            (got,) = soak.management.call("POST", "/queues/%2F/q/get", GET)
            publish(client, [published(got["properties"]["reply_to"], reply)], 1)
        delete(client, "q")
        time.sleep(ttl_ms / 1000 + 1)
        client.close()


# --- last values ------------------------------------------------------------------------------------------------------


def last_values(soak: Soak, mode: Mode, quorum: bool) -> None:
    """Replace each message of many pages several times, in a different order, then consume the last ones."""
    keys = soak.count(MESSAGES)
    arguments: Table = {"x-last-value-key": longstr("key")} | ({"x-queue-type": longstr("quorum")} if quorum else {})
    with soak.client() as client:
        _declare(client, "q", arguments=arguments)
        for factor in 1, 7, 11:

            def message(i: int, kept: int, factor: int = factor) -> bytes:
                # Keys of more than 64 bytes are compared by their digests.
                key = f"{i * factor % keys:0100}"
                return published("q", b"x" * factor, delivery_mode=kept, headers={"key": longstr(key)})

            publish(client, each(mode, keys, message), keys)
        depth = client.depth("q")
        assert depth == keys, f"{depth} messages wait for {keys} keys"
        consume(client, "q", keys, no_ack=False)
        delete(client, "q")
        client.close()


# --- message groups ---------------------------------------------------------------------------------------------------


def groups(soak: Soak, mode: Mode, quorum: bool) -> None:
    """Publish and consume many pages of messages of many groups, of a few groups, and of one."""
    count = soak.count(MESSAGES)
    arguments: Table = {"x-group-header": longstr("key")} | ({"x-queue-type": longstr("quorum")} if quorum else {})
    with soak.client() as client:
        _declare(client, "q", arguments=arguments)
        for keys in count, 100, 1:

            def message(i: int, kept: int, keys: int = keys) -> bytes:
                # Keys of more than 256 bytes are compared by their digests.
                return published("q", b"x", delivery_mode=kept, headers={"key": longstr(f"{i % keys:0600}")})

            publish(client, each(mode, count, message), count)
            consume(client, "q", count, no_ack=keys == 1)
        delete(client, "q")
        client.close()


# --- exchanges --------------------------------------------------------------------------------------------------------


def modulus_hash(soak: Soak, mode: Mode) -> None:
    """Publish with new routing keys to an exchange that distributes them over queues, which are added and removed."""
    count = soak.count(MESSAGES)
    with soak.client() as client:
        declare_exchange(client, "hash", "x-modulus-hash")
        _declare(client, *QUEUES)
        for queue in QUEUES:
            bind(client, queue, "hash")
        data = each(mode, count, lambda i, kept: published(f"key.{i}", b"x", "hash", delivery_mode=kept))
        publish(client, data, count)
        depths = [client.depth(queue) for queue in QUEUES]
        assert min(depths) > 0, f"the exchange spread messages over queues as {depths}"
        assert sum(depths) == count, f"the exchange routed {sum(depths)} of {count} messages"
        for queue, depth in zip(QUEUES, depths, strict=True):
            consume(client, queue, depth, no_ack=False)
        for _ in range(soak.count(MESSAGES) // 20):
            client.call("queue.unbind", "queue.unbind-ok", queue="q0", exchange="hash", routing_key="")
            client.send(published("key", b"x", "hash", delivery_mode=mode.delivery_modes[0]))
            bind(client, "q0", "hash")
        delete(client, *QUEUES)
        _delete_exchange(client, "hash")
        client.close()


def delayed(soak: Soak, mode: Mode, kind: str, arguments: Table) -> None:
    """Delay messages in an exchange that then routes them like another type, and not by queue name."""
    count = soak.count(MESSAGES)
    headers: Table = {"x-delay": number(50), "kind": longstr("wanted")}
    with soak.client() as client, soak.client() as taker:
        declare_exchange(client, "late", "x-delayed-message", {"x-delayed-type": longstr(kind)})
        _declare(client, "q", "other")
        client.call(
            "queue.bind", "queue.bind-ok", queue="q", exchange="late", routing_key="late.*", arguments=arguments
        )
        taker.send(request("basic.consume", queue="q", no_ack=True))
        publish(client, alike(mode, "late.key", count, "late", headers=headers), count)
        taker.pump((), lambda: taker.seen["basic.deliver"] == count)
        assert client.depth("other") == 0, "the exchange delivered to a queue without a binding"
        taker.close()
        _delete_exchange(client, "late")
        delete(client, "q", "other")
        client.close()


def by_headers(soak: Soak, mode: Mode) -> None:
    """Publish to a headers exchange; some messages match any, some all, and some none of the bindings."""
    count = soak.count(MESSAGES) // 8 * 8
    wanted: Table = {"a": longstr("1"), "b": longstr("2")}
    with soak.client() as client:
        declare_exchange(client, "headers", "headers")
        for match in ("any", "all"):
            _declare(client, match)
            arguments = wanted | {"x-match": longstr(match)}
            client.call("queue.bind", "queue.bind-ok", queue=match, exchange="headers", arguments=arguments)
        # Unroutable messages are confirmed at once; the last message has a queue, so that its confirm is the last.
        kinds: tuple[Table, ...] = ({}, {"a": longstr("1")}, {"b": longstr("2"), "a": number(1)}, wanted)

        def make(i: int, kept: int) -> bytes:
            # The delivery modes alternate, and each of the headers gets both.
            headers = kinds[i // 2 % 4] | {"number": number(i)}
            return published("", b"x", "headers", delivery_mode=kept, headers=headers)

        publish(client, each(mode, count, make), count)
        found = {match: client.depth(match) for match in ("any", "all")}
        assert found == {"any": count // 4 * 3, "all": count // 4}, f"{found} of {count} messages match"
        for match, depth in found.items():
            consume(client, match, depth, no_ack=False)
        delete(client, "any", "all")
        _delete_exchange(client, "headers")
        client.close()


def blind_copies(soak: Soak, mode: Mode) -> None:
    """Publish with two more routing keys in BCC, which consumers must not see."""
    count = soak.count(MESSAGES) // 2
    headers: Table = {"BCC": Field("A", [longstr("q1"), longstr("q2")])}
    with soak.client() as client:
        _declare(client, *QUEUES)
        publish(client, alike(mode, "q0", count, headers=headers), count)
        depths = [client.depth(queue) for queue in QUEUES]
        assert depths == [count] * 3, f"copies by BCC: {depths}"
        client.seen.clear()

        def check(ids: int, payload: bytes) -> bytes:
            assert ids != HEADER_OF_CONTENT or b"BCC" not in payload, "a consumer sees the header BCC"
            return b""

        starts = [request("basic.consume", queue=queue, consumer_tag=queue, no_ack=True) for queue in QUEUES]
        client.pump(starts, lambda: client.seen["basic.deliver"] == 3 * count, check)
        delete(client, *QUEUES)
        client.close()


def returned(soak: Soak, mode: Mode) -> None:
    """Publish with the flag mandatory; half of the messages are routed to no queue, and returned."""
    count = soak.count(MESSAGES) // 4 * 4
    with soak.client() as client:
        _declare(client, "q")
        client.seen.clear()
        data = each(
            mode,
            count,
            lambda i, kept: published("q" if i % 4 >= 2 else f"none-{i}", b"x", mandatory=True, delivery_mode=kept),
        )
        publish(client, data, count)
        assert client.seen["basic.return"] == count // 2, f"{client.seen['basic.return']} of {count // 2} returned"
        consume(client, "q", count // 2)
        delete(client, "q")
        client.close()


# --- queues -----------------------------------------------------------------------------------------------------------


def limited_bytes(soak: Soak, mode: Mode, quorum: bool) -> None:
    """Publish past the limit of a queue in bytes; dropped messages are dead-lettered."""
    count, size, kept_count = soak.count(MESSAGES), 100, 10
    arguments: Table = {"x-max-length-bytes": number(size * kept_count), **letters_to("dead")}
    if quorum:
        arguments["x-queue-type"] = longstr("quorum")
    with soak.client() as client:
        _declare(client, "dead")
        _declare(client, "q", arguments=arguments)
        publish(client, alike(mode, "q", count, body=b"x" * size), count)
        soak.until(lambda: client.depth("dead") == count - kept_count, "all but the last messages are dead letters")
        assert client.depth("q") == kept_count
        consume(client, "dead", count - kept_count)
        delete(client, "q", "dead")
        client.close()


def expiration(soak: Soak, mode: Mode, quorum: bool) -> None:
    """Publish with an expiration for each message, and consume the dead letters."""
    count = soak.count(MESSAGES)
    arguments = letters_to("dead") | ({"x-queue-type": longstr("quorum")} if quorum else {})
    with soak.client() as client, soak.client() as taker:
        _declare(client, "dead")
        _declare(client, "q", arguments=arguments)
        taker.send(request("basic.consume", queue="dead", no_ack=True))
        data = each(
            mode, count, lambda i, kept: published("q", b"x", delivery_mode=kept, expiration=str(20 + i // 2 % 40))
        )
        publish(client, data, count)
        taker.pump((), lambda: taker.seen["basic.deliver"] == count)
        taker.close()
        delete(client, "q", "dead")
        client.close()


def expiration_anywhere(soak: Soak, mode: Mode, quorum: bool) -> None:
    """Consume messages before they expire, then return others, which expire behind a message that does not."""
    count = soak.count(MESSAGES)
    arguments = letters_to("dead") | {"x-message-ttl-mode": longstr("any")}
    if quorum:
        arguments["x-queue-type"] = longstr("quorum")
    with soak.client() as client, soak.client() as taker:
        _declare(client, "dead")
        _declare(client, "q", arguments=arguments)
        data = each(mode, count, lambda i, kept: published("q", b"x", delivery_mode=kept, expiration=str(10**7 - i)))
        publish(client, data, count)
        consume(client, "q", count, no_ack=False)
        publish(client, alike(mode, "q", 1), 1)
        data = each(
            mode, count, lambda i, kept: published("q", b"x", delivery_mode=kept, expiration=str(2000 + i * 7 % 500))
        )
        publish(client, data, count)
        taker.send(request("basic.consume", queue="q"))
        taker.pump((), lambda: taker.seen["basic.deliver"] > count // 2)
        taker.close()
        soak.until(lambda: client.depth("dead") == count, "all messages but the first have expired")
        assert client.depth("q") == 1
        consume(client, "dead", count)
        delete(client, "q", "dead")
        client.close()


# --- consumers --------------------------------------------------------------------------------------------------------


def settled_in_transactions(soak: Soak, mode: Mode) -> None:
    """Acknowledge messages in transactions; roll back each transaction once before it is committed."""
    count, some = soak.count(MESSAGES) // 20 * 20, 20
    with soak.client() as client:
        _declare(client, "q")
        publish(client, alike(mode, "q", count), count)
        reopen(client)
        client.call("tx.select", "tx.select-ok")
        client.seen.clear()
        client.call("basic.qos", "basic.qos-ok", prefetch_count=some)

        def settle(ids: int, payload: bytes) -> bytes:
            tag = delivery_tag(payload) if ids == DELIVER else 0
            if not tag or tag % some:
                return b""
            acknowledge = request("basic.ack", delivery_tag=tag, multiple=True)
            return acknowledge + request("tx.rollback") + acknowledge + request("tx.commit")

        start = request("basic.consume", queue="q", consumer_tag="taker")
        client.pump([start], lambda: client.seen["tx.commit-ok"] == count // some, settle)
        assert client.seen["tx.rollback-ok"] == count // some
        assert client.seen["basic.deliver"] == count
        # Rolled back acknowledgements stay open, and the messages return to the queue with the channel.
        publish(client, alike(mode, "q", some), some)
        last = request("basic.ack", delivery_tag=0, multiple=True) + request("tx.rollback")
        client.pump((), lambda: client.seen["basic.deliver"] == count + some)
        client.pump([last], lambda: client.seen["tx.rollback-ok"] == count // some + 1)
        reopen(client)
        assert client.depth("q") == some, "committed acknowledgements are undone, or those rolled back took effect"
        delete(client, "q")
        client.close()


def elections(soak: Soak, mode: Mode, quorum: bool) -> None:
    """Cancel the single active consumer repeatedly, so that the waiting one becomes active and gets the messages."""
    count = soak.count(ELECTIONS)
    arguments: Table = {"x-single-active-consumer": Field("t", True)}
    if quorum:
        arguments["x-queue-type"] = longstr("quorum")
    with soak.client() as client:
        _declare(client, "q", arguments=arguments)
        kinds = mode.delivery_modes
        takers: list[str] = []

        def consuming(i: int) -> bytes:
            return request("basic.consume", queue="q", consumer_tag=f"taker-{i}")

        def one(i: int) -> bytes:
            return published("q", b"x", delivery_mode=kinds[i % len(kinds)])

        def answer(ids: int, payload: bytes) -> bytes:
            if ids != DELIVER:
                return b""
            i = len(takers)
            takers.append(consumer_tag(payload))
            settled = request("basic.ack", delivery_tag=delivery_tag(payload))
            settled += request("basic.cancel", consumer_tag=f"taker-{i}")
            return settled if i + 1 == count else settled + consuming(i + 2) + one(i + 1)

        client.seen.clear()
        start = consuming(0) + consuming(1) + one(0)
        client.pump([start], lambda: client.seen["basic.cancel-ok"] == count, answer)
        assert takers == [f"taker-{i}" for i in range(count)], "another than the next consumer took over"
        delete(client, "q")
        client.close()


def overdue(soak: Soak, mode: Mode) -> None:
    """Exceed the timeout of a quorum queue's consumer with its deliveries, so that another consumer gets them."""
    count = soak.count(OVERDUE)
    arguments: Table = {"x-queue-type": longstr("quorum"), "x-consumer-timeout": number(100)}
    with soak.client() as client, SoakClient(soak.port, ("consumer_cancel_notify",)) as idle:
        for _ in range(3):
            _declare(client, "q", arguments=arguments)
            publish(client, alike(mode, "q", count), count)
            idle.seen.clear()
            start = request("basic.consume", queue="q", consumer_tag="idle")
            idle.pump([start], lambda: idle.seen["basic.cancel"] == 1)
            assert idle.seen["basic.deliver"] == count, dict(idle.seen)
            soak.until(lambda: client.depth("q") == count, "the queue takes back all overdue messages")
            reopen(idle)
            consume(client, "q", count)
            delete(client, "q")
        idle.close()
        client.close()


def locks(soak: Soak, mode: Mode) -> None:
    """Receive messages whose locks run out again and again; renew the locks of other deliveries, and settle these."""
    count, rounds = soak.count(OVERDUE), 3
    arguments: Table = {"x-consumer-timeout": number(100), "x-consumer-timeout-action": longstr("return")}
    renewal = published(
        "amq.renew-lock", headers={"x-delivery-tag": number(0), "x-consumer-timeout": number(3_600_000)}
    )
    with soak.client() as client, soak.client() as hung:
        _declare(client, "q", arguments=arguments)
        publish(client, alike(mode, "q", count), count)
        hung.seen.clear()
        start = request("basic.consume", queue="q", consumer_tag="hung")
        hung.pump([start], lambda: hung.seen["basic.deliver"] >= rounds * count)
        # Late acknowledgements are accepted.
        hung.pump([request("basic.ack", delivery_tag=tag) for tag in range(1, count + 1)], lambda: True)
        reopen(hung)
        soak.until(lambda: client.depth("q") == count, "the messages are back with the channel")
        settled = 0

        def settle(ids: int, payload: bytes) -> bytes:
            nonlocal settled
            if ids != DELIVER:
                return b""
            settled += 1
            return renewal + request("basic.ack", delivery_tag=delivery_tag(payload))

        client.pump([request("basic.qos", prefetch_count=10), start], lambda: settled == count, settle)
        reopen(client)
        assert client.depth("q") == 0
        delete(client, "q")
        hung.close()
        client.close()


# --- shovels ----------------------------------------------------------------------------------------------------------


def shovel_from_exchange(soak: Soak, mode: Mode) -> None:
    """Move the messages of an exchange with a shovel, which has its own queue."""
    count = soak.count(MESSAGES) // 4
    api = soak.management
    value = _ends(soak) | {"src-exchange": "source", "src-exchange-key": "moved.#"}
    with soak.client() as client:
        declare_exchange(client, "source", "topic")
        _declare(client, "to")
        for i, how in enumerate(("on-confirm", "on-publish", "no-ack")):
            api.call("PUT", f"/parameters/shovel/%2F/exchange-{i}", {"value": value | {"ack-mode": how}})
            soak.until(lambda: any(row["source"] == "source" for row in _bindings(soak)), "the shovel binds its queue")
            publish(client, alike(mode, "moved.key", count, "source"), count)
            consume(client, "to", count)
            api.call("DELETE", f"/parameters/shovel/%2F/exchange-{i}")
            soak.until(
                lambda: all(row["source"] != "source" for row in _bindings(soak)), "the queue of the shovel is deleted"
            )
        delete(client, "to")
        _delete_exchange(client, "source")
        client.close()


def _bindings(soak: Soak) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = soak.management.call("GET", "/bindings/%2F")
    return rows


def shovel_that_ends(soak: Soak, mode: Mode) -> None:
    """Move the messages of a queue, or a certain number of them, with shovels that delete themselves."""
    count = soak.count(MESSAGES) // 10
    with soak.client() as client:
        for after, ack_mode in (("queue-length", "on-confirm"), ("queue-length", "no-ack"), (count // 2, "on-publish")):
            moved = count if after == "queue-length" else count // 2
            _declare(client, "from", "to")
            publish(client, alike(mode, "from", count), count)
            value = _ends(soak) | {"src-queue": "from", "src-delete-after": after, "ack-mode": ack_mode}
            soak.management.call("PUT", "/parameters/shovel/%2F/ends", {"value": value})
            soak.until(lambda: not _is_there(soak, "ends"), "the shovel deletes itself")
            soak.until(lambda moved=moved: client.depth("to") == moved, "the shovel has moved its messages")
            soak.until(lambda moved=moved: client.depth("from") == count - moved, "the shovel gives back the rest")
            delete(client, "from", "to")
        client.close()


def _is_there(soak: Soak, shovel: str) -> bool:
    return soak.management.request("GET", f"/parameters/shovel/%2F/{shovel}")[0] == 200


def _ends(soak: Soak) -> dict[str, object]:
    """Return the definition of a shovel from this broker to the queue `to`, without its source."""
    url = f"amqp://guest:guest@127.0.0.1:{soak.port}"
    return {
        "src-protocol": "amqp091",
        "src-uri": url,
        "dest-protocol": "amqp091",
        "dest-uri": url,
        "dest-queue": "to",
    }


DELAYED: dict[str, Table] = {
    "topic": {},
    "fanout": {},
    "headers": {"x-match": longstr("all"), "kind": longstr("wanted")},
}


# --- streams ----------------------------------------------------------------------------------------------------------


def stream_offsets(soak: Soak, mode: Mode) -> None:
    """Consume from a stream with more tags than it remembers; the offsets of the first ones are forgotten."""
    most = soak.bounds.stream_offsets
    count = 2 * most + 10
    tracked: Table = {
        "x-stream-automatic-offset-tracking": Field("t", True),
        "x-stream-offset": longstr("first"),
    }
    with soak.client() as client:
        _declare(client, "s", arguments={"x-queue-type": longstr("stream")})
        publish(client, alike(mode, "s", 10), 10)
        client.call("basic.qos", "basic.qos-ok", prefetch_count=1)
        for number_ in range(count):
            tag = f"reader{number_}"
            client.call("basic.consume", "basic.consume-ok", queue="s", consumer_tag=tag, arguments=tracked)
            client.call("basic.cancel", "basic.cancel-ok", consumer_tag=tag)
            client.send(request("basic.ack", delivery_tag=0, multiple=True))
        offsets = soak.management.call("GET", "/queues/%2F/s/offsets")
        assert len(offsets) == most, f"{len(offsets)} offsets are remembered, not {most}"
        delete(client, "s")
        client.close()


def _phases() -> list[Phase]:
    phases = in_modes("modulus hash", modulus_hash, compat="4.3", is_peak=True)
    for kind, arguments in DELAYED.items():
        phases += in_modes(f"delayed {kind}", delayed, kind=kind, arguments=arguments)
    # It takes a minute for each mode.
    phases += in_modes("duplicates", duplicates, is_peak=True, modes=(MIXED,))
    phases += in_modes("batches", batches, is_peak=True, modes=(MIXED,))
    phases += in_modes("stream offsets", stream_offsets, is_peak=True, modes=(MIXED,))
    phases += in_modes("jobs", jobs, is_peak=True, modes=(MIXED,))
    phases += in_modes("matching headers", by_headers, is_peak=True)
    phases += in_modes("copies by BCC", blind_copies, is_peak=True)
    phases += in_modes("mandatory", returned)
    for quorum in (False, True):
        kind = "quorum" if quorum else "classic"
        phases += in_modes(f"limited bytes {kind}", limited_bytes, quorum=quorum)
        phases += in_modes(f"expiration {kind}", expiration, quorum=quorum)
        phases += in_modes(f"expiration anywhere {kind}", expiration_anywhere, quorum=quorum)
        phases += in_modes(f"last values {kind}", last_values, is_peak=True, quorum=quorum)
        phases += in_modes(f"groups {kind}", groups, is_peak=True, quorum=quorum)
        phases += in_modes(f"elections {kind}", elections, quorum=quorum)
    phases += in_modes("settled in transactions", settled_in_transactions)
    phases += in_modes("overdue", overdue, compat="4.3")
    phases += in_modes("locks", locks)
    phases += in_modes("shovel from an exchange", shovel_from_exchange)
    return phases + in_modes("shovel that ends", shovel_that_ends)


PHASES = _phases()
