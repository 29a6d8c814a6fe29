"""Faults over HTTP."""

import httpx
import pytest

from amqpbroker.testing import Broker
from tests.testing.faults.raw import Client, publish


@pytest.fixture(scope="module")
def b():
    with Broker(management=True) as broker:
        yield broker


@pytest.fixture(scope="module")
def api(b):
    with httpx.Client(base_url=f"{b.http_url}/api/testing", auth=("guest", "guest"), timeout=60) as client:
        yield client


def test_faults_are_injected_listed_and_removed(b, api):
    client = Client(b)
    client.call("queue.declare", queue="q")
    client.call("confirm.select")
    nack = api.post("/faults", json={"kind": "nack", "publish": 2}).json()
    withheld = api.post("/faults", json={"kind": "withhold_confirms", "only": {"user": "guest"}}).json()
    client.send(publish(b"1") + publish(b"2"))
    assert client.told() == []
    shown = api.get("/faults").json()
    assert shown["faults"] == [
        {"id": nack["id"], "kind": "nack", "fault": "nack(publish=2)", "struck": 1, "active": False},
        {
            "id": withheld["id"],
            "kind": "withhold_confirms",
            "fault": "only(user='guest').withhold_confirms()",
            "struck": 2,
            "active": True,
        },
    ]
    assert [one["fault"] for one in shown["happened"]] == ["nack(publish=2)"] + 2 * [shown["faults"][1]["fault"]]
    assert shown["happened"][0]["at"] == round(b.faults.happened[0].at.timestamp() * 1000)
    left = api.delete(f"/faults/{withheld['id']}").json()
    assert [fault["kind"] for fault in left["faults"]] == ["nack"]
    assert client.told() == [("basic.ack", 1), ("basic.nack", 2)]
    assert api.delete(f"/faults/{withheld['id']}").status_code == 404
    assert api.delete("/faults").json() == {"faults": [], "happened": []}
    client.close()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "kind"),
        ({"kind": "rest"}, "kind = 'rest': there is no such fault; did you mean reset? Accepted: reset, drop,"),
        ({"kind": ["reset"]}, "kind = ['reset']: there is no such fault"),
        ({"kind": "reset", "until": 1}, "reset has no argument 'until'; accepted: on, instead_of, nth,"),
        ({"kind": "reset", "on": 3}, "on = 3: this must be text"),
        ({"kind": "reset", "after_frames": "3"}, "after_frames = '3': this must be a whole number"),
        ({"kind": "nack", "exchange": []}, "exchange = []: this must be text"),
        (
            {"kind": "reset", "only": {"host": "x"}},
            "only has no argument 'host'; did you mean vhost? Accepted: connection, user, vhost",
        ),
        ({"kind": "reset", "only": {"user": 3}}, "only.user = 3: this must be text"),
        (
            {"kind": "reset", "only": 3},
            "only = 3: this must be an object with names for some of connection, user, vhost",
        ),
        ({"kind": "refuse_declare", "code": []}, "code = []: this must be a reply code of AMQP: "),
        ({"kind": "restart"}, "a restart needs a condition, such as on='basic.publish'"),
        (
            {"kind": "restart", "on": "basic.get", "down": -1},
            "down = -1: this must be a number of seconds from 0 to 60",
        ),
        ({"kind": "random", "kinds": 3}, "kinds = 3: this must be a list"),
        ({"kind": "random", "rate": "often"}, "rate = 'often'"),
        ({"kind": "delay_confirms"}, "ms = 0: this must be a whole number from 1 on"),
    ],
)
def test_invalid_arguments_are_refused(api, body, reason):
    answer = api.post("/faults", json=body)
    assert answer.status_code == 400
    assert reason in answer.json()["reason"]
    assert api.get("/faults").json()["faults"] == []
