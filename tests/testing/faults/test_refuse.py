"""Refused declarations."""

import pika
import pytest

from amqpbroker.testing.faults.refuse import RefuseDeclare

CLOSED = pika.exceptions.ChannelClosedByBroker


def test_refuse_declare_applies_only_to_the_named_queue(b, connect):
    connection = connect()
    b.faults.refuse_declare(queue="x", text="somebody else has it otherwise")
    connection.channel().queue_declare("y", auto_delete=True)
    connection.channel().exchange_declare("x", auto_delete=True)
    with pytest.raises(CLOSED) as raised:
        connection.channel().queue_declare("x")
    assert raised.value.args == (406, "PRECONDITION_FAILED - somebody else has it otherwise")
    connection.channel().exchange_delete("x")


def test_times_limits_how_often_an_exchange_declaration_is_refused(b, connect):
    connection = connect()
    b.faults.refuse_declare(exchange="x", code=403, times=1)
    with pytest.raises(CLOSED, match="ACCESS_REFUSED - exchange 'x' is refused: a fault is injected"):
        connection.channel().exchange_declare("x")
    connection.channel().exchange_declare("x", auto_delete=True)


def test_any_declaration_is_refused_with_a_connection_error(b, connect):
    b.faults.refuse_declare(code=541)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="INTERNAL_ERROR"):
        connect().channel().queue_declare("")


def test_invalid_arguments_raise_errors():
    with pytest.raises(ValueError, match="code = 200: this must be a reply code of AMQP: 311, 312"):
        RefuseDeclare(code=200)
