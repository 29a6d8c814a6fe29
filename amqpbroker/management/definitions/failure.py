"""Errors in definitions."""

from amqpbroker.errors import REPLY_CODES, AmqpError
from amqpbroker.management.failure import ApiError, shown
from amqpbroker.patterns import PatternError
from amqpbroker.wire.erlang import erlang_json


class DefinitionsError(ValueError):
    """Definitions cannot be imported. The text is RabbitMQ's if it has one. place: the entry, such as queues[3]."""

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.place = place

    @property
    def line(self) -> str:
        """Return the text on one line, with the place unless the text contains it."""
        line = " ".join(str(self).split())
        return line if line.startswith(self.place) else f"{self.place}: {line}"


def malformed(where: str, what: str) -> DefinitionsError:
    """Return an error for the object at `where`, such as queues[3]."""
    return DefinitionsError(f"{where}: {what}", where)


def wrong_type(where: str, key: str, value: object, wanted: str) -> DefinitionsError:
    """Return the error for a value of a wrong type. key: empty if the value at `where` itself is wrong."""
    what = f'"{key}" is' if key else "this is"
    return malformed(where, f"{what} to be {wanted}, not {shown(value)}")


def no_vhost(name: str) -> DefinitionsError:
    return DefinitionsError(f'Please create virtual host "{name}" prior to importing definitions.')


def no_user(name: str) -> DefinitionsError:
    return DefinitionsError(f"{{no_such_user,{erlang_json(name)}}}")


def missing(kind: str, vhost: str, name: str) -> DefinitionsError:
    """An end of a binding that is not there. kind: queue or exchange."""
    resource = f"{{resource,{erlang_json(vhost)},{kind},{erlang_json(name)}}}"
    return DefinitionsError(f"{{resources_missing,[{{not_found,{resource}}}]}}")


def refused(error: AmqpError) -> DefinitionsError:
    """Return the error that a client gets for the same declaration."""
    return DefinitionsError(f"{REPLY_CODES[error.code][0].lower()}: {error.explanation}")


def invalid_pattern(pattern: str, error: PatternError) -> DefinitionsError:
    return DefinitionsError(f'{{invalid_regexp,"{pattern}",{{"{error.reason}",{error.at}}}}}')


def explained(error: ApiError) -> DefinitionsError:
    """Return the error that a request for the same object gets; a list of words becomes a tuple."""
    if isinstance(error.reason, str):
        return DefinitionsError(error.reason)
    name, *values = error.reason
    return DefinitionsError(f"{{{','.join([name, *map(erlang_json, values)])}}}")
