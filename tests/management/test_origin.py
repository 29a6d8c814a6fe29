import asyncio

import pytest

from amqpbroker.config import Config, Management
from amqpbroker.management.authentication import comes_from_elsewhere
from tests.management.api import Api

HOST = {"host": "broker:15672"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("headers", "allowed", "elsewhere"),
    [
        ({}, (), False),
        ({"sec-fetch-site": "same-origin", "origin": "https://public"}, (), False),
        ({"sec-fetch-site": "none"}, (), False),
        ({"sec-fetch-site": "cross-site"}, (), True),
        ({"sec-fetch-site": "same-site", "origin": "http://broker:8000"}, (), True),
        ({"origin": "http://broker:15672"}, (), False),
        ({"origin": "http://broker:8000"}, (), True),
        ({"origin": "http://evil.example"}, (), True),
        ({"origin": "null"}, (), True),
        ({"origin": "https://public", "x-forwarded-host": "public"}, (), False),
        ({"origin": "http://friend", **FORM}, ("http://friend",), False),
        ({"origin": "http://evil.example", **FORM}, ("http://friend",), True),
        ({"origin": "http://anybody", **JSON}, ("*",), False),
        ({"origin": "http://anybody", **FORM}, ("*",), True),
        ({"origin": "http://anybody", "content-type": "text/plain"}, ("*",), True),
        ({"origin": "http://anybody"}, ("*",), True),
    ],
)
def test_cross_site_requests_are_recognized_by_their_headers(headers, allowed, elsewhere):
    assert comes_from_elsewhere({**HOST, **headers}, allowed) is elsewhere


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
async def test_form_of_another_site_changes_nothing(headers):
    api = Api()
    definitions = {"file": ("d.json", b'{"users":[{"name":"evil","password":"evil","tags":"administrator"}]}')}
    answer = await api.request("POST", "definitions", files=definitions, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert [user.name for user in api.broker.users.list_users()] == ["guest"]
    own = {"Origin": "http://localhost:15672"}
    assert (await api.request("POST", "definitions", files=definitions, headers=own)).status_code == 204


async def test_read_request_of_another_site_is_answered():
    assert (await Api().get("whoami", headers={"Origin": "http://evil.example"})).status_code == 200


async def test_site_in_cors_allow_origins_can_change_objects():
    api = Api(Config(management=Management(cors_allow_origins=("http://friend",))))
    assert (await api.put("queues/%2F/q", json={}, headers={"Origin": "http://friend"})).status_code == 201
    assert (await api.put("queues/%2F/r", json={}, headers={"Origin": "http://other"})).status_code == 403


async def test_login_request_body_is_limited():
    api = Api()
    answer = await api.post("login", auth=None, content=b"username=guest&password=" + b"x" * 10_000)
    assert answer.status_code == 400
    assert "limit of 10000 bytes" in answer.json()["reason"]


async def test_request_body_that_does_not_arrive_is_given_up(monkeypatch):
    monkeypatch.setattr("amqpbroker.management.bodies.BODY_S", 0.01)
    status, _ = await asyncio.wait_for(send_and_stop(Api().app, b"user"), 5)
    assert status == 408


async def send_and_stop(app, start):
    """Status and body of the answer to a login whose body begins so and never ends (httpx would send all of it)."""
    parts = [start]
    answers = []

    async def receive():
        if not parts:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": parts.pop(), "more_body": True}

    async def send(message):
        answers.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "raw_path": b"/api/login",
        "path": "/api/login",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "server": ("127.0.0.1", 15672),
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    return answers[0]["status"], answers[1]["body"]
