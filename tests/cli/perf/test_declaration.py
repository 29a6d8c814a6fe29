import pytest

from amqpbroker.cli.perf.declaration import Declaration


class Recorder:
    """A client that only notes what it is asked for."""

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
def test_what_kind_of_queue(some, flags):
    ((method, found),) = declared(**some)
    assert method == "queue.declare"
    assert (found["durable"], found["exclusive"], found["auto_delete"]) == flags


@pytest.mark.parametrize(("key", "expected"), [(None, "q"), ("", ""), ("k", "k")])
def test_it_is_bound_by_its_name_or_by_the_key(key, expected):
    _, bind = declared(exchange="ex", routing_key=key)
    assert bind == ("queue.bind", {"queue": "q", "exchange": "ex", "routing_key": expected})


@pytest.mark.parametrize(("key", "expected"), [(None, "q.#"), ("", "#"), ("a.b", "a.b.#")])
def test_it_is_bound_to_all_keys_that_begin_so(key, expected):
    _, (_, bind) = declared(exchange="ex", routing_key=key, to_all_below=True)
    assert bind["routing_key"] == expected
