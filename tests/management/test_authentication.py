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


async def test_basic_auth_accepts_the_name_and_password_of_a_user(api):
    assert await whoami(api, auth=("guest", "guest")) == "guest"


@pytest.mark.parametrize("auth", [("guest", "wrong"), ("nobody", "guest"), ("guest", ""), ("", "")])
async def test_basic_auth_refuses_a_wrong_name_or_password(api, auth):
    answer = await api.get("whoami", auth=auth)
    assert (answer.status_code, answer.json()) == (401, {"error": "not_authorized", "reason": "Not_Authorized"})
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("header", ["Basic", "Basic ???", "Basic " + base64.b64encode(b"guest").decode(), "Digest x"])
async def test_malformed_authorization_header_is_refused(api, header):
    assert await whoami(api, headers={"Authorization": header}) == 401


async def test_guest_can_use_the_api_from_the_local_machine_only():
    assert await whoami(Api(host="192.0.2.1"), auth=("guest", "guest")) == 401


async def test_a_wrong_password_is_not_logged(api, caplog):
    await api.get("whoami", auth=("guest", "hunter2"))
    assert "guest" in caplog.text
    assert "hunter2" not in caplog.text


# --- cookies ----------------------------------------------------------------------------------------------------------


async def test_login_sets_a_cookie_that_is_valid_until_the_session_timeout(api):
    answer = await log_in(api)
    assert answer.json() == "ok"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert await whoami(api) == "guest"
    api.clock.advance(api.broker.config.management.login_session_timeout_min * 60_000)
    assert await whoami(api) == 401


async def test_wrong_login_sets_no_cookie(api):
    answer = await log_in(api, password="wrong")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_login_form_requires_username_and_password(api):
    assert (await api.post("login", auth=None, data={"username": "guest"})).status_code == 400


async def test_logout_invalidates_the_login_cookie(api):
    await log_in(api)
    cookies = dict(api.client.cookies)
    assert (await api.delete("login", auth=None, headers=PAGE)).status_code == 204
    api.client.cookies.update(cookies)
    assert await whoami(api) == 401


async def test_login_cookie_alone_does_not_allow_changes(api):
    await log_in(api)
    answer = await api.delete("login", auth=None)
    assert answer.status_code == 401
    assert await whoami(api) == "guest"


async def test_a_changed_password_ends_logins(api):
    await log_in(api)
    api.broker.users.change_password("guest", "new")
    assert await whoami(api) == 401


async def test_deleting_a_user_ends_its_logins(api):
    await log_in(api)
    api.broker.users.delete_user("guest")
    assert await whoami(api) == 401


# --- the token --------------------------------------------------------------------------------------------------------


async def test_bearer_token_of_the_node_authenticates_requests(api):
    assert await whoami(api, headers={"Authorization": "Bearer the-token"}) == "amqpbroker"


@pytest.mark.parametrize("token", ["", "the-toke", "the-token2"])
async def test_wrong_bearer_token_is_refused(api, token):
    assert await whoami(api, headers={"Authorization": f"Bearer {token}"}) == 401


async def test_empty_bearer_token_is_refused_if_the_node_has_no_token(monkeypatch):
    monkeypatch.setattr(StillNode, "token", "")
    assert await whoami(Api(), headers={"Authorization": "Bearer "}) == 401
