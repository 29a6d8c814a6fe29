from amqpbroker.amqp.peer import Peer


def test_a_connection_is_named_by_both_ends() -> None:
    assert Peer("10.0.0.9", 4711, "10.0.0.1", 5672).name == "10.0.0.9:4711 -> 10.0.0.1:5672"
