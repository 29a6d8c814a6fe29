from tests.harness import Received, Wire


def test_flow_is_always_on(client: Wire) -> None:
    assert client.call(1, "channel.flow", active=True) == Received(1, "channel.flow-ok", {"active": True})


def test_and_cannot_be_turned_off(client: Wire) -> None:
    client.send(1, "channel.flow", active=False)
    (got,) = client.receive()
    assert (got.name, got.arguments["reply_text"]) == ("connection.close", "NOT_IMPLEMENTED - active=false")
