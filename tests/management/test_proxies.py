"""Sender of a request, which a proxy may have forwarded."""

import pytest

from amqpbroker.broker.users.login_guard import FREE_GUESSES
from amqpbroker.config import Config, Management
from amqpbroker.management.proxies import Proxies
from tests.management.api import Api

PROXY = "10.0.0.7"
CLIENT = "203.0.113.9"


def behind(*trusted, host=PROXY):
    api = Api(Config(management=Management(trusted_proxies=trusted)), host=host)
    api.user("ann", "right")
    return api


async def guess(api, password, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await api.get("whoami", auth=("ann", password), headers=headers)).status_code


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", PROXY])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP"])
async def test_password_guessing_is_throttled_regardless_of_forwarding_headers(host, header):
    api = behind(host=host)
    for number in range(FREE_GUESSES):
        value = f"for=192.0.2.{number}" if header == "Forwarded" else f"192.0.2.{number}"
        await api.get("whoami", auth=("ann", f"wrong {number}"), headers={header: value})
    assert await guess(api, "right", X_Forwarded_For="198.51.100.1") == 401


async def test_clients_behind_a_trusted_proxy_are_throttled_separately():
    api = behind("10.0.0.0/8")
    for number in range(FREE_GUESSES):
        await guess(api, f"wrong {number}", X_Forwarded_For=f"198.51.100.{number}, {CLIENT}")
    assert await guess(api, "right", X_Forwarded_For=f"198.51.100.99, {CLIENT}") == 401
    assert await guess(api, "right", X_Forwarded_For="203.0.113.10") == 200
    assert await guess(api, "right") == 200


async def test_client_behind_a_chain_of_trusted_proxies_is_identified():
    api = behind("10.0.0.0/8", "192.0.2.1")
    for number in range(FREE_GUESSES):
        await guess(api, f"wrong {number}", X_Forwarded_For=f"198.51.100.{number}, {CLIENT}, 192.0.2.1, 10.1.1.1")
    assert await guess(api, "right", X_Forwarded_For=CLIENT) == 401


@pytest.mark.parametrize("host", ["::ffff:10.0.0.7", "2001:db8::7"])
async def test_trusted_proxy_is_recognized_by_its_address_in_any_notation(host):
    api = behind("10.0.0.0/8", "2001:db8::/32", host=host)
    for number in range(FREE_GUESSES):
        await guess(api, f"wrong {number}", X_Forwarded_For=CLIENT)
    assert await guess(api, "right", X_Forwarded_For=CLIENT) == 401
    assert await guess(api, "right", X_Forwarded_For="203.0.113.10") == 200


async def test_untrusted_proxy_counts_as_the_client_itself():
    api = behind("10.0.0.1")
    for number in range(FREE_GUESSES):
        await guess(api, f"wrong {number}", X_Forwarded_For=f"192.0.2.{number}")
    assert await guess(api, "right", X_Forwarded_For=CLIENT) == 401


async def test_guest_behind_a_proxy_is_judged_by_the_address_of_the_client():
    whoami = {"path": "whoami", "headers": {"X-Forwarded-For": "127.0.0.1"}}
    assert (await behind(host=CLIENT).get(**whoami)).status_code == 401
    assert (await behind("127.0.0.1", host="127.0.0.1").get("whoami")).status_code == 200
    away = {"path": "whoami", "headers": {"X-Forwarded-For": CLIENT}}
    assert (await behind("127.0.0.1", host="127.0.0.1").get(**away)).status_code == 401


async def log_in(api, headers):
    answer = await api.post("login", auth=None, data={"username": "ann", "password": "right"}, headers=headers)
    return answer.headers["set-cookie"]


async def test_forwarded_proto_https_is_trusted_only_from_a_trusted_proxy():
    assert "Secure" in await log_in(behind(PROXY), {"X-Forwarded-Proto": "https"})
    assert "Secure" not in await log_in(behind(), {"X-Forwarded-Proto": "https"})


async def test_forwarded_host_is_trusted_only_from_a_trusted_proxy():
    headers = {"Origin": "http://broker.example", "X-Forwarded-Host": "broker.example"}
    auth = {"auth": ("ann", "right")}
    for api, status in ((behind(PROXY), 201), (behind(), 403), (behind("10.0.0.8"), 403)):
        api.broker.users.set_permissions("ann", "/", ".*", ".*", ".*")
        assert (await api.put("queues/%2F/q", json={}, headers=headers, **auth)).status_code == status


@pytest.mark.parametrize(
    "value", ["", ",", "unknown", "[::1", "_hidden", "1.2.3.4:x", "\u00e4", "x" * 5000, ", " * 2000]
)
async def test_invalid_forwarded_address_causes_no_error(value):
    api = behind(PROXY)
    headers = {"X-Forwarded-For": value.encode("latin-1"), "X-Forwarded-Proto": "gopher"}
    assert (await api.get("whoami", auth=("ann", "right"), headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["203.0.113.9"], ("203.0.113.9", 0)),
        (["203.0.113.9:4711"], ("203.0.113.9", 4711)),
        (["2001:db8::9"], ("2001:db8::9", 0)),
        (["[2001:db8::9]"], ("2001:db8::9", 0)),
        (["[2001:db8::9]:4711"], ("2001:db8::9", 4711)),
        (["203.0.113.9", "10.0.0.2"], ("203.0.113.9", 0)),
        (["203.0.113.9, ::ffff:10.0.0.2"], ("203.0.113.9", 0)),
        (["10.0.0.2, 10.0.0.3:80"], ("10.0.0.2", 0)),
        (["203.0.113.9:123456"], ("203.0.113.9:123456", 0)),
        ([], ("10.0.0.7", 50000)),
        (["203.0.113.9,"], ("10.0.0.7", 50000)),
    ],
)
async def test_forwarded_client_address_is_parsed_in_each_notation(forwarded, client):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope = {"client": ("::ffff:10.0.0.7", 50000), "scheme": "http", "headers": headers}
    await Proxies(app, ["10.0.0.0/8"])(scope, None, None)
    assert (seen[0]["client"], seen[0]["scheme"]) == (client, "http")
    assert scope["client"] == ("::ffff:10.0.0.7", 50000)
