"""Soak phases that drive the limits of what HTTP clients are sent: unread answers, metrics pages and held messages."""

import json
import time

from tests.harness import published
from tests.load.client import request
from tests.soak.caller import RECOVERY_S, SMALL_BUFFER_BYTES, Caller, callers, recovers
from tests.soak.soak import Phase, Soak
from tests.soak.traffic import delete, publish

MB = 1 << 20
#: Maximum number of bytes that the kernel accepts of an unread answer.
KERNEL_BYTES = 4 * MB
#: Size of an answer, and number of these answers, that are left unread.
ANSWER_BYTES = 12 * MB
ANSWERS = 16
#: Number of messages that one request may hold.
HELD = 64
#: Messages of 1 MiB, whose total size exceeds what the kernel accepts of an answer.
LARGE_MESSAGES = 20
#: Queues with long names for a metrics page that is too large for the kernel.
QUEUES = 700
#: Maximum seconds until clients that do not read are dropped for others, and until their messages are back.
PATIENCE_S = 10.0


def answers(soak: Soak) -> None:
    """Leave answers unread of twice the allowed size; then read half of the remaining ones."""
    api, port, most = soak.management, soak.host.http_port, soak.bounds.answers_bytes
    value = "x" * min(ANSWER_BYTES // 4, soak.bounds.body_bytes * 3 // 4)
    names = [f"large-{i}" for i in range(-(-ANSWER_BYTES // len(value)))]
    for name in names:
        api.call("PUT", f"/global-parameters/{name}", {"value": value})
    with callers() as held:
        for _ in range(ANSWERS):
            held.append(Caller(port, buffer_bytes=SMALL_BUFFER_BYTES))
            held[-1].start("GET", "/api/global-parameters")
            held[-1].wait()
        until = time.monotonic() + PATIENCE_S
        while (unread := soak.census()["Answers._waiting_bytes"]) > max(most, ANSWER_BYTES):
            assert time.monotonic() < until, f"{unread} bytes are unread, the limit is {most}"
            time.sleep(0.1)
        soak.serves_others()
        fit = max(1, most // (ANSWER_BYTES - KERNEL_BYTES))
        first = [caller.answer() for caller in held[:-fit]]
        assert first == [None] * len(first), f"more than {fit} of {ANSWERS} answers were kept"
        last = held[-1].answer()
        assert last is not None, "the client that had waited shortest was dropped"
        assert len(last.body) > ANSWER_BYTES, f"an answer ends after {len(last.body)} bytes"
    for name in names:
        api.call("DELETE", f"/global-parameters/{name}")
    recovers(port, "/api/whoami")


def pages(soak: Soak) -> None:
    """Request twice as many metrics pages as are generated at once, and do not read them; other clients get theirs."""
    port, path, most = soak.metrics_port, "/metrics/per-object", soak.bounds.pages
    names = [f"{i}-" + "q" * 200 for i in range(QUEUES)]
    with soak.client() as client:
        declared = (request("queue.declare", queue=name) for name in names)
        client.pump(declared, lambda: client.seen["queue.declare-ok"] == len(names))
        with callers() as held:
            for _ in range(2 * most + 2):
                held.append(Caller(port, buffer_bytes=SMALL_BUFFER_BYTES))
                held[-1].start("GET", path)
            started = time.monotonic()
            with Caller(port) as reader:
                reader.start("GET", path)
                soak.serves_others()
                page = reader.answer()
            took_s = time.monotonic() - started
            assert page is not None, "a client that reads was dropped"
            assert len(page.body) > KERNEL_BYTES, f"a page has only {len(page.body)} bytes"
            assert took_s < PATIENCE_S, f"a client that reads waited {took_s:.2f} s"
            dropped = sum(caller.answer() is None for caller in held)
            assert dropped > most, f"only {dropped} clients were dropped that did not read their pages"
        deleted = (request("queue.delete", queue=name) for name in names)
        client.pump(deleted, lambda: client.seen["queue.delete-ok"] == len(names))
        client.close()
    recovers(port, "/metrics")


def held_messages(soak: Soak) -> None:
    """Get twice the stored messages that a request may hold, and requeue them; then acknowledge all."""
    body = b"x" * (soak.bounds.got_bytes // HELD)
    count = 2 * HELD + 8
    path, wanted = "/queues/%2F/q/get", {"count": count, "encoding": "auto", "truncate": 10}
    with soak.client() as client:
        client.declare("q", durable=True)
        publish(client, (published("q", body, delivery_mode=2) for _ in range(count)), count)
        for ack_mode in ("ack_requeue_true", "reject_requeue_true"):
            got = soak.management.call("POST", path, {**wanted, "ackmode": ack_mode})
            assert HELD // 2 < len(got) <= HELD, f"{len(got)} messages were held, the limit is {HELD}"
            assert client.depth("q") == count, "messages are not back"
        soak.serves_others()
        got = soak.management.call("POST", path, {**wanted, "ackmode": "ack_requeue_false"})
        assert len(got) == count, f"{len(got)} of {count} messages were acknowledged"
        delete(client, "q")
        client.close()


def abandoned(soak: Soak) -> None:
    """Get messages that are requeued, and disconnect before the end of the answer."""
    wanted = {"count": LARGE_MESSAGES, "ackmode": "ack_requeue_true", "encoding": "base64"}
    asked = json.dumps(wanted).encode()
    with soak.client() as client:
        client.declare("q")
        publish(client, (published("q", b"x" * MB) for _ in range(LARGE_MESSAGES)), LARGE_MESSAGES)
        for _ in range(3):
            with callers() as held:
                for _ in range(4):
                    held.append(Caller(soak.host.http_port, buffer_bytes=SMALL_BUFFER_BYTES))
                    held[-1].start_post("/api/queues/%2F/q/get", asked)
                    held[-1].wait()
                assert client.depth("q") < LARGE_MESSAGES, "no messages are held"
                soak.serves_others()
            until = time.monotonic() + RECOVERY_S
            while (depth := client.depth("q")) < LARGE_MESSAGES:
                assert time.monotonic() < until, f"{depth} of {LARGE_MESSAGES} messages are back"
                time.sleep(0.01)
        delete(client, "q")
        client.close()


PHASES = [
    Phase("unread answers", answers, is_peak=True),
    Phase("metrics pages at once", pages, is_peak=True),
    Phase("messages held by a request", held_messages, is_peak=True),
    Phase("abandoned requests for messages", abandoned, is_peak=True),
]
