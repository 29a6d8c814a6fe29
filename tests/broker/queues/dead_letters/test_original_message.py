import pytest

from amqpbroker.broker.queues.dead_letters.original_message import Death, last_death, revived
from amqpbroker.broker.vhost import Vhost
from amqpbroker.message.message import Message
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field
from tests.broker.queueing import get
from tests.broker.redrive.driving import advance, kill, message, work_with_dlq


def letter(vhost: Vhost, sent: Message) -> Message:
    """Return the dead letter of a message."""
    work, dlq = work_with_dlq(vhost)
    kill(work, sent)
    return get(dlq).message


def test_last_death_of_several(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    assert work.publish(message(b"", "key", "amq.topic", expiration_ms=5))
    advance(vhost, 5)
    assert last_death(get(dlq).message) == Death("work", "expired", "amq.topic", (b"key",), b"5")


def test_header_of_a_client_is_no_death(vhost: Vhost) -> None:
    assert last_death(message(b"", **{"x-death": Field("A", [])})) is None
    assert last_death(message(b"")) is None


def test_message_is_the_same_as_before(vhost: Vhost) -> None:
    sent = message(b"body", "key", "amq.direct", tenant="a", **{"x-zone": "z"})
    dead = letter(vhost, sent)
    death = last_death(dead)
    assert death is not None
    again = revived(dead, death, keep_history=False, restore_expiration=False)
    assert (again.address, again.properties, again.body) == (sent.address, sent.properties, b"body")
    assert not again.died


@pytest.mark.parametrize("properties", [{}, {"priority": 3}])
def test_headers_are_absent_if_there_were_none(vhost: Vhost, properties: dict[str, int]) -> None:
    dead = letter(vhost, message(b""))
    death = last_death(dead)
    assert death is not None
    assert "headers" not in decode_properties(revived(dead, death, False, False).properties)


def test_cc_keys_are_routing_keys_again(vhost: Vhost) -> None:
    sent = message(b"", "key")
    sent.set_extra_keys((b"cc", b"bcc"), 1)
    dead = letter(vhost, sent)
    death = last_death(dead)
    assert death is not None
    again = revived(dead, death, False, False)
    assert (again.routing_keys, again.cc_keys) == ((b"key", b"cc"), 1)


def test_history_is_kept_on_request(vhost: Vhost) -> None:
    dead = letter(vhost, message(b""))
    death = last_death(dead)
    assert death is not None
    again = revived(dead, death, keep_history=True, restore_expiration=True)
    assert again.properties == dead.properties
    assert again.died
    assert again.expiration_ms == -1
