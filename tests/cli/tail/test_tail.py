"""`amqpbroker tail` as a process, with a broker process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from amqpbroker.cli.ctl.api import Api, find
from amqpbroker.cli.signals import ending
from tests.process import ENVIRONMENT, BrokerProcess

END_S = 60

Tail = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def tailed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        yield process


def url_of(process: BrokerProcess) -> str:
    return f"http://guest:guest@127.0.0.1:{process.port_of('http')}"


@pytest.fixture
def api(tailed: BrokerProcess) -> Api:
    return find({"url": url_of(tailed)}, END_S)


@pytest.fixture
def channel(tailed: BrokerProcess) -> Iterator[BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(tailed.url)) as connection:
        yield connection.channel()


@pytest.fixture
def tail(tailed: BrokerProcess) -> Iterator[Tail]:
    """Start a tail, and return once it receives messages."""
    with ExitStack() as stack:

        def start(*arguments: str, process: BrokerProcess = tailed) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "amqpbroker", "tail", "--url", url_of(process), *arguments]
            pipe = subprocess.PIPE
            started = stack.enter_context(
                subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT)
            )
            stack.callback(started.kill)
            assert started.stderr is not None
            assert started.stderr.readline().startswith("Following ")
            return started

        yield start


def ended(process: "subprocess.Popen[str]", number: signal.Signals | None = None) -> tuple[int, str, str]:
    if number is not None:
        process.send_signal(number)
    out, err = process.communicate(timeout=END_S)
    return process.returncode, out, err


def left_behind(api: Api) -> tuple[list[str], bool]:
    names = [queue["name"] for queue in api.get("queues") if queue["name"].startswith("amqpbroker.tail")]
    return names, api.get("vhosts/%2F")["tracing"]


def test_tail_shows_messages_of_a_queue_without_consuming_them(api: Api, channel: BlockingChannel, tail: Tail) -> None:
    channel.queue_declare("orders")
    process = tail("orders")
    properties = pika.BasicProperties(
        content_type="application/json", delivery_mode=2, headers={"x-retry": 3}, message_id="m1"
    )
    channel.basic_publish("", "orders", b'{"id": 1}', properties)
    channel.basic_publish("", "elsewhere", b"not seen")
    assert process.stdout is not None
    shown = [process.stdout.readline().rstrip() for _ in range(9)]
    assert shown[0][12:] == "  publish  (default exchange)  orders  -> orders  9 B"
    assert shown[1].startswith("  by guest 127.0.0.1:")
    assert shown[2:] == [
        "  message_id: m1",
        "  delivery_mode: persistent",
        "  content_type: application/json",
        "  x-retry: 3",
        "  {",
        '    "id": 1',
        "  }",
    ]
    assert channel.queue_declare("orders", passive=True).method.message_count == 1
    assert channel.basic_get("orders", auto_ack=True)[0].redelivered is False
    assert process.stdout.readline() == "\n"
    assert "  deliver  (default exchange)  orders" in process.stdout.readline()
    status, out, err = ended(process, signal.SIGINT)
    assert (status, "not seen" in out, err) == (0, False, "")
    assert left_behind(api) == ([], False)


def test_tail_of_an_exchange_prints_json_and_ends_after_n_messages(
    api: Api, channel: BlockingChannel, tail: Tail
) -> None:
    process = tail("amq.topic", "--key", "a.*", "--json", "-n", "2")
    assert not left_behind(api)[1]
    for key, body in (("b.c", b"passed over"), ("a.b", "é".encode()), ("a.c", b"\xff"), ("a.d", b"too many")):
        channel.basic_publish("amq.topic", key, body)
    status, out, _ = ended(process)
    first, second = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert (first["routing_key"], first["payload"], first["payload_encoding"]) == ("a.b", "é", "string")
    assert (second["routing_key"], second["payload"], second["payload_encoding"]) == ("a.c", "/w==", "base64")
    assert (first["exchange"], first["event"], first["queues"], first["by"]) == ("amq.topic", "publish", None, None)
    assert left_behind(api) == ([], False)


def test_tail_does_not_make_messages_routable(api: Api, channel: BlockingChannel, tail: Tail) -> None:
    process = tail("amq.direct", "-n", "1")
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("amq.direct", "k", b"x", mandatory=True)
    status, out, _ = ended(process)
    assert (status, out.splitlines()[0][12:]) == (0, "  publish  amq.direct  k  -> nowhere  1 B")


def test_tail_accepts_queue_names_of_all_kinds(channel: BlockingChannel, tail: Tail) -> None:
    names = ["a.*.#/ö %2F", "l" * 255]
    for name in names:
        channel.queue_declare(name)
    processes = [tail(name, "--json", "-n", "2") for name in names]
    for name in (*names, "a.b.c"):
        channel.basic_publish("", name, name.encode())
    for name in names:
        channel.basic_get(name, auto_ack=True)
    for name, process in zip(names, processes, strict=True):
        shown = [json.loads(line) for line in ended(process)[1].splitlines()]
        assert [(each["event"], each["payload"]) for each in shown] == [("publish", name), ("deliver", name)]


def test_tail_keeps_tracing_that_was_already_on(api: Api, tail: Tail) -> None:
    api.put("vhosts/%2F", {"tracing": True})
    ended(tail("amq.default"), signal.SIGHUP)
    assert left_behind(api) == ([], True)
    api.put("vhosts/%2F", {"tracing": False})
    first, second = tail("amq.default"), tail("amq.default")
    ended(first, signal.SIGTERM)
    assert left_behind(api)[1]
    ended(second, signal.SIGINT)
    assert left_behind(api) == ([], False)


def test_tracing_is_switched_off_after_its_last_tail_was_killed(tmp_path: Path, tail: Tail) -> None:
    with BrokerProcess(tmp_path, "--testing", in_order=False) as process:
        api = find({"url": url_of(process)}, END_S)
        killed, second = tail("amq.default", process=process), tail("amq.default", process=process)
        ended(killed, signal.SIGKILL)
        assert left_behind(api)[1]
        ended(second, signal.SIGKILL)
        names, traced = left_behind(api)
        assert (len(names), traced) == (2, True)
        api.delete(f"queues/%2F/{names[0]}")
        assert left_behind(api) == (names[1:], True)
        api.post("testing/clock/advance", {"seconds": 61})
        assert left_behind(api) == ([], False)

        ended(tail("amq.default", process=process), signal.SIGKILL)
        api.put("vhosts/%2F", {"tracing": True})
        api.post("testing/clock/advance", {"seconds": 61})
        assert left_behind(api) == ([], True)


def test_tail_on_a_terminal_has_colours_and_no_control_characters(
    tailed: BrokerProcess, channel: BlockingChannel
) -> None:
    ours, its = os.openpty()
    command = [sys.executable, "-m", "amqpbroker", "tail", "--url", url_of(tailed), "amq.fanout"]
    environment = ENVIRONMENT | {"TERM": "xterm"}
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True)
        )
        stack.callback(process.kill)
        os.close(its)
        shown = b""
        while b"Following" not in shown:
            shown += os.read(ours, 1024)
        channel.basic_publish(
            "amq.fanout", "\x1b]0;k\x07", b"\x1b[2Jbody", pika.BasicProperties(content_type="text/plain")
        )
        while b"body" not in shown:
            shown += os.read(ours, 1024)
        process.send_signal(signal.SIGINT)
        assert process.wait(END_S) == 0
    os.close(ours)
    assert b"\x1b[32m  publish" in shown
    assert rb"\x1b]0;k\x07" in shown
    assert rb"\x1b[2Jbody" in shown
    assert b"\x1b]0" not in shown
    assert b"\x1b[2J" not in shown


def test_tail_ends_when_its_output_is_closed(api: Api, tail: Tail) -> None:
    process = tail("amq.fanout")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(END_S) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert left_behind(api)[0] == []


def test_tail_ends_when_its_vhost_is_deleted_or_the_broker_stops(tmp_path: Path, tail: Tail) -> None:
    with BrokerProcess(tmp_path) as process:
        api = find({"url": url_of(process)}, END_S)
        api.put("vhosts/gone")
        first, second = tail("-p", "gone", "amq.direct", process=process), tail("amq.direct", process=process)
        api.delete("vhosts/gone")
        status, _, err = ended(first)
        assert (status, err) == (69, "The vhost, or the queue that tail reads from, was deleted.\n")
    status, _, err = ended(second)
    assert (status, err.splitlines()[0][:47]) == (69, "Error: unable to perform an operation on the br")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("nope",), 65, "Error: there is no queue or exchange 'nope' in vhost '/'.\n"),
        (("--queue", "amq.topic"), 65, "Error: there is no queue 'amq.topic' in vhost '/'.\n"),
        (("amq.fanout", "--key", "a"), 64, "--key is for topic exchanges; 'amq.fanout' is of the type fanout.\n"),
        (("amq.direct", "--key", "a"), 64, "--key is for topic exchanges; 'amq.direct' is of the type direct.\n"),
        (("both",), 64, "There are a queue and an exchange 'both': choose with --queue or --exchange.\n"),
    ],
)
def test_tail_of_an_unknown_or_ambiguous_source_is_an_error(
    tailed: BrokerProcess, api: Api, arguments: tuple[str, ...], status: int, text: str
) -> None:
    from click.testing import CliRunner

    from amqpbroker.cli.main import main

    api.put("queues/%2F/both", {"durable": True})
    api.put("exchanges/%2F/both", {"type": "fanout"})
    before = {number: signal.getsignal(number) for number in ending()}
    result = CliRunner().invoke(main, ["tail", "--url", url_of(tailed), *arguments])
    for number, handler in before.items():
        signal.signal(number, handler)
    assert (result.exit_code, result.output) == (status, text)


def test_tail_shows_many_messages_in_order(channel: BlockingChannel, tail: Tail) -> None:
    process = tail("amq.fanout", "--json", "-n", "3000")
    numbers = [str(number) for number in range(3000)]
    for number in numbers:
        channel.basic_publish("amq.fanout", number, b"")
    status, out, _ = ended(process)
    assert (status, [json.loads(line)["routing_key"] for line in out.splitlines()]) == (0, numbers)
