import pytest

from amqpbroker.broker.users.passwords import decode_hash, matches
from tests.management.api import Api


@pytest.fixture
def api():
    return Api()


async def test_hash_password_returns_a_hash_of_the_password(api):
    answer = await api.get("auth/hash_password/g%2F%E2%82%AC")
    assert matches("g/€".encode(), decode_hash(answer.json()["ok"]))


async def test_login_attempts_are_counted_and_reset(api):
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


DEFAULT_LOGIN = {"oauth_enabled": False, "amqpbroker": {"default_login": {"username": "guest", "password": "guest"}}}


async def test_the_default_login_is_announced_on_this_machine(api):
    assert (await api.get("auth", auth=None)).json() == DEFAULT_LOGIN
    assert (await api.get("auth", auth=None, headers={"host": "[::1]:15672"})).json() == DEFAULT_LOGIN


async def test_the_default_login_is_not_announced_once_the_password_differs(api):
    api.broker.users.change_password("guest", "changed")
    assert (await api.get("auth", auth=None)).json() == {"oauth_enabled": False}


async def test_the_default_login_is_not_announced_without_a_tag_for_the_page(api):
    api.broker.users.set_tags("guest", ())
    assert (await api.get("auth", auth=None)).json() == {"oauth_enabled": False}


async def test_the_default_login_is_not_announced_without_the_default_user(api):
    api.broker.users.delete_user("guest")
    assert (await api.get("auth", auth=None)).json() == {"oauth_enabled": False}


@pytest.mark.parametrize("host", ["10.0.0.7", "::ffff:10.0.0.7"])
async def test_the_default_login_is_not_announced_to_other_machines(host):
    api = Api(host=host)
    assert (await api.get("auth", auth=None)).json() == {"oauth_enabled": False}


@pytest.mark.parametrize("host", ["broker.example.com", "broker.example.com:443", "10.0.0.7:15672", ""])
async def test_the_default_login_is_not_announced_behind_a_proxy_on_this_machine(api, host):
    assert (await api.get("auth", auth=None, headers={"host": host})).json() == {"oauth_enabled": False}
