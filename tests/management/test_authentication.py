import base64

import pytest

from tests.management.api import Api, StillNode

PAGE = {"X-Requested-With": "fetch"}


@pytest.fixture
def api():
    return Api()


async def whoami(api, **kwargs):
    kwargs.setdefault("auth", None)
    answer = await api.get("whoami", **kwargs)
    return answer.json()["name"] if answer.status_code == 200 else answer.status_code


async def log_in(api, name="guest", password="guest"):
    return await api.post("login", auth=None, data={"username": name, "password": password}, headers=PAGE)


# --- basic ------------------------------------------------------------------------------------------------------------


async def test_name_and_password(api):
    assert await whoami(api, auth=("guest", "guest")) == "guest"


@pytest.mark.parametrize("auth", [("guest", "wrong"), ("nobody", "guest"), ("guest", ""), ("", "")])
async def test_wrong_ones(api, auth):
    answer = await api.get("whoami", auth=auth)
    assert (answer.status_code, answer.json()) == (401, {"error": "not_authorized", "reason": "Not_Authorized"})
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("header", ["Basic", "Basic ???", "Basic " + base64.b64encode(b"guest").decode(), "Digest x"])
async def test_what_is_no_login(api, header):
    assert await whoami(api, headers={"Authorization": header}) == 401


async def test_guest_comes_from_this_machine_only():
    assert await whoami(Api(host="192.0.2.1"), auth=("guest", "guest")) == 401


async def test_a_wrong_password_is_not_logged(api, caplog):
    await api.get("whoami", auth=("guest", "hunter2"))
    assert "guest" in caplog.text
    assert "hunter2" not in caplog.text


# --- cookies ----------------------------------------------------------------------------------------------------------


async def test_a_login_lasts_in_a_cookie(api):
    answer = await log_in(api)
    assert answer.json() == "ok"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert await whoami(api) == "guest"
    api.clock.advance(api.broker.config.management.login_session_timeout_min * 60_000)
    assert await whoami(api) == 401


async def test_a_wrong_login_gets_none(api):
    answer = await log_in(api, password="wrong")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_a_login_needs_both_fields(api):
    assert (await api.post("login", auth=None, data={"username": "guest"})).status_code == 400


async def test_logging_out_ends_it(api):
    await log_in(api)
    cookies = dict(api.client.cookies)
    assert (await api.delete("login", auth=None, headers=PAGE)).status_code == 204
    api.client.cookies.update(cookies)
    assert await whoami(api) == 401


async def test_cookie_alone_lets_another_site_change_nothing(api):
    await log_in(api)
    answer = await api.delete("login", auth=None)
    assert answer.status_code == 401
    assert await whoami(api) == "guest"


async def test_a_changed_password_ends_logins(api):
    await log_in(api)
    api.broker.users.change_password("guest", "new")
    assert await whoami(api) == 401


async def test_so_does_a_deleted_user(api):
    await log_in(api)
    api.broker.users.delete_user("guest")
    assert await whoami(api) == 401


# --- the token --------------------------------------------------------------------------------------------------------


async def test_the_token_opens_everything(api):
    assert await whoami(api, headers={"Authorization": "Bearer the-token"}) == "amqpbroker"


@pytest.mark.parametrize("token", ["", "the-toke", "the-token2"])
async def test_no_other_token_does(api, token):
    assert await whoami(api, headers={"Authorization": f"Bearer {token}"}) == 401


async def test_without_a_token_nothing_is_one(monkeypatch):
    monkeypatch.setattr(StillNode, "token", "")
    assert await whoami(Api(), headers={"Authorization": "Bearer "}) == 401
