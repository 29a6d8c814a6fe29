import re

import pytest

from amqpbroker.broker.broker import generated_name
from amqpbroker.broker.settings import QueueSettings
from amqpbroker.config import DefaultUser
from amqpbroker.errors import AmqpError
from tests.harness import Wire, make_broker


def test_a_new_broker_has_its_vhost_and_its_user() -> None:
    broker = make_broker()
    assert list(broker.vhosts) == ["/"]
    guest = broker.users.authenticate("guest", b"guest")
    assert guest is not None
    broker.users.permissions(guest, "/").check("configure", "queue", "any")


def test_both_are_configured() -> None:
    broker = make_broker(default_vhost="mine", default_users=(DefaultUser("me", "secret"),))
    assert list(broker.vhosts) == ["mine"]
    assert broker.users.authenticate("guest", b"guest") is None
    assert broker.users.authenticate("me", b"secret") is not None


def test_a_vhost_is_made_once() -> None:
    broker = make_broker()
    other = broker.add_vhost("other")
    assert broker.add_vhost("other") is other
    assert broker.vhost("other") is other
    assert other is not broker.vhost("/")


def test_vhosts_share_nothing_but_the_clock() -> None:
    broker = make_broker()
    broker.vhost("/").declare_queue("q", False, False, False, {})
    other = broker.add_vhost("other")
    assert not other.queues
    assert other.exchange("amq.direct") is not broker.vhost("/").exchange("amq.direct")
    assert other.clock is broker.clock


def test_a_vhost_that_is_not_there() -> None:
    with pytest.raises(AmqpError) as error:
        make_broker().vhost("nope")
    assert error.value.text == "NOT_ALLOWED - vhost nope not found"


def test_the_default_queue_type_is_for_queues_that_it_suits() -> None:
    vhost = make_broker(default_queue_type="quorum").vhost("/")
    assert vhost.declare_queue("durable", True, False, False, {}).settings == QueueSettings("quorum", delivery_limit=20)
    assert vhost.declare_queue("transient", False, False, False, {}).settings.queue_type == "classic"


def test_changed_permissions_void_what_channels_remember() -> None:
    broker = make_broker()
    client = Wire(broker).log_in()
    client.declare("q")
    client.publish("q", b"1")
    client.publish("q", b"2")
    broker.users.set_permissions("guest", "/", ".*", "^$", ".*")
    client.publish("q", b"3")
    (closed,) = client.receive()
    assert closed.arguments["reply_text"] == (
        "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'guest'"
    )


def test_generated_names_are_22_characters_of_base64url_and_never_the_same() -> None:
    names = {generated_name("amq.gen-") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name) for name in names)
