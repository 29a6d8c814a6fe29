"""Arguments and policy keys that RabbitMQ does not have, or not for every kind of queue."""

from typing import Any

import pytest

from amqpbroker.broker.queues.arguments.arguments import Argument
from amqpbroker.broker.queues.arguments.declaration import parse_declaration
from amqpbroker.broker.queues.arguments.extensions import OF_CLASSIC, OF_CONSUMERS, OF_QUORUM
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.kinds import CLASSIC, QUORUM
from amqpbroker.compat import COMPATS, OLDEST_COMPAT, Compat
from amqpbroker.config.config import Config
from amqpbroker.config.loading import load
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, longstr

DECLARED = {"x-queue-type": longstr("classic"), "x-delivery-limit": Field("I", 3)}


@pytest.mark.parametrize("compat", COMPATS.values(), ids=COMPATS)
@pytest.mark.parametrize(("kind", "extensions"), [(CLASSIC, OF_CLASSIC), (QUORUM, OF_QUORUM)])
def test_queue_type_supports_its_extensions_unless_they_are_off(
    compat: Compat, kind: Kind, extensions: tuple[str | Argument, ...]
) -> None:
    names = {each if isinstance(each, str) else each.name for each in extensions}
    assert names <= kind.arguments_in(compat).keys()
    assert set(OF_CONSUMERS) <= set(kind.consumer_arguments_in(compat))
    strict = compat.configured({}, extensions=False)
    expected = {*kind.arguments, *(kind.arguments_of_4_3 if compat.arguments_of_4_3 else ())}
    assert kind.arguments_in(strict).keys() == expected


@pytest.mark.parametrize(("text", "extensions"), [("on", True), ("off", False)])
def test_setting_switches_extensions(text: str, extensions: bool) -> None:
    assert load([("extensions", text)], {}).compat.extensions == extensions


def test_extensions_are_on_by_default() -> None:
    assert Config().compat.extensions


def test_stored_queue_is_restored_although_its_argument_is_not_supported_any_more() -> None:
    flags: dict[str, Any] = {
        "durable": True,
        "exclusive": False,
        "auto_delete": False,
        "arguments": DECLARED,
        "compat": OLDEST_COMPAT,
    }
    with pytest.raises(AmqpError, match="invalid arg 'x-delivery-limit' for queue 'q' in vhost '/' of queue type"):
        parse_declaration("q", "/", **flags)
    declaration = parse_declaration("q", "/", existing=True, **flags)
    assert declaration.arguments == DECLARED
    assert declaration.settings.delivery_limit == -1
