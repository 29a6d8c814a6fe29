"""Requests over the simulated network: a seed determines the answers, and a cut leaves no answer."""

import pytest

from tests.simulation.broker_process import configured
from tests.simulation.client import Client
from tests.simulation.http import HttpClient, path
from tests.simulation.http_server import MANAGEMENT, METRICS
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.world import World, determined


def asked(seed, *requests, cuts=False, **bounds):
    """Return the answers to requests of one client, and the transcript's hash."""
    answers = []
    with determined(seed):
        world = World(seed, configured(bounds, {}))
        world.boot()
        client = HttpClient(world, "h")
        for method, target, body in requests:
            client.request(method, target, answers.append, body)
        if cuts:
            assert world.run_until(lambda: client._current is not None, SECOND)
            client.drop()
        assert world.run_until(lambda: client.idle, 10 * SECOND)
        world.close()
    return answers, world.digest


DECLARE = ("PUT", path("queues", "/", "q"), {"durable": True})
READ = ("GET", path("queues", "/", "q", columns="name,messages"), None)


def test_requests_are_answered_one_after_the_other():
    answers, _ = asked(1, READ, DECLARE, READ)
    assert [answer.status for answer in answers] == [404, 201, 200]
    assert answers[2].json == {"name": "q", "messages": 0}


def test_the_same_seed_gives_the_same_answers():
    assert asked(2, DECLARE, READ) == asked(2, DECLARE, READ)
    assert asked(2, DECLARE, READ)[1] != asked(3, DECLARE, READ)[1]


def test_request_after_a_cut_is_answered():
    answers, _ = asked(4, DECLARE, READ, cuts=True)
    assert answers[0] is None
    assert answers[1] is not None


def test_parts_of_a_path_are_quoted():
    assert path("queues", "/", "a b/c", if_unused="true") == "/api/queues/%2F/a%20b%2Fc?if-unused=true"


@pytest.mark.parametrize("listener", [MANAGEMENT, METRICS])
def test_orderly_stop_ends_http_before_the_other_clients_are_gone(monkeypatch, listener):
    monkeypatch.setattr("tests.simulation.http.LEAVES", 0)
    target = path("overview") if listener == MANAGEMENT else "/metrics"
    answers = []
    with determined(1):
        world = World(1, configured({}, {}))
        world.boot()
        amqp, http = Client(world, "a"), HttpClient(world, "h")
        http.listener = listener
        amqp.connect()
        http.request("GET", target, answers.append)
        assert world.run_until(lambda: amqp.open and http.idle, 10 * SECOND)
        amqp.pause(10 * SECOND)
        process = world.process
        (server,) = process.http_servers()
        for _ in range(2):  # before and after the end of HTTP
            assert server.activities[f"HTTP connections of {listener}"] == 1 - process.stopping
            assert len(process.service.clients.there()) == 1
            world.stop()
            world.run(500 * MS)
        http.request("GET", target, answers.append)
        world.run(500 * MS)
        assert len(answers) == 1
        assert world.process is process
        assert world.run_until(lambda: len(answers) == 2, 20 * SECOND)
        assert world.process is not process
        world.close()


def test_request_in_progress_is_answered_before_an_orderly_stop():
    answers = []
    with determined(1):
        world = World(1, configured({}, {}))
        world.boot()
        http = HttpClient(world, "h")
        http.request("GET", path("overview"), answers.append)
        assert world.run_until(lambda: world.process is not None, 10 * SECOND)
        while not any(server.activities["HTTP requests of management"] for server in world.process.http_servers()):
            world.run(MS // 100)
        process = world.process
        process.stop()
        assert world.run_until(lambda: answers, SECOND)
        assert answers[0].status == 200
        assert world.process is process
        world.close()
