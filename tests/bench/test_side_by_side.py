"""The comparison with RabbitMQ, without RabbitMQ: its parts, and a short run of one shape."""

import os
import time

import pytest

from tests.bench import application_shapes, operation, processes, report
from tests.bench.brokers import Running
from tests.bench.client_processes import Measured, medians
from tests.bench.report import Pair, Row
from tests.bench.shapes import LATENCIES, SHAPES, Flow, percentiles_ms
from tests.bench.side_by_side import LOADS, Starts, latency_of, options, part, results, rows_of, run, shown, turn_about


def test_median_of_each_figure_is_taken_independently():
    rounds = [Measured(1, 30, 5), Measured(3, 10, 6), Measured(2, 20, 70)]
    assert medians(rounds) == Measured(2, 20, 6)


def test_percentiles_are_in_milliseconds():
    assert percentiles_ms([n * 1_000_000 for n in range(1000, 0, -1)]) == {50: 501, 99: 991, 99.9: 1000}
    assert percentiles_ms([5_000_000]) == {50: 5, 99: 5, 99.9: 5}


def test_order_of_brokers_alternates_between_rounds():
    brokers = [Running(name, "1", 1, [1], 0.0, 0) for name in ("a", "b")]
    order = []

    def run(broker, seconds):
        order.append(broker.name)
        return {"": len(order), "s": seconds}

    found = turn_about(brokers, options(["--rounds", "3", "--seconds", "0.5"]), run)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert {name: [each[""] for each in rounds] for name, rounds in found.items()} == {"a": [1, 4, 5], "b": [2, 3, 6]}
    assert {each["s"] for rounds in found.values() for each in rounds} == {0.5}


def test_only_lavinmq_may_refuse_a_shape(capsys):
    def run(broker, seconds):
        if broker.name == refusing:
            raise AssertionError("NOT_IMPLEMENTED")
        return {50.0: 1.0}

    brokers = [Running(name, "1", 1, [1], 0.0, 0) for name in ("RabbitMQ", "amqpbroker", "LavinMQ")]
    refusing = "LavinMQ"
    found = turn_about(brokers, options(["--rounds", "2"]), run)
    assert found["LavinMQ"] == [{}, {}]
    assert "LavinMQ cannot do this: NOT_IMPLEMENTED" in capsys.readouterr().out
    assert [pair.lavinmq for pair in latency_of("app-beside-1", found).values()] == [None]
    refusing = "amqpbroker"
    with pytest.raises(AssertionError, match="NOT_IMPLEMENTED"):
        turn_about(brokers, options([]), run)


def measured(*rates):
    """Return rounds of a shape with one row."""
    return [{"": Measured(rate, 1.0, 1)} for rate in rates]


def test_result_row_shows_the_median_rates_of_each_broker():
    found = {"RabbitMQ": measured(1, 9, 2), "amqpbroker": measured(30, 10, 20), "LavinMQ": measured(5, 6, 4)}
    (row,) = rows_of("app-transient", found)
    assert (row.theirs.rate, row.ours.rate, row.lavinmq.rate, row.target) == (2, 20, 5, 20)
    (row,) = rows_of("transient", {name: found[name] for name in ("RabbitMQ", "amqpbroker")})
    assert (row.ratio, row.lavinmq) == (10, None)


def test_shape_that_rabbitmq_does_not_support_has_no_ratio():
    (row,) = rows_of("app-delayed", {"RabbitMQ": [{}, {}], "amqpbroker": measured(10, 20)})
    assert (row.theirs, row.ratio, row.ours.rate) == (None, None, 15)
    assert shown(row).split()[:3] == ["app-delayed", "cannot", "15/s"]


def test_latency_result_has_the_median_of_each_broker():
    found = {"RabbitMQ": [{50.0: 1.0}, {50.0: 3.0}, {50.0: 2.0}], "amqpbroker": [{50.0: 0.5}]}
    name = "app-beside-1: round trip beside 1 fast publisher, p50"
    assert latency_of("app-beside-1", found) == {name: Pair(2.0, 0.5)}
    assert latency_of("app-beside-1", found | {"LavinMQ": [{50.0: 0.7}]}) == {name: Pair(2.0, 0.5, 0.7)}


def test_application_shapes_are_listed_first_in_the_report():
    application = [name.startswith("app-") for name in LOADS]
    assert application == sorted(application, reverse=True)
    brokers = {name: Running(name, "4.2", 1, [1], 1.0, 10) for name in ("RabbitMQ", "amqpbroker")}
    figures = Measured(10.0, 1.0, 1)
    rows = [Row(name, "what", figures, figures, 2) for name in ("transient", "app-transient")]
    text = part(options([]), "load", Starts([brokers]), rows, {})
    heads = [
        "**Messages of an application.**",
        "| app-transient: what",
        "**One repeated message.**",
        "| transient: what",
    ]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert "RabbitMQ 4.2; amqpbroker 4.2" in text
    assert "LavinMQ" not in text
    brokers["LavinMQ"] = Running("LavinMQ", "2.0", 1, [1], 1.0, 10)
    assert text.count("ratio to LavinMQ") == 0
    assert part(options([]), "load", Starts([brokers]), rows, {}).count("ratio to LavinMQ") == 2
    assert "| Transient messages, one publisher, one consumer | 10/s | 10/s | 1.00 |" in results(
        Starts([brokers]), rows, {}
    )


def test_shapes_named_in_the_results_exist():
    assert set(report.RESULTS) <= set(application_shapes.SHAPES)
    assert {name.removesuffix(":") for name in report.RESULTS_LATENCIES} <= set(LATENCIES)


def test_shapes_with_a_target_exist():
    targets = {
        f"{name} {part}".strip(): target for name, shape in SHAPES.items() for part, target in shape.targets.items()
    }
    assert targets == {
        "transient": 18,
        "single-ack": 8,
        "4x4": 13,
        "fanout10": 12,
        "pub-only": 14,
        "persistent": 5,
        "pub-persist": 4,
        "priority": 8,
        "64KiB": 2,
        "1MiB": 1.5,
        "churn": 3,
        "backlog publish": 5,
        "backlog consume": 10,
    }


@pytest.mark.parametrize("arguments", [["no-such-shape"], ["--rounds", "0"], ["--seconds", "0"], ["--seconds", "nan"]])
def test_invalid_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        options(arguments)
    assert error.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_shapes_are_picked_by_name():
    given = options(["transient", "app-topic", "lat", "--no-write"])
    assert (given.shapes, given.rounds, given.seconds, given.no_write) == (
        ["transient", "app-topic", "lat"],
        3,
        2.0,
        True,
    )


def test_cpu_and_memory_of_a_process_family_are_measured():
    mine = processes.family(os.getpid())
    assert mine[0] == os.getpid()
    before = processes.cpu_s(mine[:1])
    until = time.thread_time() + 0.03
    while time.thread_time() < until:
        pass
    assert 0.01 <= processes.cpu_s(mine[:1]) - before < 5
    assert processes.memory_bytes(mine[:1]) > 1_000_000
    assert processes.cpu_s([2**22 + 1]) == processes.memory_bytes([2**22 + 1]) == 0


def test_looking_up_a_program_that_is_not_running_is_an_error():
    with pytest.raises(LookupError):
        processes.with_environment("no-such-program", "A=B")


def test_a_shape_and_a_latency_of_a_broker_are_measured(broker):
    running = Running("amqpbroker", "", broker.port, [broker.process.pid], 0.0, 0)
    measured = Flow(prefetch=100, ack_every=10, in_flight=100).run(running, 0.2)[""]
    assert measured.rate > 0
    # CPU is measured in ticks of 10 ms: a busy machine may give the broker less than one in such a short time.
    assert 0 <= measured.cpu_us < 1_000_000
    assert measured.memory_bytes > 1_000_000
    found = LATENCIES["lat"][1](running, 0.2)
    assert 0 < found[50] <= found[99] <= found[99.9]


def test_results_are_printed_if_the_next_measurement_fails(monkeypatch, capsys):
    def fail(seconds):
        raise RuntimeError("GET /api/vhosts was answered with 401")

    monkeypatch.setattr(operation, "MEASUREMENTS", {"restart": lambda seconds: "A restart.", "management": fail})
    with pytest.raises(RuntimeError, match="401"):
        run(options(["restart", "management"]))
    assert "A restart." in capsys.readouterr().out
