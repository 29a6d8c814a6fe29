import asyncio

import pytest

from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from amqpbroker.management import bodies, streamed
from amqpbroker.management.failure import ApiError
from amqpbroker.management.waiting import Waiting
from tests.management.api import GUEST, Api
from tests.management.test_bodies import Upload


def is_refused(waiting: Waiting, user: str | None, is_administrator: bool = False) -> bool:
    with waiting.one() as place:
        try:
            place.occupy(user, is_administrator)
        except ApiError:
            return True
    return False


def test_places_of_a_user_are_limited_and_free_after_use() -> None:
    waiting = Waiting(10, 2)
    with waiting.one() as first, waiting.one() as second:
        for place in first, first, second:
            place.occupy("a", is_administrator=True)
        assert is_refused(waiting, "a", is_administrator=True)
        assert not is_refused(waiting, "b")
    assert not is_refused(waiting, "a")
    assert (waiting.total, dict(waiting.by_user)) == (0, {})


def test_places_of_all_users_are_limited_with_a_reserve_for_administrators() -> None:
    waiting = Waiting(6, 2)
    places = [waiting.one() for _ in range(6)]
    for place, user in zip(places[:4], "aabb", strict=True):
        place.occupy(user, is_administrator=False)
    assert is_refused(waiting, "c")
    assert is_refused(waiting, None)
    for place in places[4:]:
        place.occupy("admin", is_administrator=True)
    assert is_refused(waiting, "boss", is_administrator=True)
    for place in places:
        place.__exit__()
    assert waiting.total == 0


def test_requests_without_a_login_are_limited_together() -> None:
    waiting = Waiting(6, 1)
    with waiting.one() as place:
        place.occupy(None, is_administrator=False)
        with pytest.raises(ApiError, match="1 requests of clients without a login wait for their answers already; end"):
            waiting.one().occupy(None, is_administrator=False)


# --- requests ---------------------------------------------------------------------------------------------------------


async def limited() -> Api:
    """Return an API with a job "1" in a queue "q", at which one request of each user may wait."""
    api = Api(Config(bounds=Bounds(waiting=3, user_waiting=1)))
    await api.put("queues/%2F/q", {})
    job = {"routing_key": "q", "payload": "", "properties": {"message_id": "1"}}
    assert (await api.post("jobs/%2F/amq.default", job)).status_code == 202
    return api


async def polling(api: Api, auth: tuple[str, str]) -> asyncio.Task[object]:
    task = asyncio.create_task(api.get("jobs/%2F/1?wait=20", auth=auth))
    for _ in range(20):
        await asyncio.sleep(0)
    return task


async def test_long_polls_of_a_user_leave_connections_for_others() -> None:
    api = await limited()
    users = [api.user(name, vhosts=["/"]) for name in ("a", "b", "c")]
    polls = [await polling(api, auth) for auth in users[:2]]
    refused = await api.get("jobs/%2F/1?wait=20", auth=users[0])
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    reason = "1 requests of user 'a' wait for their answers already; end some of them, or try again later"
    assert refused.json() == {"error": "service_unavailable", "reason": reason}
    assert (await api.get("jobs/%2F/1", auth=users[0])).status_code == 200
    assert (await api.get("jobs/%2F/1?wait=20", auth=users[2])).json()["reason"].startswith("2 requests wait for")
    for path in "health/checks/alarms", "overview":
        assert (await api.get(path, auth=users[2])).status_code == 200
    polls.append(await polling(api, GUEST))
    assert not any(poll.done() for poll in polls)
    api.clock.advance(20_000)
    assert [(await poll).status_code for poll in polls] == [200, 200, 200]  # type: ignore[attr-defined]
    assert [(await polling(api, users[0])).done(), (await api.get("overview")).status_code] == [False, 200]


@pytest.mark.parametrize("path", ["queues/%2F/q/get", "queues/%2F/q/move"])
async def test_requests_that_read_or_move_messages_count(path: str) -> None:
    api = await limited()
    login = api.user("a", vhosts=["/"])
    await api.put("queues/%2F/r", {})
    body = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto", "destination": "r"}
    poll = await polling(api, login)
    assert (await api.post(path, body, auth=login)).status_code == 503
    assert api.broker.vhosts["/"].queues["q"].ready_count == 1
    api.clock.advance(20_000)
    await poll
    assert (await api.post(path, body, auth=login)).status_code == 200


@pytest.mark.parametrize("path", ["queues", "exchanges/%2F"])
async def test_answers_that_are_sent_in_parts_count(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    api = await limited()
    login = api.user("a", vhosts=["/"])
    poll = await polling(api, login)
    assert (await api.get(path, auth=login)).status_code == 200
    monkeypatch.setattr(streamed, "WHOLE_BYTES", 10)
    assert (await api.get(path, auth=login)).status_code == 503
    api.clock.advance(20_000)
    await poll
    for _ in range(2):
        answer = await api.get(path, auth=login)
        assert answer.status_code == 200
        assert "content-length" not in answer.headers


async def test_slow_bodies_count_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PROMPT_S", 0.01)
    api = await limited()
    first, second = [Upload(api, "PUT", f"/api/queues/%2F/slow{number}") for number in range(2)]
    await first.send(b"{")
    await asyncio.sleep(0.05)
    await second.send(b"{")
    await asyncio.sleep(0.05)
    assert (first.status, second.status) == (None, 503)
    assert await first.end(b"}") == 201
    assert (await api.put("queues/%2F/prompt", {})).status_code == 201
