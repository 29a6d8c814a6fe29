import pytest

from amqpbroker.config import Config, Management
from tests.management.api import Api

PAGE = "https://ops.example"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


def api(*origins):
    return Api(Config(management=Management(cors_allow_origins=origins, cors_max_age_s=60)))


async def test_no_other_origin_is_allowed_by_default():
    answer = await api().get("whoami", headers={"Origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers


async def test_only_a_configured_cors_origin_is_allowed():
    answer = await api(PAGE).get("whoami", headers={"Origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    answer = await api(PAGE).get("whoami", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_cors_preflight_request_needs_no_login():
    answer = await api(PAGE).request("OPTIONS", "users/x", auth=None, headers={"Origin": PAGE, **PREFLIGHT})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-max-age"] == "60"


@pytest.mark.parametrize(("origins", "credentials"), [((PAGE,), "true"), (("*",), None)])
async def test_stored_credentials_are_allowed_only_for_named_origins(origins, credentials):
    answer = await api(*origins).get("whoami", headers={"Origin": PAGE})
    assert answer.headers.get("access-control-allow-credentials") == credentials
    assert answer.headers["access-control-allow-origin"] in (PAGE, "*")
