from amqpbroker.broker.events.tap import Via, over_http


def test_a_message_over_http_comes_by_a_connection_of_that_name():
    assert over_http("ann") == Via("HTTP", 1, "ann")
