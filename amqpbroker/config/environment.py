"""Settings out of environment variables."""

from collections.abc import Iterator, Mapping

from amqpbroker.config.assignment import Assignment, Kind, Origin
from amqpbroker.config.table import SETTINGS


def assigned(environ: Mapping[str, str], over_files: bool) -> Iterator[Assignment]:
    """What variables assign that are stronger than files are (`over_files`), or weaker.

    As in RabbitMQ, that is by setting: RABBITMQ_DEFAULT_USER wins over a file's default_user, and a file's listener
    over RABBITMQ_NODE_PORT. An empty variable is none.
    """
    for setting in SETTINGS:
        if setting.over_files == over_files:
            for variable in setting.environment:
                if environ.get(variable):
                    yield Assignment(setting.key, environ[variable], Origin(Kind.ENVIRONMENT, variable))
    if over_files:
        origin = Origin(Kind.ENVIRONMENT, "RABBITMQ_LOG")
        yield from (Assignment(key, text, origin) for key, text in _log_levels(environ.get("RABBITMQ_LOG", "")))


def _log_levels(text: str) -> Iterator[tuple[str, str]]:
    """`debug,channel=error`: a level for everything, and those of categories. `+color` and the like do nothing."""
    for item in filter(None, text.split(",")):
        category, equals, level = item.partition("=")
        if equals:
            yield f"log.{category}.level", level
        elif item[0] not in "+-":
            yield from ((f"log.{where}.level", item) for where in ("default", "console", "file"))
