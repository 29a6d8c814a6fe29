"""Health checks, with an API that answers as several brokers with one database do."""

import socket

import pytest

from amqpbroker.cli.ctl.commands import health
from amqpbroker.cli.ctl.failure import ApiError, CtlError
from tests.cli.ctl.answering import StillApi, call, listener, node

#: Alarms of brokers other than the one that answers.
ALARMS = [{"node": "b", "resource": "disk"}, {"node": "c", "resource": "memory"}]
REPORTED = """\
Node a reported the following alarms:
Free disk space alarm on node b
Memory alarm on node c"""


@pytest.fixture
def api():
    failed = {"status": "failed", "reason": "There are alarms in effect in the cluster", "alarms": ALARMS}
    return StillApi(
        {
            "nodes": [node("a"), node("b", disk_free_alarm=True), node("c", mem_alarm=True)],
            "health/checks/alarms": ApiError(503, failed["reason"], failed),
            "health/checks/local-alarms": {"status": "ok"},
            "overview": {"node": "a", "listeners": [listener("a", 5672), listener("b", 1883, "mqtt")]},
        }
    )


def test_the_check_of_alarms_names_the_brokers_that_have_them(api):
    with pytest.raises(CtlError) as failed:
        health.check_alarms(call(api))
    assert (str(failed.value), failed.value.status) == (REPORTED, 69)
    assert health.alarms(call(api)) == REPORTED
    assert health.check_local_alarms(call(api)) == "Node a reported no local alarms"


def test_a_check_that_is_not_answered_is_no_alarm(api):
    api.answers["health/checks/alarms"] = ApiError(503, "slow login")
    with pytest.raises(ApiError, match="slow login"):
        health.check_alarms(call(api))


def test_listeners_of_other_brokers_do_not_count(api, monkeypatch):
    assert health.listeners(call(api)) == "Interface: 127.0.0.1, port: 5672, protocol: amqp, purpose: AMQP 0-9-1"
    assert health.listeners(call(api, formatter="json")) == {"listeners": [listener("a", 5672)]}
    assert "is running on node a" in health.check_port_listener(call(api, "5672"))
    with pytest.raises(CtlError, match="No listener for port 1883 is active on node a"):
        health.check_port_listener(call(api, "1883"))
    with pytest.raises(CtlError, match="No listener for protocol mqtt is active on node a"):
        health.check_protocol_listener(call(api, "mqtt"))
    connected = []

    def connect(address, limit_s):
        connected.append(address)
        return socket.socket()

    monkeypatch.setattr(health.socket, "create_connection", connect)
    assert "connected to ports 5672 on node a" in health.check_port_connectivity(call(api))
    assert connected == [("127.0.0.1", 5672)]
