"""A broker that is stopped in order while its consumers have messages."""

import signal

import pika

from tests.process import BrokerProcess

CONSUMERS = 8
#: Fewer than consumers: a message that went round all of them would be dead-lettered.
LIMIT = 3


def test_a_message_of_one_consumer_is_not_delivered_to_the_others_while_the_broker_stops(tmp_path):
    data = str(tmp_path / "data")
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": LIMIT}
    deliveries = []
    with BrokerProcess(tmp_path, "--data-dir", data) as broker:
        connections = []
        for number in range(CONSUMERS):
            connection = pika.BlockingConnection(pika.URLParameters(broker.url))
            connections.append(connection)
            channel = connection.channel()
            channel.queue_declare("q", durable=True, arguments=arguments)
            channel.basic_qos(prefetch_count=1)
            channel.basic_consume("q", lambda *_, number=number: deliveries.append(number))
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"x", pika.BasicProperties(delivery_mode=2))
        while not deliveries:
            for connection in connections:
                connection.process_data_events(0.01)
        broker.signal(signal.SIGTERM)
        for connection in connections:
            try:
                connection.process_data_events(10)
            except pika.exceptions.ConnectionClosedByBroker as error:
                assert error.reply_code == 320  # noqa: PT017 - raised by all of them or by none
        assert broker.wait() == 0
    assert len(deliveries) == 1
    with BrokerProcess(tmp_path, "--data-dir", data) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        method, properties, body = connection.channel().basic_get("q")
        assert (body, method.redelivered, properties.headers["x-delivery-count"]) == (b"x", True, 1)
        connection.close()
