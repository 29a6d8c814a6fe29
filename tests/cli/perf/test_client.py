import pytest

from amqpbroker.cli.perf.client import product_of
from amqpbroker.wire.values import Field, longstr

RABBITMQ = {"product": longstr("RabbitMQ"), "version": longstr("4.0.5")}


@pytest.mark.parametrize(
    ("properties", "product"),
    [
        ({}, "RabbitMQ 4.0.5"),
        ({"amqpbroker": longstr("0.1.0")}, "amqpbroker 0.1.0"),
        ({"amqpbroker": Field("t", True)}, "RabbitMQ 4.0.5"),
    ],
)
def test_product_is_read_from_the_server_properties(properties, product):
    assert product_of(RABBITMQ | properties) == product


def test_product_and_version_can_be_missing_in_the_server_properties():
    assert product_of({"product": longstr("other")}) == "other"
    assert product_of({}) == ""
