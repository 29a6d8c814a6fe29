"""The command as users run it, against a broker process."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pika
import pytest
from click.testing import CliRunner

from amqpbroker import __version__
from amqpbroker.cli.main import main
from amqpbroker.cli.number import Number
from amqpbroker.cli.perf import perf
from amqpbroker.cli.perf.access import Uri
from amqpbroker.cli.perf.churn import BindingChurn, ChannelChurn, ConnectionChurn, ConsumerChurn, QueueChurn
from amqpbroker.cli.perf.client import Access
from amqpbroker.cli.perf.topology import Declaration
from tests.process import ENVIRONMENT, PATIENCE_S

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "command-line.md"
SECTION = REFERENCE.read_text().split("## `amqpbroker perf`")[1].split("\n## ")[0]


def command(*arguments):
    return [sys.executable, "-m", "amqpbroker", "perf", *map(str, arguments)]


def started(*arguments):
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def ended(process):
    """Return exit status, stdout and stderr."""
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return process.returncode, stdout, stderr


def run(*arguments):
    return ended(started(*arguments))


def result(*arguments):
    status, stdout, stderr = run(*arguments, "--json")
    assert status == 0, stderr
    return json.loads(stdout)


@pytest.fixture
def consumers(broker):
    """Return the number of consumers of a queue, None if it does not exist."""
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:

        def count(name):
            channel = connection.channel()
            try:
                found = channel.queue_declare(name, passive=True).method.consumer_count
            except pika.exceptions.ChannelClosedByBroker:
                return None
            channel.close()
            return found

        yield count


def test_perf_consumes_all_messages_that_it_publishes(broker):
    found = result("throughput", "--uri", broker.url, "-C", 20_000, "-D", 20_000, "-c", 500, "-x", 2, "-y", 2)
    assert (found["published"], found["confirmed"], found["consumed"]) == (40_000, 40_000, 40_000)
    assert found["consumed_per_s"] > 1000
    keys = re.findall(r"`(\w+)`", SECTION.split("Keys of `throughput`")[1].split("\n\n")[1])
    assert set(found) == set(keys) - {"min", "mean", "p50", "p75", "p95", "p99", "max"}


def test_perf_publishes_and_consumes_on_several_channels(broker):
    some = ["-X", 3, "-Y", 4, "-C", 4000, "-D", 3000, "-c", 500, "-q", 100, "-A", 10, "--measure-latency"]
    found = result("throughput", "--uri", broker.url, *some)
    assert (found["published"], found["confirmed"], found["consumed"]) == (12_000, 12_000, 12_000)
    assert (found["producer_channel_count"], found["consumer_channel_count"]) == (3, 4)
    assert found["latency_ms"]["p50"] > 0


def timed(broker, seconds):
    """Return the result, and the number of messages left in the queue."""
    some = ["-u", "perf-timed", "-z", seconds, "-q", 1000, "-A", 100, "--measure-latency"]
    found = result("throughput", "--uri", broker.url, *some)
    assert found["seconds"] >= seconds
    assert found["size"] == 16
    assert found["consumed_mb_per_s"] == pytest.approx(found["consumed_per_s"] * 16e-6, abs=0.001)
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        left = channel.queue_declare("perf-timed", passive=True).method.message_count
        channel.queue_delete("perf-timed")
    return found, left


def test_messages_of_a_timed_run_are_consumed_or_still_queued(broker):
    found, left = timed(broker, 0.5)
    if found["consumed"] <= 1000:  # a machine that is busy may stand still for as long
        found, left = timed(broker, 5)
    assert found["published"] == found["consumed"] + left
    assert found["consumed"] > 1000
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["max"]


def test_perf_measures_latencies_at_a_fixed_rate(broker, tmp_path):
    file = tmp_path / "run.csv"
    some = ["-C", 50, "-D", 50, "-r", 200, "-c", 10, "-o", file, "-prsd", 0.2]
    found = result("latency", "--uri", broker.url, *some)
    assert file.read_text().startswith("time_s,published_per_s,confirmed_per_s,consumed_per_s,message_p50_ms,")
    assert found["published_per_s"] < 300
    for latency in (found["latency_ms"], found["confirm_latency_ms"]):
        assert list(latency) == ["min", "mean", "p50", "p75", "p95", "p99", "p99.9", "max"]
        assert 0 < latency["min"] <= latency["p50"] <= latency["p99"] <= latency["max"]
        assert latency["min"] < 2000


def test_rates_and_sizes_can_change_during_a_perf_run(broker):
    steps = ["-vr", "2000:0.1", "-vr", "0:0.2", "-vs", "16:0.05", "-vs", "9000:0.05"]
    found = result("latency", "--uri", broker.url, *steps, "-C", 400, "-c", 50)
    assert (found["published"], found["consumed"], found["size"]) == (400, 400, None)
    assert found["seconds"] >= 0.3


def test_a_queue_with_a_name_is_kept_and_can_be_read_later(broker, consumers):
    arguments = ["--uri", broker.url, "-u", "perf-kept", "-s", 5000, "-f", "persistent", "-f", "mandatory"]
    found = result("throughput", *arguments, "-y", 0, "-C", 50)
    assert (found["published"], found["returned"]) == (50, 0)
    assert consumers("perf-kept") == 0
    found = result("throughput", *arguments, "-x", 0, "-D", 50, "-A", 10, "-q", 10, "--delete")
    assert found["consumed"] == 50
    assert consumers("perf-kept") is None


def test_confirms_are_waited_for_when_the_time_is_over(broker):
    found = result("throughput", "--uri", broker.url, "-y", 0, "-z", 0.5, "-c", 1000, "-d", "filling")
    assert (found["confirmed"], found["id"]) == (found["published"], "filling")
    assert found["published"] > 0


def test_perf_publishes_a_body_from_a_file_and_empties_the_queue(broker, tmp_path, consumers):
    body = tmp_path / "body.json"
    body.write_text('{"a": "é"}')
    what = ["-u", "perf-body", "-qq", "-B", body, "-T", "application/json", "-mp", "appId=perf,x-mine=1"]
    found = result("throughput", "--uri", broker.url, *what, "-y", 0, "-C", 500, "-c", 100)
    assert (found["published"], found["size"]) == (500, 11)
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        _, properties, content = channel.basic_get("perf-body", auto_ack=True)
    assert content == body.read_bytes()
    assert (properties.content_type, properties.app_id, properties.delivery_mode) == ("application/json", "perf", 2)
    assert properties.headers == {"x-mine": 1}
    some = ["-x", 0, "-u", "perf-body", "-qq", "--exit-when", "empty", "--delete", "-q", 100]
    found = result("throughput", "--uri", broker.url, *some)
    assert (found["consumed"], found["size"]) == (499, None)
    assert found["consumed_mb_per_s"] == pytest.approx(found["consumed_per_s"] * 11e-6, abs=0.001)
    assert consumers("perf-body") is None


def got(broker, queue, count):
    """Return (routing key, properties, body) of messages in a queue."""
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        for _ in range(count):
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            yield method.routing_key, properties, body


def test_random_messages_are_the_same_in_each_run_with_the_same_seed(broker):
    what = ["--random-body-size", "100:300", "--random-properties", "--unique-keys", "-mp", "appId=perf"]
    runs = []
    for seed in (7, 7, 8):
        some = ["-u", "perf-differ", "-y", 0, "-C", 50, "-c", 10, "-x", 2, "-f", "persistent", "--seed", seed]
        found = result("throughput", "--uri", broker.url, *what, *some)
        assert (found["published"], found["confirmed"], found["returned"], found["size"]) == (100, 100, 0, None)
        assert (found["random_body_size"], found["seed"]) == ([100, 300], seed)
        assert (found["random_properties"], found["unique_keys"]) == (True, True)
        runs.append(sorted(got(broker, "perf-differ", 100), key=lambda one: one[0]))
    first, again, other = ([(key, props.message_id, body) for key, props, body in run] for run in runs)
    assert first == again
    assert {key for key, *_ in first} == {key for key, *_ in other}
    assert not {body for *_, body in first} & {body for *_, body in other}
    assert len({key for key, *_ in first}) == len({one for _, one, _ in first}) == 100
    assert len({len(body) for *_, body in first}) > 20
    for key, props, body in runs[0]:
        assert key.startswith("perf-differ.")
        assert 100 <= len(body) <= 300
        assert (props.app_id, props.delivery_mode, len(props.headers)) == ("perf", 2, 3)


def test_exchange_generated_for_unique_keys_is_deleted(broker, consumers, known_name):
    status, output = invoked("throughput", "--uri", broker.url, "-K", "-C", 5000, "-f", "mandatory", "--json")
    assert status == 0, output
    found = json.loads(output)
    assert (found["published"], found["consumed"], found["returned"]) == (5000, 5000, 0)
    assert consumers("perf-known") is None
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
            channel.exchange_declare("perf-known", passive=True)


def test_unique_keys_reach_the_queue_that_they_begin_with(broker):
    several = ["--queue-pattern", "perf-key-%d", "--queue-pattern-to", 2, "-x", 2, "-y", 2, "-X", 2, "-Y", 2]
    found = result("throughput", "--uri", broker.url, "-K", "-e", "perf-keys", *several, "-C", 10_000, "--delete")
    assert (found["published"], found["consumed"], found["returned"]) == (40_000, 40_000, 0)


def test_perf_measures_latencies_of_random_messages(broker):
    what = ["--random-body-size", "16:3000", "--random-properties", "-K", "--max-priority", 3]
    found = result("latency", "--uri", broker.url, *what, "-C", 300, "-r", 1000, "-c", 100)
    assert found["consumed"] == 300
    for latency in (found["latency_ms"], found["confirm_latency_ms"]):
        assert 0 < latency["min"] <= latency["p50"] <= latency["max"] < 60_000


@pytest.mark.parametrize("more", [[], ["--unique-keys"]])
def test_all_returned_messages_are_counted(broker, more):
    nowhere = ["-e", "amq.direct", "-k", "nowhere", "-p", "-f", "mandatory"]
    found = result("throughput", "--uri", broker.url, *nowhere, *more, "-y", 0, "-C", 3000)
    assert (found["published"], found["returned"]) == (3000, 3000)


def test_perf_prints_results_of_a_fanout_exchange_as_a_table(broker, consumers):
    several = ["--queue-pattern", "perf-fan-%d", "--queue-pattern-to", 2, "-y", 2, "--delete"]
    status, stdout, stderr = run(
        "throughput", "-h", broker.url, "--quiet", "-e", "perf-fan", "-t", "fanout", *several, "-C", 100
    )
    assert status == 0
    assert stderr == ""
    assert re.search(r"messages +a second +MB a second *\n", stdout)
    assert re.search(r"published +100 +[0-9,]+ +[0-9.]+ *\n", stdout)
    assert re.search(r"consumed +200 +[0-9,]+ +[0-9.]+ *\n", stdout)
    assert f"amqp://guest@127.0.0.1:{broker.port}/" in stdout
    assert consumers("perf-fan-1") is None


def test_each_perf_consumer_has_its_own_exclusive_queue(broker):
    some = ["-E", "-y", 2, "-Y", 2, "-e", "amq.fanout", "-C", 100, "-D", 100]
    found = result("throughput", "--uri", broker.url, *some)
    assert (found["published"], found["consumed"]) == (100, 400)


def test_auto_delete_queues_are_deleted_with_their_perf_consumers(broker, consumers):
    several = ["--queue-pattern", "perf-auto-%d", "--queue-pattern-to", 2, "-x", 2, "-y", 2]
    found = result("throughput", "--uri", broker.url, "-ad", "true", *several, "-C", 100)
    assert (found["published"], found["consumed"]) == (200, 200)
    assert consumers("perf-auto-1") is None
    assert consumers("perf-auto-2") is None


OWN = {"queue": "perf-own", "declaration": Declaration(exclusive=True)}


@pytest.mark.parametrize(
    ("churn", "more"),
    [
        (ConnectionChurn, {}),
        (ChannelChurn, {}),
        (QueueChurn, {"durable": True, "arguments": {}}),
        (BindingChurn, OWN | {"exchange": "amq.topic"}),
        (ConsumerChurn, OWN),
    ],
)
def test_churn_runs_the_given_number_of_operations(broker, churn, more):
    some = churn(Access(Uri.parse(broker.url)), None, 3, **more)
    some.set_up()
    report = some.run(None)
    assert report.counts == {"operations": 3}
    assert report.latencies["operation"].count == 3


def test_queue_churn_command_reports_operations_and_latencies(broker):
    found = result("queue-churn", "--uri", broker.url, "-C", 20)
    keys = re.findall(
        r"`(\w+)`", SECTION.split("`amqpbroker perf consumer-churn`")[1].split("With `--json`:")[1].split(".")[0]
    )
    assert set(found) == set(keys)
    assert (found["operations"], found["parallel"]) == (20, 1)
    assert found["broker"] == f"amqpbroker {__version__}"
    assert found["latency_ms"]["min"] > 0


@pytest.fixture
def known_name(monkeypatch):
    for module in ("churn", "idle", "load"):
        monkeypatch.setattr(f"amqpbroker.cli.perf.{module}.made_up_name", lambda: "perf-known")


@pytest.mark.parametrize("command", ["bind-churn", "consumer-churn"])
def test_churn_at_a_durable_queue_deletes_it_at_the_end(broker, consumers, known_name, command):
    status, output = invoked(command, "--uri", broker.url, "--durable", "-C", 5, "--json")
    assert status == 0, output
    found = json.loads(output)
    assert (found["command"], found["operations"]) == (command, 5)
    assert consumers("perf-known") is None


@pytest.mark.parametrize("more", [[], ["--durable", "--queue-args", "x-queue-type=quorum"]])
def test_queue_count_command_declares_and_deletes_many_queues(broker, consumers, known_name, more):
    status, output = invoked("queue-count", "--uri", broker.url, "-x", 20, "-z", 0.1, "--json", *more)
    assert status == 0, output
    found = json.loads(output)
    keys = set(re.findall(r"`(\w+)`", SECTION.split("`amqpbroker perf queue-count`")[1].split("With `--json`:")[1]))
    assert set(found) | {"connections", "connections_per_s", "channels"} == keys
    assert found["queues"] == 20
    assert found["latency_ms"]["min"] > 0
    assert consumers("perf-known-1") is None
    assert consumers("perf-known-20") is None


@pytest.mark.parametrize("more", [[], ["--durable"]])
def test_queue_count_ends_with_an_error_if_a_queue_is_refused(broker, consumers, known_name, more):
    refused = ["--queue-args", "x-max-priority=300", *more]
    status, output = invoked("queue-count", "--uri", broker.url, "-x", 2, *refused)
    assert status == 1
    assert "406 PRECONDITION_FAILED" in output
    assert "with 0 queues open" in output


def test_churn_without_a_broker_is_an_error():
    status, _, output = run("connection-churn", "--uri", "amqp://guest:hush@127.0.0.1:1")
    assert status == 1
    assert output == "Error: 127.0.0.1:1: connection refused; is a broker running there? Name it with --url\n"


def test_connection_count_command_opens_many_connections(broker):
    found = result("connection-count", "--uri", broker.url, "-x", 30, "-z", 0.1)
    assert (found["connections"], found["channels"]) == (30, 30)


def test_ctrl_c_ends_perf_with_its_result(broker, consumers):
    process = started("throughput", "--uri", broker.url, "-z", 0, "-r", 100, "-u", "perf-ctrl-c", "--delete")
    while not consumers("perf-ctrl-c"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    status, stdout, stderr = ended(process)
    assert status == 0, stderr
    assert "Traceback" not in stderr
    assert "interrupted" in stdout
    assert consumers("perf-ctrl-c") is None


ENDLESS = ["-z", 0, "-r", 100, "--delete"]


def test_signal_to_all_perf_processes_ends_perf_with_its_result(broker, consumers):
    process = started("throughput", "--uri", broker.url, *ENDLESS, "-u", "perf-group")
    while not consumers("perf-group"):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)  # as `timeout` does
    status, stdout, stderr = ended(process)
    assert status == 0, stderr
    assert "interrupted" in stdout
    assert consumers("perf-group") is None


def test_closed_terminal_ends_perf_and_its_queues_are_deleted(broker, consumers):
    ours, its = os.openpty()
    process = subprocess.Popen(
        command("throughput", "--uri", broker.url, *ENDLESS, "-u", "perf-closed"),
        stdin=its,
        stdout=its,
        stderr=its,
        env=ENVIRONMENT,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(its)
    while not consumers("perf-closed"):
        time.sleep(0.01)
    os.close(ours)
    process.wait(PATIENCE_S)
    assert consumers("perf-closed") is None


def test_broker_error_during_the_setup_is_reported(broker):
    status, output = invoked("throughput", "--uri", broker.url, "-e", "amq.none")
    assert status == 1
    assert f"127.0.0.1:{broker.port}: the broker closed the channel: 404 NOT_FOUND - no exchange 'amq.none'" in output


def test_more_perf_channels_than_the_broker_allows_are_an_error(broker):
    status, _, stderr = run("throughput", "--uri", broker.url, "-x", 0, "-Y", 2048, "-z", 5)
    assert status == 1
    assert "Error: the broker allows 2047 channels in a connection; use no more than that" in stderr


def test_broker_error_during_the_run_is_reported_with_the_result(broker):
    nowhere = ["-y", 0, "-e", "amq.none", "-p", "-u", "q"]
    status, stdout, stderr = run("throughput", "--uri", broker.url, *nowhere, "-z", 5, "--json")
    assert status == 1
    found = json.loads(stdout)
    assert found["error"].endswith("the broker closed the channel: 404 NOT_FOUND - no exchange 'amq.none' in vhost '/'")
    assert (stderr, found["all_read"]) == (f"Error: {found['error']}\n", False)


def invoked(*arguments):
    outcome = CliRunner().invoke(main, ["perf", *map(str, arguments)])
    return outcome.exit_code, outcome.output


def test_refused_connection_is_reported():
    status, output = invoked("throughput", "--uri", "amqp://guest:hush@127.0.0.1:1")
    assert status == 1
    assert output == "Error: 127.0.0.1:1: connection refused; is a broker running there? Name it with --url\n"


def test_wrong_password_is_an_error_that_does_not_show_it(broker):
    status, output = invoked("throughput", "--uri", f"amqp://guest:hush@127.0.0.1:{broker.port}")
    assert status == 1
    assert "403 ACCESS_REFUSED" in output
    assert "hush" not in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["throughput", "-x", 0, "-y", 0], "nothing to do"),
        (["latency", "-s", 8], "-s must be at least 16"),
        (["latency", "-vs", "20:1", "-vs", "8:1"], "-s must be at least 16"),
        (["queue-churn", "-h"], "-h is the broker's address, as in PerfTest; help is --help"),
        (["throughput", "--keyfile", __file__], "give the certificate with --certfile"),
        (["throughput", "-se"], "--sasl-external needs an amqps:// address and --certfile"),
        (["latency", "-B", __file__], "--body: to measure latencies"),
        (["throughput", "-B", __file__, "-s", 5], "--body has a size of its own"),
        (["throughput", "-R", 5, "-L", 5], "--consumer-rate and --consumer-latency exclude each other"),
        (["throughput", "-ew", "idle", "-y", 0], "give -y at least 1"),
        (["latency", "-r", 5, "-vr", "5:1"], "--rate and --variable-rate exclude each other"),
        (["throughput", "-s", 5, "-vs", "5:1"], "--size and --variable-size exclude each other"),
        (["throughput", "-vr", "0:1"], "one of the rates must be at least 0.000001"),
        (["throughput", "-vr", "5"], "'5' has no colon: write a number, a colon and seconds, such as 200:60"),
        (["throughput", "-vs", "5.5:1"], "'5.5' is not a whole number from 0 to 536,870,912"),
        (["latency", "-y", 0], "-y at least 1 or --confirm"),
        (["throughput", "-a", "-A", 5], "exclude each other"),
        (["throughput", "-q", 5, "-A", 6], "at most --qos"),
        (["throughput", "-t", "fanout"], "name it with --exchange"),
        (["throughput", "-p"], "name it with --queue"),
        (["throughput", "-p", "-y", 0, "-e", "x"], "or only publish, with -y 0, --exchange and --routing-key"),
        (["throughput", "-E", "-p", "-u", "q"], "leave --predeclared out"),
        (["throughput", "-ad", "true", "-p", "-u", "q"], "leave --predeclared out"),
        (["throughput", "-E", "-u", "q"], "leave --queue and --queue-pattern out"),
        (["throughput", "-E", "-y", 2, "-Y", 2], "only 1 would get messages: give as many producers"),
        (["throughput", "-E", "-y", 0], "give -y at least 1"),
        (["throughput", "-k", "é" * 128], "--routing-key must be at most 255 bytes"),
        (["throughput", "-u", "q", "--queue-pattern", "q%d"], "exclude each other"),
        (["throughput", "--queue-pattern", "q"], "one %d, such as perf-%d"),
        (["throughput", "--queue-pattern", "q%d", "--queue-pattern-from", 2], "at least --queue-pattern-from"),
        (["throughput", "--queue-args", "x"], "not of the form KEY=VALUE"),
        (["throughput", "--properties", "priority=300"], "--properties: priority must be"),
        (["throughput", "-h", "http://me:hush@host"], "write amqp://USER:PASSWORD@HOST:PORT/VHOST"),
        (["throughput", "-r", 0], "'0' is not a number from 0.000001 to 1,000,000,000"),
        (["throughput", "-vs", "5:1e-9"], "'1e-9' is not a number from 0.001 to 2,000,000"),
        (["throughput", "-qp", "q%d%d"], "one %d, such as perf-%d"),
        (["throughput", "-qp", "q%9999999999d"], "one %d, such as perf-%d"),
        (["throughput", "-qp", "q%256d"], "names of queues must be at most 255 bytes"),
        (["throughput", "-qp", "q%d", "-qpt", 10**12], "--queue-pattern-to: 1,000,000 queues at most"),
        (["throughput", "-E", "-e", "x", "-y", 65535, "-Y", 65535], "but 1,000,000 at most"),
        (
            ["throughput", "-s", 10**8, "--max-priority", 255],
            "are 25,600,000,000 bytes together, and may be 536,870,912",
        ),
        (["throughput", "-mp", '{"a": NaN}'], "NaN is not a number"),
        (["throughput", "--random-body-size", 500], "'500' has no colon: write the smallest and the largest size"),
        (["throughput", "--random-body-size", "-a"], "'-a' has no colon: write the smallest and the largest size"),
        (["throughput", "--random-body-size", "5:"], "'' is not a whole number from 0 to 536,870,912"),
        (["throughput", "--random-body-size", "2000:100"], "begins with the larger size: write 100:2000"),
        (["throughput", "--random-body-size", "1:40000000"], "give a size of at most 33,554,432 bytes"),
        (["latency", "--random-body-size", "8:100"], "--random-body-size must be at least 16 to measure latencies"),
        (["throughput", "--random-body-size", "1:2", "-s", 0], "--size and --random-body-size exclude each other"),
        (["throughput", "--random-body-size", "1:2", "-vs", "5:1"], "--variable-size and --random-body-size exclude"),
        (["throughput", "--random-body-size", "1:2", "-B", __file__], "--body and --random-body-size exclude"),
        (["throughput", "--random-properties", "-s", 10**8], "give a size of at most 33,554,432 bytes"),
        (["throughput", "--seed", 5], "give --random-body-size or --random-properties, too"),
        (["throughput", "--seed", 5, "-K"], "give --random-body-size or --random-properties, too"),
        (["throughput", "--seed", -1], "'-1' is not a whole number from 0"),
        (["throughput", "-K", "-p", "-u", "q"], "name an exchange that is there with --exchange"),
        (["throughput", "-K", "-e", "x", "-t", "direct"], "leave --type out for a topic exchange"),
        (["throughput", "-K", "-e", "amq.direct"], "name another one than amq.direct"),
        (["throughput", "-K", "-k", "k" * 232], "--routing-key must be at most 231 bytes with --unique-keys"),
        (["throughput", "-K", "-u", "q" * 232], "--queue must be at most 231 bytes with --unique-keys"),
        (["throughput", "-K", "-qp", "q%232d"], "names of queues must be at most 231 bytes with --unique-keys"),
        (["queue-churn", "--queue-args", '{"a": 99999999999999999999}'], "--queue-args: a is too large"),
    ],
)
def test_wrong_command_lines_are_refused_with_a_reason(arguments, said):
    status, output = invoked(*arguments)
    assert status == 2
    assert said in output
    assert "hush" not in output


def test_endless_body_file_is_refused(monkeypatch):
    monkeypatch.setattr("amqpbroker.cli.perf.load.SIZE", Number(0, 1000))
    assert "--body: /dev/zero is larger than 1,000 bytes" in invoked("throughput", "-B", "/dev/zero")[1]


@pytest.mark.parametrize("more", [["--random-properties"], ["--max-priority", 15]])
def test_total_size_of_encoded_bodies_is_limited(monkeypatch, tmp_path, more):
    monkeypatch.setattr("amqpbroker.cli.perf.load.SIZE", Number(0, 1000))
    body = tmp_path / "body"
    body.write_bytes(bytes(100))
    assert "are 1,600 bytes together, and may be 1,000" in invoked("throughput", "-B", body, *more)[1]


@pytest.mark.parametrize("name", perf.commands)
def test_every_option_is_documented(name):
    assert f"`amqpbroker perf {name}`" in SECTION
    for parameter in perf.commands[name].params:
        flags = ", ".join(f"`{flag}`" for flag in parameter.opts)
        expected = flags if parameter.metavar is None else f"{flags[:-1]} {parameter.metavar}`"
        assert f"| {expected} |" in SECTION


def test_start_of_the_broker_does_not_import_perf():
    script = "import sys, amqpbroker.cli.main, amqpbroker.cli.serve; sys.exit('amqpbroker.cli.perf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
