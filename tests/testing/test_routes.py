"""The testing API over HTTP, for administrators and only if enabled."""

import contextlib
import datetime
import decimal
import re
import time

import httpx
import pika
import pytest
from click.testing import CliRunner

from amqpbroker.cli.main import main
from amqpbroker.testing import Broker
from amqpbroker.testing.routes import ROUTES
from tests.process import BrokerProcess

ADMIN = ("guest", "guest")


@pytest.fixture(scope="module")
def b():
    with Broker(management=True, users={"bob": "b"}) as broker:
        yield broker


@pytest.fixture(scope="module")
def api(b):
    with httpx.Client(base_url=f"{b.http_url}/api/testing", auth=("guest", "guest"), timeout=60) as client:
        yield client


def test_clock_is_advanced_and_frozen_over_http(b, api):
    before = b.clock.now()
    shown = api.post("/clock/advance", json={"hours": 2, "seconds": 0.5}).json()
    assert (b.clock.now() - before).total_seconds() == pytest.approx(7200.5, abs=60)
    assert shown["frozen"] is False
    frozen = api.post("/clock/freeze").json()
    assert api.get("/clock").json() == frozen
    assert api.post("/clock/advance", json={"milliseconds": 250}).json()["now_ms"] == frozen["now_ms"] + 250
    assert api.post("/clock/resume").json()["frozen"] is False


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, 'give a span of time, such as {"seconds": 60}; accepted: days, hours, minutes, seconds, milliseconds'),
        (
            {"hour": 1},
            "there is no unit of time 'hour'; did you mean hours? "
            "Accepted: days, hours, minutes, seconds, milliseconds",
        ),
        ({"hours": -1}, "hours = -1: this must be a number from 0 on"),
        ({"hours": "1"}, 'hours = "1": this must be a number from 0 on'),
        ({"days": 1e300}, '{"days":1e+300} is more than time can be moved on, which ends with the year 9999'),
        (
            {"days": 9_000_000},
            "advance by 777600000000000 ms from NOW ms since 1970: time ends with the year 9999, "
            "so give a shorter span",
        ),
    ],
)
def test_invalid_time_span_is_refused_with_a_reason(api, body, reason):
    answer = api.post("/clock/advance", json=body)
    assert (answer.status_code, re.sub(r"from \d\d+", "from NOW", answer.json()["reason"])) == (400, reason)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_test_resources_require_an_administrator(b, route):
    b._call(lambda instance: instance.broker.users.add_user("eve", "e", ("monitoring", "policymaker")))
    url = b.http_url + "/api" + route.path.format(vhost="%2F", name="q", id=1)
    for login in (None, ("guest", "wrong"), ("eve", "e")):
        for method in ("get", "put", "post", "delete"):
            if getattr(route, method) is not None:
                assert httpx.request(method, url, auth=login).status_code == 401
    b._call(lambda instance: instance.broker.users.delete_user("eve"))


def test_test_resources_exist_only_with_the_testing_flag(broker, tmp_path):
    answer = httpx.get(f"http://127.0.0.1:{broker.port_of('http')}/api/testing/clock", auth=("guest", "guest"))
    assert answer.status_code == 404
    with BrokerProcess(tmp_path, "--testing") as process:
        url = f"http://127.0.0.1:{process.port_of('http')}/api/testing/clock/advance"
        assert httpx.post(url, json={"days": 1}, auth=("guest", "guest")).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--set", "management.tcp.ip=0.0.0.0"], "--testing needs the management API on loopback, not on 0.0.0.0"),
        (["--set", "management.tcp.port=none"], "--testing needs the management API: set management.tcp.port"),
    ],
)
def test_testing_flag_requires_an_api_on_loopback(arguments, text):
    ran = CliRunner().invoke(main, ["serve", "--testing", *arguments])
    assert ran.exit_code == 2
    assert text in ran.output


@pytest.fixture
def vhost(b):
    b.add_vhost("a/b")
    yield "a%2Fb"
    b.delete_vhost("a/b")


@pytest.fixture
def channel(b, vhost):
    with pika.BlockingConnection(pika.URLParameters(b.url_of("a/b"))) as connection:
        yield connection.channel()


def test_the_state_of_the_broker_is_returned(api, channel, vhost):
    channel.queue_declare("q")
    at = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
    headers = {"n": 1, "at": at, "d": decimal.Decimal("1.5"), "more": [{"a": "ä"}]}
    channel.basic_publish("", "q", b"\xff", pika.BasicProperties(type="t", headers=headers))
    channel.basic_publish("amq.direct", "nobody", b"lost")
    shown = {
        "vhost": "a/b",
        "exchange": "",
        "routing_key": "q",
        "queues": ["q"],
        "redelivered": False,
        "properties": {
            "type": "t",
            "headers": {"n": 1, "at": int(at.timestamp()), "d": 1.5, "more": [{"a": "ä"}]},
        },
        "payload_bytes": 1,
        "payload": "/w==",
        "payload_encoding": "base64",
    }
    assert api.get(f"/queues/{vhost}/q/messages").json() == [shown]
    assert api.get("/published", params={"exchange": "", "vhost": "a/b"}).json() == [shown]
    (lost,) = api.get("/unroutable").json()
    assert (lost["exchange"], lost["payload"], lost["queues"]) == ("amq.direct", "lost", [])
    assert api.get("/queues/a%2Fb/absent/messages").status_code == 404
    assert api.get("/queues/absent/q/messages").status_code == 404


def test_locked_messages_are_returned_over_http(b, api, channel, vhost):
    channel.queue_declare("q", arguments={"x-consumer-timeout": 60_000, "x-consumer-timeout-action": "return"})
    channel.queue_declare("plain")
    b.clock.freeze()
    for queue in ("q", "plain"):
        channel.basic_publish("", queue, b"job")
        channel.basic_consume(queue, lambda *_: None, consumer_tag=f"of {queue}")
    b.clock.advance(seconds=20)
    (locked,) = api.get(f"/queues/{vhost}/q/locked").json()
    message = locked.pop("message")
    assert (message["payload"], message["queues"], message["redelivered"]) == ("job", ["q"], False)
    connection = locked.pop("connection")
    assert connection in [each["name"] for each in httpx.get(f"{b.http_url}/api/connections", auth=ADMIN).json()]
    number = channel.channel_number
    assert locked == {"consumer": "of q", "channel": number, "delivery_tag": 1, "action": "return", "ms_left": 40_000}
    (plain,) = api.get(f"/queues/{vhost}/plain/locked").json()
    assert (plain["delivery_tag"], plain["action"], plain["ms_left"]) == (2, None, None)
    b.clock.resume()
    channel.basic_ack(0, multiple=True)
    assert api.get(f"/queues/{vhost}/q/locked").json() == []
    answer = api.get(f"/queues/{vhost}/absent/locked")
    assert (answer.status_code, answer.json()["reason"]) == (404, "there is no queue 'absent' in vhost 'a/b'")


def test_message_groups_are_returned_over_http(api, channel, vhost):
    channel.queue_declare("q", arguments={"x-group-header": "customer", "x-group-on-dead": "park"})
    for key, body in ("A", b"1"), ("B", b"2"), ("A", b"3"):
        channel.basic_publish("", "q", body, pika.BasicProperties(headers={"customer": key}))
    channel.basic_reject(channel.basic_get("q")[0].delivery_tag, requeue=False)
    groups = api.get(f"/queues/{vhost}/q/groups").json()
    shown = [(each["key"], each["state"], [message["payload"] for message in each["messages"]]) for each in groups]
    assert shown == [("A", "parked", ["1", "3"]), ("B", "free", ["2"])]
    channel.queue_declare("plain")
    assert api.get(f"/queues/{vhost}/plain/groups").json() == []
    assert api.get(f"/queues/{vhost}/absent/groups").status_code == 404


def test_batch_is_returned_over_http(api, channel, vhost):
    channel.queue_declare("q")
    for number in range(2):
        headers = {"x-batch-id": "b/c", "x-batch-size": 3}
        channel.basic_publish("", "q", b"", pika.BasicProperties(message_id=f"m{number}", headers=headers))
    channel.basic_reject(channel.basic_get("q")[0].delivery_tag, requeue=False)
    assert api.get(f"/batches/{vhost}/b%2Fc").json() == {
        "vhost": "a/b",
        "id": "b/c",
        "state": "open",
        "size": 3,
        "ok": 0,
        "failed": 1,
        "open": 1,
        "failures": [{"message_id": "m0", "queue": "q", "reason": "rejected"}],
    }
    answer = api.get(f"/batches/{vhost}/other")
    assert (answer.status_code, answer.json()["reason"]) == (404, "there is no batch 'other' in vhost 'a/b'")


def test_wait_until_and_published_answer_over_http(api, channel):
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"x")
    state = {"vhost": "a/b", "name": "q", "ready": 1, "unacked": 0, "consumers": 0}
    assert api.post("/wait-until", json={"queue": "q", "ready": 1}).json() == state
    answer = api.post("/wait-until", json={"queue": "q", "ready": 0, "vhost": "a/b", "timeout": 0.01})
    assert (answer.status_code, answer.json()["error"]) == (409, "not_so")
    assert answer.json()["reason"].startswith("after 0.01 s queue 'q' has ready=1 unacked=0 consumers=0, not ready=0\n")
    assert len(api.get("/published", params={"routing_key": "q", "count": 1}).json()) == 1
    answer = api.get("/published", params={"routing_key": "q", "count": 2, "timeout": "0"})
    assert answer.status_code == 409
    assert answer.json()["reason"].startswith("after 0 s 1 message was published with routing key 'q', not 2\n")


def test_channel_errors_are_listed(api, channel):
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.queue_declare("absent", passive=True)
    (error,) = api.get("/channel-errors", params={"vhost": "a/b"}).json()
    assert (error["code"], error["text"]) == (404, "NOT_FOUND - no queue 'absent' in vhost 'a/b'")
    assert api.get("/channel-errors", params={"vhost": "/"}).json() == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "[{key_missing,queue}]"),
        ({"queue": 1}, 'queue = 1: this must be text, such as "orders"'),
        ({"queue": "q", "vhost": None}, 'vhost = null: this must be text, such as "orders"'),
        (
            {"queue": "q", "reddy": 1},
            "wait-until has no argument 'reddy'; did you mean ready? "
            "Accepted: queue, vhost, timeout, ready, unacked, consumers",
        ),
        ({"queue": "q", "ready": -1}, "ready = -1: this must be a whole number from 0 on"),
        ({"queue": "q", "timeout": "long"}, 'timeout = "long": this must be a number of seconds from 0 to 300'),
    ],
)
def test_wait_until_refuses_invalid_arguments(api, body, reason):
    answer = api.post("/wait-until", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


@pytest.mark.parametrize("count", ["-1", "x", "9" * 5000])
def test_count_that_is_not_a_whole_number_is_refused(api, count):
    answer = api.get("/published", params={"count": count})
    assert answer.status_code == 400
    assert answer.json()["reason"].startswith(f'count = "{count[:50]}')
    assert answer.json()["reason"].endswith(": this must be a whole number from 0 on")


def restarted(api, **body):
    """Restart the broker, and wait for it."""
    answer = api.post("/restart", json=body)
    assert answer.status_code == 202
    while True:
        with contextlib.suppress(httpx.TransportError):
            if api.get("/restart").json() == answer.json():
                return
        time.sleep(0.01)


def test_http_request_restarts_a_broker_in_the_test_process(tmp_path):
    with (
        Broker(management=True) as b,
        httpx.Client(base_url=f"{b.http_url}/api/testing", auth=("guest", "guest"), timeout=60) as api,
    ):
        with pika.BlockingConnection(pika.URLParameters(b.url)) as connection:
            connection.channel().queue_declare("q", durable=True)
        port = b.port
        restarted(api)
        assert b.port == port
        assert [queue.name for queue in b.queues()] == ["q"]


def test_restart_over_http_lasts_as_long_as_down_says():
    with (
        Broker(management=True) as b,
        httpx.Client(base_url=f"{b.http_url}/api/testing", auth=("guest", "guest"), timeout=60) as api,
    ):
        for body, reason in (
            ({"down": -1}, "down = -1: this must be a number of seconds from 0 to 60"),
            ({"down": "long"}, "down = 'long': this must be a number of seconds from 0 to 60"),
            ({"downtime": 1}, "a restart has no argument 'downtime'; did you mean down? Accepted: down"),
        ):
            answer = api.post("/restart", json=body)
            assert (answer.status_code, answer.json()["reason"]) == (400, reason)
        with pytest.raises(ValueError, match="down = 61: this must be"):
            b.restart(61)
        assert api.get("/restart").json() == {"restarts": 0}
        begun = time.monotonic()
        restarted(api, down=0.2)
        assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("kept", [True, False], ids=["data-dir", "in-memory"])
def test_http_request_restarts_a_broker_process_without_ending_it(tmp_path, kept):
    arguments = ["--data-dir", str(tmp_path / "data")] if kept else []
    with BrokerProcess(tmp_path, "--testing", *arguments) as process:
        url = f"http://127.0.0.1:{process.port_of('http')}/api/testing"
        with httpx.Client(base_url=url, auth=("guest", "guest"), timeout=60) as api:
            with pika.BlockingConnection(pika.URLParameters(process.url)) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                channel.queue_declare("q", durable=True)
                channel.basic_publish("", "q", b"lost")
                channel.basic_publish("", "q", b"kept", pika.BasicProperties(delivery_mode=2))
            now_ms = api.post("/clock/advance", json={"days": 1}).json()["now_ms"]
            # One that nobody reads, so that it does not answer.
            idle = pika.BlockingConnection(pika.URLParameters(process.url))
            restarted(api)
            with pytest.raises(pika.exceptions.AMQPError):
                idle.channel()
            for _ in range(2):
                restarted(api)
                assert [message["payload"] for message in api.get("/queues/%2F/q/messages").json()] == ["kept"]
            assert api.get("/clock").json()["now_ms"] >= now_ms
            # The end of the process, which is in order, may come in the middle of it.
            api.post("/restart")
