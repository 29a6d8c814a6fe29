"""Requests of commands, with a server that answers as a test says."""

import json

import pytest

from amqpbroker.cli.ctl.api import Api
from amqpbroker.cli.ctl.failure import ApiError
from amqpbroker.cli.ctl.http import Answer, Server


@pytest.fixture
def answering(monkeypatch):
    """Return a function that makes an API, whose answer it gets, and a list of its requests."""

    def made(status, answer, headers=None):
        requests = []

        def request(server, method, path, body, sent):
            requests.append((method, path))
            return Answer(status, headers or {}, json.dumps(answer).encode())

        monkeypatch.setattr(Server, "request", request)
        return Api("http://h:15672/prefix", "", 1.0), requests

    return made


@pytest.mark.parametrize(
    ("status", "answer", "leads"),
    [
        (200, {"node": "a"}, True),
        (503, {"error": "not_leader", "reason": "b leads vhost 'a/b'", "leader": {"node": "b"}}, False),
        (503, {"error": "not_leader", "reason": "no broker leads vhost 'a/b' at the moment", "leader": None}, False),
    ],
)
def test_a_broker_says_whether_it_leads_a_vhost(answering, status, answer, leads):
    api, requests = answering(status, answer)
    assert api.leads("a/b") == leads
    assert requests == [("GET", "/prefix/leader/a%2Fb")]


@pytest.mark.parametrize("status", [404, 503])
def test_a_broker_that_does_not_say_who_leads_a_vhost_is_an_error(answering, status):
    api, _ = answering(status, {"reason": "why"})
    with pytest.raises(ApiError, match="why"):
        api.leads("v")


@pytest.mark.parametrize(
    ("answer", "reason", "found"),
    [
        ({"reason": "&lt;x&gt;", "more": 1}, "<x>", {"reason": "&lt;x&gt;", "more": 1}),
        ({}, "HTTP status 400", {}),
        (["list"], "HTTP status 400", {}),
    ],
)
def test_an_error_has_the_reason_and_the_object_of_the_answer(answering, answer, reason, found):
    api, requests = answering(400, answer)
    with pytest.raises(ApiError) as raised:
        api.get("overview")
    assert (str(raised.value), raised.value.answer, raised.value.http_status) == (reason, found, 400)
    assert requests == [("GET", "/prefix/api/overview")]


def test_brokers_that_did_not_answer_are_named_once(answering, capsys):
    api, _ = answering(200, [], {"x-missing-brokers": "b@h, c%20d@h"})
    api.get("nodes")
    api.get("queues")
    assert capsys.readouterr() == (
        "",
        "Warning: broker b@h did not answer, so the result lacks what it has\n"
        "Warning: broker c d@h did not answer, so the result lacks what it has\n",
    )
    api, _ = answering(503, {"reason": "why"}, {"x-missing-brokers": "b@h"})
    with pytest.raises(ApiError):
        api.get("health/checks/alarms")
    assert "broker b@h did not answer" in capsys.readouterr().err
