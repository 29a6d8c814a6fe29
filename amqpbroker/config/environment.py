"""Settings from environment variables, and RabbitMQ's variables that have no effect here."""

from collections.abc import Callable, Iterator, Mapping

from amqpbroker.config.assignment import Assignment, Kind, Origin
from amqpbroker.config.setting import ConfigError
from amqpbroker.config.table import SETTINGS

_ERLANG = "it configures the Erlang runtime, which is not used"
_NO_NODES = "there is only one node"
_DIRECTORIES = "all files are in the data directory"
_FILE = "set this key in rabbitmq.conf:"

#: Variable -> the reason why it can be ignored.
_LEFT_OUT = {
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
    "RABBITMQ_SERVER_ERL_ARGS": _ERLANG,
    "RABBITMQ_SERVER_START_ARGS": _ERLANG,
    "RABBITMQ_IO_THREAD_POOL_SIZE": _ERLANG,
    "RABBITMQ_HIPE_COMPILE": _ERLANG,
    "RABBITMQ_ERLANG_COOKIE": _NO_NODES,
    "RABBITMQ_USE_LONGNAME": _NO_NODES,
    "RABBITMQ_DIST_PORT": _NO_NODES,
    "RABBITMQ_PLUGINS": "all supported plugins are enabled",
    "RABBITMQ_ENABLED_PLUGINS": "all supported plugins are enabled",
    "RABBITMQ_ENABLED_PLUGINS_FILE": "all supported plugins are enabled",
    "RABBITMQ_PLUGINS_DIR": "plugins cannot be added",
    "RABBITMQ_MNESIA_BASE": _DIRECTORIES,
    "RABBITMQ_MNESIA_DIR": _DIRECTORIES,
    "RABBITMQ_QUORUM_DIR": _DIRECTORIES,
    "RABBITMQ_STREAM_DIR": _DIRECTORIES,
    "RABBITMQ_FEATURE_FLAGS": "all feature flags are enabled",
    "RABBITMQ_CONF_ENV_FILE": "the file is not read; set its variables in the environment",
}

#: Variable -> alternative. RabbitMQ's container image, which used to read these variables, refuses to start with them.
_REFUSED = {
    "RABBITMQ_DEFAULT_USER_FILE": "set RABBITMQ_DEFAULT_USER, or default_user in rabbitmq.conf",
    "RABBITMQ_DEFAULT_PASS_FILE": "set RABBITMQ_DEFAULT_PASS, or default_pass in rabbitmq.conf",
    "RABBITMQ_VM_MEMORY_HIGH_WATERMARK": f"{_FILE} vm_memory_high_watermark.relative",
    **{
        f"RABBITMQ_{variable}_{option.upper()}": f"{_FILE} {prefix}.{option}"
        for variable, prefix in (("SSL", "ssl_options"), ("MANAGEMENT_SSL", "management.ssl"))
        for option in ("cacertfile", "certfile", "depth", "fail_if_no_peer_cert", "keyfile", "verify")
    },
}


def assigned(environ: Mapping[str, str], over_files: bool) -> Iterator[Assignment]:
    """Return the assignments by variables that override files (`over_files`), or that files override.

    As in RabbitMQ, this depends on the setting: RABBITMQ_DEFAULT_USER overrides a file's default_user, and a file's
    listener overrides RABBITMQ_NODE_PORT. An empty variable has no effect.
    """
    for setting in SETTINGS:
        if setting.over_files == over_files:
            for variable in setting.environment:
                if environ.get(variable):
                    yield Assignment(setting.key, environ[variable], Origin(Kind.ENVIRONMENT, variable))
    if over_files:
        origin = Origin(Kind.ENVIRONMENT, "RABBITMQ_LOG")
        yield from (Assignment(key, text, origin) for key, text in _log_levels(environ.get("RABBITMQ_LOG", "")))


def check(environ: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Warn of RabbitMQ's variables that are set and have no effect. Raises ConfigError if one must not be ignored."""
    for variable, instead in _REFUSED.items():
        if environ.get(variable):
            raise ConfigError(f"{variable}: this variable is not supported; {instead}")
    for variable, reason in _LEFT_OUT.items():
        if environ.get(variable):
            warn(f"{variable} has no effect: {reason}")


def _log_levels(text: str) -> Iterator[tuple[str, str]]:
    """Parse levels such as `debug,channel=error`: a general one, and those of categories. `+color` etc. is ignored."""
    for item in filter(None, text.split(",")):
        category, equals, level = item.partition("=")
        if equals:
            yield f"log.{category}.level", level
        elif item[0] not in "+-":
            yield from ((f"log.{where}.level", item) for where in ("default", "console", "file"))
