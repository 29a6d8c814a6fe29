"""Commands for maintenance, with an API that answers as brokers with one database do."""

import pytest

from amqpbroker.cli.ctl.command import Call
from amqpbroker.cli.ctl.commands import maintenance
from amqpbroker.cli.ctl.failure import CtlError


class StillApi:
    """An API. done: what requests to change something return. looks: what each look at the vhosts finds.

    led: number of vhosts that the broker a leads, at each look at the nodes. The last look stays.
    """

    def __init__(self, done, *looks, led=(0,)):
        self.done = done
        self.looks = list(looks)
        self.led = list(led)
        self.requests = []

    def get(self, path):
        if path == "nodes":
            led = self.led.pop(0) if len(self.led) > 1 else self.led[0]
            return [
                {"name": "a", "led_vhosts": led, "writes_definitions": False},
                {"name": "b", "led_vhosts": 3, "writes_definitions": True},
            ]
        assert path == "vhosts?columns=name,leader,cluster_state"
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def post(self, path, body=None):
        self.requests.append((path, body))
        return self.done


def vhost(name, leader, served=True):
    return {"name": name, "leader": leader, "cluster_state": {leader: "running"} if served else {}}


def run(command, api, *words, timeout_s=60.0):
    return getattr(maintenance, command)(Call(lambda: api, list(words), {}, "/", timeout_s))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(maintenance, "_PAUSE_S", 0.0)


def test_a_transfer_waits_until_the_new_leader_serves_the_vhost():
    looks = [vhost("v", "a")], [vhost("v", "")], [vhost("v", "b", served=False)], [vhost("v", "b")]
    api = StillApi({"broker": "b", "hands_over": True}, *looks)
    assert run("transfer_leadership", api, "v", "b") == "b leads vhost 'v' now"
    assert api.requests == [("leadership/transfer", {"vhost": "v", "broker": "b"})]
    assert len(api.looks) == 1


def test_a_transfer_that_does_not_happen_in_time_fails():
    api = StillApi({"broker": "b", "hands_over": True}, [vhost("v", "a")])
    with pytest.raises(CtlError, match="vhost 'v' is not led by b after 0 s"):
        run("transfer_leadership", api, "v", timeout_s=0.0)
    assert api.requests == [("leadership/transfer", {"vhost": "v"})]


def test_a_transfer_to_the_leader_changes_nothing():
    api = StillApi({"broker": "b", "hands_over": False})
    assert run("transfer_leadership", api, "v", "b") == "b leads vhost 'v' already"


def test_a_drain_waits_until_others_serve_the_vhosts_and_write_the_definitions():
    done = {"broker": "a", "hands_over": True, "vhosts": ["v"]}
    looks = [vhost("v", "a"), vhost("w", "")], [vhost("v", "b", served=False)], [vhost("v", "b")]
    api = StillApi(done, *looks, led=(1, 0))
    assert run("drain", api) == "a is drained, and other brokers lead its vhosts"
    assert api.requests == [("maintenance/drain", {})]
    assert (len(api.looks), api.led) == (1, [0])


def test_a_drain_names_what_is_left_after_the_time_limit():
    names = [f"v{number}" for number in range(12)]
    api = StillApi({"broker": "a", "hands_over": True, "vhosts": names}, [vhost(name, "a") for name in names])
    with pytest.raises(CtlError) as caught:
        run("drain", api, "a", timeout_s=0.0)
    assert "a is drained, and after 0 s 12 of its vhosts have no other leader: v0, v1, v2" in str(caught.value)
    assert "v9, ..." in str(caught.value)
    api = StillApi({"broker": "a", "hands_over": True, "vhosts": []}, [], led=(1,))
    with pytest.raises(CtlError, match="after 0 s it writes the definitions"):
        run("drain", api, "a", timeout_s=0.0)


def test_a_broker_that_leads_nothing_is_drained_at_once():
    api = StillApi({"broker": "a", "hands_over": False, "vhosts": []})
    assert run("drain", api, "a") == "a is drained"
    assert run("revive", api, "a") == "a may lead again"


def test_a_rebalance_shows_the_moves_that_are_done():
    moves = [{"vhost": "v", "from": "a", "to": "b"}, {"vhost": "gone", "from": "a", "to": "b"}]
    api = StillApi({"moves": moves}, [vhost("v", "a")], [vhost("v", "b"), vhost("w", "", served=False)])
    assert run("rebalance", api).rows == [["v", "a", "b"], ["gone", "a", "b"]]
    api = StillApi({"moves": moves}, [vhost("v", "a")])
    with pytest.raises(CtlError, match="1 of 2 vhosts have not moved after 0 s: v"):
        run("rebalance", api, timeout_s=0.0)
