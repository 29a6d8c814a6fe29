"""The comparison with RabbitMQ, without RabbitMQ: its parts, and one shape for a moment."""

import os
import time

import pytest

from tests.bench import charts, processes
from tests.bench.brokers import Running
from tests.bench.crew import Measured, medians
from tests.bench.shapes import LATENCIES, SHAPES, Flow, percentiles_ms
from tests.bench.side_by_side import options, turn_about


def test_each_figure_has_its_own_median():
    rounds = [Measured(1, 30, 5), Measured(3, 10, 6), Measured(2, 20, 70)]
    assert medians(rounds) == Measured(2, 20, 6)


def test_percentiles_are_in_milliseconds():
    assert percentiles_ms([n * 1_000_000 for n in range(1000, 0, -1)]) == {50: 501, 99: 991, 99.9: 1000}
    assert percentiles_ms([5_000_000]) == {50: 5, 99: 5, 99.9: 5}


def test_the_one_that_is_first_changes():
    theirs, ours = (Running(name, "1", 1, [1], 0.0, 0) for name in ("a", "b"))
    order = []

    def run(broker, seconds):
        order.append(broker.name)
        return len(order), seconds

    found = turn_about(theirs, ours, options(["--rounds", "3", "--seconds", "0.5"]), run)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == ([(1, 0.5), (4, 0.5), (5, 0.5)], [(2, 0.5), (3, 0.5), (6, 0.5)])


def test_every_shape_with_a_target_of_the_project_is_there():
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
def test_arguments_that_make_no_sense_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        options(arguments)
    assert error.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_shapes_are_picked_by_name():
    given = options(["transient", "lat", "--no-write"])
    assert (given.shapes, given.rounds, given.seconds, given.no_write) == (["transient", "lat"], 3, 3.0, True)


def test_a_process_is_found_with_its_children_and_what_they_take():
    mine = processes.family(os.getpid())
    assert mine[0] == os.getpid()
    before = processes.cpu_s(mine[:1])
    until = time.thread_time() + 0.03
    while time.thread_time() < until:
        pass
    assert 0.01 <= processes.cpu_s(mine[:1]) - before < 5
    assert processes.memory_bytes(mine[:1]) > 1_000_000
    assert processes.cpu_s([2**22 + 1]) == processes.memory_bytes([2**22 + 1]) == 0


def test_a_program_that_does_not_run_is_not_found():
    with pytest.raises(LookupError):
        processes.with_environment("no-such-program", "A=B")


def test_the_drawing_takes_the_colour_of_the_page_and_is_the_same_again(tmp_path):
    paths = [tmp_path / "first" / "a.svg", tmp_path / "b.svg"]
    for path in paths:
        charts.ratios(path, {"transient": 8.0, "own": 2.0}, {"transient": 18})
    first, second = (path.read_text() for path in paths)
    assert first == second
    assert "transient  8.0" in first
    assert "currentColor" in first
    assert charts.INK not in first
    assert charts.DARK in first


def test_a_shape_and_a_latency_of_a_broker_are_measured(broker):
    running = Running("amqpbroker", "", broker.port, [broker.process.pid], 0.0, 0)
    measured = Flow(prefetch=100, ack_every=10, in_flight=100).run(running, 0.2)[""]
    assert measured.rate > 0
    # In ticks of 10 ms: a busy machine may give the broker less than one in so short a time.
    assert 0 <= measured.cpu_us < 1_000_000
    assert measured.memory_bytes > 1_000_000
    found = LATENCIES["lat"][1](running, 0.2)
    assert 0 < found[50] <= found[99] <= found[99.9]
