"""Soak phases for pending disk operations, stored data, and messages that leave memory."""

import time

from amqpbroker.store.pending_writes import _COPY_BYTES
from amqpbroker.store.reading import _ALONE_BYTES, _LARGE_BYTES
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import published
from tests.load.client import request
from tests.soak.client import DELIVER, Settled, SoakClient, delivery_tag
from tests.soak.soak import PERSISTENT, TRANSIENT, Phase, Soak
from tests.soak.traffic import alike, bind, consume, declare_exchange, delete, each, letters_to, number, publish, push

DELETED = 50 << 16 | 41
LARGE_BYTES = 500_000
#: Size of bodies that the journal writes without copying them.
SEPARATE_BYTES = 17_000


# --- while the disk is slow -------------------------------------------------------------------------------------------


def confirms_ahead(soak: Soak) -> None:
    """Publish unroutable messages between stored ones, so that later publishes are confirmed first."""
    most = soak.bounds.confirms_ahead
    pairs = 2 * most + 100
    soak.forget_clients()
    with soak.client() as client:
        client.declare("q", durable=True)
        client.call("confirm.select", "confirm.select-ok")
        settled = Settled()
        with soak.lever("disk"):
            client.send(published("q", b"x", delivery_mode=2))
            client.send((published("q", b"x") + published("nowhere", b"x")) * pairs)
            count = 1 + 2 * pairs
            soak.until(lambda: soak.census()["Confirms.published"] == count, "all publishes are numbered")
            assert soak.census()["Confirms.ahead[]"] == most
        client.pump((), lambda: settled.tag == count, settled.on_method)
        delete(client, "q")
        client.close()


def unwritten(soak: Soak) -> None:
    """Publish faster than the disk writes."""
    most, size = soak.bounds.unwritten_bytes, 1000
    count = 3 * most // size + 3_000
    soak.forget_clients()
    with soak.client() as client:
        client.declare("q", durable=True)
        client.call("confirm.select", "confirm.select-ok")
        settled = Settled()
        with soak.lever("disk"):
            data = alike(PERSISTENT, "q", count, body=b"x" * size)
            rest = push(client, data, lambda: _published(soak) * (size + _COPY_BYTES) > most)
            time.sleep(0.3)
            before = _published(soak)
            time.sleep(0.3)
            assert before == _published(soak) < count, "the broker reads though too much waits for the disk"
        client.pump(rest, lambda: settled.tag == count, settled.on_method)
        delete(client, "q")
        client.close()


def _published(soak: Soak) -> int:
    """Return the number of publishes of open channels in confirm mode."""
    return soak.census().get("Confirms.published", 0)


def returned_meanwhile(soak: Soak) -> None:
    """Return the same messages repeatedly while the disk writes nothing."""
    some, most = 200, soak.bounds.returns
    count = 2 * most + 5 * some
    with soak.client() as client:
        client.declare("q", durable=True)
        publish(client, alike(PERSISTENT, "q", some), some)
        with soak.lever("disk"):
            _return_often(client, count)
            found = soak.census()["Group.returned[]"]
            assert found <= most, f"{found} returned copies wait for the disk"
        delete(client, "q")
        client.close()


def _return_often(client: SoakClient, count: int) -> None:
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


def definitions_log(soak: Soak) -> None:
    """Change definitions while the slow disk prevents that their log is moved into the database."""
    most = soak.bounds.full_log_bytes
    # A change needs at least a page of 4 KiB in the log. Changes that are requested together use the same pages.
    pairs = most // 4096 // 16 + 5
    log = soak.host.data / "definitions.sqlite-wal"
    sizes = []
    with soak.client() as client:
        client.declare("q", durable=True)
        with soak.lever("disk"):
            client.send(published("q", b"x", delivery_mode=2))
            for _ in range(16):
                for _ in range(pairs):
                    declare_exchange(client, "e", "fanout")
                    client.call("exchange.delete", "exchange.delete-ok", exchange="e")
                sizes.append(log.stat().st_size)
        assert max(sizes) > 2 * soak.bounds.log_bytes, f"the log was moved into the database at {sizes} bytes"
        assert max(sizes) < most + (1 << 20), f"the log had {sizes} bytes"
        delete(client, "q")
        client.close()


def unread_answers(soak: Soak) -> None:
    """Get large messages, and read them later."""
    most = soak.bounds.unread_bytes
    count = 3 * most // LARGE_BYTES + 60
    with soak.client() as client, soak.client() as keeper:
        client.declare("q")
        publish(client, alike(TRANSIENT, "q", count, body=b"x" * LARGE_BYTES), count)
        client.seen.clear()
        client.send(request("basic.get", queue="q", no_ack=True) * count)
        soak.until(lambda: soak.census()["Output._size"] > most, "answers wait for the client")
        assert keeper.depth("q"), "the broker reads a client that does not read"
        client.pump((), lambda: client.seen["basic.get-ok"] == count)
        delete(client, "q")
        client.close()


# --- batches and records of the journal -------------------------------------------------------------------------------


def dropped_at_once(soak: Soak) -> None:
    """Lower the length limit of a long queue, so that all its messages are dead-lettered in one event loop iteration.

    The dead letters form several batches, each with more parts than one call to the system writes.
    """
    count = 2 * max(soak.bounds.batch_bytes, soak.bounds.leaving_bytes) // SEPARATE_BYTES + 20
    with soak.client() as client:
        client.declare("dead", durable=True)
        client.declare("q", durable=True, arguments=letters_to("dead"))
        publish(client, alike(PERSISTENT, "q", count, body=b"x" * SEPARATE_BYTES), count)
        policy = {"pattern": "^q$", "definition": {"max-length": 0}, "apply-to": "queues"}
        soak.management.call("PUT", "/policies/%2F/short", policy)
        soak.until(lambda: client.depth("dead") == count, "all messages are dead-lettered")
        consume(client, "dead", count)
        soak.management.call("DELETE", "/policies/%2F/short")
        delete(client, "q", "dead")
        client.close()


def large_transaction(soak: Soak) -> None:
    """Commit a transaction that is too large for one group of the journal."""
    count = 2 * soak.bounds.group_bytes // LARGE_BYTES + 2
    with soak.client() as client:
        client.declare("q", durable=True)
        client.call("tx.select", "tx.select-ok")
        client.pump(alike(PERSISTENT, "q", count, body=b"x" * LARGE_BYTES), lambda: True)
        client.call("tx.commit", "tx.commit-ok")
        assert client.depth("q") == count
        delete(client, "q")
        client.close()


def many_copies(soak: Soak) -> None:
    """Publish to more durable queues than one record of the journal holds, with and without a transaction."""
    count = 2 * soak.bounds.entries + 10
    with soak.client() as client:
        declare_exchange(client, "wide", "fanout")
        declared = (
            request("queue.declare", queue=f"wide-{i}", durable=True)
            + request("queue.bind", queue=f"wide-{i}", exchange="wide")
            for i in range(count)
        )
        client.pump(declared, lambda: client.seen["queue.bind-ok"] == count)
        publish(client, alike(PERSISTENT, "", 1, "wide"), 1)
        client.call("tx.select", "tx.select-ok")
        client.send(published("", b"x", "wide", delivery_mode=2))
        client.call("tx.commit", "tx.commit-ok")
        copies = 0

        def add(ids: int, payload: bytes) -> bytes:
            nonlocal copies
            copies += int.from_bytes(payload[4:8], "big") if ids == DELETED else 0
            return b""

        client.pump(
            (request("queue.delete", queue=f"wide-{i}") for i in range(count)),
            lambda: client.seen["queue.delete-ok"] == count,
            add,
        )
        assert copies == 2 * count, copies
        client.call("exchange.delete", "exchange.delete-ok", exchange="wide")
        client.close()


def settled_at_once(soak: Soak) -> None:
    """Acknowledge, return and delete more stored messages at once than one record of the journal holds."""
    count = 2 * soak.bounds.positions + 100
    with soak.client() as client:
        client.declare("q", durable=True)
        for settle in (
            request("basic.ack", delivery_tag=0, multiple=True),
            request("basic.nack", delivery_tag=0, multiple=True, requeue=True),
        ):
            publish(client, alike(PERSISTENT, "q", count), count)
            client.seen.clear()
            start = request("basic.consume", queue="q", consumer_tag="taker")
            client.pump([start], lambda: client.seen["basic.deliver"] == count)
            client.call("basic.cancel", "basic.cancel-ok", consumer_tag="taker")
            client.send(settle)
        assert client.depth("q") == count
        client.call("queue.purge", "queue.purge-ok", queue="q")
        declare_exchange(client, "late", "x-delayed-message", {"x-delayed-type": longstr("direct")})
        bind(client, "q", "late", "q")
        publish(client, alike(PERSISTENT, "q", count, "late", headers={"x-delay": number(600_000)}), count)
        client.call("exchange.delete", "exchange.delete-ok", exchange="late")
        delete(client, "q")
        client.close()


def compaction(soak: Soak) -> None:
    """Retain a few messages in each of many segments, so that the broker rewrites these messages to free the rest."""
    segments, size = 8, 20_000
    count = segments * soak.bounds.segment_bytes // size
    with soak.client() as client:
        client.declare("kept", durable=True)
        client.declare("gone", durable=True, arguments={"x-max-length": number(10)})

        def make(i: int, kept: int) -> bytes:
            return published("gone" if i % 20 else "kept", b"x" * size, delivery_mode=kept)

        publish(client, each(PERSISTENT, count, make), count)
        # Each batch allows one step.
        soak.until(
            lambda: publish(client, alike(PERSISTENT, "gone", 20), 20) or soak.census()["Segment"] <= segments // 2,
            "the oldest segments are written again",
        )
        consume(client, "kept", len(range(0, count, 20)))
        delete(client, "kept", "gone")
        client.close()


def counted_deliveries(soak: Soak) -> None:
    """Return a message more often than the journal can count."""
    count = soak.count(2 * 65_535 + 50)
    arguments: Table = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)}
    with soak.client() as client:
        client.declare("q", durable=True, arguments=arguments)
        publish(client, alike(PERSISTENT, "q", 1), 1)
        client.seen.clear()
        once = (
            request("basic.get", queue="q") + request("basic.nack", delivery_tag=tag, requeue=True)
            for tag in range(1, count + 1)
        )
        client.pump(once, lambda: client.seen["basic.get-ok"] == count)
        assert client.depth("q") == 1
        delete(client, "q")
        client.close()


# --- messages outside of memory ---------------------------------------------------------------------------------------


def spilled(soak: Soak) -> None:
    """Move transient messages to several spill files, because memory is low, and consume them."""
    size = 10_000
    count = 5 * soak.bounds.spill_bytes // (2 * size) + 300
    with soak.client() as client:
        client.declare("q", durable=True)
        publish(client, alike(TRANSIENT, "q", count, body=b"x" * size), count)
        with soak.lever("memory"):
            files = soak.host.data / "spill"
            soak.until(lambda: len(list(files.glob("*"))) > 2, "messages are in more than two spill files")
            consume(client, "q", count)
        delete(client, "q")
        client.close()


def large_pages(soak: Soak) -> None:
    """Fill pages of a queue, and the memory of a delayed exchange, with large messages."""
    # The smaller ones are read from the disk with their heads, the others separately.
    some = 3 * soak.bounds.unswept_bytes // SEPARATE_BYTES + 20
    assert 2 * _ALONE_BYTES < SEPARATE_BYTES < _LARGE_BYTES
    with soak.client() as client:
        declare_exchange(client, "late", "x-delayed-message", {"x-delayed-type": longstr("direct")})
        client.declare("q", durable=True)
        bind(client, "q", "late", "q")
        for exchange in ("", "late"):
            for count, size in ((some, SEPARATE_BYTES), (20, LARGE_BYTES)):
                data = alike(PERSISTENT, "q", count, exchange, b"x" * size, headers={"x-delay": number(2_000)})
                publish(client, data, count)
                if exchange:
                    soak.until(lambda: soak.census()["HeldMessages._stored[]"] > 0, "delayed messages leave memory")
                consume(client, "q", count, no_ack=False)
        client.call("exchange.delete", "exchange.delete-ok", exchange="late")
        delete(client, "q")
        client.close()


def disposed(soak: Soak) -> None:
    """Purge and delete a queue with many messages in memory, also after a client has left with many of them."""
    count = 2 * max(soak.bounds.deferred_free, soak.bounds.departures) + 100
    with soak.client() as client:
        client.declare("q")
        publish(client, alike(TRANSIENT, "q", count), count)
        client.call("queue.purge", "queue.purge-ok", queue="q")
        publish(client, alike(TRANSIENT, "q", count), count)
        consume(client, "q", count, no_ack=False)
        client.close()
    with soak.client() as client:
        delete(client, "q")
        client.close()


PHASES = [
    Phase("confirms ahead", confirms_ahead),
    Phase("unwritten messages", unwritten),
    Phase("returned while the disk is slow", returned_meanwhile),
    Phase("log of definitions", definitions_log),
    Phase("unread messages", unread_answers, is_peak=True),
    Phase("dropped at once", dropped_at_once, is_peak=True),
    Phase("large transaction", large_transaction, is_peak=True),
    Phase("copies in many queues", many_copies),
    Phase("settled at once", settled_at_once, is_peak=True),
    Phase("compaction", compaction),
    Phase("counted deliveries", counted_deliveries),
    Phase("spilled", spilled, is_peak=True),
    Phase("large pages", large_pages),
    Phase("disposed", disposed),
]
