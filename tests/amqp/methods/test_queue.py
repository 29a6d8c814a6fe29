import pytest

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, Wire


def close(client: Wire) -> tuple[int, str]:
    (got,) = client.receive()
    assert got.name == "channel.close"
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    return got.arguments["reply_code"], got.arguments["reply_text"]


def test_declaring_counts_what_is_ready_and_who_consumes(client: Wire, other: Wire) -> None:
    assert client.call(1, "queue.declare", queue="q") == Received(
        1, "queue.declare-ok", {"queue": "q", "message_count": 0, "consumer_count": 0}
    )
    for _ in range(3):
        client.publish("q", b"x")
    client.get("q", no_ack=False)
    other.call(1, "basic.qos", prefetch_count=1)
    other.consume("q")
    got = client.call(1, "queue.declare", queue="q", passive=True)
    assert got.arguments == {"queue": "q", "message_count": 1, "consumer_count": 1}


def test_a_queue_without_a_name_gets_one(client: Wire) -> None:
    name = client.declare("", exclusive=True)
    assert name.startswith("amq.gen-")
    assert len(name) == 8 + 22
    assert client.declare("") != name


def test_names(client: Wire) -> None:
    client.send(1, "queue.declare", queue="amq.mine")
    assert close(client) == (403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'")
    client.send(1, "queue.declare", queue="amq.mine", passive=True)
    assert close(client)[0] == 404
    assert client.declare("with\r\nbreaks") == "withbreaks"
    assert client.declare("žluťoučký 🐎") == "žluťoučký 🐎"
    assert client.declare("x" * 255) == "x" * 255


def test_nowait_is_without_an_answer_and_mistakes_are_told_all_the_same(client: Wire) -> None:
    client.send(1, "queue.declare", queue="q", nowait=True)
    client.send(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k", nowait=True)
    client.send(1, "queue.purge", queue="q", nowait=True)
    client.send(1, "queue.delete", queue="q", nowait=True)
    assert client.receive() == []
    client.send(1, "queue.declare", queue="q", passive=True, nowait=True)
    assert close(client)[0] == 404


def test_somebody_elses_queue(client: Wire, other: Wire) -> None:
    other.declare("mine", exclusive=True)
    for name, more in (
        ("queue.declare", {"passive": True}),
        ("queue.declare", {}),
        ("queue.bind", {"exchange": "amq.direct"}),
        ("queue.purge", {}),
        ("queue.delete", {}),
    ):
        client.send(1, name, queue="mine", **more)
        assert close(client)[0] == 405
    client.publish("mine", b"1")
    assert other.depth("mine") == 1


def test_wrong_binding_arguments_are_told_before_whose_queue_it_is(client: Wire, other: Wire) -> None:
    other.declare("mine", exclusive=True)
    wrong = {"x-match": longstr("some")}
    client.send(1, "queue.bind", queue="mine", exchange="amq.headers", arguments=wrong)
    assert close(client)[0] == 406
    client.send(1, "queue.bind", queue="nobody's", exchange="amq.headers", arguments=wrong)
    assert close(client)[0] == 404


def test_binding_and_unbinding(client: Wire) -> None:
    client.declare("q")
    for _ in range(2):
        assert client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k").name == "queue.bind-ok"
    client.publish("k", b"1", exchange="amq.direct")
    for _ in range(2):
        got = client.call(1, "queue.unbind", queue="q", exchange="amq.direct", routing_key="k")
        assert got.name == "queue.unbind-ok"
    client.publish("k", b"2", exchange="amq.direct")
    assert client.depth("q") == 1


def test_without_names_the_last_queue_is_bound_under_its_own(client: Wire) -> None:
    name = client.declare("")
    client.call(1, "queue.bind", exchange="amq.direct")
    client.publish(name, b"1", exchange="amq.direct")
    client.call(1, "queue.bind", exchange="amq.direct", routing_key="k")
    client.publish("k", b"2", exchange="amq.direct")
    assert client.depth(name) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({"queue": "nope", "exchange": "amq.direct"}, 404, "no queue 'nope'"),
        ({"queue": "q", "exchange": "nope"}, 404, "no exchange 'nope'"),
        ({"queue": "q", "exchange": ""}, 403, "operation not permitted on the default exchange"),
    ],
)
def test_what_cannot_be_bound(client: Wire, arguments: dict[str, str], code: int, text: str) -> None:
    client.declare("q")
    client.send(1, "queue.bind", **arguments)
    got = close(client)
    assert got[0] == code
    assert text in got[1]


def test_purging_and_deleting_say_how_many(client: Wire) -> None:
    client.declare("q")
    for _ in range(3):
        client.publish("q", b"x")
    client.get("q", no_ack=False)
    assert client.call(1, "queue.purge", queue="q").arguments == {"message_count": 2}
    client.publish("q", b"x")
    assert client.call(1, "queue.delete", queue="q").arguments == {"message_count": 1}
    assert client.call(1, "queue.delete", queue="q").arguments == {"message_count": 0}
    client.send(1, "queue.purge", queue="q")
    assert close(client)[0] == 404


def test_deleting_only_if(client: Wire, other: Wire) -> None:
    client.declare("q")
    other.consume("q", "c", no_ack=False)
    client.send(1, "queue.delete", queue="q", if_unused=True)
    assert close(client) == (406, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use")
    other.call(1, "basic.cancel", consumer_tag="c")
    client.publish("q", b"x")
    client.send(1, "queue.delete", queue="q", if_empty=True)
    assert close(client) == (406, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty")
    client.get("q", no_ack=False)
    assert client.call(1, "queue.delete", queue="q", if_unused=True, if_empty=True).name == "queue.delete-ok"


@pytest.mark.parametrize("condition", ["if_unused", "if_empty"])
def test_quorum_queues_take_no_condition(client: Wire, condition: str) -> None:
    client.declare("q", durable=True, arguments={"x-queue-type": longstr("quorum")})
    client.send(1, "queue.delete", queue="q", **{condition: True})
    (got,) = client.receive()
    assert (got.name, got.arguments["reply_code"]) == ("connection.close", 540)


def test_invalid_arguments(client: Wire) -> None:
    client.send(1, "queue.declare", queue="q", arguments={"x-max-length": Field("I", -1)})
    assert close(client) == (
        406,
        "PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'q' in vhost '/': {value_negative,-1}",
    )
    client.send(1, "queue.declare", queue="q", passive=True)
    assert close(client)[0] == 404


@pytest.mark.parametrize(
    ("name", "more", "permission", "of"),
    [
        ("queue.declare", {}, "configure", "queue 'q'"),
        ("queue.delete", {}, "configure", "queue 'q'"),
        ("queue.purge", {}, "read", "queue 'q'"),
        ("queue.bind", {"exchange": "amq.direct"}, "write", "queue 'q'"),
        ("queue.unbind", {"exchange": "amq.direct"}, "write", "queue 'q'"),
    ],
)
def test_permissions(client: Wire, name: str, more: dict[str, str], permission: str, of: str) -> None:
    client.declare("q")
    kinds = {"configure": ".*", "write": ".*", "read": ".*", permission: "^$"}
    client.broker.users.set_permissions("guest", "/", *kinds.values())
    client.call(2, "channel.open")
    client.send(2, name, queue="q", **more)
    (got,) = client.receive()
    assert got.arguments["reply_text"] == (
        f"ACCESS_REFUSED - {permission} access to {of} in vhost '/' refused for user 'guest'"
    )


def test_a_dead_letter_exchange_takes_permission_to_read_here_and_write_there(client: Wire) -> None:
    client.broker.users.set_permissions("guest", "/", ".*", "^ok$", ".*")
    client.call(2, "channel.open")
    arguments = {"x-dead-letter-exchange": longstr("dlx")}
    client.send(2, "queue.declare", queue="q", arguments=arguments)
    (got,) = client.receive()
    assert got.arguments["reply_text"] == (
        "ACCESS_REFUSED - write access to exchange 'dlx' in vhost '/' refused for user 'guest'"
    )
