"""The settings: RabbitMQ's key of each, the accepted values, the sources and a short description.

`SETTINGS` is the table of settings. `load` parses assignments by it; the reference page and the tests use it too. Key
names and defaults are RabbitMQ's (deps/rabbit/priv/schema/rabbit.schema). A `$name` in a key stands for any word, in
which a dot is written `\\.`.
"""

from amqpbroker.config.accepted import Accepted
from amqpbroker.config.assignment import Assignment, Kind, Origin
from amqpbroker.config.config import (
    Config,
    DefaultLimits,
    DefaultOperatorPolicy,
    DefaultUser,
    Definitions,
    Limit,
    Listener,
    Log,
    Management,
    Prometheus,
)
from amqpbroker.config.files import files_of
from amqpbroker.config.loading import Loaded, load, load_all, problems
from amqpbroker.config.setting import ConfigError, Setting
from amqpbroker.config.table import SETTINGS, find
from amqpbroker.config.tls import SniHost, Tls

__all__ = [
    "SETTINGS",
    "Accepted",
    "Assignment",
    "Config",
    "ConfigError",
    "DefaultLimits",
    "DefaultOperatorPolicy",
    "DefaultUser",
    "Definitions",
    "Kind",
    "Limit",
    "Listener",
    "Loaded",
    "Log",
    "Management",
    "Origin",
    "Prometheus",
    "Setting",
    "SniHost",
    "Tls",
    "files_of",
    "find",
    "load",
    "load_all",
    "problems",
]
