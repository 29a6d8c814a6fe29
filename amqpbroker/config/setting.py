"""A row of the table of settings."""

from typing import NamedTuple

from amqpbroker.config.accepted import Accepted


class ConfigError(ValueError):
    """An unknown setting or an invalid value; the text states the valid ones.

    key: the setting whose value does not fit others, if the text does not name its source.
    """

    def __init__(self, text: str, key: str = "") -> None:
        super().__init__(text)
        self.key = key


class Setting(NamedTuple):
    """One row of the table.

    attribute: the Config attribute that the value sets, such as `management.port`; empty for a setting that sets an
    attribute only together with others. default: the default as it would be written. secret: the value is never shown.
    environment: variables, which override files unless `over_files` is False.
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
