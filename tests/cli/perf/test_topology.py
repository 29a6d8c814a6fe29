import pytest

from amqpbroker.cli.perf import topology
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.topology import Declaration, Topology


class Recorder:
    """A client that only records the calls."""

    def __init__(self):
        self.calls = []

    def call(self, method, **arguments):
        self.calls.append((method, arguments))


def declared(**some):
    client = Recorder()
    Declaration(**some).declare(client, "q")
    return client.calls


@pytest.mark.parametrize(
    ("some", "flags"),
    [
        ({}, (True, False, False)),
        ({"auto_delete": True}, (True, False, True)),
        ({"exclusive": True}, (False, True, False)),
        ({"exclusive": True, "auto_delete": True}, (False, True, True)),
    ],
)
def test_perf_queues_are_declared_with_the_given_flags(some, flags):
    ((method, found),) = declared(**some)
    assert method == "queue.declare"
    assert (found["durable"], found["exclusive"], found["auto_delete"]) == flags


@pytest.mark.parametrize(("key", "expected"), [(None, "q"), ("", ""), ("k", "k")])
def test_perf_queue_is_bound_by_its_name_or_by_the_routing_key(key, expected):
    _, bind = declared(exchange="ex", routing_key=key)
    assert bind == ("queue.bind", {"queue": "q", "exchange": "ex", "routing_key": expected})


@pytest.mark.parametrize(("key", "expected"), [(None, "q.#"), ("", "#"), ("a.b", "a.b.#")])
def test_perf_queue_is_bound_to_all_keys_that_begin_with_its_name_or_key(key, expected):
    _, (_, bind) = declared(exchange="ex", routing_key=key, to_all_below=True)
    assert bind["routing_key"] == expected


@pytest.fixture
def calls(monkeypatch):
    """Calls to the broker, as "METHOD NAME"; it refuses to delete "refused" and to declare "undeclared"."""
    made = []

    class Recorder:
        def __init__(self, access, name):
            made.append("connect")

        def open_channel(self):
            return

        def call(self, method, **arguments):
            name = arguments.get("queue") or arguments["exchange"]
            made.append(f"{method} {name}")
            if (name, method) in (("refused", "queue.delete"), ("undeclared", "queue.declare")):
                raise PerfError("no")

        def close(self):
            made.append("close")

    monkeypatch.setattr(topology, "Client", Recorder)
    return made


def test_queues_with_generated_names_are_deleted(calls):
    with Topology(("a", "b"), Declaration()).standing(None):
        assert calls == ["connect", "queue.declare a", "queue.declare b", "close"]
        calls.clear()
    assert calls == ["connect", "queue.delete a", "queue.delete b", "close"]


def test_named_objects_are_kept_without_delete(calls):
    with Topology(("a",), Declaration("ex"), made_up=False).standing(None):
        assert calls == ["connect", "exchange.declare ex", "queue.declare a", "queue.bind a", "close"]
        calls.clear()
    assert calls == []
    with Topology(("a",), Declaration("ex"), made_up=False, deleted=True).standing(None):
        calls.clear()
    assert calls == ["connect", "queue.delete a", "exchange.delete ex", "close"]


@pytest.mark.parametrize("made_up", [True, False])
def test_generated_exchange_is_deleted_even_if_its_queue_stays(calls, made_up):
    with Topology(("a",), Declaration("ex"), made_up=made_up, made_up_exchange=True).standing(None):
        calls.clear()
    assert calls == ["connect", *["queue.delete a"] * made_up, "exchange.delete ex", "close"]


def test_generated_exchange_is_deleted_if_its_queue_is_refused(calls):
    with pytest.raises(PerfError):
        Topology(("undeclared",), Declaration("ex"), made_up=False, made_up_exchange=True).make(None)
    assert calls[-3:] == ["connect", "exchange.delete ex", "close"]


@pytest.mark.parametrize(
    "some",
    [
        Topology(("a",), Declaration(exclusive=True)),
        Topology(("a",), Declaration("amq.fanout", exclusive=True), deleted=True),
        Topology(("a",), Declaration("ex"), declared=False, made_up=False),
    ],
)
def test_exclusive_and_predeclared_queues_are_not_declared(calls, some):
    with some.standing(None):
        pass
    assert calls == []


def test_failed_perf_run_deletes_its_queues(calls):
    with pytest.raises(PerfError, match="later"), Topology(("a",), Declaration()).cleared(None):
        raise PerfError("later")
    assert calls == ["connect", "queue.delete a", "close"]


def test_a_warning_names_some_of_many_remaining_objects(calls, capsys):
    queues = ("refused", *(f"q{number}" for number in range(1000)))
    with Topology(queues, Declaration()).cleared(None):
        pass
    said = capsys.readouterr().err
    assert said.startswith("warning: could not delete refused, q0, q1,")
    assert said.endswith("q8 and 991 more: no\n")
