"""Requests of a script: the compared parts of their answers, and the changes that have to be undone."""

import pytest

from conformance.fuzz import http_answers
from conformance.fuzz.http_answers import HttpAnswers
from conformance.fuzz.step import HTTP, Step


class FakeManagement:
    """Management API that gives a fixed answer and records the requests."""

    answered = (204, None)

    def __init__(self, url):
        self.asked = []

    def answer(self, method, path, body=None):
        self.asked.append((method, path, body))
        return self.answered

    def status(self, method, path, body=None):
        return self.answer(method, path, body)[0]


@pytest.fixture
def answers(monkeypatch):
    monkeypatch.setattr(http_answers, "Management", FakeManagement)
    return HttpAnswers("http://nowhere")


def ask(answers, method, path, body=None, answered=(204, None)):
    answers._management.answered = answered
    return answers.ask(Step(HTTP, "request", {"method": method, "path": path, "body": body}))


def test_http_answer_is_shown_without_fields_that_may_vary(answers):
    binding = {"source": "x", "properties_key": "hash", "arguments": {"b": 1, "a": 2}}
    shown, _ = ask(answers, "GET", "bindings/%2F/e/x/q/q", answered=(200, [binding, {"source": "a"}]))
    assert shown == {"status": 200, "json": [{"arguments": {"a": 2, "b": 1}, "source": "x"}, {"source": "a"}]}
    assert ask(answers, "DELETE", "queues/%2F/q")[0] == {"status": 204}


def test_http_answer_with_messages_keeps_their_order(answers):
    messages = [{"payload": "b"}, {"payload": "a"}]
    assert ask(answers, "POST", "queues/%2F/q/get", {}, (200, messages))[0]["json"] == messages


def test_queues_and_exchanges_created_over_http_are_recorded(answers):
    assert ask(answers, "PUT", "queues/%2F/f1.q1", {}, (201, None))[1] == [("queue", "f1.q1")]
    assert ask(answers, "PUT", "exchanges/%2F/f1.x1", {}, (204, None))[1] == [("exchange", "f1.x1")]
    assert ask(answers, "PUT", "queues/%2F/f1.q1", {}, (400, {}))[1] == []
    assert ask(answers, "PUT", "queues/f1.v/f1.vq", {}, (201, None))[1] == []
    document = {"queues": [{"name": "f1.q2"}], "exchanges": [{"name": "f1.x2"}], "bindings": []}
    assert ask(answers, "POST", "definitions/%2F", document)[1] == [("queue", "f1.q2"), ("exchange", "f1.x2")]


def test_users_vhosts_and_policies_are_deleted_in_reverse_order(answers):
    for path in ("users/f1.u", "permissions/%2F/f1.u", "vhosts/f1.v", "policies/%2F/f1.p1", "users/f1.u"):
        ask(answers, "PUT", path, {})
    answers._management.asked.clear()
    answers.undo()
    assert [path for _, path, _ in answers._management.asked] == ["policies/%2F/f1.p1", "vhosts/f1.v", "users/f1.u"]
