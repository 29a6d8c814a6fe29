import pytest

from amqpbroker.broker.users.passwords import decode_hash, matches
from tests.management.api import Api


@pytest.fixture
def api():
    return Api()


async def test_hashing(api):
    answer = await api.get("auth/hash_password/g%2F%E2%82%AC")
    assert matches("g/€".encode(), decode_hash(answer.json()["ok"]))


async def test_attempts(api):
    await api.get("whoami", auth=("guest", "wrong"))
    [counted] = (await api.get("auth/attempts/rabbit@test")).json()
    assert counted["protocol"] == "http"
    assert counted["auth_attempts_failed"] == 1
    assert counted["auth_attempts"] == 1 + counted["auth_attempts_succeeded"]
    assert (await api.delete("auth/attempts/rabbit@test")).status_code == 204
    [counted] = (await api.get("auth/attempts/rabbit@test")).json()
    assert counted["auth_attempts_failed"] == 0
    assert (await api.get("auth/attempts/other")).status_code == 404


async def test_attempts_by_source_are_not_counted(api):
    assert (await api.get("auth/attempts/rabbit@test/source")).json() == []
    assert (await api.delete("auth/attempts/rabbit@test/source")).status_code == 204


async def test_settings(api):
    api.node.settings["heartbeat"] = "30"
    assert (await api.get("config/effective")).json() == {"heartbeat": "30"}


async def test_there_is_no_oauth_which_anybody_may_know(api):
    assert (await api.get("auth", auth=None)).json() == {"oauth_enabled": False}
