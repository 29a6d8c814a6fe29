import pytest

from amqpbroker.broker.exchanges.exchange import alternate_exchange
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, longstr


def test_alternate_exchange_is_read_from_its_argument() -> None:
    assert alternate_exchange("x", "/", {}) is None
    assert alternate_exchange("x", "/", {"alternate-exchange": longstr("ae")}) == "ae"
    assert alternate_exchange("x", "/", {"x-alternate-exchange": Field("I", 1)}) is None


def test_an_alternate_exchange_must_be_a_string() -> None:
    with pytest.raises(AmqpError) as refused:
        alternate_exchange("x", "/", {"alternate-exchange": Field("I", 1)})
    assert refused.value.text == (
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"
    )
