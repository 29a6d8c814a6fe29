from amqpbroker.broker.events.tap import Via, over_http


def test_message_over_http_has_a_connection_name():
    assert over_http("ann") == Via("HTTP", 1, "ann")
