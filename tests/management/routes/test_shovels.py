import pytest

from amqpbroker.broker.shovels.shovels import ShovelRunner, ShovelStatus
from tests.management.api import Api

VALUE = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://ann:s3cret@far", "dest-queue": "b"}

ENDS = {
    "src_uri": "amqp://",
    "src_protocol": "amqp091",
    "dest_protocol": "amqp091",
    "dest_uri": "amqp://far",
    "src_queue": "a",
    "dest_queue": "b",
}


class Runner(ShovelRunner):
    """Shovels whose states tests set."""

    def __init__(self):
        self.statuses = {}
        self.started = []

    def start(self, vhost, name, definition):
        self.started.append((vhost, name))
        self.statuses[vhost, name] = ShovelStatus(vhost, name, "starting", 0)

    def stop(self, vhost, name):
        del self.statuses[vhost, name]

    def status(self, vhost, name):
        return self.statuses[vhost, name]


@pytest.fixture
def api():
    api = Api()
    api.runner = Runner()
    api.broker.shovels.run(api.runner)
    return api


async def put(api, name="s", vhost="%2F", **kwargs):
    return await api.put(f"parameters/shovel/{vhost}/{name}", {"value": VALUE}, **kwargs)


async def test_shovels_are_listed_with_their_states(api):
    # as RabbitMQ 4.0.5 shows them
    for name in ("blocked", "running", "starting", "terminated"):
        assert (await put(api, name)).status_code == 201
    at_ms = 1_795_642_550_000
    api.runner.statuses["/", "blocked"] = ShovelStatus("/", "blocked", "blocked", at_ms, "", ENDS)
    api.runner.statuses["/", "running"] = ShovelStatus("/", "running", "running", at_ms, "", ENDS)
    api.runner.statuses["/", "terminated"] = ShovelStatus("/", "terminated", "terminated", at_ms, "why")
    common = {"node": "rabbit@test", "vhost": "/", "type": "dynamic", "timestamp": "2026-11-25 21:35:50"}
    expected = [
        {**common, "name": "blocked", "state": "blocked", **ENDS, "blocked_status": "blocked"},
        {**common, "name": "running", "state": "running", **ENDS, "blocked_status": "running"},
        {**common, "name": "starting", "state": "starting", "timestamp": "1970-01-01 0:00:00"},
        {**common, "name": "terminated", "state": "terminated", "reason": "why"},
    ]
    assert (await api.get("shovels")).json() == expected
    assert (await api.get("shovels/%2F")).json() == expected
    api.broker.add_vhost("v")
    assert (await api.get("shovels/v")).json() == []
    assert (await api.get("shovels/nix")).status_code == 404


async def test_shovel_definition_is_shown(api):
    await put(api)
    expected = {"value": VALUE, "vhost": "/", "component": "shovel", "name": "s"}
    assert (await api.get("shovels/vhost/%2F/s")).json() == expected
    for path in ("shovels/vhost/%2F/nix", "shovels/vhost/nix/s"):
        assert (await api.get(path)).status_code == 404


async def test_shovel_is_restarted_and_deleted(api):
    await put(api)
    assert (await api.delete("shovels/vhost/%2F/s/restart")).status_code == 204
    assert api.runner.started == [("/", "s"), ("/", "s")]
    assert (await api.delete("shovels/vhost/%2F/s")).status_code == 204
    assert api.runner.statuses == {}
    for path in ("shovels/vhost/%2F/s", "shovels/vhost/%2F/s/restart"):
        assert (await api.delete(path)).status_code == 404


async def test_shovel_access_depends_on_tags_and_vhosts(api):
    api.broker.add_vhost("v")
    await put(api)
    await put(api, vhost="v")
    monitor = api.user("monitor", tags=["monitoring"], vhosts=["v"])
    maker = api.user("maker", tags=["policymaker"], vhosts=["v"])
    assert [each["vhost"] for each in (await api.get("shovels", auth=monitor)).json()] == ["v"]
    assert (await api.get("shovels", auth=maker)).status_code == 401
    # The value has the passwords of other brokers.
    assert (await api.get("shovels/vhost/v/s", auth=monitor)).status_code == 401
    assert (await api.get("shovels/vhost/v/s", auth=maker)).status_code == 200
    assert (await api.delete("shovels/vhost/%2F/s", auth=maker)).status_code == 401
    assert (await api.delete("shovels/vhost/v/s", auth=monitor)).status_code == 401
    assert (await api.delete("shovels/vhost/v/s", auth=maker)).status_code == 204


async def test_setting_a_shovel_requires_access_to_the_vhosts_that_it_names(api):
    api.broker.add_vhost("v")
    maker = api.user("maker", tags=["policymaker"], vhosts=["v"])
    answer = await put(api, vhost="v", auth=maker)
    assert (answer.status_code, answer.json()["reason"]) == (
        400,
        'Validation failed\n\nuser "maker" may not connect to vhost "/"\n',
    )


async def test_shovel_with_an_invalid_value_is_refused(api):
    answer = await api.put("parameters/shovel/%2F/s", {"value": {**VALUE, "ack-mode": "x"}})
    assert answer.status_code == 400
    assert "ack-mode should be one of [&lt;&lt;" in answer.json()["reason"]
