"""queue.declare of an existing queue with other arguments, as clients see it."""

import logging

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire, make_broker

SHORT, LONG = {"x-message-ttl": Field("I", 1000)}, {"x-message-ttl": Field("I", 5000)}


def client_of(mode: str) -> tuple[Wire, ManualClock]:
    clock = ManualClock()
    return Wire(make_broker(clock, redeclare=mode)).log_in(), clock


def test_strict_closes_the_channel_as_rabbitmq_does() -> None:
    client, _ = client_of("strict")
    client.declare("q", arguments=SHORT)
    got = client.call(1, "queue.declare", queue="q", arguments=LONG)
    assert (got.name, got.arguments["reply_code"]) == ("channel.close", 406)
    assert got.arguments["reply_text"] == (
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/':"
        " received '5000' but current is '1000'"
    )


def test_warn_answers_as_for_an_equal_declaration_and_names_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    client, clock = client_of("warn")
    client.declare("q", arguments=SHORT)
    client.publish("q", b"1")
    got = client.call(1, "queue.declare", queue="q", arguments=LONG)
    assert (got.name, got.arguments["message_count"]) == ("queue.declare-ok", 1)
    assert (
        "declared by user 'guest' on connection 127.0.0.1:40000 -> 127.0.0.1:5672 with arguments that differ"
        in caplog.text
    )
    clock.advance(2000)
    assert client.get("q").name == "basic.get-empty"


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_update_changes_the_queue_for_messages_and_consumers_that_it_has(kind: str) -> None:
    client, _ = client_of("update")
    of_kind = {"x-queue-type": longstr(kind)}
    client.declare("q", durable=True, arguments=of_kind)
    for number in range(4):
        client.publish("q", b"%d" % number)
    client.call(1, "basic.qos", prefetch_count=1)
    assert [got.body for got in client.consume("q")] == [b"0"]
    got = client.call(1, "queue.declare", queue="q", durable=True, arguments=of_kind | {"x-max-length": Field("I", 1)})
    assert (got.name, got.arguments["message_count"]) == ("queue.declare-ok", 1)
    client.send(1, "basic.ack", delivery_tag=1)
    assert [got.body for got in client.receive()] == [b"3"]


def test_update_refuses_an_argument_that_cannot_change(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client, _ = client_of("update")
    client.declare("q", arguments=SHORT)
    got = client.call(1, "queue.declare", queue="q", arguments=LONG | {"x-max-priority": Field("I", 5)})
    assert (got.name, got.arguments["reply_code"]) == ("channel.close", 406)
    assert "inequivalent arg 'x-max-priority'" in got.arguments["reply_text"]
    assert "new arguments" not in caplog.text
