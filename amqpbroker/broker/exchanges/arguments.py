"""Arguments that name an exchange."""

from amqpbroker import errors
from amqpbroker.wire.values import TYPE_NAMES, Table, text

ALTERNATE_EXCHANGE = "alternate-exchange"


def alternate_exchange(name: str, vhost: str, arguments: Table) -> str | None:
    """The alternate exchange that exchange.declare names, if any. Raises AmqpError 406 if it is no string."""
    return exchange_argument(ALTERNATE_EXCHANGE, "exchange", name, vhost, arguments)


def exchange_argument(argument: str, kind: str, name: str, vhost: str, arguments: Table) -> str | None:
    """An argument that names an exchange (rabbit_misc:r_arg/4)."""
    given = arguments.get(argument)
    if given is None:
        return None
    if given.kind != "S":
        raise errors.invalid_argument_type(argument, kind, name, vhost, TYPE_NAMES[given.kind])
    return text(given.value)
