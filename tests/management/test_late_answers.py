"""Requests whose authentication backend takes its time: they wait, and nothing else does."""

import asyncio
import base64
import http.client
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from amqpbroker.config import Config
from amqpbroker.testing import Broker
from tests.amqp.late_backend import LateBackend
from tests.management.api import Api

ANN = ("ann", "secret")
PAGE = {"X-Requested-With": "fetch"}
BASIC = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}


def late_backend(**known):
    return LateBackend({"ann": b"secret", "guest": b"guest"}, **{"tags": ("management",), **known})


def late(api, **known):
    backend = late_backend(**known)
    api.broker.logins.use(backend)
    return backend


def declare(vhost, name):
    vhost.declare_queue(name, durable=True, exclusive=False, auto_delete=False, arguments={})


@pytest.fixture
def api():
    return Api()


async def waiting(backend, count=1):
    """Send requests until so many answers are to come."""
    for _ in range(100):
        if len(backend.waiting) == count:
            return
        await asyncio.sleep(0)
    pytest.fail(f"the backend has been asked for {backend.asked}")


async def answered(backend, request, *answers):
    """Return the response to a request, for which the backend gives answers one after another."""
    task = asyncio.ensure_future(request)
    for count in answers or (1, 1):
        await waiting(backend, count)
        assert not task.done()
        for _ in range(count):
            backend.answer()
    return await task


# --- without sockets --------------------------------------------------------------------------------------------------


async def test_user_known_only_to_the_auth_backend_can_use_the_api(api):
    backend = late(api)
    answer = await answered(backend, api.put("queues/%2F/q", {}, auth=ANN))
    assert answer.status_code == 201
    assert backend.asked == [("identify", "ann"), ("permit", "ann in /")]
    assert "q" in api.broker.vhosts["/"].queues
    assert api.broker.totals.auth_attempts.succeeded == {"http": 1}


async def test_wrong_password_is_refused_after_a_late_backend_answer(api, caplog):
    backend = late(api)
    answer = await answered(backend, api.get("whoami", auth=("ann", "hunter2")), 1)
    assert (answer.status_code, answer.json()["reason"]) == (401, "Not_Authorized")
    assert api.broker.totals.auth_attempts.failed == {"http": 1}
    assert "user 'ann' - invalid credentials" in caplog.text
    assert "hunter2" not in caplog.text


async def test_loopback_user_of_another_auth_backend_is_refused_from_afar():
    api = Api(host="192.0.2.1")
    backend = late(api)
    assert (await answered(backend, api.get("whoami"), 1)).status_code == 401


async def test_missing_permissions_are_refused_after_a_late_backend_answer(api):
    api.broker.add_vhost("other")
    backend = late(api)
    answer = await answered(backend, api.get("queues/other", auth=ANN))
    assert answer.status_code == 401
    assert backend.asked[-1] == ("permit", "ann in other")


async def test_lists_contain_only_vhosts_that_the_auth_backend_permits(api):
    for name in ("other", "third"):
        api.broker.add_vhost(name)
    for vhost in api.broker.vhosts.values():
        declare(vhost, f"q-{vhost.name}")
    backend = late(api, vhosts=("/", "third"))
    answer = await answered(backend, api.get("queues", auth=ANN), 1, 3)
    assert [queue["vhost"] for queue in answer.json()] == ["/", "third"]
    answer = await answered(backend, api.get("vhosts", auth=ANN), 1, 3)
    assert [vhost["name"] for vhost in answer.json()] == ["/", "third"]


@pytest.mark.parametrize(("vhosts", "status"), [(("/", "other"), 200), (("/",), 401)])
async def test_messages_are_moved_to_a_vhost_that_the_backend_permits(api, vhosts, status):
    api.broker.add_vhost("other")
    for vhost in api.broker.vhosts.values():
        declare(vhost, "q")
    backend = late(api, vhosts=vhosts)
    body = {"destination": "q", "destination_vhost": "other"}
    answer = await answered(backend, api.post("queues/%2F/q/move", body, auth=ANN), 1, 1, 1)
    assert answer.status_code == status


async def test_the_backend_is_not_asked_for_a_vhost_that_does_not_exist(api):
    backend = late(api)
    assert (await answered(backend, api.get("queues/none", auth=ANN), 1)).status_code == 404
    assert backend.asked == [("identify", "ann")]


async def test_login_session_ends_when_the_auth_backend_drops_the_user(api):
    backend = late(api)
    login = api.post("login", auth=None, data={"username": "ann", "password": "secret"}, headers=PAGE)
    assert (await answered(backend, login, 1)).status_code == 200
    answer = await answered(backend, api.get("whoami", auth=None), 1)
    assert answer.json()["name"] == "ann"
    backend.gone.add("ann")
    assert (await api.get("whoami", auth=None)).status_code == 401
    assert backend.waiting == []


async def test_login_that_ends_during_the_permission_check_is_refused(api):
    backend = late(api)
    task = asyncio.ensure_future(api.put("queues/%2F/q", {}, auth=ANN))
    await waiting(backend)
    backend.answer()
    await waiting(backend)
    backend.gone.add("ann")
    backend.answer()
    assert (await task).status_code == 401
    assert "q" not in api.broker.vhosts["/"].queues


@pytest.mark.parametrize("given", [0, 1], ids=["identity", "permissions"])
async def test_auth_backend_that_does_not_answer_in_time_causes_a_503(given):
    api = Api(Config(handshake_timeout_ms=20))
    backend = late(api)
    task = asyncio.ensure_future(api.get("whoami", auth=ANN))
    for _ in range(given):
        await waiting(backend)
        backend.answer()
    answer = await task
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
    backend.answer()


async def test_request_with_the_node_token_does_not_ask_the_auth_backend(api):
    backend = late(api)
    answer = await api.get("queues", auth=None, headers={"Authorization": "Bearer the-token"})
    assert (answer.status_code, backend.asked) == (200, [])


async def test_internal_users_are_authenticated_without_an_event_loop_turn(api, monkeypatch):
    waits = []
    monkeypatch.setattr(asyncio, "timeout", lambda seconds: waits.append(seconds))
    assert (await api.get("queues/%2F")).status_code == 200
    assert waits == []


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture
def served():
    with Broker(management=True, vhosts=["other"]) as broker:
        backend = late_backend()
        broker._call(lambda instance: instance.broker.logins.use(backend))
        yield broker, backend


def fetched(broker, path, headers=BASIC):
    host, port = broker.http_url.removeprefix("http://").rstrip("/").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("GET", f"/api/{path}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def asked(broker, backend, count):
    deadline = time.monotonic() + 10
    while broker._call(lambda _: len(backend.waiting)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_other_requests_are_answered_while_the_auth_backend_is_slow(served):
    broker, backend = served
    with ThreadPoolExecutor() as threads:
        first = threads.submit(fetched, broker, "queues/%2F")
        asked(broker, backend, 1)
        second = threads.submit(fetched, broker, "queues/other")
        asked(broker, backend, 2)
        assert fetched(broker, "auth", {}) == 200
        broker._call(lambda _: backend.answer(1))
        asked(broker, backend, 2)
        broker._call(lambda _: backend.answer(1))
        assert second.result() == 401
        assert not first.done()
        broker._call(lambda _: backend.answer())
        asked(broker, backend, 1)
        broker._call(lambda _: backend.answer())
        assert first.result() == 200


def test_late_backend_answer_for_a_disconnected_http_client_is_ignored(served, caplog):
    broker, backend = served
    caplog.set_level(logging.INFO, "amqpbroker")
    host, port = broker.http_url.removeprefix("http://").rstrip("/").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/api/whoami", headers=BASIC)
    asked(broker, backend, 1)
    connection.close()
    broker._call(lambda _: backend.answer())
    asked(broker, backend, 2)  # permissions of both vhosts
    broker._call(lambda _: [backend.answer(), backend.answer()])
    assert fetched(broker, "auth", {}) == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
