import pytest

from amqpbroker.compat import COMPATS
from amqpbroker.config import Config
from tests.management.api import Api


@pytest.fixture
def api():
    return Api()


async def names(api, path):
    return [row["name"] for row in (await api.get(path)).json()]


async def test_feature_flags_are_enabled_and_can_be_enabled_again(api):
    flags = (await api.get("feature-flags")).json()
    assert {flag["state"] for flag in flags} == {"enabled"}
    assert "quorum_queue" in [flag["name"] for flag in flags]
    for name in ("quorum_queue", "all"):
        assert (await api.put(f"feature-flags/{name}/enable", {})).status_code == 204
    assert (await api.put("feature-flags/nope/enable", {})).json()["reason"] == "unsupported"


@pytest.mark.parametrize(("series", "phase"), [("4.0", "permitted_by_default"), ("4.3", "denied_by_default")])
async def test_deprecated_features_are_those_of_the_release(series, phase):
    api = Api(Config(compat=COMPATS[series]))
    phases = {row["name"]: row["deprecation_phase"] for row in (await api.get("deprecated-features")).json()}
    assert phases["transient_nonexcl_queues"] == phase


async def test_used_deprecated_features_are_listed(api):
    vhost = api.broker.vhosts["/"]
    vhost.declare_queue("durable", True, False, False, {})
    vhost.declare_queue("exclusive", False, True, False, {}, session=object())
    assert await names(api, "deprecated-features/used") == []
    vhost.declare_queue("transient", False, False, False, {})
    assert await names(api, "deprecated-features/used") == ["transient_nonexcl_queues"]
