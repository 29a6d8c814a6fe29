import pytest

from amqpbroker.cli.perf.client import product_of
from amqpbroker.wire.values import Field, longstr

RABBITMQ = {"product": longstr("RabbitMQ"), "version": longstr("4.0.5")}


@pytest.mark.parametrize(
    ("information", "product"),
    [
        (longstr("Licensed under the MPL 2.0. Website: https://rabbitmq.com"), "RabbitMQ 4.0.5"),
        (longstr("amqpbroker 0.1.0"), "amqpbroker 0.1.0"),
        (Field("t", True), "RabbitMQ 4.0.5"),
    ],
)
def test_what_a_broker_is(information, product):
    assert product_of(RABBITMQ | {"information": information}) == product


def test_a_broker_that_says_little():
    assert product_of({"product": longstr("other")}) == "other"
    assert product_of({}) == ""
