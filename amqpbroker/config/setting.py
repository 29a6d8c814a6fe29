"""A row of the table of settings."""

from dataclasses import dataclass

from amqpbroker.config.accepted import Accepted


class ConfigError(ValueError):
    """A setting that does not exist or a value that it cannot take; the text says what would do.

    `key` is that of a value which does not go with others, where the text does not say where it comes from.
    """

    def __init__(self, text: str, key: str = "") -> None:
        super().__init__(text)
        self.key = key


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    `attribute` is the Config attribute that the value becomes, `management.port` one of an attribute; a setting that
    only together with others makes an attribute has none. `default` is the default as it would be written. What is
    `secret` is never shown. Variables of `environment` are stronger than files unless `over_files` is False.
    """

    key: str
    accepted: Accepted
    default: str
    doc: str
    attribute: str = ""
    environment: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    secret: bool = False
    over_files: bool = True
