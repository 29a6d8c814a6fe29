from tests.harness import Wire


def test_select_may_be_repeated_and_numbers_go_on(client: Wire) -> None:
    assert client.call(1, "confirm.select").name == "confirm.select-ok"
    client.publish("nowhere", b"x")
    (ack,) = client.receive()
    assert ack.arguments["delivery_tag"] == 1
    assert client.call(1, "confirm.select").name == "confirm.select-ok"
    client.publish("nowhere", b"x")
    (ack,) = client.receive()
    assert ack.arguments["delivery_tag"] == 2


def test_nowait_is_without_an_answer(client: Wire) -> None:
    client.send(1, "confirm.select", nowait=True)
    assert client.receive() == []
    client.publish("nowhere", b"x")
    assert [got.name for got in client.receive()] == ["basic.ack"]


def test_what_was_published_before_is_not_confirmed(client: Wire) -> None:
    client.publish("nowhere", b"x")
    client.call(1, "confirm.select")
    assert client.receive() == []
