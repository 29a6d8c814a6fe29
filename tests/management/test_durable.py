"""Changes that the API has confirmed survive a kill of the broker."""

import signal

import httpx

from amqpbroker.wire.values import MAX_DEPTH
from tests.process import BrokerProcess


def client(broker):
    return httpx.Client(base_url=f"http://guest:guest@127.0.0.1:{broker.port_of('http')}/api/", timeout=60)


def test_messages_published_and_moved_over_http_survive_a_kill(tmp_path):
    data = ("--data-dir", str(tmp_path / "data"))
    with BrokerProcess(tmp_path, *data, in_order=False) as broker, client(broker) as api:
        for name in ("from", "to"):
            assert api.put(f"queues/%2F/{name}", json={"durable": True}).status_code == 201
        for number in range(3):
            body = {"routing_key": "from", "payload": str(number), "payload_encoding": "string"}
            answer = api.post(
                "exchanges/%2F/amq.default/publish", json={**body, "properties": {"delivery_mode": 2, "type": "t"}}
            )
            assert answer.json() == {"routed": True}
        assert api.post("queues/%2F/from/move", json={"destination": "to", "count": 2}).json() == {"moved": 2}
        broker.signal(signal.SIGKILL)
        broker.wait()
        broker.ready_file.unlink()
    with BrokerProcess(tmp_path, *data) as broker, client(broker) as api:
        get = {"count": 10, "ackmode": "ack_requeue_true", "encoding": "auto"}
        found = {}
        for name in ("from", "to"):
            messages = api.post(f"queues/%2F/{name}/get", json=get).json()
            found[name] = [(message["payload"], message["properties"]) for message in messages]
    properties = {"delivery_mode": 2, "type": "t"}
    assert found == {"from": [("2", properties)], "to": [("0", properties), ("1", properties)]}


def test_most_deeply_nested_accepted_arguments_survive_a_restart(tmp_path):
    def nested(levels):
        return {"a": nested(levels - 1)} if levels else 1

    data = ("--data-dir", str(tmp_path / "data"))
    binding = "bindings/%2F/e/amq.topic/q/q"
    with BrokerProcess(tmp_path, *data, in_order=False) as broker, client(broker) as api:
        for levels, status in ((MAX_DEPTH, 201), (MAX_DEPTH + 1, 400)):
            body = {"durable": True, "arguments": {"x": nested(levels)}}
            name = "q" if status == 201 else "deeper"
            assert api.put(f"queues/%2F/{name}", json=body).status_code == status
            assert api.put(f"exchanges/%2F/{name}", json=body).status_code == status
            assert api.post(binding, json={"routing_key": name, **body}).status_code == status
        before = api.get("definitions").json()
    with BrokerProcess(tmp_path, *data) as broker, client(broker) as api:
        after = api.get("definitions").json()
        assert api.post("definitions", json=after).status_code == 204
    assert [queue["name"] for queue in after["queues"]] == ["q"]
    assert {key: after[key] for key in ("queues", "exchanges", "bindings")} == {
        key: before[key] for key in ("queues", "exchanges", "bindings")
    }
