"""Requests over the simulated network: a seed determines the answers, and a cut leaves no answer."""

from tests.simulation.broker_process import configured
from tests.simulation.http import HttpClient, path
from tests.simulation.scheduler import SECOND
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
