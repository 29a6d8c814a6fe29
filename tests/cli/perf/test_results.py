import pytest

from amqpbroker.cli.perf.access import Uri
from amqpbroker.cli.perf.client import Access
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.plan import Plan
from amqpbroker.cli.perf.processes import Processes, Report
from amqpbroker.cli.perf.results import result_of, show
from amqpbroker.cli.signals import Interrupt

GIVEN = {
    "id": None,
    "producers": 2,
    "consumers": 1,
    "producer_channel_count": 1,
    "consumer_channel_count": 3,
    "size": 100,
    "random_body_size": None,
    "random_properties": False,
    "unique_keys": False,
    "seed": None,
    "confirm": 10,
}


class Told:
    """Return a process with a last report."""

    product = "Broker 1.0"

    def __init__(self, **report):
        self.last = Report(report.pop("counts"), **report)


def outcome(publishers, consumers, latencies=(), error=None, **given):
    processes = Processes([], Interrupt())
    processes.started = 100.0
    processes.workers = [*publishers, *consumers]
    processes.latencies = dict(latencies)
    return result_of("throughput", GIVEN | given, Plan(Access(Uri()), 5.0), processes, len(publishers), False, error)


def published(count, ended, **more):
    counts = {"published": count, "published_bytes": count * 100, "confirmed": count, "refused": 0, "returned": 3}
    return Told(counts=counts, ended=ended, **more)


def consumed(count, ended, **more):
    return Told(counts={"consumed": count, "consumed_bytes": count * 250}, ended=ended, **more)


def test_rates_of_publishers_and_consumers_use_their_own_durations():
    found = outcome([published(3000, 102.0), published(1000, 104.0)], [consumed(9000, 110.0)])
    assert found["seconds"] == 10.0
    assert (found["published"], found["published_per_s"], found["published_mb_per_s"]) == (4000, 1000.0, 0.1)
    assert (found["confirmed"], found["confirmed_per_s"], found["refused"], found["returned"]) == (4000, 1000.0, 0, 6)
    assert (found["consumed"], found["consumed_per_s"], found["consumed_mb_per_s"]) == (9000, 900.0, 0.225)
    assert (found["producer_channel_count"], found["consumer_channel_count"]) == (1, 3)


def test_cpu_time_is_reported_per_message():
    some = [published(3000, 102.0, cpu_s=0.01), published(1000, 104.0, cpu_s=0.03)]
    found = outcome(some, [consumed(0, 110.0, cpu_s=0.5)])
    assert (found["cpu_us_per_published"], found["cpu_us_per_consumed"]) == (10.0, None)


def test_a_failed_process_counts_until_its_last_report(capsys):
    some = [published(3000, None, at=102.0), published(1000, None, at=101.9)]
    found = outcome(some, [consumed(900, 101.0)], error="the connection is lost")
    assert (found["seconds"], found["published_per_s"], found["consumed_per_s"]) == (2.0, 2000.0, 900.0)
    assert (found["error"], found["all_read"]) == ("the connection is lost", False)
    show(found)
    assert "2.0 s, ended by an error\n" in capsys.readouterr().out


def test_duration_is_zero_before_the_start():
    assert Processes([], Interrupt()).duration([Told(counts={}, at=500.0)]) == 0.0


def test_the_longest_block_and_unread_publishers_are_reported():
    some = [published(1, 101.0, blocked_s=2.5, is_read=False), published(1, 101.0, blocked_s=1.0)]
    found = outcome(some, [])
    assert (found["blocked_s"], found["all_read"]) == (2.5, False)
    assert outcome([published(1, 101.0)], [])["all_read"] is True


def test_missing_results_are_null():
    found = outcome([], [consumed(10, 101.0)], producers=0, confirm=None)
    assert [found[name] for name in ("size", "confirmed", "confirmed_per_s", "refused", "latency_ms")] == [None] * 5
    assert (found["published"], found["published_per_s"], found["published_mb_per_s"]) == (0, 0.0, 0.0)


def test_latencies_are_reported_by_name():
    some = Latencies()
    some.add([2_000_000])
    found = outcome([published(1, 101.0)], [], {"confirm": some})
    assert (found["latency_ms"], found["confirm_latency_ms"]["p50"]) == (None, 2.0)


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (
            {"id": "night [1]"},
            [
                "night [1]: Broker 1.0 at amqp://guest@127.0.0.1:5672/, 10.0 s",
                "            messages  a second  MB a second",
                " published     4,000     1,000        0.100",
                " confirmed     4,000     1,000",
                " returned          6",
                " consumed      9,000       900        0.225",
                "",
                "publishers were blocked by the broker for 2.5 s",
            ],
        ),
        (
            {"producers": 0, "confirm": None},
            [
                "Broker 1.0 at amqp://guest@127.0.0.1:5672/, 10.0 s",
                "           messages  a second  MB a second",
                " returned         6",
                " consumed     9,000       900        0.225",
                "",
                "publishers were blocked by the broker for 2.5 s",
            ],
        ),
    ],
)
def test_results_are_printed_as_a_table(capsys, given, lines):
    some = [published(3000, 102.0, blocked_s=2.5), published(1000, 104.0)]
    show(outcome(some, [consumed(9000, 110.0)], **given))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == lines


def test_long_latencies_fit_into_a_line(capsys):
    some = Latencies()
    some.add([123_456_789_000])
    show(outcome([published(7, 110.0)], [consumed(7, 110.0)], {"message": some}))
    out = capsys.readouterr().out
    assert "  ".join(["123457"] * 8) in out
    assert "published         7       0.7        0.000" in out
